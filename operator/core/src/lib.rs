//! The pure core: what a LoadTest means, what to do next, and what the figures say.
//!
//! Nothing here reads a clock, rolls a die or talks to anyone. Time and seed come in as arguments, and
//! what must be done goes out as values, so that a whole run can be followed in a unit test.
//!
//! Data goes through in this order:
//! [`plan`] (the spec, checked) → [`machine`] (state and observations in, next state and effects out, with
//! [`build`] for the objects and [`pick`] for the targets) → [`settle`] (have all figures arrived?) →
//! [`evaluate`] (what to ask Prometheus, over which [`windows`], and what the answers say) → [`verdict`].

pub mod evaluate;
pub mod k6;
pub mod machine;
pub mod numbers;
pub mod objects;
pub mod plan;
pub mod prometheus;
pub mod record;
pub mod verdict;
pub mod watch;
