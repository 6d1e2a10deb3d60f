//! A watched run on the screen: a block that is redrawn, or lines where there is no terminal.

use std::time::Duration;

use jiff::Timestamp;
use loadtest_crds::{LoadTest, Phase};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::error::Error;
use crate::render::phase_of;
use crate::render::progress::meter::Meter;
use crate::render::progress::{block, lines};
use crate::render::text;
use crate::screen::{Block, Screen, print_line};

/// A terminal counts the seconds to the next fault; nothing is asked of the API server for it.
const REDRAW: Duration = Duration::from_secs(1);
/// A log gets a line as often while the load runs.
const LINE: Duration = Duration::from_secs(5);

/// What stays on a terminal at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The block as it was last.
    Keep,
    /// Nothing: more is printed in its place.
    Clear,
}

pub struct View {
    screen: Screen,
    block: Block,
    ticks: Interval,
    meter: Meter,
    /// The last reading, to tell what is new.
    last: Option<LoadTest>,
    /// The last line without its time.
    summary: String,
    lost: Option<String>,
}

impl View {
    pub fn new() -> Self {
        let screen = Screen::of_stdout();
        let mut ticks = interval(if screen.live { REDRAW } else { LINE });
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        // The first tick is due at once, and the first reading is shown anyway.
        ticks.reset();
        Self {
            screen,
            block: Block::default(),
            ticks,
            meter: Meter::default(),
            last: None,
            summary: String::new(),
            lost: None,
        }
    }

    /// Completes when what is shown should be renewed.
    pub async fn tick(&mut self) {
        self.ticks.tick().await;
    }

    /// Shows a new reading.
    pub fn update(&mut self, test: &LoadTest, now: Timestamp) -> Result<(), Error> {
        self.meter.read(test, now);
        let back = self.lost.take().is_some();
        if self.screen.live {
            self.draw(test, now)?;
        } else {
            if back {
                stamped("connected again", now)?;
            }
            for news in lines::changes(self.last.as_ref(), test) {
                stamped(&news, now)?;
            }
            let moved = self.last.as_ref().is_none_or(|last| phase_of(last) != phase_of(test));
            if moved || phase_of(test) != Phase::Running {
                self.line(test, now)?;
            }
        }
        self.last = Some(test.clone());
        Ok(())
    }

    /// Shows the same reading at a later time.
    pub fn redraw(&mut self, test: &LoadTest, now: Timestamp) -> Result<(), Error> {
        if self.screen.live { self.draw(test, now) } else { self.line(test, now) }
    }

    /// The API server does not answer; nothing to tell when there is no cause.
    pub fn lost(&mut self, test: &LoadTest, cause: Option<String>, now: Timestamp) -> Result<(), Error> {
        let Some(cause) = cause else { return Ok(()) };
        let known = self.lost.replace(cause).is_some();
        if self.screen.live {
            self.draw(test, now)
        } else if !known && let Some(cause) = &self.lost {
            stamped(&lost_text(cause), now)
        } else {
            Ok(())
        }
    }

    pub fn close(&mut self, closing: Closing) -> Result<(), Error> {
        if closing == Closing::Clear { self.block.clear() } else { Ok(()) }
    }

    fn draw(&mut self, test: &LoadTest, now: Timestamp) -> Result<(), Error> {
        let page = self.screen.page();
        let mut shown = block::render(test, now, self.meter.pace(), page);
        if let Some(cause) = &self.lost {
            shown.push(text::cut(&format!("  ! {}", lost_text(cause)), usize::from(page.width)));
        }
        // What has scrolled off the screen cannot be taken back.
        shown.truncate(self.screen.rows().saturating_sub(1));
        self.block.show(&shown)
    }

    fn line(&mut self, test: &LoadTest, now: Timestamp) -> Result<(), Error> {
        let summary = lines::summary(test, now, self.meter.pace());
        if summary != self.summary {
            stamped(&summary, now)?;
            self.summary = summary;
        }
        Ok(())
    }
}

fn lost_text(cause: &str) -> String {
    format!("connection to the API server lost ({cause}), trying again")
}

fn stamped(text: &str, now: Timestamp) -> Result<(), Error> {
    print_line(&format!("{}  {text}", text::time_of_day(now)))
}
