//! Least power, as the API server sees it: `kubectl auth can-i --list` for every account that the chart knows.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::api::{
    authorization::v1::{
        ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SelfSubjectRulesReview,
        SelfSubjectRulesReviewSpec, SubjectAccessReview, SubjectAccessReviewSpec,
    },
    core::v1::Pod,
};
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
};
use test_support::{client_as, eventually};

use super::installed::{Installed, with_chart};

/// Rights of a namespace, one a line: `verb group/resource` and the names where they are limited to some.
type Rights = BTreeSet<String>;

#[tokio::test]
async fn the_operator_may_do_exactly_what_it_needs() {
    with_chart(|chart| async move {
        let operator = chart.operator();
        let in_served = rights(&[
            ("get list watch update patch", "loadtest.dev/loadtests"),
            ("get update patch", "loadtest.dev/loadtests/status"),
            ("update", "loadtest.dev/loadtests/finalizers"),
            ("get list watch create patch delete", "/pods"),
            ("get", "/pods/log"),
            ("get create patch", "/configmaps"),
            ("get", "/serviceaccounts"),
            ("create patch", "/events"),
            ("create patch", "events.k8s.io/events"),
        ]);
        let mut with_accounts = in_served.clone();
        with_accounts.insert("impersonate /serviceaccounts [killer, ready-made]".to_owned());
        assert_eq!(rights_of(&operator, &chart.runs).await, with_accounts);
        assert_eq!(rights_of(&operator, &chart.more_runs).await, in_served);
        let lease = rights(&[
            ("create", "coordination.k8s.io/leases"),
            ("get patch", "coordination.k8s.io/leases [loadtest-operator]"),
        ]);
        assert_eq!(rights_of(&operator, &chart.system).await, lease);
        for elsewhere in [&chart.target, &chart.outside, "default", "kube-system"] {
            assert_eq!(rights_of(&operator, elsewhere).await, Rights::new(), "in {elsewhere}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_operator_has_no_power_over_the_cluster_secrets_or_other_accounts() {
    with_chart(|chart| async move {
        let operator = client_as(&chart.operator()).await;
        let refused = [
            // Cluster-wide, every namespace at once.
            ("list", "", "pods", "", ""),
            ("watch", "loadtest.dev", "loadtests", "", ""),
            ("create", "", "namespaces", "", ""),
            ("impersonate", "", "serviceaccounts", "", ""),
            ("impersonate", "", "users", "", "admin"),
            ("impersonate", "", "groups", "", "system:masters"),
            ("bind", "rbac.authorization.k8s.io", "clusterroles", "", "cluster-admin"),
            // Secrets and shells, also where it serves.
            ("get", "", "secrets", chart.runs.as_str(), ""),
            ("list", "", "secrets", chart.runs.as_str(), ""),
            ("create", "", "pods/exec", chart.runs.as_str(), ""),
            ("create", "", "serviceaccounts/token", chart.runs.as_str(), "killer"),
            // The targets of faults, by itself.
            ("list", "", "pods", chart.target.as_str(), ""),
            ("delete", "", "pods", chart.target.as_str(), ""),
            // Accounts that nobody listed, or of the same name elsewhere.
            ("impersonate", "", "serviceaccounts", chart.runs.as_str(), "default"),
            ("impersonate", "", "serviceaccounts", chart.runs.as_str(), ""),
            ("impersonate", "", "serviceaccounts", chart.more_runs.as_str(), "killer"),
            ("impersonate", "", "serviceaccounts", "kube-system", "killer"),
        ];
        for (verb, group, resource, namespace, name) in refused {
            let allowed = may(&operator, verb, group, resource, namespace, name).await;
            assert!(!allowed, "may {verb} {resource} {name} in {namespace:?}");
        }
        for account in ["killer", "ready-made"] {
            assert!(may(&operator, "impersonate", "", "serviceaccounts", &chart.runs, account).await);
        }
    })
    .await;
}

#[tokio::test]
async fn a_fault_account_may_kill_pods_in_its_targets_and_nothing_else() {
    with_chart(|chart| async move {
        let killer = chart.killer();
        let kill =
            rights(&[("get list watch delete", "/pods"), ("list watch", "discovery.k8s.io/endpointslices")]);
        assert_eq!(rights_of(&killer, &chart.target).await, kill);
        assert_eq!(rights_of(&killer, &chart.outside).await, rights(&[("list watch", "/pods")]));
        for elsewhere in [&chart.runs, &chart.more_runs, &chart.system] {
            assert_eq!(rights_of(&killer, elsewhere).await, Rights::new(), "in {elsewhere}");
        }
        let ready_made = format!("system:serviceaccount:{}:ready-made", chart.runs);
        assert_eq!(rights_of(&ready_made, &chart.target).await, Rights::new());
    })
    .await;
}

/// The operator's own token, with the header that it sends for a fault.
#[tokio::test]
async fn the_operator_acts_as_listed_accounts_only() {
    with_chart(|chart| async move {
        let list = |user: String, namespace: String| {
            let chart = chart.clone();
            async move {
                let client = chart.as_operator_impersonating(&user).await;
                Api::<Pod>::namespaced(client, &namespace).list(&ListParams::default()).await
            }
        };
        list(chart.killer(), chart.target.clone()).await.unwrap();
        list(chart.killer(), chart.outside.clone()).await.unwrap();
        let beyond = list(chart.killer(), chart.more_runs.clone()).await.unwrap_err().to_string();
        assert!(beyond.contains("killer\" cannot list resource \"pods\""), "{beyond}");
        for other in ["default", "kube-root"] {
            let user = format!("system:serviceaccount:{}:{other}", chart.runs);
            let refused = list(user, chart.target.clone()).await.unwrap_err().to_string();
            assert!(refused.contains("cannot impersonate resource \"serviceaccounts\""), "{refused}");
        }
    })
    .await;
}

#[tokio::test]
async fn people_with_edit_make_load_tests_and_people_with_view_see_them() {
    with_chart(|chart| async move {
        for (role, verbs) in [
            ("view", "get list watch"),
            ("edit", "get list watch create update patch delete deletecollection"),
            ("admin", "get list watch create update patch delete deletecollection"),
        ] {
            bind(&chart, role).await;
            let user = format!("{role}@example.com");
            // A controller adds the rules to the roles that everybody knows.
            for verb in verbs.split(' ') {
                eventually(&format!("{role} to {verb} loadtests"), Duration::from_secs(90), || async {
                    user_may(&chart, &user, verb).await.then_some(())
                })
                .await;
            }
        }
        assert!(!user_may(&chart, "view@example.com", "create").await);
        assert!(!user_may(&chart, "view@example.com", "delete").await);
    })
    .await;
}

async fn bind(chart: &Installed, role: &str) {
    use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};
    let mut binding = RoleBinding {
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "ClusterRole".to_owned(),
            name: role.to_owned(),
        },
        subjects: Some(vec![Subject {
            kind: "User".to_owned(),
            name: format!("{role}@example.com"),
            ..Subject::default()
        }]),
        ..RoleBinding::default()
    };
    binding.metadata.name = Some(role.to_owned());
    let api = Api::namespaced(chart.client.clone(), &chart.runs);
    api.create(&PostParams::default(), &binding).await.unwrap();
}

async fn user_may(chart: &Installed, user: &str, verb: &str) -> bool {
    let spec = SubjectAccessReviewSpec {
        user: Some(user.to_owned()),
        resource_attributes: Some(attributes(verb, "loadtest.dev", "loadtests", &chart.runs, "")),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let api: Api<SubjectAccessReview> = Api::all(chart.client.clone());
    api.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
}

async fn may(as_user: &Client, verb: &str, group: &str, resource: &str, namespace: &str, name: &str) -> bool {
    let spec = SelfSubjectAccessReviewSpec {
        resource_attributes: Some(attributes(verb, group, resource, namespace, name)),
        ..SelfSubjectAccessReviewSpec::default()
    };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let api: Api<SelfSubjectAccessReview> = Api::all(as_user.clone());
    api.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
}

fn attributes(verb: &str, group: &str, resource: &str, namespace: &str, name: &str) -> ResourceAttributes {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    ResourceAttributes {
        verb: some(verb),
        group: some(group),
        resource: some(resource),
        subresource: some(subresource),
        namespace: some(namespace),
        name: some(name),
        ..ResourceAttributes::default()
    }
}

/// What a user may do in a namespace, without what every authenticated user may.
async fn rights_of(user: &str, namespace: &str) -> Rights {
    let review = SelfSubjectRulesReview {
        spec: SelfSubjectRulesReviewSpec { namespace: Some(namespace.to_owned()) },
        ..SelfSubjectRulesReview::default()
    };
    let api: Api<SelfSubjectRulesReview> = Api::all(client_as(user).await);
    let status = api.create(&PostParams::default(), &review).await.unwrap().status.unwrap();
    assert!(!status.incomplete, "{:?}", status.evaluation_error);
    let mut rights = Rights::new();
    for rule in &status.resource_rules {
        let names = rule.resource_names.clone().unwrap_or_default();
        let names = if names.is_empty() { String::new() } else { format!(" [{}]", names.join(", ")) };
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                if resource.starts_with("selfsubject") {
                    continue;
                }
                rights.extend(rule.verbs.iter().map(|verb| format!("{verb} {group}/{resource}{names}")));
            }
        }
    }
    rights
}

fn rights(lines: &[(&str, &str)]) -> Rights {
    let each = |(verbs, resource): &(&str, &str)| {
        let resource = (*resource).to_owned();
        verbs.split(' ').map(move |verb| format!("{verb} {resource}")).collect::<Vec<_>>()
    };
    lines.iter().flat_map(each).collect()
}
