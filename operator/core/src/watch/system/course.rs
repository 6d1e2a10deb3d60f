//! What is seen of one part, change by change, and what happened by it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{HappeningKind, ReadyStep, WatchGap, WatchedStatus};

use crate::{
    numbers::hash::fnv,
    watch::system::{
        pod::{ContainerSeen, Disruption, PodSeen},
        ready::push_step,
    },
};

/// A first look that comes later after the start of the load than this leaves a gap.
const PROMPT: SignedDuration = SignedDuration::from_secs(5);
/// As many revisions and images are recorded; with more, an operator that takes the run up again does not know
/// all that there were.
pub const MOST_TEMPLATES: usize = 10;

/// One part of the system under test, from the first look on.
#[derive(Clone, Debug, Default)]
pub struct Course {
    /// What earlier processes have recorded.
    pub(super) before: WatchedStatus,
    started: Timestamp,
    pub(super) begun: Option<Begun>,
    /// By uid.
    pub(super) pods: BTreeMap<String, PodSeen>,
    pub(super) revisions: Vec<String>,
    pub(super) images: Vec<String>,
    /// The limits of their containers, in words.
    pub(super) limits: Vec<String>,
    /// By workload: the newest template.
    newest: BTreeMap<String, PodSeen>,
    pub(super) events: Vec<Event>,
    pub(super) ready: Vec<ReadyStep>,
    /// The steps to ever more ready pods.
    pub(super) peaks: Vec<(Timestamp, i32)>,
    pub(super) gaps: Vec<WatchGap>,
    /// Since when and why nothing is seen.
    pub(super) trouble: Option<(Timestamp, String)>,
    /// Whether the last look, after the load, succeeded.
    pub(super) closed: Option<Result<(), String>>,
}

/// The first look of this process.
#[derive(Clone, Debug)]
pub(super) struct Begun {
    pub pods: i32,
    /// The pods that were there.
    pub uids: BTreeSet<String>,
}

/// Something that happened to a pod.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub at: Timestamp,
    pub uid: String,
    pub pod: String,
    pub workload: String,
    pub what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Came,
    /// `over` where it ended by itself and was not deleted.
    Left {
        over: bool,
    },
    Ended(End),
    /// The cluster takes it away.
    Disrupted {
        kind: HappeningKind,
        why: String,
    },
    /// It is of another template.
    Rollout(String),
}

/// A container that ended.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub container: String,
    /// Restarts that this adds.
    pub restarts: i32,
    pub out_of_memory: bool,
    pub seen: ContainerSeen,
}

/// How something was seen: when it happened, or afterwards.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Event,
    List,
}

impl Course {
    /// A course that goes on from what was recorded, if anything was.
    #[must_use]
    pub fn new(before: WatchedStatus, started: Timestamp) -> Self {
        let (revisions, images) = (before.revisions.clone(), before.images.clone());
        let limits = before.limits.clone();
        Self { before, started, revisions, images, limits, ..Self::default() }
    }

    /// All pods as they are.
    pub fn all(&mut self, at: Timestamp, pods: Vec<PodSeen>) {
        if self.closed.is_some() {
            return;
        }
        if self.begun.is_none() {
            return self.begin(at, pods);
        }
        let members = members(&self.pods);
        let there: BTreeSet<&String> = pods.iter().map(|p| &p.uid).collect();
        let gone: Vec<String> = self.pods.keys().filter(|uid| !there.contains(uid)).cloned().collect();
        let unseen_since = self.trouble.as_ref().map_or(at, |(since, _)| *since);
        for uid in gone {
            self.take_away(unseen_since, &uid);
        }
        for pod in pods {
            self.put(at, pod, Seen::List);
        }
        if let Some((since, _)) = self.trouble.take() {
            self.gap(since, at, members != self::members(&self.pods));
        }
        self.count_ready(at);
    }

    /// One pod as it is.
    pub fn changed(&mut self, at: Timestamp, pod: PodSeen) {
        if self.begun.is_some() && self.closed.is_none() {
            // The watch went on from where it had broken off.
            self.trouble = None;
            self.put(at, pod, Seen::Event);
            self.count_ready(at);
        }
    }

    /// One pod is no more.
    pub fn gone(&mut self, at: Timestamp, uid: &str) {
        if self.begun.is_some() && self.closed.is_none() {
            self.trouble = None;
            self.take_away(at, uid);
            self.count_ready(at);
        }
    }

    /// Nothing is seen from now on, until something is.
    pub fn trouble(&mut self, at: Timestamp, why: String) {
        if self.closed.is_none() {
            let since = self.trouble.take().map_or(at, |(since, _)| since);
            self.trouble = Some((since, why));
        }
    }

    /// The last look, after the load.
    pub fn close(&mut self, at: Timestamp, pods: Result<Vec<PodSeen>, String>) {
        if self.closed.is_some() {
            return;
        }
        self.closed = Some(pods.map(|pods| self.all(at, pods)));
    }

    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// The pods that are there at first: the state that later ones are compared with.
    fn begin(&mut self, at: Timestamp, mut pods: Vec<PodSeen>) {
        pods.sort_by_key(|pod| pod.created_at);
        let known = self.before.pods.is_some();
        let resumed = known || at > self.started.saturating_add(PROMPT).unwrap_or(at);
        let complete = known && self.revisions.len() < MOST_TEMPLATES && self.images.len() < MOST_TEMPLATES;
        for pod in &pods {
            if resumed {
                let old = self.as_recorded(pod);
                self.note_trouble(at, &old, pod, Seen::List);
            }
            let new = complete && pod.lives() && pod.created_at.is_some_and(|made| made >= self.started);
            self.learn(pod.created_at.unwrap_or(at), pod, new);
        }
        self.pods = pods.into_iter().map(|pod| (pod.uid.clone(), pod)).collect();
        let live = self.pods.values().filter(|p| p.lives()).count();
        self.begun = Some(Begun {
            pods: i32::try_from(live).unwrap_or(i32::MAX),
            uids: self.pods.keys().cloned().collect(),
        });
        if resumed {
            let from = self.before.until.as_ref().map_or(self.started, |t| t.0);
            let same = self.before.members.as_deref() == Some(members(&self.pods).as_str());
            self.gap(from, at, !same);
        }
        self.trouble = None;
        self.count_ready(at);
    }

    /// What a pod was when the process before wrote down what it had seen, as far as the record and the pod tell.
    fn as_recorded(&self, pod: &PodSeen) -> PodSeen {
        let started = self.started.as_second();
        let in_load = |time: Option<Timestamp>| time.is_some_and(|t| t.as_second() >= started);
        let recorded = || self.before.happenings.iter().filter(|h| h.pod.as_deref() == Some(&pod.name));
        let containers = pod.containers.iter().map(|(name, container)| {
            let ended_since = in_load(container.last_end.as_ref().and_then(|end| end.at));
            let counted = recorded().filter(|h| h.container.as_ref() == Some(name));
            let counted = counted.filter_map(|h| h.restart_count).max();
            let restarts = match counted {
                Some(counted) => counted,
                None if in_load(pod.created_at) => 0,
                // How many there were before the load is not known; one there was since.
                None => container.restarts - container.restarts.min(i32::from(ended_since)),
            };
            let ended_now = container.ended_now && !(counted.is_none() && ended_since);
            (name.clone(), ContainerSeen { restarts, ended_now, last_end: None })
        });
        let known =
            pod.disruption.as_ref().filter(|d| !in_load(d.at) || recorded().any(|h| h.kind == d.kind));
        PodSeen { containers: containers.collect(), disruption: known.cloned(), ..PodSeen::default() }
    }

    fn put(&mut self, at: Timestamp, pod: PodSeen, seen: Seen) {
        let old = self.pods.get(&pod.uid).cloned();
        let came = old.is_none();
        let old = old.unwrap_or_else(|| self.as_made(&pod));
        if came && pod.lives() {
            let at = if seen == Seen::List { pod.created_at.unwrap_or(at) } else { at };
            self.note(at, &pod, What::Came);
            self.learn(at, &pod, true);
        }
        if !came && old.lives() && !pod.lives() {
            let at = if seen == Seen::List { self.trouble.as_ref().map_or(at, |(t, _)| *t) } else { at };
            self.note(at, &pod, What::Left { over: pod.over });
        }
        if !came && old.images != pod.images {
            let message = format!("pod {}: {}", pod.name, image_changes(&old.images, &pod.images));
            self.note(at, &pod, What::Rollout(message));
            self.know_images(&pod);
        }
        // A resize in place changes no template.
        if !came && old.limits != pod.limits {
            self.know_limits(&pod);
        }
        self.note_trouble(at, &old, &pod, seen);
        self.pods.insert(pod.uid.clone(), pod);
    }

    /// What a pod that was not known was before: as it was made, or, where it is older than the load and only
    /// matches since, as it is.
    fn as_made(&self, pod: &PodSeen) -> PodSeen {
        let older = pod.created_at.is_some_and(|made| made < self.started);
        let containers = if older { pod.containers.clone() } else { BTreeMap::new() };
        PodSeen { images: pod.images.clone(), containers, ..PodSeen::default() }
    }

    /// What has befallen a pod since it was as it was.
    fn note_trouble(&mut self, at: Timestamp, old: &PodSeen, pod: &PodSeen, seen: Seen) {
        if old.disruption.is_none()
            && let Some(disruption) = &pod.disruption
        {
            let said = disruption.at.filter(|_| seen == Seen::List);
            self.note(said.map_or(at, |said| said.min(at)), pod, taken_away(disruption));
        }
        // What ends because its pod is taken away is no restart.
        if pod.going || pod.disruption.is_some() {
            return;
        }
        for (name, container) in &pod.containers {
            let none = ContainerSeen::default();
            let before = old.containers.get(name).unwrap_or(&none);
            let restarts = container.restarts - before.restarts;
            let out_of_memory = container.ends() > before.ends() && container.was_out_of_memory();
            if restarts > 0 || out_of_memory {
                let said = container.last_end.as_ref().and_then(|end| end.at);
                let at = if seen == Seen::List { said.map_or(at, |said| said.min(at)) } else { at };
                self.note(at, pod, ended(name, container, restarts, out_of_memory));
            }
        }
    }

    fn take_away(&mut self, at: Timestamp, uid: &str) {
        if let Some(pod) = self.pods.remove(uid)
            && pod.lives()
        {
            self.note(at, &pod, What::Left { over: pod.over });
        }
    }

    /// Takes in a pod's template; one that nobody knew is a rollout, unless it is one of the first.
    fn learn(&mut self, at: Timestamp, pod: &PodSeen, new: bool) {
        let template = pod.template();
        let known = template.as_ref().is_none_or(|t| self.revisions.contains(t))
            && pod.images.values().all(|image| self.images.contains(image));
        let newest = self.newest.get(&pod.workload);
        if !known && new {
            let message = rollout(newest, pod);
            self.note(at, pod, What::Rollout(message));
        }
        if self.newest.get(&pod.workload).is_none_or(|newest| newest.created_at <= pod.created_at) {
            self.newest.insert(pod.workload.clone(), pod.clone());
        }
        if let Some(template) = template.filter(|t| !self.revisions.contains(t)) {
            self.revisions.push(template);
        }
        self.know_images(pod);
        self.know_limits(pod);
    }

    fn know_images(&mut self, pod: &PodSeen) {
        for image in pod.images.values() {
            if !self.images.contains(image) {
                self.images.push(image.clone());
            }
        }
    }

    fn know_limits(&mut self, pod: &PodSeen) {
        for (container, limits) in &pod.limits {
            let each: Vec<String> = limits.iter().map(|(name, limit)| format!("{name} {limit}")).collect();
            let limits = if each.is_empty() { "none".to_owned() } else { each.join(", ") };
            let words = format!("{container}: {limits}");
            if !self.limits.contains(&words) {
                self.limits.push(words);
            }
        }
    }

    fn count_ready(&mut self, at: Timestamp) {
        let ready = self.pods.values().filter(|p| p.ready && p.lives()).count();
        let ready = i32::try_from(ready).unwrap_or(i32::MAX);
        if self.peaks.last().is_none_or(|(_, peak)| ready > *peak) {
            self.peaks.push((at, ready));
        }
        push_step(&mut self.ready, ReadyStep { at: Some(MicroTime(at)), pods: ready });
    }

    fn note(&mut self, at: Timestamp, pod: &PodSeen, what: What) {
        let (uid, name, workload) = (pod.uid.clone(), pod.name.clone(), pod.workload.clone());
        self.events.push(Event { at, uid, pod: name, workload, what });
    }

    fn gap(&mut self, from: Timestamp, to: Timestamp, pods_changed: bool) {
        if from < to {
            self.gaps.push(WatchGap { from: Some(MicroTime(from)), to: Some(MicroTime(to)), pods_changed });
        }
    }
}

fn ended(container: &str, seen: &ContainerSeen, restarts: i32, out_of_memory: bool) -> What {
    let (container, restarts) = (container.to_owned(), restarts.max(0));
    What::Ended(End { container, restarts, out_of_memory, seen: seen.clone() })
}

fn taken_away(disruption: &Disruption) -> What {
    What::Disrupted { kind: disruption.kind, why: disruption.why.clone() }
}

/// `dbman from 5f7c6d9b9c to 7d8e4f5a6b, dbman: image dbman:1 → dbman:2`
fn rollout(old: Option<&PodSeen>, new: &PodSeen) -> String {
    let who = if new.workload.is_empty() { format!("pod {}", new.name) } else { new.workload.clone() };
    let from = old.and_then(|o| o.revision.as_deref()).map(|r| format!(" from {r}")).unwrap_or_default();
    let to = new.revision.as_deref().map(|r| format!(" to {r}")).unwrap_or_default();
    let images = match old {
        Some(old) => image_changes(&old.images, &new.images),
        None => format!("image {}", new.images.values().cloned().collect::<Vec<_>>().join(", ")),
    };
    format!("{who}{from}{to}: {images}")
}

fn image_changes(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> String {
    let changes: Vec<String> = new
        .iter()
        .filter_map(|(container, image)| match old.get(container) {
            Some(before) if before == image => None,
            Some(before) => Some(format!("image {before} → {image}")),
            None => Some(format!("new container {container} with image {image}")),
        })
        .collect();
    if changes.is_empty() { "the same images".to_owned() } else { changes.join(", ") }
}

/// A hash of the pods that live: FNV-1a over their uids, in order.
pub(super) fn members(pods: &BTreeMap<String, PodSeen>) -> String {
    let live = pods.values().filter(|p| p.lives());
    format!("{:016x}", fnv(live.flat_map(|p| p.uid.bytes().chain([0]))))
}
