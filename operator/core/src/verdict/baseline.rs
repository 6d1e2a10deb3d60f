//! A run against earlier runs of its series: which of them count, and whether a figure has become worse.
//!
//! A figure is worse when it lies on the wrong side of the median of the last passing runs with the same
//! fingerprint, by more than a share of that median and by more than the runs scatter among themselves: 3 times
//! their median absolute deviation, scaled by 1.4826 to the standard deviation of a normal distribution
//! (Rousseeuw and Croux 1993, \"Alternatives to the Median Absolute Deviation\").
//!
//! A percentile is known to a bucket of k6's histogram, 9% wide, where nearly all answers take about the same time. So
//! the rule is asked three times: with the figures as they are shown, with those within their buckets that are best for
//! the run, and with the worst. Where these do not agree, the means of the answers decide: they are exact, and where
//! answers are so much alike they move as the percentiles do.

use std::collections::BTreeMap;

use jiff::Timestamp;
use loadtest_crds::{
    BaselineStatus, BucketEnds, LoadTest, LoadTestStatus, Outcome, Phase, Verdict, WindowKind, WindowResult,
};
use serde::{Deserialize, Serialize};

use crate::{
    numbers::{
        limit::{Bound, Limit, percent, read_decimal},
        median::median,
    },
    plan::{BaselinePlan, objective::ObjectivePlan},
};

/// With fewer runs a median and a scatter say little: a change is shown, and not judged.
pub const FEWEST: usize = 5;
/// By so much the mean of answers that take nearly the same time may move otherwise than a percentile of theirs.
const ALIKE: f64 = 0.02;
/// A status must stay small.
const MOST: usize = 64;

/// What is known of earlier runs of the series, the latest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct History {
    pub runs: Vec<Earlier>,
    /// Why it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
}

/// One earlier run, as far as it is compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Earlier {
    pub name: String,
    pub verdict: Verdict,
    pub finished_at: Timestamp,
    #[serde(default)]
    pub fingerprint: Option<String>,
    /// The ConfigMap with its record.
    #[serde(default)]
    pub report: Option<String>,
    pub figures: Vec<EarlierFigure>,
    /// What its selectors and queries matched: see [`crate::verdict::drift`]. Known of the latest run only.
    #[serde(default)]
    pub matched: BTreeMap<String, i64>,
}

/// One objective in one window of an earlier run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EarlierFigure {
    pub objective: String,
    pub window: WindowKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    pub outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figure: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<BucketEnds>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<String>,
}

/// A figure as a run shows it, and as it is for programs.
#[derive(Clone, Copy, Debug)]
struct Recorded<'a> {
    value: Option<&'a str>,
    figure: Option<&'a str>,
    bucket: Option<&'a BucketEnds>,
    mean: Option<&'a str>,
}

/// A percentile, as far as k6's histogram tells it.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// It is no lower, and no higher.
    least: f64,
    most: f64,
    mean: f64,
}

/// A figure held against earlier ones.
#[derive(Clone, Copy, Debug)]
struct Held {
    value: f64,
    median: f64,
    /// How much worse than the median is no regression yet.
    allowed: f64,
    worse: bool,
}

impl Recorded<'_> {
    /// The shown value in its base unit; `None` where it is no number.
    fn shown(self) -> Option<f64> {
        self.value.and_then(Limit::parse).map(|value| value.base())
    }

    fn exact(self) -> Option<f64> {
        self.figure.and_then(read_decimal)
    }

    /// `None` for what is no percentile, and of what an earlier version recorded.
    fn told(self) -> Option<Told> {
        let (figure, mean) = (self.exact()?, self.mean.and_then(read_decimal)?);
        let (least, most) = match self.bucket {
            Some(bucket) => (read_decimal(&bucket.above)?, read_decimal(&bucket.up_to)?),
            None => (figure, figure),
        };
        Some(Told { least, most, mean })
    }

    /// Of what an earlier version recorded only the shown value is known.
    fn is_only_shown(self) -> bool {
        self.exact().is_none() && self.shown().is_some()
    }
}

impl Earlier {
    /// A run of the series whose figures are evidence; none for all others.
    #[must_use]
    pub fn of(test: &LoadTest, series: &str, own_uid: &str) -> Option<Self> {
        let status = test.status.as_ref()?;
        let verdict =
            status.verdict.filter(|v| matches!(v, Verdict::Pass | Verdict::Warn | Verdict::Fail))?;
        let own = test.metadata.uid.as_deref() == Some(own_uid);
        if own || status.phase != Phase::Finished || status.series.as_deref() != Some(series) {
            return None;
        }
        let figures = status.objectives.iter().flat_map(|objective| {
            objective.windows.iter().map(|window| EarlierFigure {
                objective: objective.name.clone(),
                window: window.window,
                fault: window.fault.clone(),
                outcome: window.outcome,
                value: window.value.clone(),
                figure: window.figure.clone(),
                bucket: window.bucket.clone(),
                mean: window.mean.clone(),
            })
        });
        Some(Self {
            name: test.metadata.name.clone()?,
            verdict,
            finished_at: status.finished_at.as_ref()?.0,
            fingerprint: status.fingerprint.clone(),
            report: status.report.clone(),
            figures: figures.collect(),
            matched: BTreeMap::new(),
        })
    }

    fn is_same_load(&self, fingerprint: Option<&str>) -> bool {
        fingerprint.is_some() && self.fingerprint.as_deref() == fingerprint
    }
}

impl History {
    /// Of all earlier runs of the series, those that matter: the last, the last with the same load, and the last so
    /// many passing ones with the same load.
    #[must_use]
    pub fn of(mut all: Vec<Earlier>, fingerprint: Option<&str>, passing: usize) -> Self {
        all.sort_by(|a, b| b.finished_at.cmp(&a.finished_at).then(a.name.cmp(&b.name)));
        let (mut same_load, mut passed) = (false, 0);
        let mut runs = Vec::new();
        for (n, run) in all.into_iter().enumerate() {
            let same = run.is_same_load(fingerprint);
            let counts = same && run.verdict == Verdict::Pass && passed < passing;
            if n == 0 || counts || same && !same_load {
                passed += usize::from(counts);
                same_load |= same;
                runs.push(run);
            }
        }
        Self { runs, unread: None }
    }

    /// The run before, whatever its load.
    #[must_use]
    pub fn last(&self) -> Option<&Earlier> {
        self.runs.first()
    }

    /// The run before with the same load.
    #[must_use]
    pub fn last_of(&self, fingerprint: Option<&str>) -> Option<&Earlier> {
        self.runs.iter().find(|run| run.is_same_load(fingerprint))
    }

    /// The run before with the same load, if it missed this objective.
    #[must_use]
    pub fn missed_before(&self, fingerprint: Option<&str>, objective: &str) -> Option<&str> {
        let before = self.last_of(fingerprint)?;
        let missed = before.figures.iter().any(|f| f.objective == objective && f.outcome == Outcome::Missed);
        missed.then_some(before.name.as_str())
    }
}

/// The figures of a run against those of earlier runs, the regressions first.
#[must_use]
pub fn compare(
    plan: Option<&BaselinePlan>,
    objectives: &[ObjectivePlan],
    status: &LoadTestStatus,
    history: &History,
) -> Vec<BaselineStatus> {
    let Some(plan) = plan else { return Vec::new() };
    let fingerprint = status.fingerprint.as_deref();
    let earlier: Vec<&Earlier> = history
        .runs
        .iter()
        .filter(|run| run.verdict == Verdict::Pass && run.is_same_load(fingerprint))
        .take(plan.runs)
        .collect();
    let mut all: Vec<BaselineStatus> = status
        .objectives
        .iter()
        .filter_map(|o| Some((o, objectives.iter().find(|p| p.name == o.name)?)))
        .flat_map(|(o, objective)| {
            let windows = o.windows.iter().filter(|w| w.fault.is_none() && w.value.is_some());
            windows.map(|window| one(plan, objective, window, &earlier, history)).collect::<Vec<_>>()
        })
        .collect();
    all.sort_by_key(|one| one.outcome != Outcome::Warn);
    all.truncate(MOST);
    all
}

fn one(
    plan: &BaselinePlan,
    objective: &ObjectivePlan,
    window: &WindowResult,
    earlier: &[&Earlier],
    history: &History,
) -> BaselineStatus {
    let mut result = BaselineStatus {
        name: objective.name.clone(),
        window: window.window,
        outcome: Outcome::NoData,
        value: window.value.clone(),
        ..BaselineStatus::default()
    };
    let same = |f: &&EarlierFigure| f.objective == objective.name && f.window == window.window;
    let own = Recorded {
        value: window.value.as_deref(),
        figure: window.figure.as_deref(),
        bucket: window.bucket.as_ref(),
        mean: window.mean.as_deref(),
    };
    let before: Vec<Recorded> = earlier
        .iter()
        .filter_map(|run| run.figures.iter().find(same))
        .map(|f| Recorded {
            value: f.value.as_deref(),
            figure: f.figure.as_deref(),
            bucket: f.bucket.as_ref(),
            mean: f.mean.as_deref(),
        })
        .collect();
    // An exact figure and one rounded for reading differ though nothing has changed: all are read in one way.
    let rounded = own.is_only_shown() || before.iter().any(|one| one.is_only_shown());
    let read = |one: Recorded| if rounded { one.shown() } else { one.exact() };
    let (compared, values): (Vec<Recorded>, Vec<f64>) =
        before.into_iter().filter_map(|one| Some((one, read(one)?))).unzip();
    result.runs = i32::try_from(values.len()).unwrap_or(i32::MAX);
    let limit = objective.bound.limit();
    let median = median(values.iter().copied());
    result.median = median.map(|median| limit.show(median));
    let message = match (read(own), median) {
        _ if history.unread.is_some() => {
            format!("the earlier runs cannot be read: {}", history.unread.as_deref().unwrap_or_default())
        }
        (None, _) => "this run has no value to compare".to_owned(),
        (_, None) => "there is no earlier passing run with the same load".to_owned(),
        (Some(value), Some(median)) => {
            let of = match values.len() {
                1 => "the one earlier run".to_owned(),
                runs => format!("the median of {runs} earlier runs"),
            };
            let shown = change(limit, value, median, &of);
            if values.len() < FEWEST {
                format!("{shown}; judged from {FEWEST} runs on")
            } else if median == 0.0 {
                format!("{shown}; nothing is a share of 0, so it is not judged")
            } else {
                let hold = |value: f64, earlier: &[f64]| Held::of(plan, &objective.bound, value, earlier);
                let held = hold(value, &values);
                let means = if rounded { None } else { by_means(held.worse, own, &compared, hold) };
                let decides = means.unwrap_or(held);
                result.outcome = if decides.worse { Outcome::Warn } else { Outcome::Met };
                let shown = means.map_or(shown.clone(), |means| {
                    let mean = change(limit, means.value, means.median, "the median of theirs");
                    format!("{shown}; k6's buckets leave it open, so the mean decides: {mean}")
                });
                format!("{shown}; allowed are {}", limit.show(decides.allowed))
            }
        }
    };
    result.message = Some(message);
    result
}

impl Held {
    fn of(plan: &BaselinePlan, bound: &Bound, value: f64, earlier: &[f64]) -> Self {
        let usual = median(earlier.iter().copied()).unwrap_or(value);
        let deviations = earlier.iter().map(|one| (one - usual).abs());
        let scatter = 3.0 * 1.4826 * median(deviations).unwrap_or(0.0);
        let allowed = scatter.max(plan.max_regression.base() * usual.abs());
        let by = match bound {
            Bound::AtMost(_) => value - usual,
            Bound::AtLeast(_) => usual - value,
        };
        // What is exactly allowed is not lost to rounding.
        Self { value, median: usual, allowed, worse: by > allowed * (1.0 + 1e-9) }
    }
}

/// The means, where it hangs on how the percentiles lie in their buckets whether this one is worse; `None` where it does
/// not, where one of the runs has no mean, and where the mean did not move as the percentile must have: then answers
/// have become slower that are not most of the mean.
fn by_means(
    shown_worse: bool,
    own: Recorded,
    earlier: &[Recorded],
    hold: impl Fn(f64, &[f64]) -> Held,
) -> Option<Held> {
    let own = own.told()?;
    let earlier: Vec<Told> = earlier.iter().map(|one| one.told()).collect::<Option<_>>()?;
    let each = |of: fn(&Told) -> f64| earlier.iter().map(of).collect::<Vec<f64>>();
    let ends = [hold(own.least, &each(|one| one.most)), hold(own.most, &each(|one| one.least))];
    let open = ends.iter().any(|end| end.worse != shown_worse);
    let mean = hold(own.mean, &each(|one| one.mean));
    let [least, most] = ends.map(|end| end.value / end.median);
    let moved = mean.value / mean.median;
    (open && moved >= least * (1.0 - ALIKE) && moved <= most * (1.0 + ALIKE)).then_some(mean)
}

/// `268ms, 15.5% above 232ms, the median of 5 earlier runs`
fn change(limit: &Limit, value: f64, median: f64, of: &str) -> String {
    let (shown, usual) = (limit.show_beside(value, median), limit.show_beside(median, value));
    if value == median {
        return format!("{shown}, as {of}");
    }
    if median == 0.0 {
        return format!("{shown}, against {usual}, {of}");
    }
    let side = if value > median { "above" } else { "below" };
    format!("{shown}, {} {side} {usual}, {of}", percent((value - median).abs() / median.abs()))
}

#[cfg(test)]
mod planted;
#[cfg(test)]
mod tests;
