//! Lines for a log, where there is no terminal.

use jiff::Timestamp;
use loadtest_crds::{FaultStatus, LoadTest, Phase};

use super::meter::Pace;
use super::standing::{Standing, is_ahead};
use crate::render::{faults, phase_of, phase_word, status, verdict_of, verdict_word};

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
pub fn changes(before: Option<&LoadTest>, after: &LoadTest, now: Timestamp) -> Vec<String> {
    let mut news = Vec::new();
    let standing = Standing::of(after, now);
    for fault in &after.spec.faults {
        let old = before.and_then(|before| faults::status_of(before, &fault.name));
        let Some(new) = faults::status_of(after, &fault.name) else { continue };
        if is_ahead(new) || old.is_some_and(|old| same_to_people(old, new)) {
            continue;
        }
        let (text, _) = standing.fault(&fault.name, fault.at.as_str());
        let pods: Vec<&str> = new.targets.iter().map(|target| target.name.as_str()).collect();
        let hit = if pods.is_empty() { String::new() } else { format!(" [{}]", pods.join(", ")) };
        news.push(format!("fault {}{hit}: {text}", fault.name));
    }
    let known = before.map(problems).unwrap_or_default();
    news.extend(problems(after).iter().filter(|p| !known.contains(p)).map(|p| format!("runner {p}")));
    if after.spec.stop && !before.is_some_and(|before| before.spec.stop) {
        news.push("stop asked for".to_owned());
    }
    news
}

fn same_to_people(old: &FaultStatus, new: &FaultStatus) -> bool {
    let recovered = |fault: &FaultStatus| fault.recovery.as_ref().and_then(|r| r.recover_milliseconds);
    old.state == new.state
        && faults::ready_milliseconds(old) == faults::ready_milliseconds(new)
        && recovered(old) == recovered(new)
}

fn problems(test: &LoadTest) -> &[String] {
    let runners = test.status.as_ref().and_then(|status| status.runners.as_ref());
    runners.map(|runners| runners.problems.as_slice()).unwrap_or_default()
}
