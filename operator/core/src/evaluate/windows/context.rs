//! What is known of a run before anything is asked, as every question needs it.
//!
//! How far a k6 figure may reach beyond its window: the last sample before a time is up to one push old. A Fault
//! window is therefore read up to one push after its end, so that no failure of the fault is missed, and a
//! Steady stretch from one push after its start, so that none is counted that belongs to a fault or a ramp. What ends with
//! the load is read one push later too: nothing is added after it, and the push then holds all that was.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use loadtest_crds::{LoadTestStatus, WindowKind};
use serde::{Deserialize, Serialize};

use crate::{
    evaluate::windows::{self, Window, grid::Grid},
    k6::queries::K6Metrics,
    numbers::interval::Interval,
    prometheus::template::FaultValues,
};

/// What every probe needs.
#[derive(Clone, Debug)]
pub struct Context {
    pub settings: Settings,
    /// The LoadTest's namespace.
    pub namespace: String,
    pub metrics: K6Metrics,
    /// The whole load; `None` where it never ran.
    pub load: Option<Interval>,
    /// The load in stretches of 5 s; `None` where it was shorter.
    pub cells: Option<Grid>,
    /// What templates may ask about the faults that were injected.
    pub faults: BTreeMap<String, FaultValues>,
}

impl Context {
    /// What is known of a run without asking.
    #[must_use]
    pub fn of(status: &LoadTestStatus, settings: &Settings) -> Self {
        let load = windows::load(status);
        Self {
            cells: load.and_then(|load| Grid::over(load, settings.push)),
            faults: status
                .faults
                .iter()
                .filter_map(|f| Some((f.name.clone(), FaultValues::of(f)?)))
                .collect(),
            namespace: String::new(),
            metrics: K6Metrics::new(&settings.run_id, reach(status, load, settings.push)),
            load,
            settings: settings.clone(),
        }
    }

    /// The faults with what they left behind, up to the push that shows the last of it.
    pub(crate) fn holes(&self, status: &LoadTestStatus) -> Vec<Interval> {
        let Some(load) = self.load else { return Vec::new() };
        let push = SignedDuration::try_from(self.settings.push).unwrap_or(SignedDuration::ZERO);
        let holes = status.faults.iter().filter_map(|fault| windows::disturbance(fault, load));
        holes.map(|hole| Interval { to: hole.to.saturating_add(push).unwrap_or(hole.to), ..hole }).collect()
    }

    /// What of a window is read from k6's metrics: see the top of this module.
    #[must_use]
    pub fn reads(&self, window: &Window) -> Vec<Interval> {
        let later = |at: Timestamp| self.a_push_after(at);
        let end = self.load.map_or(Timestamp::MAX, |load| load.to);
        let with_end = |to: Timestamp| if to >= end { later(end) } else { to };
        window
            .stretches()
            .iter()
            .filter_map(|s| match window.kind {
                WindowKind::Fault => Interval::new(s.from, with_end(later(s.to))),
                WindowKind::Steady => Interval::new(later(s.from), with_end(s.to)),
                WindowKind::Run | WindowKind::Recovery | WindowKind::Between => {
                    Interval::new(s.from, with_end(s.to))
                }
            })
            .collect()
    }

    /// The whole load, as it is read.
    #[must_use]
    pub fn read_load(&self) -> Option<Interval> {
        self.load.map(|load| Interval { to: self.a_push_after(load.to), ..load })
    }

    fn a_push_after(&self, at: Timestamp) -> Timestamp {
        let push = SignedDuration::try_from(self.settings.push).unwrap_or(SignedDuration::ZERO);
        at.saturating_add(push).unwrap_or(at)
    }
}

/// How far back the run's first sample lies from its end, with a margin for clocks that differ.
fn reach(status: &LoadTestStatus, load: Option<Interval>, push: Duration) -> i64 {
    let Some(load) = load else { return 0 };
    let first = status.accepted_at.as_ref().map_or(load.from, |t| t.0.min(load.from));
    let margin = push.saturating_add(Duration::from_secs(60));
    load.to.duration_since(first).as_secs() + i64::try_from(margin.as_secs()).unwrap_or(60)
}

/// What the queries need to know besides the plan and the status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// The `loadtest_run` of the run's k6 metrics: the LoadTest's uid.
    pub run_id: String,
    /// How often k6 pushes.
    pub push: Duration,
}
