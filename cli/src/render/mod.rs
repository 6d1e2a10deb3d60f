//! What the plugin prints, as pure functions of a LoadTest, a width and a time.
//!
//! - [`status`]: everything about one run, put together from [`objectives`], [`faults`], [`system`] and [`load`]
//! - [`progress`]: one run while it goes on, as a block or a line
//! - [`judged`]: what another judgement of a run changed
//! - [`list`]: many runs, a line each
//! - [`table`], [`text`], [`paint`]: columns, figures and colours

pub mod faults;
pub mod judged;
pub mod list;
pub mod load;
pub mod objectives;
pub mod paint;
pub mod progress;
pub mod status;
pub mod system;
pub mod table;
pub mod text;

#[cfg(test)]
pub mod fixtures;

use jiff::Timestamp;
use loadtest_crds::{LoadTest, Outcome, Phase, Verdict, WindowResult};
use paint::Tone;

/// The surface that a text is for.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Columns of the terminal.
    pub width: u16,
    pub paint: paint::Paint,
}

pub fn phase_of(test: &LoadTest) -> Phase {
    test.status.as_ref().map(|status| status.phase).unwrap_or_default()
}

pub fn verdict_of(test: &LoadTest) -> Option<Verdict> {
    test.status.as_ref().filter(|status| status.phase == Phase::Finished).and_then(|status| status.verdict)
}

pub fn name_of(test: &LoadTest) -> &str {
    test.metadata.name.as_deref().unwrap_or_default()
}

pub fn namespace_of(test: &LoadTest) -> &str {
    test.metadata.namespace.as_deref().unwrap_or("default")
}

pub fn created_at(test: &LoadTest) -> Option<Timestamp> {
    test.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

/// `PASS  chat-failover  in loadtests, series chat-failover`: the first line about a run, no wider than the page.
pub fn heading(test: &LoadTest, page: Page) -> String {
    let (word, tone) = match verdict_of(test) {
        Some(verdict) => (verdict_word(verdict), Tone::of_verdict(verdict)),
        None => (phase_word(phase_of(test)), Tone::Plain),
    };
    let mut origin = format!("in {}", namespace_of(test));
    if let Some(series) = test.status.as_ref().and_then(|status| status.series.as_ref()) {
        origin.push_str(&format!(", series {series}"));
    }
    let mut room = usize::from(page.width).saturating_sub(word.len() + 2);
    let name = text::cut(name_of(test), room);
    room = room.saturating_sub(name.chars().count() + 2);
    let origin = text::cut(&origin, room);
    let line = format!("{}  {}", page.paint.strong(tone, &word.to_uppercase()), page.paint.bold(&name));
    if room == 0 { line } else { format!("{line}  {}", page.paint.tone(Tone::Faint, &origin)) }
}

pub fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "Pending",
        Phase::Preparing => "Preparing",
        Phase::Running => "Running",
        Phase::Evaluating => "Evaluating",
        Phase::Finished => "Finished",
    }
}

pub fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "Pass",
        Verdict::Warn => "Warn",
        Verdict::Inconclusive => "Inconclusive",
        Verdict::Fail => "Fail",
        Verdict::Aborted => "Aborted",
        Verdict::Error => "Error",
    }
}

pub fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Met => "Met",
        Outcome::Warn => "Warn",
        Outcome::Missed => "Missed",
        Outcome::NoData => "No data",
        Outcome::Unclear => "Unclear",
        Outcome::TooFew => "Too few",
        Outcome::Unmeasurable => "Unmeasurable",
    }
}

/// `Steady`, `Fault kill-dbman`.
pub fn window_name(result: &WindowResult) -> String {
    match &result.fault {
        Some(fault) => format!("{} {fault}", result.window.as_str()),
        None => result.window.as_str().to_owned(),
    }
}
