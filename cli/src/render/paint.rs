//! Colours, for terminals only.

use comfy_table::Color;
use loadtest_crds::{Outcome, Verdict};

/// What a colour says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Good,
    Caution,
    Bad,
    Unknown,
    Faint,
}

impl Tone {
    pub fn of_verdict(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Good,
            Verdict::Warn => Self::Caution,
            Verdict::Fail | Verdict::Error => Self::Bad,
            Verdict::Inconclusive | Verdict::Aborted => Self::Unknown,
        }
    }

    pub fn of_outcome(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Met => Self::Good,
            Outcome::Warn => Self::Caution,
            Outcome::Missed => Self::Bad,
            Outcome::NoData | Outcome::TooFew | Outcome::Unmeasurable => Self::Unknown,
            Outcome::Unclear => Self::Caution,
        }
    }

    pub fn color(self) -> Option<Color> {
        match self {
            Self::Plain => None,
            Self::Good => Some(Color::DarkGreen),
            Self::Caution => Some(Color::DarkYellow),
            Self::Bad => Some(Color::DarkRed),
            Self::Unknown => Some(Color::DarkMagenta),
            Self::Faint => Some(Color::DarkGrey),
        }
    }

    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Caution => Some("33"),
            Self::Bad => Some("31"),
            Self::Unknown => Some("35"),
            Self::Faint => Some("90"),
        }
    }
}

/// Whether to colour at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    On,
    Off,
}

impl Paint {
    pub fn tone(self, tone: Tone, text: &str) -> String {
        match (self, tone.code()) {
            (Self::On, Some(code)) => format!("\x1b[{code}m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }

    pub fn bold(self, text: &str) -> String {
        match self {
            Self::On => format!("\x1b[1m{text}\x1b[0m"),
            Self::Off => text.to_owned(),
        }
    }

    /// Bold and coloured.
    pub fn strong(self, tone: Tone, text: &str) -> String {
        match (self, tone.code()) {
            (Self::On, Some(code)) => format!("\x1b[1;{code}m{text}\x1b[0m"),
            _ => self.bold(text),
        }
    }
}
