//! What the status of a run says at a point of time, in words.

use jiff::Timestamp;
use loadtest_crds::{FaultState, FaultStatus, LoadStatus, LoadTest, Outcome, Phase, RunnersStatus};

use super::meter::Pace;
use crate::render::paint::Tone;
use crate::render::{faults, objectives, phase_of, text};

/// Percentiles shown beside each other.
const SHOWN_PERCENTILES: usize = 3;

/// A run at a point of time.
pub struct Standing<'a> {
    test: &'a LoadTest,
    now: Timestamp,
    load: LoadStatus,
    runners: RunnersStatus,
}

impl<'a> Standing<'a> {
    pub fn of(test: &'a LoadTest, now: Timestamp) -> Self {
        let status = test.status.as_ref();
        Self {
            test,
            now,
            load: status.and_then(|s| s.load.clone()).unwrap_or_default(),
            runners: status.and_then(|s| s.runners.clone()).unwrap_or_default(),
        }
    }

    /// Milliseconds of load so far.
    pub fn elapsed(&self) -> Option<i64> {
        let started = self.load.started_at.as_ref()?;
        let until = self.load.ended_at.as_ref().map_or(self.now, |ended| ended.0);
        Some(text::between(started.0, until).max(0))
    }

    /// Milliseconds of load in all, by the scripts' own plan.
    pub fn planned(&self) -> Option<i64> {
        Some(text::between(self.load.started_at.as_ref()?.0, self.load.planned_end_at.as_ref()?.0))
    }

    /// `0:47 of 1:30`.
    pub fn clock(&self) -> String {
        match (self.elapsed(), self.planned()) {
            (Some(elapsed), Some(planned)) => {
                format!("{} of {}", text::clock(elapsed.min(planned.max(0))), text::clock(planned))
            }
            (Some(elapsed), None) => text::clock(elapsed),
            (None, _) => String::new(),
        }
    }

    /// `kill-chat in 13s`, for the fault that comes next.
    pub fn next_fault(&self) -> Option<String> {
        let load_runs = self.load.started_at.is_some() && self.load.ended_at.is_none();
        let statuses = self.test.status.as_ref().filter(|_| load_runs)?.faults.iter();
        let (due, fault) = statuses
            .filter(|fault| is_ahead(fault))
            .filter_map(|fault| Some((fault.due()?, fault)))
            .min_by_key(|(due, _)| *due)?;
        Some(format!("{} {}", fault.name, self.countdown(due)))
    }

    fn countdown(&self, due: Timestamp) -> String {
        // Rounded up, so that zero means due.
        let seconds = (text::between(self.now, due) + 999).div_euclid(1_000);
        if seconds > 0 { format!("in {}", text::span(seconds * 1_000)) } else { "due now".to_owned() }
    }

    /// `40 virtual users, 4 runner pods, 4,608 requests, 97.9 a second`; empty before anything is known.
    pub fn load(&self, pace: Option<Pace>) -> String {
        let mut parts = Vec::new();
        if let Some(vus) = self.load.asked_vus {
            parts.push(text::counted(vus, "virtual user"));
        }
        if self.runners.total > 0 {
            parts.push(self.runners());
        }
        if let Some(requests) = self.load.requests {
            parts.push(text::counted(requests, "request"));
            let whole = self.elapsed().map(|milliseconds| Pace { requests, milliseconds });
            // The pace of the last seconds says nothing once the load is over.
            let pace = pace.filter(|_| self.load.ended_at.is_none()).or(whole);
            let rate = pace.and_then(|pace| text::per_second(pace.requests, pace.milliseconds));
            parts.extend(rate.map(|rate| format!("{rate} a second")));
        }
        parts.join(", ")
    }

    fn runners(&self) -> String {
        let RunnersStatus { total, ready, ended, lost, .. } = self.runners;
        let mut line = match phase_of(self.test) {
            Phase::Pending | Phase::Preparing => format!("{ready} of {total} runner pods ready"),
            _ if ended > 0 && ended < total => format!("{ended} of {total} runner pods through"),
            _ => text::counted(total.into(), "runner pod"),
        };
        if lost > 0 {
            line.push_str(&format!(" ({lost} lost)"));
        }
        line
    }

    /// `3 failed (0.07%)`.
    pub fn errors(&self) -> Option<(String, Tone)> {
        let (failed, requests) = (self.load.failed_requests?, self.load.requests?);
        let tone = if failed > 0 { Tone::Caution } else { Tone::Plain };
        Some((format!("{} failed ({})", text::count(failed), text::share(failed, requests)), tone))
    }

    /// The 95th percentiles that the status holds, `save-p95 61ms (at most 300ms)`, or that of the load so far.
    pub fn percentiles(&self) -> Option<String> {
        let judged = self.test.status.as_ref().map(|status| status.objectives.as_slice()).unwrap_or_default();
        let shown: Vec<String> = self
            .test
            .spec
            .objectives
            .iter()
            .filter_map(|objective| {
                let percentile = objective.k6.as_ref()?.percentile?;
                let status = judged.iter().find(|status| status.name == objective.name)?;
                let value = status.windows.iter().find_map(|window| window.value.as_ref())?;
                let is_95 = (percentile - 95.0).abs() < f64::EPSILON;
                is_95.then(|| format!("{} {value} ({})", objective.name, objectives::limit(objective)))
            })
            .take(SHOWN_PERCENTILES)
            .collect();
        if shown.is_empty() {
            let so_far = self.load.p95_milliseconds?;
            return Some(format!("{so_far}ms, all answered requests so far"));
        }
        Some(shown.join(", "))
    }

    /// What has become of a fault, or when it comes. `at` is its time as the spec has it.
    pub fn fault(&self, name: &str, at: &str) -> (String, Tone) {
        let unknown = FaultStatus::default();
        let fault = faults::status_of(self.test, name).unwrap_or(&unknown);
        let over = self.load.ended_at.is_some() || phase_of(self.test) == Phase::Finished;
        let word = match fault.state {
            FaultState::Injected => return self.injected(fault, over),
            FaultState::Pending | FaultState::Intended if !over => {
                return match &fault.due_at {
                    Some(due) => (self.countdown(due.0), Tone::Plain),
                    None => (format!("at {at}"), Tone::Faint),
                };
            }
            FaultState::Failed => "failed",
            FaultState::Unconfirmed => "not known whether injected",
            FaultState::Pending | FaultState::Intended | FaultState::NotInjected => "not injected",
        };
        let detail = fault.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
        (format!("{word}{detail}"), if fault.state == FaultState::Failed { Tone::Bad } else { Tone::Unknown })
    }

    fn injected(&self, fault: &FaultStatus, over: bool) -> (String, Tone) {
        let mut parts = Vec::new();
        match (&fault.injected_at, &self.load.started_at) {
            (Some(injected), Some(started)) => {
                parts.push(format!("injected at {}", text::clock(text::between(started.0, injected.0))));
            }
            _ => parts.push("injected".to_owned()),
        }
        if let Some(late) = fault.timing_error_milliseconds {
            parts.push(format!("{} late", text::span(late)));
        }
        let ready = faults::ready_milliseconds(fault);
        if let Some(ready) = ready {
            // A line has no room for the names of the Services.
            let word = if fault.services.is_empty() { "ready" } else { "serving" };
            parts.push(format!("{word} after {}", text::span(ready)));
        }
        let recovery = fault.recovery.as_ref();
        let recovered = recovery.and_then(|recovery| recovery.recover_milliseconds);
        let spec = self.test.spec.faults.iter().find(|spec| spec.name == fault.name);
        let limit = spec.and_then(|spec| spec.recovery.as_ref()).map(|limit| &limit.within);
        let outcome = recovery.map_or(Tone::Plain, |recovery| Tone::of_outcome(recovery.outcome));
        let tone = match (recovered, limit) {
            (Some(ms), Some(limit)) => {
                parts.push(format!("recovered after {} (limit {limit})", text::span(ms)));
                outcome
            }
            (None, Some(limit)) if over && phase_of(self.test) == Phase::Finished => {
                let missed = recovery.is_some_and(|recovery| recovery.outcome == Outcome::Missed);
                let known = if missed { "not recovered" } else { "recovery not measured" };
                parts.push(format!("{known} (limit {limit})"));
                outcome
            }
            (None, Some(limit)) => {
                parts.push(format!("to recover within {limit}"));
                Tone::Caution
            }
            (_, None) => Tone::Plain,
        };
        (parts.join(", "), tone)
    }
}

/// Whether a fault is still to come.
pub fn is_ahead(fault: &FaultStatus) -> bool {
    matches!(fault.state, FaultState::Pending | FaultState::Intended)
}
