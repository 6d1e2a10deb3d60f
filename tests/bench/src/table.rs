//! The figures as text.

use std::{collections::BTreeMap, fmt::Write as _, path::Path, time::Duration};

use jiff::Timestamp;

use crate::{
    active::Figures,
    machine,
    ours::{Ours, STEPS},
};

/// The last runner's first request, as a multiple of the bare pods' time.
const GOAL_RATIO: f64 = 1.15;
/// Between the first and the last runner's start.
const GOAL_SPREAD: Duration = Duration::from_millis(50);
/// The operator's resident memory without any test, and with all of them, in MiB.
const GOAL_REST: f64 = 32.0;
const GOAL_ACTIVE: f64 = 64.0;
/// How late 99 of 100 faults may be, in milliseconds.
const GOAL_LATE: f64 = 100.0;

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

pub fn header(title: &str, cluster: &str, operator: Option<&Path>) -> String {
    let operator = operator.map_or_else(|| "the installed one".to_owned(), |p| p.display().to_string());
    format!(
        "{title}, {:.0}\nmachine:  {}, load average {:.1}\ncluster:  {cluster}\noperator: {operator}\n\n",
        Timestamp::now(),
        machine::describe(),
        machine::load_average()
    )
}

pub fn pair_header() -> String {
    format!(
        "{:>7} {:>4} {:>8} {:>8} {:>6} {:>14} {:>6} {:>9} {:>9} {:>7}   {}\n",
        "runners",
        "pair",
        "ours s",
        "bare s",
        "ratio",
        "spread sent ms",
        "ack ms",
        "seen ms",
        "CPU use %",
        "busy %",
        format_args!("ours, from creation to: {}", STEPS.join(", "))
    )
}

pub fn pair_line(runners: u32, index: u32, pair: &Pair) -> String {
    let steps = pair.ours.steps.map(|s| s.map_or("-".to_owned(), |s| format!("{s:.3}"))).join(" ");
    format!(
        "{runners:>7} {index:>4} {:>8.3} {:>8.3} {:>6.3} {:>14} {:>6} {:>9.1} {:>9} {:>7}   {steps}\n",
        pair.ours.last.as_secs_f64(),
        pair.bare.as_secs_f64(),
        pair.ratio(),
        pair.ours.spread_sent.as_millis(),
        pair.ours.spread_recorded.as_millis(),
        millis(pair.ours.spread_seen),
        percent([pair.ours.busy]),
        percent(pair.busy)
    )
}

fn percent<const N: usize>(shares: [f64; N]) -> String {
    let show = |share: f64| if share.is_nan() { "-".to_owned() } else { format!("{:.0}", share * 100.0) };
    shares.map(show).join("/")
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
        "CPU in use meanwhile, %",
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
        let known = size.pairs.iter().map(|p| 100.0 * p.ours.busy).filter(|share| !share.is_nan());
        let busy = Figure::of(known);
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
            busy.map_or("-".to_owned(), |busy| busy.show(0)),
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

/// What many active tests need.
pub fn active(figures: &Figures) -> String {
    let show = |figure: Option<Figure>, digits| figure.map_or("-".to_owned(), |f: Figure| f.show(digits));
    let late = percentile(&figures.late, 0.99);
    let most = figures.active.iter().copied().fold(0.0, f64::max);
    let lines = [
        (
            "memory at rest, MiB".to_owned(),
            format!("{:.1}", figures.rest),
            goal(figures.rest <= GOAL_REST, &format!("≤ {GOAL_REST}")),
        ),
        (
            format!("memory with {} active tests, MiB", figures.tests),
            show(Figure::of(figures.active.iter().copied()), 1),
            goal(most > 0.0 && most <= GOAL_ACTIVE, &format!("≤ {GOAL_ACTIVE}")),
        ),
        ("memory at most, verdicts included, MiB".to_owned(), format!("{:.1}", figures.peak), String::new()),
        ("CPU while all are active, cores".to_owned(), format!("{:.2}", figures.cpu), String::new()),
        ("faults late, ms".to_owned(), show(Figure::of(figures.late.iter().copied()), 0), String::new()),
        (
            "faults late, ms, 99th percentile".to_owned(),
            late.map_or("-".to_owned(), |late| format!("{late:.0}")),
            goal(late.is_some_and(|late| late <= GOAL_LATE), &format!("≤ {GOAL_LATE}")),
        ),
        ("faults".to_owned(), counts(&figures.faults), String::new()),
        ("verdicts".to_owned(), counts(&figures.verdicts), String::new()),
    ];
    let mut text = "median (least–greatest)\n".to_owned();
    for (what, value, goal) in lines {
        let _ = writeln!(text, "{}", format!("{what:<40}  {value:<24}  {goal}").trim_end());
    }
    text
}

fn counts(of: &BTreeMap<String, usize>) -> String {
    of.iter().map(|(what, count)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
}

/// The least value that this share of all is not above.
fn percentile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.checked_sub(1)?).copied()
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
    fn a_percentile_is_a_value_that_was_seen() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(percentile(&values, 0.99), Some(198.0));
        assert_eq!(percentile(&[7.0], 0.99), Some(7.0));
        assert_eq!(percentile(&[], 0.99), None);
    }

    #[test]
    fn nothing_measured_meets_no_goal() {
        let nothing = active(&Figures { tests: 3, ..Figures::default() });
        assert_eq!(nothing.matches("over").count(), 2, "{nothing}");
        let figures = Figures {
            rest: 20.0,
            active: vec![40.0, 70.0],
            late: vec![3.0, 5.0, 4.0],
            verdicts: [("Pass".to_owned(), 3)].into(),
            ..Figures::default()
        };
        let text = active(&figures);
        assert!(text.contains("20.0") && text.contains("PASS ≤ 32"), "{text}");
        assert!(text.contains("55.0 (40.0–70.0)") && text.contains("over ≤ 64"), "{text}");
        assert!(text.contains("4 (3–5)") && text.contains("PASS ≤ 100") && text.contains("3 Pass"), "{text}");
    }

    #[test]
    fn goals_stand_beside_the_figures() {
        let pair = |last: u64, seen: u64| Pair {
            ours: Ours {
                last: Duration::from_millis(last),
                spread_seen: Duration::from_millis(seen),
                busy: if seen < 20 { f64::NAN } else { 0.97 },
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
        assert!(lines[0].ends_with("PASS ≤ 50  97 (97–97)"), "{text}");
        assert!(lines[1].contains("over ≤ 1.15") && lines[1].contains("PASS ≤ 50"), "{text}");
        assert!(lines[1].ends_with("over ≤ 50  97 (97–97)"), "{text}");
    }
}
