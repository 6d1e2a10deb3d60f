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
        let skipped = fault.was_skipped();
        let (verdict, reason, text) = match fault.state {
            FaultState::Injected if after_load => (
                Verdict::Inconclusive,
                Reason::FaultNotInjected,
                format!("fault {name} came only after the load had ended"),
            ),
            // It says so where it is not known whether the system was healthy.
            FaultState::Injected if why.is_empty() => continue,
            FaultState::Injected => {
                (Verdict::Pass, Reason::AllObjectivesMet, format!("fault {name} was injected{why}"))
            }
            FaultState::Failed => (Verdict::Error, Reason::FaultFailed, format!("fault {name} failed{why}")),
            FaultState::Unconfirmed => (
                Verdict::Inconclusive,
                Reason::FaultUnconfirmed,
                format!("fault {name} may have happened, but not provably by this run{why}"),
            ),
            FaultState::NotInjected if skipped => {
                (Verdict::Inconclusive, Reason::NotSteady, format!("fault {name} was skipped{why}"))
            }
            FaultState::Pending | FaultState::Intended | FaultState::NotInjected => (
                Verdict::Inconclusive,
                Reason::FaultNotInjected,
                format!("fault {name} was not injected{why}"),
            ),
        };
        grounds.push(Ground { verdict, reason, text });
    }
}

/// A pod that is lost for good is no pass, however fast its neighbours took over.
pub(super) fn of_replacements(status: &LoadTestStatus, grounds: &mut Vec<Ground>) {
    let Some(ended) = status.load_ended() else { return };
    for fault in &status.faults {
        let Some(waited) = display::not_replaced(fault, ended) else { continue };
        let (name, pods, waited) = (&fault.name, pods(fault), human(waited));
        let ground = match &fault.missing {
            Some(missing) => Ground {
                verdict: Verdict::Warn,
                reason: Reason::NotReplaced,
                text: format!(
                    "fault {name}: {pods} not replaced within {waited}, when the load ended: {missing}"
                ),
            },
            None => Ground {
                verdict: Verdict::Inconclusive,
                reason: Reason::NoData,
                text: format!(
                    "no data: fault {name}: whether {pods} replaced within {waited}, when the load ended, nobody saw"
                ),
            },
        };
        grounds.push(ground);
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

pub(super) fn of_recoveries(status: &LoadTestStatus, doubt: Option<Reason>, grounds: &mut Vec<Ground>) {
    for fault in &status.faults {
        let Some(recovery) = fault.recovery.as_ref().filter(|r| r.within.is_some()) else { continue };
        let message = recovery.message.as_deref().unwrap_or("not measured");
        let words = format!("recovery from {}: {message}", fault.name);
        if recovery.effect == FaultEffect::NotExercised {
            let text = format!("no data: {words}");
            grounds.push(Ground { verdict: Verdict::Inconclusive, reason: Reason::NotExercised, text });
            continue;
        }
        of_limit(recovery.outcome, fault, status, doubt, Reason::RecoveryTooSlow, &words, grounds);
    }
}

pub(super) fn of_budgets(status: &LoadTestStatus, doubt: Option<Reason>, grounds: &mut Vec<Ground>) {
    for fault in &status.faults {
        let Some(budget) = &fault.budget else { continue };
        let message = budget.message.as_deref().unwrap_or("not measured");
        let words = format!("budget of {}: {message}", fault.name);
        let idle = fault.recovery.as_ref().is_some_and(|r| r.effect == FaultEffect::NotExercised);
        if idle && budget.outcome == Outcome::NoData {
            let text = format!("no data: {words}");
            grounds.push(Ground { verdict: Verdict::Inconclusive, reason: Reason::NotExercised, text });
            continue;
        }
        of_limit(budget.outcome, fault, status, doubt, Reason::BudgetExceeded, &words, grounds);
    }
}

/// What was not pushed may have been good, and a runner that was lost takes its requests with it: then a miss is no
/// evidence.
fn of_limit(
    outcome: Outcome,
    fault: &FaultStatus,
    status: &LoadTestStatus,
    doubt: Option<Reason>,
    missed: Reason,
    words: &str,
    grounds: &mut Vec<Ground>,
) {
    let lost = status.lost_runners() > 0;
    let (verdict, reason, mark) = match outcome {
        Outcome::Met => (Verdict::Pass, Reason::AllObjectivesMet, "met"),
        Outcome::Warn => (Verdict::Warn, Reason::InWarningBand, "warning"),
        Outcome::Unclear => (Verdict::Warn, Reason::Unclear, "unclear"),
        // The fault itself says why there is nothing.
        Outcome::NoData if fault.state != FaultState::Injected => return,
        Outcome::NoData | Outcome::TooFew | Outcome::Unmeasurable => {
            (Verdict::Inconclusive, Reason::NoData, "no data")
        }
        Outcome::Missed if doubt.is_none() && !lost => (Verdict::Fail, missed, "not met"),
        Outcome::Missed if lost => (Verdict::Inconclusive, Reason::RunnerLost, "not met"),
        Outcome::Missed => (Verdict::Inconclusive, doubt.unwrap_or(Reason::FiguresIncomplete), "not met"),
    };
    grounds.push(Ground { verdict, reason, text: format!("{mark}: {words}") });
}

#[cfg(test)]
mod tests;
