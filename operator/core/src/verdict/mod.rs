//! From results to one verdict, with its reason, one sentence, and the grounds.
//!
//! Error > Aborted > Fail > Inconclusive > Warn > Pass: every ground asks for a verdict, and the heaviest decides.
//! Of grounds of the same weight, the first in the order of [`Reason`] gives the reason and the sentence.
//!
//! A miss is only evidence where the figures are whole. What Prometheus did not get may have been good, so with
//! missing figures a miss makes the run Inconclusive and not a Fail; so it does where a log that would tell was not
//! read. And a runner that was lost takes its requests with it, which makes a recovery look slow and an amount too
//! small, so neither is evidence then.

mod change;

use loadtest_crds::{
    LoadStatus, LoadTestStatus, NoDataPolicy, ObjectiveStatus, Outcome, TooFewPolicy, Verdict, VerdictPolicy,
    WindowResult,
};

use crate::{
    evaluate::{judgement::Judgement, names, windows::Window},
    numbers::{
        duration::human,
        interval::Interval,
        limit::{Bound, count, percent},
    },
    plan::{self, Plan, figure::Figure, guardrail::GuardrailPlan, objective::ObjectivePlan},
    verdict::ground::{Facts, Ground, Reason},
};

mod guardrails;
mod load;

/// The answer of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    pub verdict: Verdict,
    pub reason: Reason,
    /// One sentence.
    pub message: String,
    /// A line each, the deciding ones first.
    pub grounds: Vec<String>,
}

/// A status must stay small.
const MOST_GROUNDS: usize = 100;

/// Records figures and verdict: the last step of a run, and of every replay of it. Nothing but what is handed in
/// decides.
#[must_use]
pub fn conclude(
    plan: &Plan,
    before: &LoadTestStatus,
    judgement: &Judgement,
    facts: &Facts,
) -> LoadTestStatus {
    let mut status = before.clone();
    judgement.write_into(&mut status);
    let judged = plan.judged(&status);
    status.baseline = baseline::compare(plan.baseline.as_ref(), &judged, &status, &facts.history);
    let ruling = decide(&plan.policy, &judged, &plan::guardrails_of(plan, &status), &status, facts);
    status.verdict = Some(ruling.verdict);
    status.reason = Some(ruling.reason.to_string());
    status.message = Some(ruling.message);
    status.grounds = ruling.grounds;
    status
}

/// Decides a run whose load ran. The figures are in the status.
#[must_use]
pub fn decide(
    policy: &VerdictPolicy,
    plans: &[ObjectivePlan],
    guardrails: &[GuardrailPlan],
    status: &LoadTestStatus,
    facts: &Facts,
) -> Ruling {
    let figures_whole = facts.not_settled.is_none() && load::unread(status).is_empty();
    let doubt = if figures_whole { load::doubt(status) } else { Some(Reason::FiguresIncomplete) };
    let mut grounds = Vec::new();
    of_figures(status, facts, &mut grounds);
    of_load(status, facts, &mut grounds);
    faults::of_faults(status, &mut grounds);
    faults::of_replacements(status, &mut grounds);
    // Before the misses that are no evidence because of it.
    load::of_shortfalls(status, figures_whole, &mut grounds);
    change::of_drift(facts, &mut grounds);
    of_objectives(policy, plans, status, doubt, facts, &mut grounds);
    faults::of_limits(status, doubt, &mut grounds);
    spikes::of_spikes(status, &mut grounds);
    system::of_system(status, &mut grounds);
    change::of_change(status, facts, &mut grounds);
    guardrails::of_guardrails(guardrails, status, &mut grounds);
    guardrails::of_thresholds(status, &mut grounds);
    if plans.is_empty() && status.objectives.is_empty() {
        let text = "the LoadTest has no objectives, so nothing was judged";
        grounds.push(Ground::new(Verdict::Inconclusive, Reason::NoObjectives, text));
    }
    // The heaviest verdict first, and within one the order of the reasons.
    grounds.sort_by(|a, b| b.verdict.cmp(&a.verdict).then(a.reason.cmp(&b.reason)));
    let decisive = grounds.first().filter(|ground| ground.verdict != Verdict::Pass);
    let (verdict, reason, message) = match decisive {
        Some(ground) => (ground.verdict, ground.reason, sentence(ground, &grounds)),
        None => (Verdict::Pass, Reason::AllObjectivesMet, all_met(status)),
    };
    let mut lines: Vec<String> = grounds.into_iter().map(|ground| ground.text).collect();
    if lines.len() > MOST_GROUNDS {
        let more = lines.len() - MOST_GROUNDS + 1;
        lines.truncate(MOST_GROUNDS - 1);
        lines.push(format!("and {more} more"));
    }
    Ruling { verdict, reason, message, grounds: lines }
}

/// Each window of each objective is a ground; misses count once per objective.
fn of_objectives(
    policy: &VerdictPolicy,
    plans: &[ObjectivePlan],
    status: &LoadTestStatus,
    doubt: Option<Reason>,
    facts: &Facts,
    grounds: &mut Vec<Ground>,
) {
    let gone = runners_gone(status, facts);
    let plan_of = |o: &ObjectiveStatus| plans.iter().find(|p| p.name == o.name);
    let without_runners = |o: &ObjectiveStatus| gone.filter(|_| plan_of(o).is_some_and(is_least_amount));
    let missed = |o: &ObjectiveStatus| has(o, Outcome::Missed) && without_runners(o).is_none();
    let misses = status.objectives.iter().filter(|o| missed(o) && !o.key).count();
    let lost = change::lost(facts);
    let too_many = misses > usize::try_from(policy.max_misses).unwrap_or(0);
    for objective in &status.objectives {
        let plan = plan_of(objective);
        let doubt = doubt.or_else(|| without_runners(objective));
        let on_no_data = match plan.map_or(policy.on_no_data, |p| p.on_no_data) {
            NoDataPolicy::Inconclusive => Verdict::Inconclusive,
            NoDataPolicy::Fail => Verdict::Fail,
        };
        let before = facts.history.missed_before(status.fingerprint.as_deref(), &objective.name);
        let on_too_few = match plan.map_or(policy.on_too_few, |p| p.on_too_few) {
            TooFewPolicy::Fail => Verdict::Fail,
            // What was to be judged as it is has another outcome than TooFew.
            TooFewPolicy::Inconclusive | TooFewPolicy::Judge => Verdict::Inconclusive,
        };
        let miss = match (objective.key, too_many, misses) {
            (true, ..) => (Verdict::Fail, Reason::KeyObjectiveMissed),
            (false, true, 1) => (Verdict::Fail, Reason::ObjectiveMissed),
            (false, true, _) => (Verdict::Fail, Reason::ObjectivesMissed),
            // Once may be an accident.
            (false, false, _) if before.is_some() => (Verdict::Fail, Reason::MissedAgain),
            (false, false, _) => (Verdict::Warn, Reason::ObjectiveMissed),
        };
        let missed = doubt.map_or(miss, |reason| (Verdict::Inconclusive, reason));
        for window in &objective.windows {
            let (verdict, reason) = ground::standing(window.outcome, missed);
            let verdict = match window.outcome {
                // A window that never was says nothing about the system under test, whatever missing data says.
                Outcome::NoData if window.from.is_none() => verdict,
                Outcome::NoData | Outcome::Unmeasurable => on_no_data,
                Outcome::TooFew => on_too_few,
                _ => verdict,
            };
            let drifted = plan.is_some_and(|p| drift::concerns(&lost, p)) && verdict != Verdict::Pass;
            let (verdict, reason) =
                if drifted { (Verdict::Inconclusive, Reason::Drift) } else { (verdict, reason) };
            let before = before.filter(|_| window.outcome == Outcome::Missed);
            grounds.push(Ground::new(verdict, reason, line(objective, window) + &change::again(before)));
        }
        let judged_nowhere = objective.outcome == Outcome::NoData && !has(objective, Outcome::NoData);
        if judged_nowhere {
            let text = format!("no data: {}: none of its windows held anything to judge", objective.name);
            grounds.push(Ground::new(on_no_data, Reason::NoData, text));
        }
    }
    // An objective that was never evaluated is not met.
    for plan in plans.iter().filter(|p| !status.objectives.iter().any(|o| o.name == p.name)) {
        let text = format!("no data: {}: it was never evaluated", plan.name);
        grounds.push(Ground::new(Verdict::Inconclusive, Reason::NoData, text));
    }
}

/// Why the runners did less than they were there for, if they did.
fn runners_gone(status: &LoadTestStatus, facts: &Facts) -> Option<Reason> {
    if status.lost_runners() > 0 {
        return Some(Reason::RunnerLost);
    }
    (facts.interrupted_runners > 0).then_some(Reason::RunnerInterrupted)
}

/// An amount is the sum of what all runners did, so it is too small without one of them. A share is not.
fn is_least_amount(plan: &ObjectivePlan) -> bool {
    matches!(plan.figure, Figure::K6Count { .. } | Figure::K6Rate { .. })
        && matches!(plan.bound, Bound::AtLeast(_))
}

fn has(objective: &ObjectiveStatus, outcome: Outcome) -> bool {
    objective.windows.iter().any(|w| w.outcome == outcome)
}

fn of_figures(status: &LoadTestStatus, facts: &Facts, grounds: &mut Vec<Ground>) {
    let mut add = |reason, text| grounds.push(Ground::new(Verdict::Inconclusive, reason, text));
    if let Some(why) = &facts.not_settled {
        add(Reason::NotSettled, format!("the figures did not settle: {why}"));
    }
    let unread = load::unread(status).join("; ");
    if !unread.is_empty() {
        let text = "not every runner's log could be read, so iterations that threw may be missing";
        add(Reason::FiguresIncomplete, format!("{text}: {unread}"));
    }
}

/// Whether the load was what was asked for.
///
/// A script that throws ends its iteration early: requests that it would have sent were not sent, and nothing
/// counts them. Some such iterations make the run Warn at best. If there are as many as iterations, the script
/// never did what it is for, and the run is an Error, whatever the figures say.
fn of_load(status: &LoadTestStatus, facts: &Facts, grounds: &mut Vec<Ground>) {
    let mut add = |verdict, reason, text| grounds.push(Ground::new(verdict, reason, text));
    if let Some(runners) = status.runners.as_ref().filter(|r| r.lost > 0) {
        let why = runners.problems.first().map(|p| format!(": {p}")).unwrap_or_default();
        let text = format!("{} of {} runners were lost{why}", runners.lost, runners.total);
        add(Verdict::Inconclusive, Reason::RunnerLost, text);
    }
    if facts.interrupted_runners > 0 {
        let text = "of the runners were ended by their own script before their load was through (test.abort() or a threshold \
                    with abortOnFail)";
        let text = format!("{} {text}", facts.interrupted_runners);
        add(Verdict::Inconclusive, Reason::RunnerInterrupted, text);
    }
    if facts.failed_runners > 0 {
        let said = facts.marked_failed.as_deref().filter(|said| !said.is_empty());
        let said = said.map(|said| format!(": {said}")).unwrap_or_default();
        let text = "of the runners the script marked the run as failed (exec.test.fail())";
        let text = format!("on {} {text}{said}", facts.failed_runners);
        add(Verdict::Inconclusive, Reason::RunnerInterrupted, text);
    }
    // What a script left behind is told; what the load did until then stands.
    for scenario in &status.scenarios {
        if let Some(why) = &scenario.teardown_message {
            add(Verdict::Pass, Reason::AllObjectivesMet, format!("scenario {}: {why}", scenario.name));
        }
    }
    let Some(load) = &status.load else { return };
    add(Verdict::Pass, Reason::AllObjectivesMet, load_line(status, load, facts));
    // The figures are as exact as those of few names.
    if let Some(text) = load.request_names.and_then(names::too_many) {
        add(Verdict::Pass, Reason::AllObjectivesMet, text);
    }
    let iterations = load.iterations.unwrap_or(0);
    if let Some(dropped) = load.dropped_iterations.filter(|d| *d > 0) {
        let share = dropped as f64 / (dropped + iterations) as f64;
        let text = format!(
            "{} of {} iterations ({}) were dropped: all virtual users were busy",
            count(dropped),
            count(dropped + iterations),
            percent(share)
        );
        add(Verdict::Pass, Reason::LoadNotDelivered, text);
    }
    if let Some(errors) = load.script_errors.filter(|errors| *errors > 0) {
        let (of, told) = (
            format!("{} errors in {} iterations", count(errors), count(iterations)),
            "see the runners' logs",
        );
        if errors >= iterations && load.iterations.is_some() {
            let text = format!("the script failed in every iteration ({of}): {told}");
            add(Verdict::Error, Reason::ScriptFailed, text);
        } else {
            let text = format!(
                "the script reported {of}; an iteration that throws sends no further requests: {told}"
            );
            add(Verdict::Warn, Reason::ScriptErrors, text);
        }
    }
}

/// `load: 9,204 requests in 1m31s (planned 1m30s)`
fn load_line(status: &LoadTestStatus, load: &LoadStatus, facts: &Facts) -> String {
    let requests =
        load.requests.map_or_else(|| "requests not counted".to_owned(), |n| format!("{} requests", count(n)));
    let ran = status.load_started().zip(status.load_ended()).and_then(|(from, to)| Interval::new(from, to));
    let lasted = ran.map(|ran| format!(" in {}", human(ran.length())));
    format!("load: {requests}{} (planned {})", lasted.unwrap_or_default(), human(facts.planned))
}

/// `not met: save-p95 in fault kill-dbman: 7.1% of 9,204 requests …`
fn line(objective: &ObjectiveStatus, window: &WindowResult) -> String {
    format!(
        "{}: {}{}: {}",
        ground::mark(window.outcome),
        objective.name,
        Window::words(window.window, window.fault.as_deref()),
        window.message.as_deref().unwrap_or("not measured")
    )
}

/// The sentence of the deciding ground, with the number of others that weigh as much.
fn sentence(decisive: &Ground, grounds: &[Ground]) -> String {
    let text = decisive.text.split_once(": ").map_or(decisive.text.as_str(), |(mark, rest)| match mark {
        "not met" | "warning" | "no data" | "unclear" | "too few" | "unmeasurable" | "unstable" => rest,
        _ => &decisive.text,
    });
    let others = grounds.iter().filter(|g| g.verdict == decisive.verdict).count() - 1;
    match others {
        0 => text.to_owned(),
        n => format!("{text} (and {n} more)"),
    }
}

fn all_met(status: &LoadTestStatus) -> String {
    let met = status.objectives.len();
    let requests = status.load.as_ref().and_then(|l| l.requests);
    let over = requests.map(|n| format!(" over {} requests", count(n))).unwrap_or_default();
    let recovery = display::slowest_recovery(status)
        .map(|slowest| format!("; slowest recovery {}", human(slowest)))
        .unwrap_or_default();
    let objectives =
        if met == 1 { "the objective was met".to_owned() } else { format!("all {met} objectives were met") };
    format!("{objectives}{over}{recovery}")
}

pub mod baseline;
pub mod display;
pub mod drift;
mod faults;
pub mod ground;
mod spikes;
mod system;
#[cfg(test)]
mod tests;
