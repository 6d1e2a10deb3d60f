//! What can be checked before anything starts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::future::join_all;
use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    core::v1::ServiceAccount,
};
use kube::{Api, api::PostParams};
use loadtest_core::{
    evaluate::fit,
    machine::{fact::Fact, pick, world::Problem},
    plan::{ScenarioPlan, fault::FaultPlan, fingerprint, system::WatchPlan},
    prometheus::{ask::Answer, promql},
};
use loadtest_crds::ScriptConfigMap;

use super::{Shared, faults, guardrails, system};
use crate::{error::said, otlp};

/// What the LoadTest's account must be allowed to do in a namespace.
#[derive(Clone, Copy, Debug)]
struct Right {
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
}

/// To kill pods, and see when as many serve again.
const FAULT: &[Right] = &[
    Right { group: "", resource: "pods", verbs: &["list", "watch", "get", "delete"] },
    Right { group: "discovery.k8s.io", resource: "endpointslices", verbs: &["list", "watch"] },
];

/// To watch a part of the system under test.
const WATCH: &[Right] = &[Right { group: "", resource: "pods", verbs: &["list", "watch"] }];

/// All checks at once; the problems in the order of the spec.
pub async fn check(s: Arc<Shared>) {
    let (scripts, stores, faults, every) = tokio::join!(
        join_all(s.plan.scenarios.iter().filter_map(|scenario| {
            let map = scenario.spec.script.config_map.as_ref()?;
            Some(script(&s, scenario, map))
        })),
        stores(&s),
        targets(&s),
        scraped_every(&s)
    );
    let mut hashes = BTreeMap::new();
    let mut problems = Vec::new();
    for (scenario, script) in scripts {
        match script {
            Ok(hash) => drop(hashes.insert(scenario, hash)),
            Err(problem) => problems.push(problem),
        }
    }
    problems.extend(stores.into_iter().chain(too_fine(&s)).chain(faults));
    s.tell(Fact::Checked { problems, scraped_every: every, scripts: hashes });
}

/// The hash of a script in a ConfigMap, with its scenario.
async fn script(
    s: &Shared,
    scenario: &ScenarioPlan,
    map: &ScriptConfigMap,
) -> (String, Result<String, Problem>) {
    let name = scenario.spec.name.clone();
    let hash = read_script(s, &name, map).await;
    (name, hash.map_err(|message| Problem { reason: "ScriptNotFound", message }))
}

async fn read_script(s: &Shared, scenario: &str, map: &ScriptConfigMap) -> Result<String, String> {
    let place = format!("scenario {scenario}");
    match s.config_maps().get_opt(&map.name).await {
        Err(error) => Err(format!("{place}: failed to read ConfigMap {}: {}", map.name, said(&error))),
        Ok(None) => Err(format!(
            "{place}: there is no ConfigMap {} in namespace {}: create it with kubectl create configmap {} -n {} --from-file={}",
            map.name, s.plan.names.namespace, map.name, s.plan.names.namespace, map.key
        )),
        Ok(Some(found)) => {
            let texts = found.data.iter().flatten().map(|(key, text)| (key.as_str(), text.as_bytes()));
            let binary =
                found.binary_data.iter().flatten().map(|(key, bytes)| (key.as_str(), bytes.0.as_slice()));
            let files: BTreeMap<&str, &[u8]> = texts.chain(binary).collect();
            if files.contains_key(map.key.as_str()) {
                return Ok(fingerprint::of_files(files.into_iter()));
            }
            let has = files.into_keys().collect::<Vec<_>>().join(", ");
            Err(format!("{place}: ConfigMap {} has no key {}; it has: {has}", map.name, map.key))
        }
    }
}

/// Whether the figures can be written and read.
async fn stores(s: &Shared) -> Vec<Problem> {
    let (load, system) = tokio::join!(load_store(s), system(s));
    let problems: Vec<Problem> = load.into_iter().chain(system).collect();
    // What does not answer says nothing about guardrails.
    if problems.is_empty() { guardrails::check(s).await } else { problems }
}

async fn load_store(s: &Shared) -> Option<Problem> {
    let (store, write) = (&s.context.load_store, &s.context.config.load_store.write_url);
    let error = otlp::prove(write, store, &s.plan.names.uid).await.err()?;
    Some(Problem { reason: error.label(), message: error.to_string() })
}

async fn system(s: &Shared) -> Option<Problem> {
    if !s.plan.asks_system() {
        return None;
    }
    let stores = s.stores();
    let prometheus = match stores.system() {
        Ok(prometheus) => prometheus,
        Err(error) => return Some(Problem { reason: "PrometheusUnknown", message: error.to_string() }),
    };
    let error = prometheus.check().await.err()?;
    let message = format!("Prometheus {} does not answer: {error}", s.plan.prometheus);
    Some(Problem { reason: "PrometheusUnreachable", message })
}

/// How often the series of the objectives are scraped, where they are there already.
async fn scraped_every(s: &Shared) -> BTreeMap<String, Duration> {
    let stores = &s.stores();
    let asked = fit::selectors(&s.plan.objectives).into_iter().map(|selector| async move {
        match stores.query(&promql::scraped_every(&selector)).await {
            Ok(Answer::Vector(one)) => {
                one.first().and_then(|(.., n)| fit::every(*n)).map(|every| (selector, every))
            }
            _ => None,
        }
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// Limits of faults that are finer than k6's figures.
fn too_fine(s: &Shared) -> Vec<Problem> {
    let push = s.context.config.load_store.push_interval;
    let refused = s.plan.faults.iter().filter_map(|fault| fault.too_fine(push));
    refused.map(|message| Problem { reason: "LimitTooFine", message }).collect()
}

/// What is done as the LoadTest's account: faults, and watching the system under test.
async fn targets(s: &Shared) -> Vec<Problem> {
    if s.plan.faults.is_empty() && s.plan.watched.is_empty() {
        return Vec::new();
    }
    if let Err(problem) = account(s).await {
        return vec![problem];
    }
    // What is watched because of a fault is checked with the fault.
    let named = s.plan.watched.iter().filter(|part| part.named);
    let (faults, parts) = tokio::join!(
        join_all(s.plan.faults.iter().map(|fault| check_fault(s, fault))),
        join_all(named.map(|part| check_part(s, part)))
    );
    faults.into_iter().chain(parts).flatten().collect()
}

async fn check_part(s: &Shared, part: &WatchPlan) -> Option<Problem> {
    let place = format!("system {}", part.name);
    if let Err(problem) = allowed(s, &place, &part.namespace, WATCH).await {
        return Some(problem);
    }
    match system::list_once(s, part).await {
        Err(error) => Some(Problem {
            reason: "TargetsUnreadable",
            message: format!("{place}: failed to list the pods in namespace {}: {error}", part.namespace),
        }),
        Ok(pods) if pods.is_empty() => Some(Problem {
            reason: "NoTarget",
            message: format!(
                "{place}: no pod in namespace {} matches {}",
                part.namespace,
                part.selector_text()
            ),
        }),
        Ok(_) => None,
    }
}

/// An account that does not exist can be impersonated all the same, so it is looked up.
async fn account(s: &Shared) -> Result<(), Problem> {
    let name = s.plan.service_account.clone().unwrap_or_default();
    let namespace = &s.plan.names.namespace;
    let api: Api<ServiceAccount> = Api::namespaced(s.context.own.client.clone(), namespace);
    let problem = |message| Err(Problem { reason: "ServiceAccountNotFound", message });
    match api.get_opt(&name).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => problem(format!("there is no service account {name} in namespace {namespace}")),
        Err(error) => problem(format!("failed to read service account {name}: {}", said(&error))),
    }
}

async fn check_fault(s: &Shared, fault: &FaultPlan) -> Option<Problem> {
    let place = format!("fault {}", fault.name);
    if let Err(problem) = allowed(s, &place, &fault.namespace, FAULT).await {
        return Some(problem);
    }
    match faults::candidates(s, fault).await {
        Err(problem) => {
            Some(Problem { message: format!("fault {}: {}", fault.name, problem.message), ..problem })
        }
        Ok(pods) => pick::pick(fault, &pods, &BTreeSet::new(), 0)
            .err()
            .map(|error| Problem { reason: "NoTarget", message: format!("fault {}: {error}", fault.name) }),
    }
}

/// Whether the account may do this there; if not, with the Role that is missing.
async fn allowed(s: &Shared, place: &str, namespace: &str, rights: &[Right]) -> Result<(), Problem> {
    let mut missing = Vec::new();
    for (right, verbs) in missing_verbs(s, namespace, rights).await? {
        if !verbs.is_empty() {
            missing.push(format!("{} {}", verbs.join(", "), right.resource));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let account = s.plan.service_account.as_deref().unwrap_or_default();
    Err(Problem {
        reason: "Forbidden",
        message: format!(
            "{place}: service account {account} may not {} in namespace {namespace}; apply:\n{}",
            missing.join(" and "),
            role(account, &s.plan.names.namespace, namespace, rights)
        ),
    })
}

/// For each right what is missing of it. Asked as the account itself, which needs no further right.
async fn missing_verbs(
    s: &Shared,
    namespace: &str,
    rights: &[Right],
) -> Result<Vec<(Right, Vec<&'static str>)>, Problem> {
    let effect = faults::effect_client(s)?;
    let api: Api<SelfSubjectAccessReview> = Api::all(effect.client.clone());
    let asked = rights.iter().map(|right| {
        join_all(right.verbs.iter().map(|verb| {
            let review = review(right, verb, namespace);
            let api = &api;
            async move { (*verb, api.create(&PostParams::default(), &review).await) }
        }))
    });
    let mut missing = Vec::new();
    for (right, answers) in rights.iter().zip(join_all(asked).await) {
        let mut verbs = Vec::new();
        for (verb, answer) in answers {
            match answer {
                Ok(review) if review.status.as_ref().is_some_and(|s| s.allowed) => {}
                Ok(_) => verbs.push(verb),
                Err(error) => {
                    return Err(Problem {
                        reason: "ImpersonationRefused",
                        message: format!(
                            "the operator may not act as {}: list the account under faultAccounts in the values \
                             of the operator's chart ({})",
                            effect.user,
                            said(&error)
                        ),
                    });
                }
            }
        }
        missing.push((*right, verbs));
    }
    Ok(missing)
}

fn review(right: &Right, verb: &str, namespace: &str) -> SelfSubjectAccessReview {
    let attributes = ResourceAttributes {
        namespace: Some(namespace.to_owned()),
        group: Some(right.group.to_owned()),
        resource: Some(right.resource.to_owned()),
        verb: Some(verb.to_owned()),
        ..ResourceAttributes::default()
    };
    SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    }
}

/// The Role that is missing, ready to apply.
fn role(account: &str, own: &str, target: &str, rights: &[Right]) -> String {
    let what = if rights.iter().any(|r| r.verbs.contains(&"delete")) { "faults" } else { "watch" };
    let rules: Vec<String> = rights
        .iter()
        .map(|right| {
            let verbs = right.verbs.join(", ");
            format!(
                "- {{apiGroups: [\"{}\"], resources: [{}], verbs: [{verbs}]}}",
                right.group, right.resource
            )
        })
        .collect();
    let rules = rules.join("\n");
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: loadtest-{what}-{account}, namespace: {target}}}
rules:
{rules}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: loadtest-{what}-{account}, namespace: {target}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: loadtest-{what}-{account}}}
subjects:
- {{kind: ServiceAccount, name: {account}, namespace: {own}}}"
    )
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::rbac::v1::PolicyRule;
    use serde_json::Value;

    use super::*;

    /// The Role in the message grants what was found missing, no less and no more.
    #[test]
    fn the_role_holds_the_rights_that_are_asked_for() {
        for (name, rights) in [("faults", FAULT), ("watch", WATCH)] {
            let text = role("breaker", "loadtests", "shop", rights);
            let (role, binding) = text.split_once("\n---\n").unwrap();
            let role: Value = serde_saphyr::from_str(role).unwrap();
            assert_eq!(role["metadata"]["name"], format!("loadtest-{name}-breaker"));
            assert_eq!(role["metadata"]["namespace"], "shop");
            let rules: Vec<PolicyRule> = serde_json::from_value(role["rules"].clone()).unwrap();
            assert_eq!(rules.len(), rights.len());
            for (rule, right) in rules.iter().zip(rights) {
                assert_eq!(rule.api_groups.as_deref(), Some(&[right.group.to_owned()][..]));
                assert_eq!(rule.resources.as_deref(), Some(&[right.resource.to_owned()][..]));
                assert_eq!(rule.verbs, right.verbs);
            }
            let binding: Value = serde_saphyr::from_str(binding).unwrap();
            assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
            assert_eq!(binding["subjects"][0]["namespace"], "loadtests");
        }
    }
}
