//! One objective in one window: what is asked, how the answers become a finding.

pub mod ending;
pub mod finding;
pub mod judge;
pub mod names;
pub mod points;
pub mod probe;
pub mod pushes;
pub mod rate;
pub mod ratio;
pub mod scope;
pub mod scrapes;
pub mod shares;
pub mod spikes;
pub mod standing;
pub mod tally;
