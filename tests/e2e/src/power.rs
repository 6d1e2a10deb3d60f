//! Rights that are not there when they are needed. What the chart's Roles allow is asserted in `tests/api`.

use std::time::Duration;

use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use loadtest_crds::{FaultState, LoadTest, Verdict};
use test_support::{
    audit,
    runs::{expect, fault},
    stage::{BREAKER, Setup},
};

use crate::spec::load_with_fault;

/// The preflight has seen the Role; it goes between the choice of the target and the kill.
#[tokio::test]
async fn a_role_taken_away_after_the_preflight() {
    Setup::new("taken-away")
        .room(2)
        .play(async |stage| {
            stage.deploy_victims("victim", 2).await;
            let run = stage.run("taken-away", load_with_fault(stage, "12s", "6s")).await;
            let intended = |t: &LoadTest| {
                t.status.iter().flat_map(|s| &s.faults).any(|f| f.state == FaultState::Intended)
            };
            run.until("about to kill", Duration::from_secs(60), intended).await;
            let bindings: Api<RoleBinding> = Api::namespaced(stage.client.clone(), &stage.targets);
            bindings.delete_collection(&Default::default(), &Default::default()).await.unwrap();

            let status = run.finished().await;
            assert_eq!(fault(&status, "kill").state, FaultState::Failed);
            let words = ["fault kill failed", "was refused", &stage.user(BREAKER), "cannot delete resource"];
            expect(&status, Verdict::Error, "FaultFailed", &words);
            let tries = audit::deletions_by(&stage.targets, &stage.user(BREAKER));
            assert_eq!(tries.iter().map(|t| t.code).collect::<Vec<_>>(), [403], "{tries:#?}");
        })
        .await;
}
