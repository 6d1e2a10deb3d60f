//! Values of guardrails over time, and what follows from them.
//!
//! A guardrail has three clocks: how long its value is beyond the limit, beyond the warning limit, and missing. A
//! clock that has run for `for` without a break decides. A moment without a value neither breaks the first two
//! nor counts for them; nor does a time in which nobody looked. Where the guardrail is suspended all three stand
//! at zero.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{GuardrailNoData, GuardrailStatus, LoadTestStatus, Outcome};

use crate::{
    numbers::{
        duration,
        limit::{Bound, Limit, count},
        median::median,
    },
    plan::{
        Plan,
        guardrail::{Check, GuardrailPlan},
        guardrails_of,
    },
    watch::moment::Course,
};

/// Between two looks that are further apart than this nobody knows what was. One is due each second and may take
/// three.
const GAP: Duration = Duration::from_secs(5);
/// A drop is a drop from something usual: the median of at least so many values.
const USUAL: usize = 10;
/// And of at most so many, the last ones.
const MOST_USUAL: usize = 3600;
/// Queries in the status beyond this many bytes are left out, those of guardrails that held first.
const QUERY_BYTES: usize = 8 * 1024;

/// One look at a guardrail.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    pub guardrail: String,
    /// When it was asked.
    pub at: Timestamp,
    /// Its value; NaN is none. Or why there is none.
    pub value: Result<f64, String>,
}

/// All guardrails of a run as this process has seen them. Clocks and usual values begin anew with a new process;
/// what was decided is in the status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Watches {
    unread: VecDeque<Reading>,
    states: BTreeMap<String, State>,
}

/// What was seen of one guardrail.
#[derive(Clone, Debug, Default, PartialEq)]
struct State {
    samples: i64,
    /// The worst that counted: a value, or a drop.
    worst: Option<f64>,
    /// It stops the load.
    critical: Alarm,
    warning: Alarm,
    silence: Alarm,
    usual: Usual,
}

/// How long something has held without a break, and what was told of it first: since when, and what it is.
#[derive(Clone, Debug, Default, PartialEq)]
struct Alarm {
    since: Option<Timestamp>,
    counted: Duration,
    last: Option<Timestamp>,
    told: Option<(Timestamp, String)>,
}

/// The usual values of one stretch of constant load.
#[derive(Clone, Debug, Default, PartialEq)]
struct Usual {
    stretch: usize,
    values: VecDeque<f64>,
}

impl Alarm {
    /// Tells once it has held for long enough.
    fn tick(&mut self, at: Timestamp, holds: bool, enough: Duration, tell: impl Fn(Timestamp) -> String) {
        if !holds {
            return self.reset();
        }
        let since = *self.since.get_or_insert(at);
        let passed = self.last.and_then(|last| Duration::try_from(at.duration_since(last)).ok());
        self.counted += passed.filter(|passed| *passed <= GAP).unwrap_or_default();
        self.last = Some(at);
        if self.counted >= enough {
            self.told.get_or_insert_with(|| (since, tell(since)));
        }
    }

    fn reset(&mut self) {
        *self = Self { told: self.told.take(), ..Self::default() };
    }

    fn words(&self) -> Option<&str> {
        self.told.as_ref().map(|(_, words)| words.as_str())
    }
}

impl Usual {
    fn add(&mut self, stretch: usize, value: f64) {
        if stretch != self.stretch {
            *self = Self { stretch, values: VecDeque::new() };
        }
        if self.values.len() == MOST_USUAL {
            self.values.pop_front();
        }
        self.values.push_back(value);
    }

    fn median(&self, stretch: usize) -> Option<f64> {
        if stretch != self.stretch || self.values.len() < USUAL {
            return None;
        }
        median(self.values.iter().copied())
    }
}

impl Watches {
    /// Takes what was seen; it is read with the next [`Watches::read`].
    pub fn tell(&mut self, readings: impl IntoIterator<Item = Reading>) {
        self.unread.extend(readings);
    }

    /// Reads what is new. The status says which times lie in faults, recoveries and constant load.
    pub fn read(&mut self, plan: &Plan, status: &LoadTestStatus) {
        if self.unread.is_empty() {
            return;
        }
        let course = Course::of(plan, status);
        let guardrails = guardrails_of(plan, status);
        for reading in self.unread.drain(..) {
            let Some(guardrail) = guardrails.iter().find(|g| g.name == reading.guardrail) else { continue };
            let recorded = status.guardrails.iter().find(|g| g.name == guardrail.name);
            let state =
                self.states.entry(reading.guardrail.clone()).or_insert_with(|| State::resumed(recorded));
            state.look(guardrail, &reading, &course);
        }
    }

    /// How the guardrails stand, where a recorded one that was not seen stays as it is.
    #[must_use]
    pub fn statuses(
        &self,
        guardrails: &[GuardrailPlan],
        recorded: &[GuardrailStatus],
    ) -> Vec<GuardrailStatus> {
        let mut all: Vec<GuardrailStatus> = guardrails
            .iter()
            .map(|guardrail| {
                let before = recorded.iter().find(|r| r.name == guardrail.name);
                match (self.states.get(&guardrail.name), before) {
                    (None, Some(recorded)) => recorded.clone(),
                    (state, _) => state.cloned().unwrap_or_default().status(guardrail),
                }
            })
            .collect();
        leave_out_queries(&mut all);
        all
    }
}

impl State {
    /// As an earlier process left it.
    fn resumed(recorded: Option<&GuardrailStatus>) -> Self {
        let Some(recorded) = recorded else { return Self::default() };
        let silent = recorded.outcome == Outcome::NoData && recorded.samples.is_some();
        let told = |so: bool| Alarm {
            told: so.then(|| (Timestamp::UNIX_EPOCH, recorded.message.clone().unwrap_or_default())),
            ..Alarm::default()
        };
        Self {
            samples: recorded.samples.unwrap_or(0),
            worst: recorded.worst.as_deref().and_then(Limit::parse).map(|worst| worst.base()),
            warning: told(recorded.outcome == Outcome::Warn),
            silence: told(silent),
            ..Self::default()
        }
    }

    fn look(&mut self, guardrail: &GuardrailPlan, reading: &Reading, course: &Course) {
        let at = reading.at;
        let (in_fault, in_recovery) = (course.in_fault(at), course.in_recovery(at));
        if guardrail.suspend_in_faults && in_fault || guardrail.suspend_in_recoveries && in_recovery {
            return [&mut self.critical, &mut self.warning, &mut self.silence]
                .into_iter()
                .for_each(Alarm::reset);
        }
        let hold = guardrail.hold;
        let value = reading.value.as_ref().ok().copied().filter(|value| !value.is_nan());
        self.silence.tick(at, value.is_none(), hold, |_| {
            let why = reading.value.as_ref().err().map_or("it is not a number", String::as_str);
            format!("no value for {}: {why}", duration::human(hold))
        });
        let Some(value) = value else {
            // Not known at this time.
            (self.critical.last, self.warning.last) = (None, None);
            return;
        };
        self.samples += 1;
        let measured = match &guardrail.check {
            Check::Bound(_) => Some(value),
            Check::Drop(limit) => self.drop(guardrail, limit, value, at, course, in_fault || in_recovery),
        };
        let beyond = measured.is_some_and(|value| guardrail.is_critical(value));
        let warns = measured.is_some_and(|value| beyond || guardrail.warns(value));
        if let Some(measured) = measured {
            self.worst = Some(self.worst.map_or(measured, |worst| guardrail.worse(worst, measured)));
        }
        let told = |since: Timestamp| guardrail.told(measured.unwrap_or(value), since, at);
        self.critical.tick(at, beyond, hold, told);
        self.warning.tick(at, warns, hold, |since| match &guardrail.warn {
            Some(warn) => format!("{}, warning from {warn} on", told(since)),
            None => told(since),
        });
    }

    /// By how much of what is usual in this stretch of constant load the value is lower. Ranges that reach back
    /// to before the stretch hold another load.
    fn drop(
        &mut self,
        guardrail: &GuardrailPlan,
        limit: &Limit,
        value: f64,
        at: Timestamp,
        course: &Course,
        disturbed: bool,
    ) -> Option<f64> {
        let (stretch, lasted) = course.stretch(at)?;
        if lasted < guardrail.reach {
            return None;
        }
        let drop = self.usual.median(stretch).filter(|usual| *usual > 0.0).map(|usual| 1.0 - value / usual);
        // What has dropped is not usual.
        if !disturbed && drop.is_none_or(|drop| drop <= limit.base()) {
            self.usual.add(stretch, value);
        }
        drop
    }

    fn status(&self, guardrail: &GuardrailPlan) -> GuardrailStatus {
        let limit = guardrail.check.limit();
        let asked = guardrail.on_no_data != GuardrailNoData::Ignore;
        let silence = self.silence.words().filter(|_| asked);
        let (outcome, message) = match (self.critical.words(), silence, self.warning.words()) {
            (Some(why), ..) => (Outcome::Missed, why.to_owned()),
            (None, Some(why), _) => (Outcome::NoData, why.to_owned()),
            (None, None, Some(why)) => (Outcome::Warn, why.to_owned()),
            _ if self.samples == 0 => (Outcome::NoData, "it never gave a value".to_owned()),
            // What was never looked at did not hold.
            _ if self.worst.is_none() && asked => {
                (Outcome::NoData, format!("never comparable, of {} values", count(self.samples)))
            }
            _ => (Outcome::Met, self.told_of_held(guardrail)),
        };
        let by_silence = self.silence.told.as_ref().filter(|_| guardrail.on_no_data == GuardrailNoData::Stop);
        let stopped = self.critical.told.as_ref().or(by_silence);
        GuardrailStatus {
            name: guardrail.name.clone(),
            outcome,
            limit: guardrail.words(),
            worst: self.worst.map(|worst| limit.show(worst)),
            samples: (self.samples > 0 || self.silence.told.is_some()).then_some(self.samples),
            breached_at: stopped.map(|(since, _)| MicroTime(*since)),
            query: Some(guardrail.query.clone()),
            message: Some(message),
        }
    }

    fn told_of_held(&self, guardrail: &GuardrailPlan) -> String {
        let limit = guardrail.check.limit();
        let worst = self
            .worst
            .map_or_else(|| "never comparable".to_owned(), |worst| format!("{} at worst", limit.show(worst)));
        format!("{worst}, of {} values, limit {limit}", count(self.samples))
    }
}

impl GuardrailPlan {
    fn is_critical(&self, measured: f64) -> bool {
        match &self.check {
            Check::Bound(bound) => !bound.holds(measured),
            Check::Drop(limit) => measured > limit.base(),
        }
    }

    fn warns(&self, measured: f64) -> bool {
        self.warn.as_ref().is_some_and(|warn| match &self.check {
            Check::Bound(Bound::AtLeast(_)) => measured < warn.base(),
            Check::Bound(Bound::AtMost(_)) | Check::Drop(_) => measured > warn.base(),
        })
    }

    fn worse(&self, one: f64, other: f64) -> f64 {
        match &self.check {
            Check::Bound(Bound::AtLeast(_)) => one.min(other),
            Check::Bound(Bound::AtMost(_)) | Check::Drop(_) => one.max(other),
        }
    }

    /// `62% at 06:12:11Z, beyond it since 06:12:01Z, limit 50%`
    fn told(&self, measured: f64, since: Timestamp, at: Timestamp) -> String {
        let limit = self.check.limit();
        let shown = limit.show(measured);
        let what = match &self.check {
            Check::Bound(_) => shown,
            Check::Drop(_) => format!("a drop of {shown}"),
        };
        let time = |at: Timestamp| at.strftime("%H:%M:%SZ").to_string();
        format!("{what} at {}, beyond since {}, limit {limit}", time(at), time(since))
    }
}

fn leave_out_queries(all: &mut [GuardrailStatus]) {
    let mut by_weight: Vec<&mut GuardrailStatus> = all.iter_mut().collect();
    by_weight.sort_by_key(|status| std::cmp::Reverse(status.outcome));
    let mut kept = 0;
    for status in by_weight {
        kept += status.query.as_ref().map_or(0, String::len);
        if kept > QUERY_BYTES {
            status.query = None;
        }
    }
}
