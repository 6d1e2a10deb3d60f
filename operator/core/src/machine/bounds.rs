//! What goes into etcd must fit: it takes 1.5 MiB at once, and that is the whole object. So a spec has a most that
//! leaves room for a status, and a status is made to fit before it is recorded.
//!
//! A status while the run goes on is what the next operator goes on from: of it only texts are cut. Once the run is
//! finished, what does not fit is left out, step by step and what matters least first ([`STEPS`]). Verdict, reason,
//! message, and what was done to which pod always stay.

use loadtest_crds::{LoadTestStatus, Outcome, Phase, TargetState, WindowResult};

use crate::{plan::size::stored_bytes, watch::system::ready};

/// The largest status of a finished run, but for one whose faults hit hundreds of pods.
pub const LARGEST_STATUS: usize = 256 << 10;
/// What is read from the scripts: the run needs all of it.
pub const LARGEST_SCENARIOS: usize = 64 << 10;

/// The one sentence may hold a Role to apply. It stands in five conditions too.
const SENTENCE: usize = 4 << 10;
const TEXT: usize = 1 << 10;
const SHORT: usize = 200;
/// Once room is short.
const FEW_STEPS: usize = 10;
const FEW_HAPPENINGS: usize = 3;
const FEW_GAPS: usize = 3;
const FEW_SPIKES: usize = 1;
const FEW_SERVICES: usize = 3;

/// Makes a status fit. What fits is left as it is, so that a status that was made to fit once stays so.
pub fn fit(status: &mut LoadTestStatus) {
    cut_texts(status, TEXT);
    if status.phase == Phase::Finished {
        shed(status);
    }
}

/// Shortens a text, and shows that it did.
pub fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most - '…'.len_utf8()));
        text.push('…');
    }
}

/// Cuts all texts that are said, but for names and queries.
fn cut_texts(status: &mut LoadTestStatus, most: usize) {
    for text in status.message.iter_mut().chain(status.conditions.iter_mut().map(|c| &mut c.message)) {
        cut(text, SENTENCE);
    }
    status.grounds.iter_mut().for_each(|text| cut(text, most));
    if let Some(runners) = &mut status.runners {
        runners.problems.iter_mut().chain(&mut runners.starved).for_each(|text| cut(text, most));
    }
    if let Some(load) = &mut status.load {
        let missing = load.shortfalls.iter_mut().map(|s| &mut s.message);
        load.unread_logs.iter_mut().chain(missing).for_each(|text| cut(text, most));
    }
    for fault in &mut status.faults {
        // One for each of hundreds of pods.
        fault.targets.iter_mut().filter_map(|t| t.message.as_mut()).for_each(|text| cut(text, SHORT));
        let recovery = fault.recovery.iter_mut().filter_map(|r| r.message.as_mut());
        let budget = fault.budget.iter_mut().filter_map(|b| b.message.as_mut());
        recovery.chain(budget).chain(&mut fault.message).for_each(|text| cut(text, most));
    }
    for part in &mut status.system {
        let happened = part.happenings.iter_mut().map(|h| &mut h.message);
        let scaled = part.scaling.iter_mut().filter_map(|s| s.message.as_mut());
        happened.chain(scaled).chain(&mut part.message).for_each(|text| cut(text, most));
        let seen = part.images.iter_mut().chain(&mut part.limits).chain(&mut part.revisions);
        // Compared with what is seen later, so that only what no name can be is cut.
        seen.for_each(|text| cut(text, TEXT));
    }
    let results = status.objectives.iter_mut().flat_map(|o| &mut o.windows).map(|w| &mut w.message);
    let guardrails = status.guardrails.iter_mut().map(|g| &mut g.message);
    let baseline = status.baseline.iter_mut().map(|b| &mut b.message);
    results.chain(guardrails).chain(baseline).flatten().for_each(|text| cut(text, most));
}

/// What is left out of a finished run's status, one after the other, as long as it does not fit.
const STEPS: [fn(&mut LoadTestStatus); 10] = [
    |status| met(status).for_each(|result| result.query = None),
    |status| met(status).for_each(|result| result.message = None),
    |status| keep_results(status, |result| result.outcome != Outcome::Met || result.fault.is_none()),
    // Later runs are compared with these.
    |status| keep_results(status, |result| result.outcome != Outcome::Met),
    |status| status.objectives.iter_mut().for_each(|o| o.spikes.truncate(FEW_SPIKES)),
    forget_pods,
    shorten_system,
    |status| {
        status.objectives.iter_mut().flat_map(|o| &mut o.windows).for_each(|result| result.query = None);
        status.guardrails.iter_mut().for_each(|guardrail| guardrail.query = None);
    },
    |status| cut_texts(status, SHORT),
    keep_the_worst,
];

fn shed(status: &mut LoadTestStatus) {
    let results = |status: &LoadTestStatus| status.objectives.iter().map(|o| o.windows.len()).sum::<usize>();
    let before = results(status);
    for step in STEPS {
        if stored_bytes(status) <= LARGEST_STATUS {
            break;
        }
        step(status);
    }
    let left_out = before - results(status);
    if left_out > 0 {
        let kept = if status.report.is_some() { "; kubectl loadtest judge shows them" } else { "" };
        status.grounds.push(format!(
            "{left_out} of {before} results are left out, those that were met first, for the status has no room for \
             them{kept}"
        ));
    }
}

fn met(status: &mut LoadTestStatus) -> impl Iterator<Item = &mut WindowResult> {
    status.objectives.iter_mut().flat_map(|o| &mut o.windows).filter(|result| result.outcome == Outcome::Met)
}

fn keep_results(status: &mut LoadTestStatus, keep: impl Fn(&WindowResult) -> bool) {
    status.objectives.iter_mut().for_each(|objective| objective.windows.retain(&keep));
}

/// Of each objective the first of its worst results.
fn keep_the_worst(status: &mut LoadTestStatus) {
    for objective in &mut status.objectives {
        let worst = objective.windows.iter().map(|result| result.outcome).max();
        let first = objective.windows.iter().position(|result| Some(result.outcome) == worst);
        objective.windows = first.map(|at| objective.windows.swap_remove(at)).into_iter().collect();
    }
}

/// Which pods a fault hit and when stays; where they ran, and how long the API server took, does not.
fn forget_pods(status: &mut LoadTestStatus) {
    status.faults.iter_mut().for_each(|fault| fault.services.truncate(FEW_SERVICES));
    for target in status.faults.iter_mut().flat_map(|f| &mut f.targets) {
        target.node = None;
        target.acknowledged_at = None;
        if target.state == TargetState::Injected {
            target.message = None;
        }
    }
}

fn shorten_system(status: &mut LoadTestStatus) {
    for part in &mut status.system {
        ready::thin(&mut part.ready, FEW_STEPS);
        let more = part.happenings.len().saturating_sub(FEW_HAPPENINGS);
        part.happenings.truncate(FEW_HAPPENINGS);
        part.gaps.truncate(FEW_GAPS);
        part.more_happenings = part.more_happenings.saturating_add(i32::try_from(more).unwrap_or(i32::MAX));
    }
}

#[cfg(test)]
mod tests;
