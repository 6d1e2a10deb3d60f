//! What the faults of a run say for its verdict: whether they were injected, how the system recovered, and what harm
//! they did.

use loadtest_crds::{FaultEffect, FaultState, FaultStatus, LoadTestStatus, Outcome, Verdict};

use crate::{
    numbers::duration::human,
    verdict::{
        display,
        ground::{Ground, Reason},
    },
};

/// Pods that are named; the rest are counted.
const SHOWN_PODS: usize = 5;

pub(super) fn of_faults(status: &LoadTestStatus, grounds: &mut Vec<Ground>) {
    let ended = status.load_ended();
    for fault in &status.faults {
        let name = &fault.name;
        let after_load = fault.injected().zip(ended).is_some_and(|(injected, ended)| injected >= ended);
        let why = fault.message.as_ref().map(|m| format!(": {m}")).unwrap_or_default();
        let ground =
            |verdict, reason, what: &str| Ground::new(verdict, reason, format!("fault {name} {what}{why}"));
        grounds.push(match fault.state {
            FaultState::Injected if after_load => Ground::new(
                Verdict::Inconclusive,
                Reason::FaultNotInjected,
                format!("fault {name} came only after the load had ended"),
            ),
            // It says so where it is not known whether the system was healthy.
            FaultState::Injected if why.is_empty() => continue,
            FaultState::Injected => ground(Verdict::Pass, Reason::AllObjectivesMet, "was injected"),
            FaultState::Failed => ground(Verdict::Error, Reason::FaultFailed, "failed"),
            FaultState::Unconfirmed => ground(
                Verdict::Inconclusive,
                Reason::FaultUnconfirmed,
                "may have happened, but not provably by this run",
            ),
            FaultState::NotInjected if fault.was_skipped() => {
                ground(Verdict::Inconclusive, Reason::NotSteady, "was skipped")
            }
            FaultState::Pending | FaultState::Intended | FaultState::NotInjected => {
                ground(Verdict::Inconclusive, Reason::FaultNotInjected, "was not injected")
            }
        });
    }
}

/// A pod that is lost for good is no pass, however fast its neighbours took over.
pub(super) fn of_replacements(status: &LoadTestStatus, grounds: &mut Vec<Ground>) {
    let Some(ended) = status.load_ended() else { return };
    for fault in &status.faults {
        let Some(waited) = display::not_replaced(fault, ended) else { continue };
        let (name, pods, waited) = (&fault.name, pods(fault), human(waited));
        grounds.push(match &fault.missing {
            Some(missing) => Ground::new(
                Verdict::Warn,
                Reason::NotReplaced,
                format!("fault {name}: {pods} not replaced within {waited}, when the load ended: {missing}"),
            ),
            None => Ground::new(
                Verdict::Inconclusive,
                Reason::NoData,
                format!(
                    "no data: fault {name}: whether {pods} replaced within {waited}, when the load ended, nobody saw"
                ),
            ),
        });
    }
}

/// `pod dbman-0 was`, or `pods dbman-0, dbman-1 were`.
fn pods(fault: &FaultStatus) -> String {
    let names: Vec<&str> = fault.targets.iter().map(|target| target.name.as_str()).collect();
    let shown = names.iter().take(SHOWN_PODS).copied().collect::<Vec<_>>().join(", ");
    match names.len() {
        0 | 1 => format!("pod {shown} was"),
        n if n > SHOWN_PODS => format!("pods {shown} and {} more were", n - SHOWN_PODS),
        _ => format!("pods {shown} were"),
    }
}

/// The limits of recoveries and budgets. A runner that was lost takes its requests with it: then a miss is no evidence.
pub(super) fn of_limits(status: &LoadTestStatus, doubt: Option<Reason>, grounds: &mut Vec<Ground>) {
    let doubt = if status.lost_runners() > 0 { Some(Reason::RunnerLost) } else { doubt };
    for fault in &status.faults {
        let recovery = fault.recovery.as_ref().filter(|recovery| recovery.within.is_some());
        let recovery = recovery.map(|r| ("recovery from", r.outcome, &r.message, Reason::RecoveryTooSlow));
        let budget = fault.budget.as_ref();
        let budget = budget.map(|b| ("budget of", b.outcome, &b.message, Reason::BudgetExceeded));
        let idle = fault.recovery.as_ref().is_some_and(|r| r.effect == FaultEffect::NotExercised);
        for (limit, outcome, message, missed) in recovery.into_iter().chain(budget) {
            let words = format!("{limit} {}: {}", fault.name, message.as_deref().unwrap_or("not measured"));
            if outcome == Outcome::NoData && idle {
                let text = format!("no data: {words}");
                grounds.push(Ground::new(Verdict::Inconclusive, Reason::NotExercised, text));
            } else if outcome != Outcome::NoData || fault.state == FaultState::Injected {
                // Else the fault itself says why there is nothing.
                let missed = doubt.map_or((Verdict::Fail, missed), |reason| (Verdict::Inconclusive, reason));
                grounds.push(Ground::of(outcome, missed, &words));
            }
        }
    }
}

#[cfg(test)]
mod tests;
