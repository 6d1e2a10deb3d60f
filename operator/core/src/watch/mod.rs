//! What is watched while the load runs: guardrails, and the system under test.

pub mod guardrail;
pub mod moment;
pub mod system;
