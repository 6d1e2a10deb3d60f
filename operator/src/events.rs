//! Kubernetes events: what a person wants to see in `kubectl describe`, derived from two statuses.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Resource,
    runtime::events::{Event, EventType},
};
use loadtest_core::evaluate::names;
use loadtest_crds::{FaultState, LoadTest, LoadTestStatus, Phase, Verdict};

use crate::{
    context::Context,
    run::refused::{Cause, GivenUp, Refusal},
};

/// Publishes what changed. An event that cannot be published is only logged: the status has it all.
pub fn publish(context: &Context, object: &LoadTest, before: &LoadTestStatus, after: &LoadTestStatus) {
    send(context, object, between(before, after));
}

/// Publishes why nothing can be recorded.
pub fn refused(context: &Context, object: &LoadTest, refusal: &Refusal) {
    send(context, object, [of_refusal(refusal)]);
}

/// Publishes what an effect was refused.
pub fn given_up(context: &Context, object: &LoadTest, what: &str, refused: &GivenUp) {
    send(context, object, [of_given_up(what, refused)]);
}

/// Publishes which pods are not waited for any more, and why they could not be deleted, if so.
pub fn left_behind(context: &Context, object: &LoadTest, pods: &[&str], undeleted: Option<&str>) {
    let why = match undeleted {
        Some(why) => format!(
            "pods could not be deleted ({}); they end at their activeDeadlineSeconds, and go with the LoadTest",
            first(300, why)
        ),
        None => "deleted pods are still there long after their grace period, as on a node that is lost; if it comes \
                 back it ends them"
            .to_owned(),
    };
    let note = format!("{} {why}: {}", pods.len(), pods.join(", "));
    send(context, object, [event(EventType::Warning, "PodsLeftBehind", "Run", &note)]);
}

fn send(context: &Context, object: &LoadTest, events: impl IntoIterator<Item = Event>) {
    let reference: ObjectReference = object.object_ref(&());
    for event in events {
        let (recorder, reference) = (context.recorder.clone(), reference.clone());
        tokio::spawn(async move {
            if let Err(error) = recorder.publish(&event, &reference).await {
                tracing::debug!(%error, "failed to publish an event");
            }
        });
    }
}

/// The recorder merges events of one reason and action, and keeps the first note: so the fault, or the field, is the
/// action.
fn event(type_: EventType, reason: &str, action: &str, note: &str) -> Event {
    Event {
        type_,
        reason: reason.to_owned(),
        note: Some(first(1000, note).to_owned()),
        action: first(128, action).to_owned(),
        secondary: None,
    }
}

/// So many of the first characters: the API server refuses longer texts.
fn first(most: usize, text: &str) -> &str {
    text.char_indices().nth(most).map_or(text, |(at, _)| &text[..at])
}

fn of_refusal(refusal: &Refusal) -> Event {
    let why = refusal.to_string();
    let note = format!(
        "the API server refuses the record of this run: {}; {}. Until then the run waits; stop and delete work.",
        first(600, &why),
        refusal.cause.advice()
    );
    event(EventType::Warning, "StatusRefused", &refusal.field, &note)
}

fn of_given_up(what: &str, refused: &GivenUp) -> Event {
    let advice = match refused.cause {
        Some(cause @ (Cause::Forbidden | Cause::Unwanted)) => cause.advice(),
        // Not of a LoadTest, but of what the operator makes by itself.
        Some(Cause::Invalid | Cause::TooLarge) => {
            "look at the admission webhooks and policies that change or check it, and at the log of the API server"
        }
        None => "look at the API server and its etcd: whether they are well",
    };
    let note = format!("failed to {what}: {}; {advice}. It is not tried again.", first(600, &refused.why));
    event(EventType::Warning, "GivenUp", what, &note)
}

fn between(before: &LoadTestStatus, after: &LoadTestStatus) -> Vec<Event> {
    let mut events = Vec::new();
    let mut push =
        |type_, reason: &str, action: &str, note: String| events.push(event(type_, reason, action, &note));
    if before.phase != after.phase {
        let message = after.message.clone().unwrap_or_default();
        match after.phase {
            Phase::Pending | Phase::Evaluating => {}
            Phase::Preparing => push(EventType::Normal, "Preparing", "Run", message),
            Phase::Running => push(EventType::Normal, "LoadStarted", "Run", message),
            Phase::Finished => {
                let verdict = after.verdict.unwrap_or(Verdict::Error);
                let type_ = if verdict == Verdict::Pass { EventType::Normal } else { EventType::Warning };
                push(type_, verdict.as_str(), "Run", message);
            }
        }
    }
    let too_many = |status: &LoadTestStatus| {
        status.load.as_ref().and_then(|load| load.request_names).and_then(names::too_many)
    };
    if let Some(why) = too_many(after).filter(|_| too_many(before).is_none()) {
        push(EventType::Warning, "ManyRequestNames", "Run", why);
    }
    if let Some(guardrail) = after.stopper().filter(|_| before.stopper().is_none()) {
        let why = guardrail.message.clone().unwrap_or_default();
        push(EventType::Warning, "GuardrailBreached", &guardrail.name, format!("{}: {why}", guardrail.name));
    }
    for scenario in &after.scenarios {
        let old = before.scenarios.iter().find(|s| s.name == scenario.name);
        let told = old.is_some_and(|old| old.teardown_message.is_some());
        if let Some(why) = scenario.teardown_message.as_ref().filter(|_| !told) {
            push(
                EventType::Warning,
                "TeardownFailed",
                &scenario.name,
                format!("scenario {}: {why}", scenario.name),
            );
        }
    }
    for fault in &after.faults {
        let old =
            before.faults.iter().find(|f| f.name == fault.name).map_or(FaultState::Pending, |f| f.state);
        if old == fault.state {
            continue;
        }
        let pods = fault.targets.iter().map(|t| t.name.as_str()).collect::<Vec<_>>().join(", ");
        let why = fault.message.clone().unwrap_or_default();
        match fault.state {
            FaultState::Pending => {}
            FaultState::Intended => {
                push(EventType::Normal, "FaultIntended", &fault.name, format!("{}: {pods}", fault.name))
            }
            FaultState::Injected => {
                push(EventType::Normal, "FaultInjected", &fault.name, format!("{}: {pods}", fault.name))
            }
            FaultState::Failed => {
                push(EventType::Warning, "FaultFailed", &fault.name, format!("{}: {why}", fault.name))
            }
            FaultState::Unconfirmed => {
                push(EventType::Warning, "FaultUnconfirmed", &fault.name, format!("{}: {why}", fault.name))
            }
            FaultState::NotInjected => {
                push(EventType::Warning, "FaultNotInjected", &fault.name, format!("{}: {why}", fault.name))
            }
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use loadtest_crds::{LoadStatus, ScenarioStatus};
    use rstest::rstest;

    use super::*;

    fn status(request_names: Option<i64>) -> LoadTestStatus {
        let load = Some(LoadStatus { request_names, ..LoadStatus::default() });
        LoadTestStatus { load, ..LoadTestStatus::default() }
    }

    #[test]
    fn that_there_are_many_request_names_is_told_once() {
        let counts = [None, Some(200), Some(201), Some(7722)];
        let told = counts.windows(2).flat_map(|two| between(&status(two[0]), &status(two[1])));
        let told: Vec<_> = told.map(|event| (event.reason, event.note.unwrap_or_default())).collect();
        let [(reason, note)] = &told[..] else { panic!("{told:?}") };
        assert_eq!(reason, "ManyRequestNames");
        assert!(
            note.starts_with("201 different request names: ") && note.contains("{name: 'Room'}"),
            "{note}"
        );
    }

    #[rstest]
    #[case::a_right(Some(Cause::Forbidden), "webhooks: kubectl get validatingwebhookconfigurations.")]
    #[case::what_stands_between(Some(Cause::Unwanted), "what stands between it and the operator.")]
    #[case::a_policy(Some(Cause::Invalid), "webhooks and policies that change or check it, and")]
    #[case::an_api_server_that_is_not_well(None, "its etcd: whether they are well.")]
    fn what_is_given_up_is_told_with_what_to_do_about_its_cause(
        #[case] cause: Option<Cause>,
        #[case] words: &str,
    ) {
        let event = of_given_up("keep the logs", &GivenUp { cause, why: "no".to_owned() });
        let note = event.note.unwrap_or_default();
        assert!(note.starts_with("failed to keep the logs: no; ") && note.contains(words), "{note}");
    }

    #[test]
    fn a_teardown_that_failed_is_told_once() {
        let of = |why: Option<&str>| LoadTestStatus {
            scenarios: vec![ScenarioStatus {
                name: "a".to_owned(),
                teardown_message: why.map(str::to_owned),
                ..ScenarioStatus::default()
            }],
            ..LoadTestStatus::default()
        };
        let failed = of(Some("teardown() failed: Error: no database"));
        let events = between(&of(None), &failed);
        let [event] = events.as_slice() else { panic!("{} events", events.len()) };
        let note = event.note.as_deref();
        assert_eq!((event.reason.as_str(), event.action.as_str()), ("TeardownFailed", "a"));
        assert_eq!(note, Some("scenario a: teardown() failed: Error: no database"));
        assert!(between(&failed, &failed).is_empty());
    }
}
