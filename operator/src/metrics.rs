//! The operator's own metrics.

use std::time::Duration;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// What a pass came to; the label of its metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum PassOutcome {
    /// Something was recorded or begun.
    Applied,
    /// Nothing to do yet.
    Waiting,
    /// The record could not be sent.
    Failed,
    /// The API server refused the record, and will refuse it again: for its size, an older CRD, or a missing right.
    Refused,
    /// Another writer has the run.
    Abandoned,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PassLabels {
    pub outcome: PassOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct VerdictLabels {
    pub verdict: String,
}

/// All of them, and the registry that renders them.
pub struct Metrics {
    registry: Registry,
    pub passes: Family<PassLabels, Counter>,
    pub pass_seconds: Histogram,
    pub verdicts: Family<VerdictLabels, Counter>,
    pub active_runs: Gauge,
    pub fault_timing_error: Histogram,
    pub start_spread: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let millis = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0];
        let metrics = Self {
            registry: Registry::with_prefix("loadtest_operator"),
            passes: Family::default(),
            pass_seconds: Histogram::new(millis),
            verdicts: Family::default(),
            active_runs: Gauge::default(),
            fault_timing_error: Histogram::new(millis),
            start_spread: Histogram::new(millis),
        };
        metrics.registered()
    }
}

impl Metrics {
    fn registered(mut self) -> Self {
        let r = &mut self.registry;
        r.register("passes", "Looks at a run, by what they came to", self.passes.clone());
        r.register_with_unit("pass", "Time of one look at a run", Unit::Seconds, self.pass_seconds.clone());
        r.register("runs_finished", "Runs finished, by verdict", self.verdicts.clone());
        r.register("active_runs", "Runs that are not finished", self.active_runs.clone());
        r.register_with_unit(
            "fault_timing_error",
            "How late the first effect of a fault was sent",
            Unit::Seconds,
            self.fault_timing_error.clone(),
        );
        r.register_with_unit(
            "start_spread",
            "From the first runner told to start to the last that did",
            Unit::Seconds,
            self.start_spread.clone(),
        );
        self
    }

    pub fn pass(&self, outcome: PassOutcome, took: Duration) {
        self.passes.get_or_create(&PassLabels { outcome }).inc();
        self.pass_seconds.observe(took.as_secs_f64());
    }

    pub fn render(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(error) => format!("# failed to encode: {error}\n"),
        }
    }
}
