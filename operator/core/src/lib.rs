//! The pure core: what a LoadTest means, what to do next, and what the figures say.
//!
//! Nothing here reads a clock, rolls a die or talks to anyone. Time comes in as an argument, and
//! what must be done goes out as values, so that a whole run can be followed in a unit test.
//!
//! Data goes up through rooms, each of which knows only those below it:
//! [`numbers`] → [`prometheus`] → [`k6`] → [`plan`] (the spec, checked) → [`objects`] (built for the API server),
//! [`watch`] (while the load runs) and [`evaluate`] (what to ask Prometheus, over which [`evaluate::windows`], and what
//! the answers say) → [`verdict`] → [`record`] (kept, and judged again) → [`machine`] (state and observations in, next
//! state and effects out). `tests/sources/rooms.rs` keeps that order.

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
