//! The conditions of a LoadTest, derived from the rest of its status.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use loadtest_crds::{FaultState, LoadTestStatus, Phase, Verdict};

/// Brings the conditions in step with the status. A condition's transition time moves only with its state.
pub fn set_conditions(status: &mut LoadTestStatus, now: Timestamp) {
    let over = status.phase == Phase::Finished;
    let reason = status.reason.clone().unwrap_or_else(|| status.phase.as_str().to_owned());
    let message = status.message.clone().unwrap_or_default();
    let verdict = status.verdict.filter(|_| over);

    let truth = |yes: bool| if yes { "True" } else { "False" };
    let passed = verdict.map_or("Unknown", |verdict| truth(verdict == Verdict::Pass));
    let ready = status.runners.as_ref().is_some_and(|r| r.ready_at.is_some());
    let evaluated = over && !status.objectives.is_empty();
    // A killed pod is its controller's to replace; nothing of ours is left to undo.
    let reverted = truth(!status.faults.iter().any(|f| f.state == FaultState::Intended));
    let stalled = verdict == Some(Verdict::Error);

    let set = [
        ("Complete", truth(over), reason.as_str(), message.as_str()),
        ("Passed", passed, reason.as_str(), message.as_str()),
        ("RunnersReady", truth(ready), if ready { "AllReady" } else { "Waiting" }, ""),
        ("FaultsReverted", reverted, "NothingLeft", ""),
        ("Evaluated", truth(evaluated), if evaluated { "Judged" } else { "NotJudged" }, ""),
        ("Ready", truth(over && !stalled), reason.as_str(), message.as_str()),
        ("Reconciling", truth(!over), reason.as_str(), message.as_str()),
        ("Stalled", truth(stalled), reason.as_str(), message.as_str()),
    ];
    for (kind, is, reason, message) in set {
        let before = status.conditions.iter().position(|c| c.type_ == kind);
        let since = before
            .map(|i| &status.conditions[i])
            .filter(|c| c.status == is)
            .map_or(Time(now), |c| c.last_transition_time.clone());
        let condition = Condition {
            type_: kind.to_owned(),
            status: is.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            last_transition_time: since,
            observed_generation: status.observed_generation,
        };
        match before {
            Some(i) => status.conditions[i] = condition,
            None => status.conditions.push(condition),
        }
    }
}
