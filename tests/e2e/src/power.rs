//! Rights that are not there when they are needed. What the chart's Roles allow is asserted in `tests/api`.

use k8s_openapi::api::rbac::v1::Role;
use kube::{
    Api, ResourceExt,
    api::{ListParams, PostParams},
};
use loadtest_crds::{FaultState, Phase, Verdict};
use test_support::{
    audit,
    runs::{expect, fault},
    stage::{BREAKER, Setup},
};

use crate::spec::load_with_fault;

/// The preflight has seen the right; it goes before the kill.
#[tokio::test]
async fn a_role_taken_away_after_the_preflight() {
    Setup::new("taken-away")
        .room(2)
        .play(async |stage| {
            stage.deploy_victims("victim", 2).await;
            let run = stage.run("taken-away", load_with_fault(stage, "25s", "15s")).await;
            run.reached(Phase::Running).await;
            let roles: Api<Role> = Api::namespaced(stage.client.clone(), &stage.targets);
            for mut role in roles.list(&ListParams::default()).await.unwrap() {
                role.rules.iter_mut().flatten().for_each(|rule| rule.verbs.retain(|verb| verb != "delete"));
                roles.replace(&role.name_any(), &PostParams::default(), &role).await.unwrap();
            }

            let status = run.finished().await;
            assert_eq!(fault(&status, "kill").state, FaultState::Failed);
            let words = ["fault kill failed", "was refused", &stage.user(BREAKER), "cannot delete resource"];
            expect(&status, Verdict::Error, "FaultFailed", &words);
            let tries = audit::deletions_by(&stage.targets, &stage.user(BREAKER));
            assert_eq!(tries.iter().map(|t| t.code).collect::<Vec<_>>(), [403], "{tries:#?}");
        })
        .await;
}
