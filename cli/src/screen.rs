//! The terminal, or whatever stands in its place.

use std::io::{self, IsTerminal, Write};

use terminal_size::{Height, Width, terminal_size};

use crate::error::Error;
use crate::render::Page;
use crate::render::paint::Paint;

const DEFAULT_WIDTH: u16 = 100;
const NARROWEST: u16 = 40;
const DEFAULT_HEIGHT: usize = 24;

/// Standard output with what it can do.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Lines can be taken back.
    pub live: bool,
    paint: Paint,
}

impl Screen {
    pub fn of_stdout() -> Self {
        let terminal = io::stdout().is_terminal();
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let paint = if terminal && !dumb && !set("NO_COLOR") { Paint::On } else { Paint::Off };
        Self { live: terminal && !dumb, paint }
    }

    /// The width is asked for each time, as a window can change.
    pub fn page(self) -> Page {
        let width = terminal_size().map(|(Width(width), _)| width);
        let width = width.or_else(|| std::env::var("COLUMNS").ok()?.parse().ok());
        Page { width: width.unwrap_or(DEFAULT_WIDTH).max(NARROWEST), paint: self.paint }
    }

    /// As wide as it takes where there is no terminal: whoever reads a list by its lines wants each on one.
    pub fn page_of_lines(self) -> Page {
        let page = self.page();
        if self.live { page } else { Page { width: u16::MAX, ..page } }
    }

    /// Lines of the terminal.
    pub fn rows(self) -> usize {
        terminal_size().map_or(DEFAULT_HEIGHT, |(_, Height(height))| usize::from(height))
    }
}

/// Prints to standard output as it is.
pub fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Error::OutputClosed,
        _ => Error::internal("print", error),
    })
}

pub fn print_line(text: &str) -> Result<(), Error> {
    print(&format!("{text}\n"))
}

/// Tells the user something that is not the command's result.
pub fn note(text: &str) {
    // Nobody is left to be told when standard error is closed.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Lines at the end of the terminal that the next ones replace.
#[derive(Debug, Default)]
pub struct Block {
    height: usize,
}

impl Block {
    pub fn show(&mut self, lines: &[String]) -> Result<(), Error> {
        let mut text = self.clearing();
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        self.height = lines.len();
        print(&text)
    }

    /// Takes the block back.
    pub fn clear(&mut self) -> Result<(), Error> {
        let text = self.clearing();
        self.height = 0;
        print(&text)
    }

    fn clearing(&self) -> String {
        // To the first column of the block's first line, then erase to the end of the screen.
        if self.height == 0 { String::new() } else { format!("\x1b[{}A\r\x1b[J", self.height) }
    }
}
