//! Quantities and statistics that know nothing of load tests.

pub mod confidence;
pub mod duration;
pub mod interval;
pub mod limit;
