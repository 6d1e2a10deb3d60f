//! Lines for a log, where there is no terminal.

use jiff::Timestamp;
use loadtest_crds::{Fault, FaultState, FaultStatus, LoadTest, Phase};

use super::meter::Pace;
use super::standing::{Standing, is_ahead};
use crate::render::{faults, phase_of, phase_word, status, text, verdict_of, verdict_word};

/// Where the run stands, on one line.
pub fn summary(test: &LoadTest, now: Timestamp, pace: Option<Pace>) -> String {
    let standing = Standing::of(test, now);
    let phase = phase_of(test);
    let mut parts = vec![phase_word(phase).to_owned()];
    match phase {
        Phase::Running => {
            parts.push(standing.clock());
            parts.push(standing.load(pace));
            parts.extend(standing.errors().map(|(errors, _)| errors));
            parts.extend(standing.percentiles());
            parts.extend(standing.next_fault());
        }
        Phase::Finished => {
            parts.extend(verdict_of(test).map(|verdict| verdict_word(verdict).to_owned()));
            parts.extend(status::sentence(test, now));
        }
        Phase::Pending | Phase::Preparing | Phase::Evaluating => {
            parts.push(standing.load(None));
            parts.extend(status::sentence(test, now));
        }
    }
    parts.retain(|part| !part.is_empty());
    parts.join("  ")
}

/// What happened between two readings, a sentence each.
pub fn changes(before: Option<&LoadTest>, after: &LoadTest) -> Vec<String> {
    let mut news = Vec::new();
    let started = after.status.as_ref().and_then(|status| status.load_started());
    for spec in &after.spec.faults {
        let old = before.and_then(|before| faults::status_of(before, &spec.name));
        if let Some(new) = faults::status_of(after, &spec.name) {
            news.extend(fault_changes(spec, old, new, started));
        }
    }
    let known = before.map(problems).unwrap_or_default();
    news.extend(problems(after).iter().filter(|p| !known.contains(p)).map(|p| format!("runner {p}")));
    if after.spec.stop && !before.is_some_and(|before| before.spec.stop) {
        news.push("stop asked for".to_owned());
    }
    news
}

fn fault_changes(
    spec: &Fault,
    old: Option<&FaultStatus>,
    new: &FaultStatus,
    started: Option<Timestamp>,
) -> Vec<String> {
    let mut news = Vec::new();
    if !is_ahead(new) && old.is_none_or(|old| old.state != new.state) {
        news.push(outcome(new, started));
    }
    // Told once: the evaluation measures again what was seen while the load ran.
    let first =
        |known: &dyn Fn(&FaultStatus) -> Option<i64>| known(new).filter(|_| old.and_then(known).is_none());
    if let Some(ms) = first(&faults::ready_milliseconds) {
        news.push(format!("pods {} again after {}", faults::ready_behind(new), text::span(ms)));
    }
    if let Some(ms) = first(&|fault| fault.recovery.as_ref()?.recover_milliseconds) {
        let limit =
            spec.recovery.as_ref().map(|limit| format!(" (limit {})", limit.within)).unwrap_or_default();
        news.push(format!("recovered after {}{limit}", text::span(ms)));
    }
    news.into_iter().map(|text| format!("fault {}: {text}", spec.name)).collect()
}

/// How the injection went.
fn outcome(fault: &FaultStatus, started: Option<Timestamp>) -> String {
    let detail = fault.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
    let mut text = match fault.state {
        FaultState::Injected => "injected".to_owned(),
        FaultState::Failed => return format!("failed{detail}"),
        FaultState::Unconfirmed => return format!("not known whether injected{detail}"),
        FaultState::Pending | FaultState::Intended | FaultState::NotInjected => {
            return format!("not injected{detail}");
        }
    };
    if let (Some(injected), Some(started)) = (&fault.injected_at, started) {
        text.push_str(&format!(" at {}", text::clock(text::between(started, injected.0))));
    }
    if let Some(late) = fault.timing_error_milliseconds {
        text.push_str(&format!(", {} late", text::span(late)));
    }
    let pods = faults::pods(fault);
    if !pods.is_empty() {
        text.push_str(&format!(", into {}", pods.join(", ")));
    }
    text
}

fn problems(test: &LoadTest) -> &[String] {
    let runners = test.status.as_ref().and_then(|status| status.runners.as_ref());
    runners.map(|runners| runners.problems.as_slice()).unwrap_or_default()
}
