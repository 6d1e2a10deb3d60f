//! Which parts of the system under test are watched, and what must hold of them.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use loadtest_crds::Watched;

use crate::{
    numbers::duration::human,
    plan::{
        error::{PlanError, Refusal},
        fault::FaultPlan,
        pods::{self, selector_text},
        read,
    },
};

/// Pods that are watched while the load runs.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchPlan {
    pub name: String,
    pub namespace: String,
    pub selector: LabelSelector,
    /// Named in spec.system; otherwise watched because a fault takes from these pods.
    pub named: bool,
    pub assert_no_restarts: bool,
    pub assert_no_oom: bool,
    pub scaling: Option<ScalingPlan>,
}

/// So many ready pods, so soon after the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScalingPlan {
    pub reaches: i32,
    pub within: Duration,
}

/// The named parts, and the pods of faults that none of them names.
pub fn parts(system: &[Watched], faults: &[FaultPlan], own: &str) -> Result<Vec<WatchPlan>, PlanError> {
    let part = |part: &Watched| WatchPlan::of(part, own).map_err(Refusal::of("system", &part.name));
    let mut parts = system.iter().map(part).collect::<Result<Vec<_>, _>>()?;
    for fault in faults {
        let same = |p: &WatchPlan| p.namespace == fault.namespace && p.selector == fault.selector;
        if !parts.iter().any(same) {
            parts.push(WatchPlan {
                name: format!("target of {}", fault.name),
                namespace: fault.namespace.clone(),
                selector: fault.selector.clone(),
                named: false,
                assert_no_restarts: false,
                assert_no_oom: false,
                scaling: None,
            });
        }
    }
    Ok(parts)
}

impl WatchPlan {
    fn of(part: &Watched, own: &str) -> Result<Self, Refusal> {
        let scaling = match &part.scaling {
            None => None,
            Some(scaling) => Some(ScalingPlan {
                reaches: scaling.reaches,
                within: read::time("scaling.within", &scaling.within)?,
            }),
        };
        let (namespace, selector) = pods::checked(&part.pods, own)?;
        Ok(Self {
            name: part.name.clone(),
            namespace,
            selector,
            named: true,
            assert_no_restarts: part.assert_no_restarts,
            assert_no_oom: part.assert_no_oom,
            scaling,
        })
    }

    /// The selector as kubectl's `-l` takes it.
    #[must_use]
    pub fn selector_text(&self) -> String {
        selector_text(&self.selector)
    }

    /// Why its scaling cannot be judged in a load of this length.
    #[must_use]
    pub fn too_late(&self, load: Duration) -> Option<String> {
        let within = self.scaling.as_ref().map(|scaling| scaling.within).filter(|within| *within > load)?;
        Some(format!(
            "system {}: scaling may take {}, but the load lasts {}: lengthen the load to that, or lower scaling.within",
            self.name,
            human(within),
            human(load)
        ))
    }

    /// Whether anything must hold of it.
    #[must_use]
    pub fn asserts(&self) -> bool {
        self.assert_no_restarts || self.assert_no_oom
    }
}
