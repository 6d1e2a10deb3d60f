//! Faults: all that reaches the targets, with the rights of the LoadTest's service account and no others.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::{core::v1::Pod, discovery::v1::EndpointSlice};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Preconditions},
};
use loadtest_core::{
    evaluate::fault::steady::Steady,
    machine::{
        fact::Fact,
        pick::Candidate,
        serving,
        world::{KillResult, Problem, TargetSeen},
    },
    plan::fault::{Action, FaultPlan},
};
use loadtest_crds::{LoadTestStatus, TargetStatus};

use super::{Shared, evaluate};
use crate::{clients::EffectClient, error::said, failpoint, prometheus::Purpose};

/// How long one deletion, one look at a target or one list of them may take before it counts as unanswered.
const ANSWER: Duration = Duration::from_secs(5);
/// Before a question that had no answer is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// The client of the LoadTest's service account.
pub fn effect_client(s: &Shared) -> Result<EffectClient, Problem> {
    let account = s.plan.service_account.as_deref().ok_or_else(|| Problem {
        reason: "NoServiceAccount",
        message: "faults need spec.serviceAccountName".to_owned(),
    })?;
    s.context.effects.of(&s.context.own, &s.plan.names.namespace, account).map_err(|error| Problem {
        reason: "ServiceAccountUnusable",
        message: format!("failed to act as service account {account}: {}", said(&error)),
    })
}

/// The pods behind a fault's selector, and what they serve. It also warms the connection that the effect will use.
/// An API server that gives no answer is asked again for as long as the fault may be sent.
pub async fn list_candidates(s: Arc<Shared>, fault: String, latest: Timestamp) {
    let result = match s.plan.fault(&fault) {
        Some(plan) => {
            let unanswered = |why: String| {
                tracing::warn!(error = why, fault, "failed to list its targets, trying again");
                s.tell(Fact::Unlisted { fault: fault.clone(), why });
            };
            insist(latest, || in_time(&s, plan), unanswered).await.map_err(Unlisted::into_problem)
        }
        None => Ok(Vec::new()),
    };
    s.tell(Fact::Listed { fault, result });
}

async fn in_time(s: &Shared, plan: &FaultPlan) -> Result<Vec<Candidate>, Unlisted> {
    match tokio::time::timeout(ANSWER, list(s, plan)).await {
        Ok(answer) => answer,
        Err(_) => Err(Unlisted::Silent),
    }
}

/// Asks until there is an answer, or it comes too late.
async fn insist<T, F: Future<Output = Result<T, Unlisted>>>(
    latest: Timestamp,
    attempt: impl Fn() -> F,
    unanswered: impl Fn(String),
) -> Result<T, Unlisted> {
    loop {
        match attempt().await {
            Err(unlisted) if unlisted.is_no_answer() && Timestamp::now() < latest => {
                unanswered(unlisted.into_problem().message);
                tokio::time::sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}

/// Lists the pods that a fault may take, with the Services that have a ready endpoint of them.
pub async fn candidates(s: &Shared, plan: &FaultPlan) -> Result<Vec<Candidate>, Problem> {
    list(s, plan).await.map_err(Unlisted::into_problem)
}

/// Why there is no list.
enum Unlisted {
    Powerless(Problem),
    Silent,
    Failed { what: String, error: kube::Error },
}

impl Unlisted {
    /// The same question may have an answer a moment later.
    fn is_no_answer(&self) -> bool {
        match self {
            Self::Powerless(_) => false,
            Self::Failed { error: kube::Error::Api(refusal), .. } => is_no_answer(refusal.code),
            Self::Silent | Self::Failed { .. } => true,
        }
    }

    fn into_problem(self) -> Problem {
        match self {
            Self::Powerless(problem) => problem,
            Self::Silent => Problem {
                reason: "TargetsUnreadable",
                message: format!("no answer to the list of pods within {} s", ANSWER.as_secs()),
            },
            Self::Failed { what, error } => {
                Problem { reason: "TargetsUnreadable", message: format!("{what}: {}", said(&error)) }
            }
        }
    }
}

/// The API server was too busy, or not well: a moment later it may answer.
fn is_no_answer(code: u16) -> bool {
    matches!(code, 408 | 429) || code >= 500
}

async fn list(s: &Shared, plan: &FaultPlan) -> Result<Vec<Candidate>, Unlisted> {
    let effect = effect_client(s).map_err(Unlisted::Powerless)?;
    let pods: Api<Pod> = Api::namespaced(effect.client.clone(), &plan.namespace);
    let slices: Api<EndpointSlice> = Api::namespaced(effect.client.clone(), &plan.namespace);
    let matching = ListParams::default().labels(&plan.selector_text());
    let every = ListParams::default();
    let (pods, slices) = tokio::join!(pods.list(&matching), slices.list(&every));
    let failed = |what: &str, error: kube::Error| Unlisted::Failed {
        what: format!("{} cannot list the {what} in namespace {}", effect.user, plan.namespace),
        error,
    };
    let pods = pods.map_err(|error| failed("pods", error))?;
    let slices = slices.map_err(|error| failed("EndpointSlices", error))?;
    Ok(serving::candidates(&pods.items, &slices.items))
}

/// Asks whether the system is healthy just before a fault. Not asked twice: the fault does not wait for it.
pub async fn check_steady(s: Arc<Shared>, fault: String, status: LoadTestStatus) {
    let stores = s.stores();
    let Some(steady) = Steady::ask(&s.plan, &fault, &status, &evaluate::settings(&s), Timestamp::now())
    else {
        return;
    };
    let answers = join_all(steady.requests().into_iter().map(|request| {
        let stores = &stores;
        async move { (request.id, evaluate::answered(stores.answer(&request, Purpose::Look).await)) }
    }))
    .await;
    let health = steady.judge(answers);
    s.tell(Fact::Steady { fault, health });
}

/// Looks recorded targets up again, for an intent that an earlier process left.
pub async fn look_again(s: Arc<Shared>, fault: String, targets: Vec<TargetStatus>) {
    let effect = effect_client(&s);
    let seen = join_all(targets.into_iter().map(|target| {
        let effect = &effect;
        async move {
            let seen = match effect {
                Ok(effect) => look(effect, &target).await,
                Err(problem) => TargetSeen::Unknown(problem.message.clone()),
            };
            (target.uid, seen)
        }
    }))
    .await;
    s.tell(Fact::LookedAgain { fault, targets: seen.into_iter().collect() });
}

async fn look(effect: &EffectClient, target: &TargetStatus) -> TargetSeen {
    let api: Api<Pod> = Api::namespaced(effect.client.clone(), &target.namespace);
    match tokio::time::timeout(ANSWER, api.get_opt(&target.name)).await {
        Ok(Ok(found)) => TargetSeen::of(found.as_ref(), &target.uid),
        Ok(Err(error)) => TargetSeen::Unknown(said(&error)),
        // The end of a run waits for this.
        Err(_) => TargetSeen::Unknown(format!("no answer within {} s", ANSWER.as_secs())),
    }
}

/// Deletes the targets, all at once, and none after `latest`.
pub async fn kill(s: Arc<Shared>, fault: String, targets: Vec<TargetStatus>, latest: Timestamp) {
    failpoint::hit("kill-intended");
    let grace = match s.plan.fault(&fault).map(|f| f.action) {
        Some(Action::PodKill { grace_period_seconds }) => grace_period_seconds,
        None => 0,
    };
    let effect = effect_client(&s);
    let results = join_all(targets.into_iter().map(|target| {
        let effect = &effect;
        async move {
            let result = match effect {
                Ok(effect) => delete(effect, &target, grace, latest).await,
                Err(p) => KillResult::Refused { sent: Timestamp::now(), message: p.message.clone() },
            };
            (target.uid, result)
        }
    }))
    .await;
    failpoint::hit("kill-sent");
    s.tell(Fact::Killed { fault, results: results.into_iter().collect() });
}

/// One deletion, with the recorded uid as its precondition: it cannot hit another pod, and it cannot happen
/// twice. So an unanswered one may be sent again if the pod is seen to live.
async fn delete(effect: &EffectClient, target: &TargetStatus, grace: u32, latest: Timestamp) -> KillResult {
    let api: Api<Pod> = Api::namespaced(effect.client.clone(), &target.namespace);
    let params = DeleteParams {
        grace_period_seconds: Some(grace),
        preconditions: Some(Preconditions { uid: Some(target.uid.clone()), resource_version: None }),
        ..DeleteParams::default()
    };
    let first = Timestamp::now();
    if first > latest {
        let message = "the operator was held up when it was due, for too long".to_owned();
        return KillResult::TooLate { message };
    }
    for attempt in 0..2 {
        // Until just before the second one is sent the pod was seen to live.
        let sent = Timestamp::now();
        let failure = match tokio::time::timeout(ANSWER, api.delete(&target.name, &params)).await {
            Ok(Ok(_)) => return KillResult::Done { sent, acknowledged: Timestamp::now() },
            // Not found, or the uid is another's: picked two seconds ago, and gone now. By whom is not known: an
            // operator that acts beside this one would leave the same trace.
            Ok(Err(kube::Error::Api(refusal))) if matches!(refusal.code, 404 | 409) && attempt == 0 => {
                let message = "found gone when the fault was due: not provably ours".to_owned();
                return KillResult::Unconfirmed { sent: first, message };
            }
            Ok(Err(kube::Error::Api(refusal))) if !is_no_answer(refusal.code) && attempt == 0 => {
                let message = format!("{} was refused: {}", effect.user, refusal.message);
                return KillResult::Refused { sent, message };
            }
            Ok(Err(error)) => said(&error),
            Err(_) => format!("no answer within {} s", ANSWER.as_secs()),
        };
        tracing::warn!(pod = target.name, failure, "a deletion was not acknowledged");
        if attempt == 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let lives = matches!(look(effect, target).await, TargetSeen::Alive);
        if attempt == 1 || !lives || Timestamp::now() > latest {
            return KillResult::Unconfirmed { sent: first, message: failure };
        }
    }
    KillResult::Unconfirmed { sent: first, message: "no answer".to_owned() }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use kube::{Client, Config, core::Status};
    use rstest::rstest;
    use serde_json::{Value, json};
    use wiremock::{
        Mock, MockServer, Request, ResponseTemplate,
        matchers::{any, method},
    };

    use super::*;

    fn failed(code: u16) -> Unlisted {
        let refusal = Status::failure("", "").with_code(code).boxed();
        Unlisted::Failed { what: "chaos cannot list the pods".to_owned(), error: kube::Error::Api(refusal) }
    }

    /// Answers to one question after the other, how long they may come, and how often it is asked.
    #[rstest]
    #[case::at_last(&[503, 429, 200], 30, true, 3)]
    #[case::refused(&[403, 200], 30, false, 1)]
    #[case::too_late(&[503, 200], -1, false, 1)]
    #[tokio::test]
    async fn a_list_without_an_answer_is_asked_for_again(
        #[case] codes: &[u16],
        #[case] left: i64,
        #[case] answered: bool,
        #[case] expected: usize,
    ) {
        let asked = AtomicUsize::new(0);
        let latest = Timestamp::now() + jiff::SignedDuration::from_secs(left);
        let told = AtomicUsize::new(0);
        let attempt = || async {
            match codes[asked.fetch_add(1, Ordering::Relaxed)] {
                200 => Ok(()),
                code => Err(failed(code)),
            }
        };
        let unanswered = |why: String| {
            assert!(why.starts_with("chaos cannot list the pods: "), "{why}");
            told.fetch_add(1, Ordering::Relaxed);
        };
        let result = insist(latest, attempt, unanswered).await;
        assert_eq!(
            (result.is_ok(), asked.into_inner(), told.into_inner()),
            (answered, expected, expected - 1)
        );
    }

    fn target() -> TargetStatus {
        TargetStatus {
            namespace: "chat".to_owned(),
            name: "dbman-0".to_owned(),
            uid: "4f1c".to_owned(),
            ..TargetStatus::default()
        }
    }

    fn refusal(code: u16) -> ResponseTemplate {
        let status =
            json!({"kind": "Status", "status": "Failure", "message": "no", "reason": "No", "code": code});
        ResponseTemplate::new(code).set_body_json(status)
    }

    /// What came of a deletion whose first answer is a refusal; the pod lives until there is another.
    #[rstest]
    #[case::too_busy(429, 2)]
    #[case::failing(503, 2)]
    #[case::forbidden(403, 1)]
    #[tokio::test]
    async fn an_api_server_that_is_busy_has_not_refused(#[case] code: u16, #[case] expected: usize) {
        let server = MockServer::start().await;
        Mock::given(method("DELETE")).respond_with(refusal(code)).up_to_n_times(1).mount(&server).await;
        let deleted =
            ResponseTemplate::new(200).set_body_json(json!({"kind": "Status", "status": "Success"}));
        Mock::given(method("DELETE")).respond_with(deleted).mount(&server).await;
        let pod = json!({"metadata": {"name": "dbman-0", "uid": "4f1c"}});
        let pod = ResponseTemplate::new(200).set_body_json(pod);
        Mock::given(method("GET")).respond_with(pod).mount(&server).await;
        // As faults have it: each answer is seen, and none is retried away.
        let mut config = Config::new(server.uri().parse().unwrap());
        config.default_retry = false;
        let effect = EffectClient { client: Client::try_from(config).unwrap(), user: "chaos".to_owned() };

        let begun = Timestamp::now();
        let latest = begun + jiff::SignedDuration::from_secs(30);
        let result = delete(&effect, &target(), 0, latest).await;
        let sent: Vec<Request> = server.received_requests().await.unwrap();
        assert_eq!(sent.iter().filter(|r| r.method.as_str() == "DELETE").count(), expected, "{result:?}");
        match result {
            // It is what the second one did: until then the pod was seen to live.
            KillResult::Done { sent, .. } => assert!(expected == 2 && sent >= begun + PAUSE),
            other => assert!(expected == 1 && matches!(other, KillResult::Refused { .. }), "{other:?}"),
        }
    }

    /// How often a deletion is sent where it may be sent up to so many seconds from now.
    #[rstest]
    #[case::in_time(30, 1)]
    #[case::held_up(-1, 0)]
    #[tokio::test]
    async fn nothing_is_sent_too_late(#[case] left: i64, #[case] expected: usize) {
        let server = MockServer::start().await;
        let pod = ResponseTemplate::new(200).set_body_json(json!({"kind": "Status", "status": "Success"}));
        Mock::given(any()).respond_with(pod).mount(&server).await;
        let client = Client::try_from(Config::new(server.uri().parse().unwrap())).unwrap();
        let effect = EffectClient { client, user: "chaos".to_owned() };
        let latest = Timestamp::now() + jiff::SignedDuration::from_secs(left);
        let result = tokio::time::timeout(Duration::from_secs(10), delete(&effect, &target(), 0, latest))
            .await
            .unwrap();
        let sent: Vec<Request> = server.received_requests().await.unwrap();
        assert_eq!(sent.len(), expected, "{result:?}");
        assert_eq!(matches!(result, KillResult::Done { .. }), expected == 1, "{result:?}");
        assert_eq!(matches!(result, KillResult::TooLate { .. }), expected == 0, "{result:?}");
        for request in sent {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            assert_eq!(body["preconditions"], json!({"uid": "4f1c"}));
        }
    }
}
