//! The figures as text.

use std::{fmt::Write as _, path::Path, time::Duration};

use jiff::Timestamp;

use crate::{
    machine,
    ours::{Ours, STEPS},
};

/// The last runner's first request, as a multiple of the bare pods' time.
const GOAL_RATIO: f64 = 1.15;
/// Between the first and the last runner's start.
const GOAL_SPREAD: Duration = Duration::from_millis(50);

/// Two measurements, one right after the other.
#[derive(Clone, Debug)]
pub struct Pair {
    pub ours: Ours,
    pub bare: Duration,
    /// The share of the CPUs that other work had, just before each of the two.
    pub busy: [f64; 2],
}

impl Pair {
    fn ratio(&self) -> f64 {
        self.ours.last.as_secs_f64() / self.bare.as_secs_f64()
    }
}

/// All pairs of one number of runners.
pub struct Size {
    pub runners: u32,
    pub pairs: Vec<Pair>,
}

/// Median, least and greatest.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Figure {
    median: f64,
    min: f64,
    max: f64,
}

impl Figure {
    fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let half = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[half] } else { f64::midpoint(sorted[half - 1], sorted[half]) };
        Some(Self { median, min, max })
    }

    fn show(&self, digits: usize) -> String {
        format!("{:.digits$} ({:.digits$}–{:.digits$})", self.median, self.min, self.max)
    }
}

pub fn header(cluster: &str, operator: Option<&Path>) -> String {
    let operator = operator.map_or_else(|| "the installed one".to_owned(), |p| p.display().to_string());
    format!(
        "Start of runners, {:.0}\nmachine:  {}, load average {:.1}\ncluster:  {cluster}\noperator: {operator}\n\n",
        Timestamp::now(),
        machine::describe(),
        machine::load_average()
    )
}

pub fn pair_header() -> String {
    format!(
        "{:>7} {:>4} {:>8} {:>8} {:>6} {:>14} {:>6} {:>9} {:>7}   {}\n",
        "runners",
        "pair",
        "ours s",
        "bare s",
        "ratio",
        "spread sent ms",
        "ack ms",
        "seen ms",
        "busy %",
        format_args!("ours, from creation to: {}", STEPS.join(", "))
    )
}

pub fn pair_line(runners: u32, index: u32, pair: &Pair) -> String {
    let steps = pair.ours.steps.map(|s| s.map_or("-".to_owned(), |s| format!("{s:.3}"))).join(" ");
    format!(
        "{runners:>7} {index:>4} {:>8.3} {:>8.3} {:>6.3} {:>14} {:>6} {:>9.1} {:>7}   {steps}\n",
        pair.ours.last.as_secs_f64(),
        pair.bare.as_secs_f64(),
        pair.ratio(),
        pair.ours.spread_sent.as_millis(),
        pair.ours.spread_recorded.as_millis(),
        millis(pair.ours.spread_seen),
        percent(pair.busy)
    )
}

fn percent(busy: [f64; 2]) -> String {
    busy.map(|share| format!("{:.0}", share * 100.0)).join("/")
}

/// One line for each number of runners: median (least–greatest).
pub fn summary(sizes: &[Size]) -> String {
    let head = [
        "runners",
        "pairs",
        "last first request, s",
        "bare pods Ready, s",
        "ratio",
        "goal",
        "spread sent, ms",
        "goal",
        "acknowledged, ms",
        "goal",
        "seen by a server, ms",
        "goal",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    let spread_limit = format!("≤ {}", GOAL_SPREAD.as_millis());
    for size in sizes {
        let figure = |value: fn(&Pair) -> f64| Figure::of(size.pairs.iter().map(value));
        let (Some(ours), Some(bare), Some(ratio), Some(sent), Some(spread), Some(seen)) = (
            figure(|p| p.ours.last.as_secs_f64()),
            figure(|p| p.bare.as_secs_f64()),
            figure(Pair::ratio),
            figure(|p| millis(p.ours.spread_sent)),
            figure(|p| millis(p.ours.spread_recorded)),
            figure(|p| millis(p.ours.spread_seen)),
        ) else {
            continue;
        };
        rows.push([
            size.runners.to_string(),
            size.pairs.len().to_string(),
            ours.show(2),
            bare.show(2),
            ratio.show(3),
            goal(ratio.median <= GOAL_RATIO, &format!("≤ {GOAL_RATIO}")),
            sent.show(0),
            goal(sent.median <= millis(GOAL_SPREAD), &spread_limit),
            spread.show(0),
            goal(spread.median <= millis(GOAL_SPREAD), &spread_limit),
            seen.show(0),
            goal(seen.median <= millis(GOAL_SPREAD), &spread_limit),
        ]);
    }
    let mut text = "\nmedian (least–greatest); the ratio is taken pair by pair\n".to_owned();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            let _ =
                write!(text, "{}{cell:<width$}", if column == 0 { "" } else { "  " }, width = width(column));
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

fn goal(met: bool, limit: &str) -> String {
    format!("{} {limit}", if met { "PASS" } else { "over" })
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_its_median_with_its_range() {
        assert_eq!(Figure::of([3.0, 1.0, 2.0]), Some(Figure { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Figure::of([4.0, 1.0]).map(|f| f.median), Some(2.5));
        assert_eq!(Figure::of([]), None);
        assert_eq!(Figure::of([1.0, 2.0, 4.0]).map(|f| f.show(1)), Some("2.0 (1.0–4.0)".to_owned()));
    }

    #[test]
    fn goals_stand_beside_the_figures() {
        let pair = |last: u64, seen: u64| Pair {
            ours: Ours {
                last: Duration::from_millis(last),
                spread_seen: Duration::from_millis(seen),
                spread_sent: Duration::from_millis(2),
                spread_recorded: Duration::from_millis(9),
                steps: [Some(0.1); 5],
            },
            bare: Duration::from_secs(2),
            busy: [0.1, 0.0],
        };
        let fast = Size { runners: 4, pairs: vec![pair(2200, 12), pair(2100, 20), pair(2500, 11)] };
        let slow = Size { runners: 50, pairs: vec![pair(2400, 80)] };
        let text = summary(&[fast, slow, Size { runners: 100, pairs: vec![] }]);
        let lines: Vec<&str> = text.lines().skip(3).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].contains("1.100 (1.050–1.250)") && lines[0].contains("PASS ≤ 1.15"), "{text}");
        assert!(lines[0].ends_with("PASS ≤ 50"), "{text}");
        assert!(lines[1].contains("over ≤ 1.15") && lines[1].contains("PASS ≤ 50"), "{text}");
        assert!(lines[1].ends_with("over ≤ 50"), "{text}");
    }
}
