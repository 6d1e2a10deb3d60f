//! The record of a run: its status, written whole and with the resourceVersion, so that of two writers one
//! loses. That is the fence; leader election only saves work.

use std::time::{Duration, Instant};

use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use loadtest_core::plan::Plan;
use loadtest_crds::{FINALIZER, LoadTest, LoadTestStatus, Phase};
use serde_json::json;

use super::refused::Refusal;
use crate::{context::Context, error::said, metrics::PassOutcome};

/// Between tries to write, when the API server is away.
pub const PAUSE: Duration = Duration::from_millis(500);

/// The object as we last wrote or read it.
pub struct Record {
    pub object: LoadTest,
    status: LoadTestStatus,
}

#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("it is gone")]
    Gone,
    /// Someone else wrote since we last did: what we know is out of date.
    #[error("{0}")]
    Fenced(&'static str),
    /// Sent again as it is, it will be refused again.
    #[error("the API server refuses it: {0}")]
    Refused(Refusal),
    /// The run is to end, and it was not waited for until this was written: to be decided anew.
    #[error("it is to end")]
    Unwritten,
    #[error("{}", said(.0))]
    Failed(kube::Error),
}

impl From<kube::Error> for RecordError {
    fn from(error: kube::Error) -> Self {
        Refusal::of(&error).map_or(Self::Failed(error), Self::Refused)
    }
}

impl Record {
    /// Reads the object afresh and puts our finalizer on it, so that it cannot go while it holds load. One whose spec
    /// cannot be carried out never holds any.
    pub async fn take_up(
        context: &Context,
        namespace: &str,
        name: &str,
        uid: &str,
    ) -> Result<Self, RecordError> {
        let api = api(context, namespace);
        loop {
            let object = match api.get_opt(name).await {
                Ok(Some(object)) if object.uid().as_deref() == Some(uid) => object,
                Ok(_) => return Err(RecordError::Gone),
                Err(error) if Refusal::of(&error).is_some() => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(%error, "failed to read the LoadTest, trying again");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let status = object.status.clone().unwrap_or_default();
            // What another operator has finished in the meantime is history and stays unmarked.
            let over = status.phase == Phase::Finished;
            let unmarked = over || is_deleted(&object) || Plan::of(&object).is_err();
            if is_marked(&object) || unmarked {
                return Ok(Self { object, status });
            }
            let mut finalizers = object.finalizers().to_vec();
            finalizers.push(FINALIZER.to_owned());
            match patch_finalizers(&api, &object, &finalizers).await {
                Ok(object) => return Ok(Self { object, status }),
                Err(error) if Refusal::of(&error).is_some() => return Err(error.into()),
                Err(error) => {
                    tracing::debug!(%error, "failed to add the finalizer, trying again");
                    tokio::time::sleep(PAUSE / 10).await;
                }
            }
        }
    }

    /// Whether it holds our finalizer.
    pub fn is_marked(&self) -> bool {
        is_marked(&self.object)
    }

    pub fn status(&self) -> &LoadTestStatus {
        &self.status
    }

    /// Writes a new status, and tries until it is known whether it was written: a next one would be at odds with it. An
    /// edit of labels in between is taken in; another writer's status is not. A run that is told to end meanwhile, or is
    /// `ending` already, is not kept waiting by an API server that takes no status.
    pub async fn write(
        &mut self,
        context: &Context,
        status: LoadTestStatus,
        ending: bool,
    ) -> Result<(), RecordError> {
        let namespace = self.object.namespace().unwrap_or_default();
        let name = self.object.name_any();
        let api = api(context, &namespace);
        let begun = Instant::now();
        // However often a user edits the object: what matters is that nobody else writes the status.
        loop {
            let mut object = self.object.clone();
            object.status = Some(status.clone());
            match api.replace_status(&name, &PostParams::default(), &object).await {
                Ok(written) => {
                    self.object = written;
                    // Our own value and not the answer's: the wire drops what is finer than a microsecond.
                    self.status = status;
                    return Ok(());
                }
                Err(kube::Error::Api(refusal)) if refusal.code == 404 => {
                    return Err(RecordError::Gone);
                }
                Err(error) if Refusal::of(&error).is_some() => return Err(error.into()),
                Err(error) => {
                    let conflict = matches!(&error, kube::Error::Api(refusal) if refusal.code == 409);
                    if !conflict {
                        tracing::warn!(%error, "failed to write the status, trying again");
                        context.metrics.pass(PassOutcome::Failed, begun.elapsed());
                        tokio::time::sleep(PAUSE).await;
                    }
                    let known = is_to_end(&self.object);
                    match self.read_again(&api, &name, &status).await {
                        Ok(true) => return Ok(()),
                        Ok(false) if is_to_end(&self.object) != known => return Err(RecordError::Unwritten),
                        Ok(false) if ending && !conflict => return Err(RecordError::Unwritten),
                        Ok(false) => {}
                        Err(RecordError::Failed(_)) if ending => return Err(RecordError::Unwritten),
                        // What was sent may be there: nothing else is, until that is known.
                        Err(RecordError::Failed(error)) => {
                            tracing::warn!(%error, "failed to read the LoadTest, trying again");
                            tokio::time::sleep(PAUSE).await;
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }

    /// Whether the status was written after all: the client sends a request again whose answer was lost, and is told
    /// of a conflict with itself.
    async fn read_again(
        &mut self,
        api: &Api<LoadTest>,
        name: &str,
        sent: &LoadTestStatus,
    ) -> Result<bool, RecordError> {
        match api.get_opt(name).await? {
            Some(now) if now.uid() != self.object.uid() => Err(RecordError::Gone),
            Some(now) if as_sent(now.status.as_ref(), sent) => {
                self.object = now;
                self.status = sent.clone();
                Ok(true)
            }
            // What the server made of our last write, and not what we sent: an older CRD drops fields.
            Some(now) if now.status != self.object.status => {
                Err(RecordError::Fenced("another operator writes its status"))
            }
            Some(now) => {
                self.object = now;
                Ok(false)
            }
            None => Err(RecordError::Gone),
        }
    }

    /// Lets the API server remove the object, or leaves it as history.
    pub async fn remove_finalizer(&mut self, context: &Context) -> Result<(), RecordError> {
        let api = api(context, &self.object.namespace().unwrap_or_default());
        let name = self.object.name_any();
        for _ in 0..10 {
            if !self.is_marked() {
                return Ok(());
            }
            let finalizers: Vec<String> =
                self.object.finalizers().iter().filter(|f| *f != FINALIZER).cloned().collect();
            match patch_finalizers(&api, &self.object, &finalizers).await {
                Ok(object) => self.object = object,
                Err(kube::Error::Api(refusal)) if refusal.code == 404 => return Ok(()),
                Err(kube::Error::Api(refusal)) if refusal.code == 409 => match api.get_opt(&name).await? {
                    Some(now) => self.object = now,
                    None => return Ok(()),
                },
                Err(error) if Refusal::of(&error).is_some() => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(%error, "failed to remove the finalizer, trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        Err(RecordError::Fenced("its finalizer could not be removed"))
    }
}

fn is_marked(object: &LoadTest) -> bool {
    object.finalizers().iter().any(|f| f == FINALIZER)
}

fn is_deleted(object: &LoadTest) -> bool {
    object.metadata.deletion_timestamp.is_some()
}

/// Whether it is stopped, and whether it is deleted.
pub fn is_to_end(object: &LoadTest) -> (bool, bool) {
    (object.spec.stop, is_deleted(object))
}

/// Equal as far as the wire can tell.
fn as_sent(theirs: Option<&LoadTestStatus>, ours: &LoadTestStatus) -> bool {
    let theirs = serde_json::to_value(theirs.cloned().unwrap_or_default());
    let ours = serde_json::to_value(ours);
    matches!((theirs, ours), (Ok(theirs), Ok(ours)) if theirs == ours)
}

async fn patch_finalizers(
    api: &Api<LoadTest>,
    object: &LoadTest,
    finalizers: &[String],
) -> kube::Result<LoadTest> {
    let patch =
        json!({"metadata": {"finalizers": finalizers, "resourceVersion": object.metadata.resource_version}});
    api.patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await
}

fn api(context: &Context, namespace: &str) -> Api<LoadTest> {
    Api::namespaced(context.own.client.clone(), namespace)
}
