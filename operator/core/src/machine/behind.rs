//! The pods behind a fault's selector while the fault is open: how many were ready just before the injection, and when
//! as many are again.
//!
//! What is seen before the injection ends no fault. A pod that becomes ready between the pick and the deletion was there
//! before the fault, so it raises what is waited for. Changes of pods are told in their order, but a moment after they
//! happened: all that is seen while the picked pods still are ready was before the injection too.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use loadtest_crds::FaultStatus;

use crate::machine::pick::Candidate;

/// So many changes are kept, the latest: those that tell what was before the injection are seen within seconds of it.
/// Each is a count for each Service.
const MOST_SEEN: usize = 100;

/// How many pods are ready, and how many of them serve each Service of a fault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub ready: usize,
    pub services: BTreeMap<String, usize>,
}

impl Count {
    /// What a fault waits for: as many as before it.
    #[must_use]
    pub fn before(fault: &FaultStatus) -> Self {
        let count = |recorded: i32| usize::try_from(recorded).unwrap_or(0);
        Self {
            // Nobody picks from no pods: one at least was ready.
            ready: fault.ready_before.map_or(1, count).max(1),
            services: fault.services.iter().map(|s| (s.name.clone(), count(s.ready_before))).collect(),
        }
    }

    fn of<'a>(pods: impl Iterator<Item = &'a Candidate>, services: &[String]) -> Self {
        let mut count =
            Self { ready: 0, services: services.iter().map(|service| (service.clone(), 0)).collect() };
        for pod in pods.filter(|pod| pod.ready) {
            count.ready += 1;
            for (_, serving) in count.services.iter_mut().filter(|(name, _)| pod.serves.contains(*name)) {
                *serving += 1;
            }
        }
        count
    }

    /// As many ready, and as many that serve each Service.
    #[must_use]
    pub fn reaches(&self, wanted: &Self) -> bool {
        self.ready >= wanted.ready
            && wanted.services.iter().all(|(name, serving)| self.serving(name) >= *serving)
    }

    /// At least as many as another, where that is not more than the given number.
    pub fn raise(&mut self, other: &Self, at_most: usize) {
        self.ready = self.ready.max(other.ready.min(at_most));
        for (name, serving) in &mut self.services {
            *serving = (*serving).max(other.serving(name).min(at_most));
        }
    }

    fn serving(&self, service: &str) -> usize {
        self.services.get(service).copied().unwrap_or(0)
    }

    /// What is missing of what is waited for: `1 of 2 ready`, or `2 of 2 ready, 1 of 2 behind Service dbman`.
    #[must_use]
    pub fn against(&self, wanted: &Self) -> String {
        let lacking = wanted.services.iter().find(|(name, serving)| self.serving(name) < **serving);
        let ready = format!("{} of {} ready", self.ready, wanted.ready);
        match lacking {
            Some((name, serving)) if self.ready >= wanted.ready => {
                format!("{ready}, {} of {serving} behind Service {name}", self.serving(name))
            }
            _ => ready,
        }
    }
}

/// The pods at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Ready pods that the fault picked.
    pub picked: usize,
    /// All the others.
    pub others: Count,
    /// Those, and the picked ones that are ready.
    pub all: Count,
    /// Others that are there and not ready.
    pub coming: usize,
}

/// What is seen of the pods behind a fault's selector, from its intent on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Behind {
    picked: BTreeSet<String>,
    services: Vec<String>,
    ready: BTreeSet<String>,
    seen: Vec<(Timestamp, Seen)>,
}

impl Behind {
    /// For what was recorded with the intent.
    #[must_use]
    pub fn of(fault: &FaultStatus) -> Self {
        Self {
            picked: fault.targets.iter().map(|target| target.uid.clone()).collect(),
            services: fault.services.iter().map(|service| service.name.clone()).collect(),
            ..Self::default()
        }
    }

    /// The Services that picked pods served.
    #[must_use]
    pub fn services(&self) -> &[String] {
        &self.services
    }

    /// Takes in how the pods are now.
    pub fn tell(&mut self, at: Timestamp, pods: &[Candidate]) {
        self.ready = pods.iter().filter(|pod| pod.ready).map(|pod| pod.uid.clone()).collect();
        let (picked, others): (Vec<&Candidate>, Vec<&Candidate>) =
            pods.iter().partition(|pod| self.picked.contains(&pod.uid));
        let seen = Seen {
            picked: picked.iter().filter(|pod| pod.ready).count(),
            others: Count::of(others.iter().copied(), &self.services),
            all: Count::of(pods.iter(), &self.services),
            coming: others.iter().filter(|pod| !pod.ready).count(),
        };
        if self.seen.last().is_none_or(|(_, last)| *last != seen) {
            self.seen.push((at, seen));
        }
        if self.seen.len() > MOST_SEEN {
            self.seen.remove(0);
        }
    }

    /// Uids of the pods that are ready now.
    #[must_use]
    pub fn ready(&self) -> &BTreeSet<String> {
        &self.ready
    }

    /// How the pods were just before the injection; `None` where nobody watched then.
    #[must_use]
    pub fn before(&self, injected: Timestamp) -> Option<&Seen> {
        self.seen[..self.injection(injected)].last().map(|(_, seen)| seen)
    }

    /// When there were first as many as are waited for, after the injection.
    #[must_use]
    pub fn there(&self, injected: Timestamp, wanted: &Count) -> Option<Timestamp> {
        let after = &self.seen[self.injection(injected)..];
        after.iter().find(|(at, seen)| *at > injected && seen.others.reaches(wanted)).map(|(at, _)| *at)
    }

    /// How the pods were at a time.
    #[must_use]
    pub fn at(&self, time: Timestamp) -> Option<&Seen> {
        self.seen.iter().rev().find(|(at, _)| *at <= time).map(|(_, seen)| seen)
    }

    /// The first look that is after the injection.
    fn injection(&self, injected: Timestamp) -> usize {
        let until = self.seen.partition_point(|(at, _)| *at < injected);
        let picked = self.seen.get(until.saturating_sub(1)).map_or(0, |(_, seen)| seen.picked);
        if picked == 0 {
            return until;
        }
        until + self.seen[until..].iter().take_while(|(_, seen)| seen.picked >= picked).count()
    }
}

#[cfg(test)]
mod tests;
