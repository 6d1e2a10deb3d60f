//! What is done when the API server does not take a record: load that is to end ends all the same.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{FaultStatus, LoadTestStatus, Phase, Verdict};

use crate::{
    machine::{
        finish,
        pass::Pass,
        world::{Effect, World},
    },
    plan::Plan,
};

/// Leaves of a pass what may follow though it is not recorded: that only ends load, and can be repeated without harm.
pub fn restrict(pass: &mut Pass, recorded: &LoadTestStatus, stop: bool) {
    // The verdict is written, so nothing is lost with the pods.
    let over = recorded.phase == Phase::Finished;
    let may = |effect: &Effect| match effect {
        Effect::StopLoad { .. } => true,
        Effect::Release { .. } | Effect::DeletePods => stop || over,
        _ => false,
    };
    pass.effects.retain(may);
    pass.releases &= over;
}

/// A run whose status the API server does not take for its size ends in Error, in as few words as can be, and its pods
/// go. `None` for one that is finished: its verdict stays as it is recorded.
#[must_use]
pub fn give_up(plan: &Plan, recorded: &LoadTestStatus, why: &str, world: &World) -> Option<Pass> {
    if recorded.phase == Phase::Finished {
        return None;
    }
    let faults = recorded.faults.iter().map(|fault| FaultStatus {
        name: fault.name.clone(),
        state: fault.state,
        injected_at: fault.injected_at.clone(),
        ..FaultStatus::default()
    });
    let status = LoadTestStatus {
        observed_generation: world.generation,
        phase: Phase::Finished,
        verdict: Some(Verdict::Error),
        reason: Some("StatusTooLarge".to_owned()),
        message: Some(format!(
            "the LoadTest with its status is larger than the API server takes ({why}), so the run was ended: put scripts \
             and long values into ConfigMaps, and write less into labels and annotations"
        )),
        series: recorded.series.clone(),
        accepted_at: recorded.accepted_at.clone(),
        finished_at: Some(MicroTime(world.now)),
        faults: faults.collect(),
        ..LoadTestStatus::default()
    };
    let mut pass = Pass::from(status);
    finish::clean_up(&mut pass, world);
    pass.complete(plan, world.now);
    Some(pass)
}
