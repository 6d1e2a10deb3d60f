//! The block that a terminal redraws.

use jiff::Timestamp;
use loadtest_crds::{LoadTest, Phase};

use super::meter::Pace;
use super::standing::Standing;
use crate::render::paint::Tone;
use crate::render::{Page, heading, phase_of, status, text};

/// Columns of the labels, their indentation included.
const LABELS: usize = 14;
const WIDEST_BAR: usize = 78;

/// The block: no line is wider than the page, so that it can be taken back.
pub fn render(test: &LoadTest, now: Timestamp, pace: Option<Pace>, page: Page) -> Vec<String> {
    let standing = Standing::of(test, now);
    let width = usize::from(page.width);
    let phase = phase_of(test);
    let mut lines = vec![heading(test, page)];
    if phase == Phase::Running {
        lines.extend(bar(&standing, width.min(WIDEST_BAR)));
    } else if let Some(sentence) = status::sentence(test, now) {
        lines.extend(text::wrap(&sentence, width, "", "").lines().map(|line| text::cut(line, width)));
    }
    let mut row = |label: &str, line: &str, tone: Tone| {
        let label = text::cut(&format!("  {label:<12}"), width);
        let line = text::cut(line, width.saturating_sub(label.chars().count().max(LABELS)));
        lines.push(format!("{label}{}", page.paint.tone(tone, &line)));
    };
    let load = standing.load(pace);
    if !load.is_empty() {
        row("load", &load, Tone::Plain);
    }
    if let Some((errors, tone)) = standing.errors() {
        row("errors", &errors, tone);
    }
    if let Some(percentiles) = standing.percentiles() {
        row("p95", &percentiles, Tone::Plain);
    }
    for fault in &test.spec.faults {
        let (line, tone) = standing.fault(&fault.name, fault.at.as_str());
        // At least one space between a long name and what follows.
        row(&format!("{:<11} ", text::cut(&fault.name, 24)), &line, tone);
    }
    if test.spec.stop && phase != Phase::Finished {
        row("stop", "asked for", Tone::Caution);
    }
    lines
}

fn bar(standing: &Standing<'_>, width: usize) -> Option<String> {
    let (elapsed, planned) = (standing.elapsed()?, standing.planned().filter(|planned| *planned > 0)?);
    let clock = standing.clock();
    let cells = width.checked_sub(clock.chars().count() + 4).filter(|cells| *cells >= 10)?;
    let full = usize::try_from(elapsed.min(planned) * i64::try_from(cells).ok()? / planned).ok()?;
    Some(format!("  {}{}  {clock}", "█".repeat(full), "░".repeat(cells.checked_sub(full)?)))
}
