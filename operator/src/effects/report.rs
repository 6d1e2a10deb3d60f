//! The record of a run, written where its user can read it.

use std::sync::Arc;

use kube::api::{Patch, PatchParams};
use loadtest_core::{
    machine::fact::Fact,
    objects,
    record::{Draft, MOST_BYTES, Record},
};
use tokio::time::sleep;

use super::{
    Shared,
    objects::{Whose, whose},
    persist::{DISPENSABLE, No, persist_until},
};
use crate::apart::apart;

/// Writes the record of the run into its ConfigMap.
pub async fn keep(s: Arc<Shared>, draft: Arc<Draft>) {
    let result = write(&s, &draft).await;
    if let Err(why) = &result {
        tracing::warn!(why, "the record of the run cannot be kept");
    }
    s.tell(Fact::Recorded(result));
}

async fn write(s: &Arc<Shared>, draft: &Arc<Draft>) -> Result<(), String> {
    let (test, all) = (s.clone(), draft.clone());
    let written = apart(move || Record::new(&test.test, &all).write(MOST_BYTES)).await;
    let bytes = written.map_err(|error| error.to_string())?;
    let map = objects::build_record(&s.plan.names, bytes, &draft.facts.matched);
    let name = s.plan.names.record_config_map();
    let params = PatchParams::apply("loadtest-operator").force();
    let api = s.config_maps();
    let kept = persist_until("keep the record of the run", sleep(DISPENSABLE), || async {
        let whose = whose(&api, &name, &s.plan.names.uid).await?;
        if whose != Whose::Others {
            api.patch(&name, &params, &Patch::Apply(&map)).await?;
        }
        Ok(whose)
    });
    match kept.await {
        Ok(Whose::Others) => Err(format!("a ConfigMap named {name} exists and is not of this run")),
        Ok(Whose::Ours | Whose::Nobodys) => Ok(()),
        Err(No::Gone) => Err(format!("namespace {} is gone", s.plan.names.namespace)),
        Err(No::Refused(refused)) => Err(refused.why),
    }
}
