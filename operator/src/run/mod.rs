//! One run: a task of its own, outside any queue, so that a fault never waits behind a slow pass of another
//! run. It is the only writer of its LoadTest's status and finalizer, and decides from its own last write.

pub mod observe;
pub mod record;
pub mod refused;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use jiff::Timestamp;
use loadtest_core::{
    machine::{
        self, claim,
        fact::Fact,
        pods::PodView,
        unrecorded,
        world::{Claim, Effect, Facts, World},
    },
    plan::Plan,
};
use loadtest_crds::{FaultStatus, LoadTest, LoadTestStatus, Phase};
use tokio::sync::{Notify, mpsc, watch};
use tracing::Instrument;

use crate::{
    context::Context,
    effects::{Effects, deletion},
    events, failpoint,
    metrics::{PassOutcome, VerdictLabels},
};

use observe::Pods;
use record::{Record, RecordError, is_to_end};
use refused::{Cause, Pauses, Refusal};

pub struct Run {
    context: Arc<Context>,
    uid: String,
    object: watch::Receiver<LoadTest>,
    pods_changed: Arc<Notify>,
    pods: Pods,
    pauses: Pauses,
}

/// Why a task ended.
enum End {
    /// Nothing is left to do.
    Finished,
    /// The object is gone, and its pods go with it.
    Gone,
    /// What we know is out of date: to be taken up afresh.
    Fenced(String),
    /// Nothing can be recorded as it is.
    Refused(Refusal),
}

impl From<RecordError> for End {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Gone => Self::Gone,
            RecordError::Refused(refusal) => Self::Refused(refusal),
            other => Self::Fenced(other.to_string()),
        }
    }
}

impl Run {
    pub fn new(
        context: Arc<Context>,
        uid: String,
        object: watch::Receiver<LoadTest>,
        pods_changed: Arc<Notify>,
        pods: Pods,
    ) -> Self {
        Self { context, uid, object, pods_changed, pods, pauses: Pauses::default() }
    }

    pub async fn run(mut self) {
        let (namespace, name) = {
            let object = self.object.borrow();
            (
                object.metadata.namespace.clone().unwrap_or_default(),
                object.metadata.name.clone().unwrap_or_default(),
            )
        };
        let span = tracing::info_span!("run", run = %self.uid, %namespace, %name);
        async {
            loop {
                match self.drive(&namespace, &name).await {
                    End::Finished => return tracing::info!("done"),
                    End::Gone => return tracing::info!("gone"),
                    // A last write of the operator before us may arrive after our first look.
                    End::Fenced(why) => {
                        tracing::warn!(why, "taking the run up afresh");
                        tokio::time::sleep(record::PAUSE).await;
                    }
                    End::Refused(refusal) => {
                        let object = self.object.borrow().clone();
                        self.sit_out(&object, &refusal, is_to_end(&object)).await;
                    }
                }
            }
        }
        .instrument(span)
        .await;
    }

    async fn drive(&mut self, namespace: &str, name: &str) -> End {
        // After a start of the operator, pods that are not known yet would look as if they were lost.
        if self.pods.complete.wait_for(|complete| *complete).await.is_err() {
            return End::Gone;
        }
        // And pods that a fault of another run has taken would look as if they were free.
        self.context.claims.complete().await;
        // The watch may lag behind an earlier leader's last write.
        let mut record = match Record::take_up(&self.context, namespace, name, &self.uid).await {
            Ok(record) => record,
            Err(error) => return error.into(),
        };
        let plan = match Plan::of(&record.object) {
            Ok(plan) => Arc::new(plan),
            Err(error) => return self.refuse(record, &error.to_string()).await,
        };
        let (told, mut arrived) = mpsc::unbounded_channel::<Fact>();
        let test = LoadTest { status: None, ..record.object.clone() };
        let store = self.pods.store.clone();
        let effects =
            Effects::new(self.context.clone(), plan.clone(), test, store, self.object.clone(), told);
        let mut facts = Facts::default();
        let context = self.context.clone();
        loop {
            let started = Instant::now();
            while let Ok(fact) = arrived.try_recv() {
                facts.apply(fact);
            }

            // 1 observe, 2 validate (the plan, once, above)
            let pods = observe::pods(&self.pods.store, &plan);

            // 3 decide, and again where another run has taken pods meanwhile
            let claims = &context.claims;
            let (mut pass, told, others) = loop {
                let told = self.told(&record);
                let others = claims.of_others(&self.uid);
                let mut world = self.world(told, &pods, &mut facts, &others.claims);
                let pass = machine::decide(&plan, record.status(), &mut world);
                if claims.hold(&self.uid, claim::claims(&plan, &pass.status), &others) {
                    break (pass, told, others);
                }
            };

            // 4 record
            let changed = pass.status != *record.status();
            let mut refused = None;
            if changed {
                match self.write(&mut record, pass.status.clone(), told).await {
                    Ok(()) => {}
                    Err(RecordError::Refused(refusal)) => {
                        self.context.metrics.pass(PassOutcome::Refused, started.elapsed());
                        if !facts.has_dispatched(&Effect::Evaluate) {
                            effects.give_up_room();
                        }
                        unrecorded::restrict(&mut pass, record.status(), told.0);
                        refused = Some(refusal);
                    }
                    Err(RecordError::Unwritten) => unrecorded::restrict(&mut pass, record.status(), told.0),
                    Err(error) => {
                        self.context.metrics.pass(PassOutcome::Abandoned, started.elapsed());
                        return error.into();
                    }
                }
            }
            // For a run that cannot be recorded at all, this is its end.
            if let Some(Refusal { cause: Cause::TooLarge, why, .. }) = &refused
                && let world = self.world(told, &pods, &mut facts, &others.claims)
                && let Some(last) = unrecorded::give_up(&plan, record.status(), why, &world)
            {
                match self.write(&mut record, last.status.clone(), told).await {
                    Ok(()) => continue,
                    Err(RecordError::Refused(_) | RecordError::Unwritten) => pass = last,
                    Err(error) => return error.into(),
                }
            }

            if record.status().phase == Phase::Finished {
                facts.forget_figures();
            }
            // Other runs do not wait until the verdict can be written: nothing large is left of it.
            if record.status().phase == Phase::Finished || facts.record.is_some() {
                effects.give_up_room();
            }

            // 5 apply
            let mut begun = false;
            for effect in pass.effects {
                if facts.dispatched.insert(effect.key()) {
                    begun = true;
                    tracing::debug!(effect = effect.key(), "begin");
                    effects.begin(effect, record.status());
                }
            }
            if pass.releases {
                if record.is_marked() {
                    self.tell_left_behind(&record, &pods, &facts);
                }
                match record.remove_finalizer(&self.context).await {
                    // It holds nothing any more, but it is not told either.
                    Ok(()) if refused.is_some() => {}
                    Ok(()) => return End::Finished,
                    Err(error) => return error.into(),
                }
            }
            if let Some(refusal) = refused {
                self.sit_out(&record.object, &refusal, told).await;
                continue;
            }
            let outcome = if changed || begun { PassOutcome::Applied } else { PassOutcome::Waiting };
            self.context.metrics.pass(outcome, started.elapsed());
            if changed || begun {
                // A change may allow the next step at once.
                continue;
            }
            if !self.wait(&mut arrived, &mut facts, pass.wake).await {
                return End::Gone;
            }
        }
    }

    /// Whether the run is told to stop, and to go. What is asked is heard: a next change wakes it.
    fn told(&mut self, record: &Record) -> (bool, bool) {
        let (stop, deleting) = is_to_end(&self.object.borrow_and_update());
        let recorded = is_to_end(&record.object);
        (stop || recorded.0, deleting || recorded.1)
    }

    fn world<'a>(
        &'a self,
        (stop, deleting): (bool, bool),
        pods: &'a BTreeMap<String, PodView>,
        facts: &'a mut Facts,
        claimed: &'a [Arc<Claim>],
    ) -> World<'a> {
        World {
            now: Timestamp::now(),
            stop,
            deleting,
            generation: self.object.borrow().metadata.generation,
            process: &self.context.process,
            pods,
            facts,
            claimed,
        }
    }

    /// Until something may have changed. False when the object is gone for good.
    async fn wait(
        &mut self,
        arrived: &mut mpsc::UnboundedReceiver<Fact>,
        facts: &mut Facts,
        wake: Option<Timestamp>,
    ) -> bool {
        let until = wake.map(|at| at.duration_since(Timestamp::now()));
        let alarm = async {
            match until {
                Some(left) => tokio::time::sleep(left.try_into().unwrap_or_default()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(fact) = arrived.recv() => facts.apply(fact),
            () = self.pods_changed.notified() => {}
            changed = self.object.changed() => return changed.is_ok(),
            () = alarm => {}
        }
        true
    }

    /// Says why nothing can be recorded, and waits before the next try. Not for long where the run is told to end: that
    /// is done all the same.
    async fn sit_out(&mut self, object: &LoadTest, refusal: &Refusal, told: (bool, bool)) {
        let pause = self.pauses.next();
        let advice = refusal.cause.advice();
        tracing::error!(field = refusal.field, why = refusal.why, ?pause, advice, "the record was refused");
        events::refused(&self.context, object, refusal);
        let news = |object: &LoadTest| {
            let (stop, deleting) = is_to_end(object);
            stop && !told.0 || deleting && !told.1
        };
        let pause = tokio::time::sleep(pause);
        tokio::pin!(pause);
        tokio::select! {
            () = &mut pause => {}
            // Nobody forwards changes of an object that is gone; it will be looked for.
            gone = async { self.object.wait_for(news).await.is_err() } => {
                if gone {
                    pause.await;
                }
            }
        }
    }

    async fn write(
        &mut self,
        record: &mut Record,
        status: LoadTestStatus,
        (stop, deleting): (bool, bool),
    ) -> Result<(), RecordError> {
        let before = record.status().clone();
        let now_injected =
            |(old, new): (&FaultStatus, &FaultStatus)| old.injected_at.is_none() && new.injected_at.is_some();
        if before.faults.iter().zip(&status.faults).any(now_injected) {
            failpoint::hit("kill-unrecorded");
        }
        record.write(&self.context, status, stop || deleting).await?;
        self.pauses = Pauses::default();
        let after = record.status();
        tracing::info!(phase = ?after.phase, detail = after.message.as_deref().unwrap_or_default(), "recorded");
        self.count(&before, after);
        events::publish(&self.context, &record.object, &before, after);
        Ok(())
    }

    /// Pods that could not be deleted, or not be waited for: their node is lost, and they may still run there.
    fn tell_left_behind(&self, record: &Record, pods: &BTreeMap<String, PodView>, facts: &Facts) {
        if pods.is_empty() {
            return;
        }
        let names: Vec<&str> = pods.keys().map(String::as_str).collect();
        tracing::warn!(
            count = names.len(),
            first = names[0],
            "pods are left behind: they could not be deleted, or their node does not end them"
        );
        let undeleted = facts.pods_deleted.as_ref().and_then(|deleted| deleted.as_ref().err());
        events::left_behind(&self.context, &record.object, &names, undeleted.map(String::as_str));
    }

    fn count(&self, before: &LoadTestStatus, after: &LoadTestStatus) {
        let metrics = &self.context.metrics;
        if before.phase != Phase::Finished
            && after.phase == Phase::Finished
            && let Some(verdict) = after.verdict
        {
            metrics.verdicts.get_or_create(&VerdictLabels { verdict: verdict.as_str().to_owned() }).inc();
        }
        let spread = |s: &LoadTestStatus| s.load.as_ref().and_then(|l| l.start_spread_milliseconds);
        if let (None, Some(millis)) = (spread(before), spread(after)) {
            metrics.start_spread.observe(millis as f64 / 1000.0);
        }
        for (old, new) in before.faults.iter().zip(&after.faults) {
            if let (None, Some(millis)) = (old.timing_error_milliseconds, new.timing_error_milliseconds) {
                metrics.fault_timing_error.observe(millis as f64 / 1000.0);
            }
        }
    }

    /// A spec that cannot be carried out. One that is being deleted needs not be told so.
    async fn refuse(&mut self, mut record: Record, message: &str) -> End {
        let told = is_to_end(&record.object);
        let (_, deleting) = told;
        if record.status().phase != Phase::Finished && !deleting {
            // Begun by an operator to which it was valid: its load must not go on.
            if record.status().phase != Phase::Pending {
                deletion::end_pods(&self.context, &record.object, &self.uid).await;
            }
            let generation = record.object.metadata.generation;
            let status = machine::refuse(record.status(), generation, message.to_owned(), Timestamp::now());
            if let Err(error) = self.write(&mut record, status, told).await {
                return error.into();
            }
        }
        match record.remove_finalizer(&self.context).await {
            Ok(()) => End::Finished,
            Err(error) => error.into(),
        }
    }
}
