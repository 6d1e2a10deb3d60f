//! The system under test, watched while the load runs.
//!
//! [`course::Course`] takes in what is seen of the pods of one part, change by change, and keeps what happened. It knows
//! nothing of faults: [`happenings`] sets what happened against the faults as they stand in the status, and drops
//! what they explain. [`record`] writes both down, with the ready pods over time, the asserts and the scaling.
//!
//! A restart of the operator loses the course, and a new one goes on from the status that was recorded: restarts
//! are known again by the containers' own counters, rollouts by the recorded revisions and images. The time in
//! between is recorded as a gap.

pub mod course;
mod happenings;
pub mod pod;
pub mod ready;
pub mod record;
#[cfg(test)]
mod tests;
