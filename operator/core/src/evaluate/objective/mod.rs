//! One objective in one window: what is asked, how the answers become a finding.

pub mod against;
pub mod cells;
pub mod ending;
pub mod finding;
pub mod judge;
pub mod names;
pub mod points;
pub mod probe;
pub mod pushes;
pub mod query;
pub mod ratio;
pub mod scope;
pub mod scrapes;
pub mod shares;
pub mod spikes;
pub mod standing;
pub mod stat;
pub mod tally;
