//! The record of a run, written where its user can read it.

use std::sync::Arc;

use kube::api::{Patch, PatchParams};
use loadtest_core::{
    machine::fact::Fact,
    objects,
    record::{Draft, MOST_BYTES, Record},
};

use super::{
    Shared,
    objects::{Whose, whose},
    persist,
};
use crate::{apart::apart, error::of_refusal};

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
    persist("keep the record of the run", || async {
        let whose = match whose(&api, &name, &s.plan.names.uid).await {
            // Asked again it is refused again; meanwhile the answers would be kept, and others wait for their room.
            Err(kube::Error::Api(refusal)) if (400..500).contains(&refusal.code) && refusal.code != 429 => {
                return Ok(Err(refusal.to_string()));
            }
            whose => whose?,
        };
        if whose == Whose::Others {
            return Ok(Err(format!("a ConfigMap named {name} exists and is not of this run")));
        }
        match api.patch(&name, &params, &Patch::Apply(&map)).await {
            Err(kube::Error::Api(refusal)) => Ok(Err(of_refusal(&refusal))),
            other => other.map(|_| Ok(())),
        }
    })
    .await
}
