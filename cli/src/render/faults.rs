//! The faults of a run: when each came, whom it hit, and how long the system needed.

use jiff::Timestamp;
use loadtest_crds::{Fault, FaultState, FaultStatus, LoadTest, Outcome, Phase, TargetState};

use super::paint::Tone;
use super::table::{self, Column, Field, plain};
use super::{Page, outcome_word, phase_of, text};

const COLUMNS: [Column; 9] = [
    table::breaking("FAULT"),
    table::number("DUE"),
    table::text("INJECTED"),
    table::number("LATE"),
    table::breaking("PODS"),
    table::number("READY"),
    table::number("RECOVERED"),
    table::number("WITHIN"),
    table::text("RESULT"),
];

/// Narrower pages have no room for the names of pods beside the figures, and show them below.
const WIDE: u16 = 95;

/// Targets shown by name; the rest are counted.
const SHOWN_PODS: usize = 5;

/// Services shown by name; more are counted.
const SHOWN_SERVICES: usize = 3;

/// The table of faults with notes on what went wrong below it. Empty when there are none.
pub fn render(test: &LoadTest, page: Page) -> String {
    if test.spec.faults.is_empty() {
        return String::new();
    }
    let started = test.status.as_ref().and_then(|s| s.load.as_ref()).and_then(|l| l.started_at.as_ref());
    let over = phase_of(test) == Phase::Finished;
    let mut rows = Vec::new();
    let mut below = Vec::new();
    for fault in &test.spec.faults {
        let status = status_of(test, &fault.name).cloned().unwrap_or_else(|| pending(&fault.name));
        let pods = pods(&status);
        if page.width < WIDE && !pods.is_empty() {
            below.push(("  ", format!("{}: {}", fault.name, pods.join(", "))));
        }
        let beside = if page.width < WIDE { String::new() } else { pods.join("\n") };
        rows.push(row(fault, &status, started.map(|time| time.0), beside, over));
        below.extend(problems(&status).into_iter().map(|problem| ("  ! ", problem)));
    }
    let mut out = table::render(&COLUMNS, &rows, page.width, page.paint);
    for (mark, note) in below {
        out.push_str(&text::wrap(&note, usize::from(page.width), mark, "    "));
        out.push('\n');
    }
    out
}

/// What the operator says about a fault of the spec, if it has said anything yet.
pub fn status_of<'a>(test: &'a LoadTest, name: &str) -> Option<&'a FaultStatus> {
    test.status.as_ref()?.faults.iter().find(|status| status.name == name)
}

fn pending(name: &str) -> FaultStatus {
    FaultStatus { name: name.to_owned(), ..FaultStatus::default() }
}

fn row(
    fault: &Fault,
    status: &FaultStatus,
    started: Option<Timestamp>,
    pods: String,
    over: bool,
) -> Vec<Field> {
    let due = match (started, &status.due_at) {
        (Some(started), Some(due)) => text::span(text::between(started, due.0)),
        _ => fault.at.to_string(),
    };
    let recovery = status.recovery.as_ref();
    let within = recovery
        .and_then(|recovery| recovery.within.clone())
        .or_else(|| fault.recovery.as_ref().map(|limit| limit.within.to_string()))
        .unwrap_or_default();
    let in_ms = |ms: Option<i64>| ms.map(text::span).unwrap_or_default();
    vec![
        plain(&fault.name),
        plain(due),
        injected(status, over),
        plain(in_ms(status.timing_error_milliseconds)),
        plain(pods),
        plain(in_ms(ready_milliseconds(status))),
        recovered(fault, status, over),
        plain(within),
        result(fault, status, over),
    ]
}

/// Time from the injection until as many pods as before were ready, and served their Services.
pub fn ready_milliseconds(status: &FaultStatus) -> Option<i64> {
    status.recovery.as_ref().and_then(|recovery| recovery.ready_milliseconds).or_else(|| {
        let (from, to) = (status.injected_at.as_ref()?, status.replaced_at.as_ref()?);
        Some(text::between(from.0, to.0))
    })
}

/// What was ready then: the pods, or the pods and their Services.
pub fn ready_behind(status: &FaultStatus) -> String {
    let names: Vec<&str> = status.services.iter().map(|service| service.name.as_str()).collect();
    match names.as_slice() {
        [] => "ready".to_owned(),
        [one] => format!("ready behind Service {one}"),
        [..] if names.len() <= SHOWN_SERVICES => format!("ready behind Services {}", names.join(", ")),
        [..] => format!("ready behind {} Services", names.len()),
    }
}

fn injected(status: &FaultStatus, over: bool) -> Field {
    match (status.state, &status.injected_at) {
        (FaultState::Injected, Some(time)) => plain(text::time_of_day(time.0)),
        (FaultState::Injected, None) => plain("yes"),
        (FaultState::Pending | FaultState::Intended, _) if !over => ("not yet".to_owned(), Tone::Faint),
        (FaultState::Failed, _) => ("failed".to_owned(), Tone::Bad),
        (FaultState::Unconfirmed, _) => ("unconfirmed".to_owned(), Tone::Unknown),
        (FaultState::Pending | FaultState::Intended | FaultState::NotInjected, _) => {
            ("no".to_owned(), Tone::Unknown)
        }
    }
}

fn recovered(fault: &Fault, status: &FaultStatus, over: bool) -> Field {
    let missed = status.recovery.as_ref().is_some_and(|recovery| recovery.outcome == Outcome::Missed);
    match status.recovery.as_ref().map(|recovery| recovery.recover_milliseconds) {
        Some(Some(ms)) => plain(text::span(ms)),
        Some(None) if over && fault.recovery.is_some() && missed => ("no".to_owned(), Tone::Bad),
        _ => plain(""),
    }
}

/// Names of the pods that the fault picked, the first few of them.
pub fn pods(status: &FaultStatus) -> Vec<String> {
    let mut names: Vec<String> =
        status.targets.iter().take(SHOWN_PODS).map(|target| target.name.clone()).collect();
    if status.targets.len() > SHOWN_PODS {
        names.push(format!("and {} more", status.targets.len() - SHOWN_PODS));
    }
    names
}

fn result(fault: &Fault, status: &FaultStatus, over: bool) -> Field {
    let injected = status.state == FaultState::Injected;
    let budget = status.budget.as_ref().map(|budget| budget.outcome);
    match (&status.recovery, &fault.recovery) {
        (_, None) if fault.budget.is_none() => ("not judged".to_owned(), Tone::Faint),
        (Some(recovery), _) if over || recovery.recovered_at.is_some() => {
            // The worse of the two, where both are judged.
            let own = fault.recovery.as_ref().map(|_| recovery.outcome);
            let outcome = own.max(budget).unwrap_or_default();
            (outcome_word(outcome).to_owned(), Tone::of_outcome(outcome))
        }
        _ if injected && !over => ("recovering".to_owned(), Tone::Caution),
        _ => (String::new(), Tone::Plain),
    }
}

fn problems(status: &FaultStatus) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(message) = &status.message {
        notes.push(format!("{}: {message}", status.name));
    }
    if let Some(missing) = &status.missing {
        notes.push(format!("{}: not replaced when the load ended: {missing}", status.name));
    }
    let recovery = status.recovery.as_ref().filter(|recovery| recovery.outcome != Outcome::Met);
    if let Some(message) = recovery.and_then(|recovery| recovery.message.as_ref()) {
        notes.push(format!("{}: {message}", status.name));
    }
    let budget = status.budget.as_ref().filter(|budget| budget.outcome != Outcome::Met);
    if let Some(message) = budget.and_then(|budget| budget.message.as_ref()) {
        notes.push(format!("{}: {message}", status.name));
    }
    for target in &status.targets {
        if matches!(target.state, TargetState::Failed | TargetState::Unconfirmed) {
            let message = target.message.as_deref().unwrap_or("it is not known whether it was hit");
            notes.push(format!("{}: pod {}/{}: {message}", status.name, target.namespace, target.name));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use loadtest_crds::{Budget, BudgetStatus, RecoveryLimit, RecoveryStatus, ServedService};

    use super::*;

    #[test]
    fn what_was_ready_is_the_pods_or_their_services() {
        for (services, words) in [
            ("", "ready"),
            ("a", "ready behind Service a"),
            ("a b c", "ready behind Services a, b, c"),
            ("a b c d", "ready behind 4 Services"),
        ] {
            let services = services.split_whitespace().map(str::to_owned);
            let services = services.map(|name| ServedService { name, ready_before: 2 }).collect();
            assert_eq!(ready_behind(&FaultStatus { services, ..pending("kill") }), words);
        }
    }

    #[test]
    fn what_was_not_replaced_is_noted() {
        let status = FaultStatus { missing: Some("1 of 2 ready".to_owned()), ..pending("kill") };
        assert_eq!(problems(&status), ["kill: not replaced when the load ended: 1 of 2 ready"]);
    }

    /// By the outcomes of the recovery and the budget, where they are asked for.
    #[test]
    fn the_result_of_a_fault_is_the_worse_of_its_recovery_and_its_budget() {
        for (recovery, budget, word) in [
            (None, None, "not judged"),
            (Some(Outcome::Missed), None, outcome_word(Outcome::Missed)),
            (None, Some(Outcome::Missed), outcome_word(Outcome::Missed)),
            (Some(Outcome::Met), Some(Outcome::Met), outcome_word(Outcome::Met)),
            (Some(Outcome::Met), Some(Outcome::NoData), outcome_word(Outcome::NoData)),
        ] {
            let fault = Fault {
                recovery: recovery.map(|_| RecoveryLimit::default()),
                budget: budget.map(|_| Budget::default()),
                ..Fault::default()
            };
            // A recovery is measured for a budget alone too.
            let outcome = recovery.unwrap_or_default();
            let status = FaultStatus {
                state: FaultState::Injected,
                recovery: Some(RecoveryStatus { outcome, ..RecoveryStatus::default() }),
                budget: budget.map(|outcome| BudgetStatus {
                    outcome,
                    message: Some("60 bad requests, limit 10".to_owned()),
                    ..BudgetStatus::default()
                }),
                ..pending("kill")
            };
            assert_eq!(result(&fault, &status, true).0, word);
            let said = problems(&status).iter().any(|note| note == "kill: 60 bad requests, limit 10");
            assert_eq!(
                said,
                budget.is_some_and(|outcome| outcome != Outcome::Met),
                "{recovery:?} {budget:?}"
            );
        }
    }
}
