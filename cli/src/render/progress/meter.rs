//! The pace of the load.

use jiff::Timestamp;
use loadtest_crds::LoadTest;

use crate::render::text;

/// Requests that arrived in a stretch of time, from two readings of the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    pub requests: i64,
    pub milliseconds: i64,
}

/// Tells the pace of the load from successive readings of its counter.
#[derive(Debug, Default)]
pub struct Meter {
    last: Option<(Timestamp, i64)>,
    pace: Option<Pace>,
}

impl Meter {
    /// Takes a reading; the same count again says nothing, as the status may have changed for another reason.
    pub fn read(&mut self, test: &LoadTest, now: Timestamp) {
        let load = test.status.as_ref().and_then(|status| status.load.as_ref());
        let Some(requests) = load.and_then(|load| load.requests) else { return };
        if let Some((at, before)) = self.last {
            if requests == before {
                return;
            }
            let milliseconds = text::between(at, now);
            if milliseconds > 0 && requests > before {
                self.pace = Some(Pace { requests: requests - before, milliseconds });
            }
        }
        self.last = Some((now, requests));
    }

    pub fn pace(&self) -> Option<Pace> {
        self.pace
    }
}
