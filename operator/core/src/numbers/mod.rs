//! Quantities and statistics that know nothing of load tests.

pub mod confidence;
pub mod duration;
pub mod hash;
pub mod interval;
pub mod limit;
pub mod median;
