//! The pure core: what a LoadTest means, what to do next, and what the figures say.
//!
//! Nothing here reads a clock, rolls a die or talks to anyone. Time and seed come in as arguments, and
//! what must be done goes out as values, so that a whole run can be followed in a unit test.
//!
//! Data goes through in this order:
//! [`plan`] (the spec, checked) → [`machine`] (state and observations in, next state and effects out, with
//! [`build`] for the objects and [`pick`] for the targets) → [`settle`] (have all figures arrived?) →
//! [`evaluate`] (what to ask Prometheus, over which [`windows`], and what the answers say) → [`verdict`].

pub mod ask;
pub mod baseline;
pub mod behind;
pub mod bounds;
pub mod budget;
pub mod build;
pub mod cells;
pub mod confidence;
pub mod detect;
pub mod display;
pub mod drift;
pub mod duration;
pub mod evaluate;
pub mod fingerprint;
pub mod fit;
pub mod guardrail;
pub mod histogram;
pub mod judge;
pub mod k6;
pub mod limit;
pub mod load;
pub mod machine;
pub mod names;
pub mod pick;
pub mod plan;
pub mod probe;
pub mod promql;
pub mod record;
pub mod recovery;
pub mod replay;
pub mod room;
pub mod series;
pub mod serving;
pub mod settle;
pub mod shares;
pub mod spikes;
pub mod steady;
pub mod syntax;
pub mod system;
pub mod template;
pub mod thresholds;
pub mod track;
pub mod verdict;
pub mod windows;
mod wire;
