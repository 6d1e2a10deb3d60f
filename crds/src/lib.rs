//! The API types of `loadtest.dev/v1alpha1`, and nothing else.
//!
//! What a user writes is in [`spec`], [`scenario`], [`fault`] and [`objective`]; what the operator
//! answers is in [`status`]. The doc comments of the fields are what `kubectl explain` shows, so they are
//! written for the user: what the field does, its unit, its default, an example.
//!
//! These types mirror the wire format: durations and limits are the strings that people write. They are
//! parsed once, by `loadtest-core`, into types that carry their checks.

pub mod fault;
pub mod guardrail;
pub mod objective;
pub mod pods;
pub mod scenario;
mod schema;
pub mod spec;
pub mod status;
pub mod system;
pub mod text;

pub use fault::{Budget, Fault, Pick, PodKill, RecoveryLimit, Target};
pub use guardrail::{Guardrail, GuardrailNoData, GuardrailSet};
pub use objective::{
    Between, K6Figure, NoDataPolicy, Objective, Ratio, Slope, Stat, TooFewPolicy, WindowKind,
};
pub use pods::Pods;
pub use scenario::{
    EnvSource, EnvVar, ImageScript, KeyRef, Runner, Scenario, Script, ScriptConfigMap, ScriptVolume,
    Toleration,
};
pub use spec::{LoadTest, LoadTestSpec, VerdictPolicy};
pub use status::{
    Arrivals, BaselineStatus, BudgetStatus, Display, FaultEffect, FaultState, FaultStatus, GuardrailStatus,
    Happening, HappeningKind, LoadStatus, LoadTestStatus, ObjectiveStatus, Outcome, Phase, Plateau, ReadyBy,
    ReadyStep, RecoveryStatus, ResumeStatus, RunnersStatus, ScalingStatus, ScenarioStatus, ScriptThreshold,
    ServedService, Shortfall, ShortfallCause, Spike, StepState, TargetState, TargetStatus, Verdict, WatchGap,
    WatchedStatus, WindowResult,
};
pub use system::{Baseline, Expectation, Scaling, Watched};
pub use text::{DurationText, LimitText};

/// The API group, also the prefix of our labels, annotations and finalizer.
pub const GROUP: &str = "loadtest.dev";

/// The label by which runs of one kind find each other.
pub const SERIES_LABEL: &str = "loadtest.dev/series";

/// Keeps a LoadTest until its load has ended and its faults are undone.
pub const FINALIZER: &str = "loadtest.dev/end-load";
