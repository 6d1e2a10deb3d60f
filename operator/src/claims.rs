//! Which pods the faults of all runs have taken. Each run decides by those of the others, and holds its own before it
//! records an intent: of two that look at the same time one looks again.
//!
//! What is held is derived from the records, so a process that takes the runs up knows what the one before it began:
//! no run goes on before the records of all of them were read once.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::ResourceExt;
use loadtest_core::{
    machine::{claim, world::Claim},
    plan::Plan,
};
use loadtest_crds::LoadTest;
use tokio::sync::watch;

pub struct Claims {
    held: Mutex<Held>,
    complete: watch::Sender<bool>,
}

#[derive(Default)]
struct Held {
    /// By the uid of the run.
    runs: HashMap<String, Vec<Arc<Claim>>>,
    /// Grows with each change.
    version: u64,
    /// Namespaces whose LoadTests were not listed yet.
    unheard: BTreeSet<String>,
}

/// What the other runs held at one time.
pub struct Others {
    pub claims: Vec<Arc<Claim>>,
    version: u64,
}

impl Claims {
    pub fn new(namespaces: &[String]) -> Self {
        let held = Held { unheard: namespaces.iter().cloned().collect(), ..Held::default() };
        Self { held: Mutex::new(held), complete: watch::channel(namespaces.is_empty()).0 }
    }

    /// What the runs hold beside this one.
    pub fn of_others(&self, run: &str) -> Others {
        let held = self.lock();
        let others = held.runs.iter().filter(|(uid, _)| *uid != run);
        Others { claims: others.flat_map(|(_, claims)| claims.clone()).collect(), version: held.version }
    }

    /// Holds what a run is about to record. False, and nothing is held anew, where anybody has changed what they hold
    /// since the run looked: it must decide again.
    pub fn hold(&self, run: &str, claims: Vec<Claim>, seen: &Others) -> bool {
        let mut held = self.lock();
        if held.version != seen.version {
            return false;
        }
        held.set(run, claims);
        true
    }

    /// What the record of a run says, before the run itself does.
    pub fn learn(&self, test: &LoadTest) {
        let (Some(uid), Ok(plan)) = (test.uid(), Plan::of(test)) else { return };
        let claims = claim::claims(&plan, &test.status.clone().unwrap_or_default());
        let mut held = self.lock();
        if !held.runs.contains_key(&uid) {
            held.set(&uid, claims);
        }
    }

    /// The run is over.
    pub fn forget(&self, run: &str) {
        self.lock().set(run, Vec::new());
    }

    /// The LoadTests of a namespace are known, or the API server refuses to tell them.
    pub fn heard(&self, namespace: &str) {
        let mut held = self.lock();
        held.unheard.remove(namespace);
        if held.unheard.is_empty() {
            self.complete.send_replace(true);
        }
    }

    /// Returns when the LoadTests of all namespaces are known.
    pub async fn complete(&self) {
        // It cannot be closed while `self` lives.
        let _ = self.complete.subscribe().wait_for(|complete| *complete).await;
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn set(&mut self, run: &str, claims: Vec<Claim>) {
        let same = self.runs.get(run).map_or(claims.is_empty(), |now| {
            now.len() == claims.len() && now.iter().zip(&claims).all(|(now, new)| **now == *new)
        });
        if same {
            return;
        }
        self.version += 1;
        if claims.is_empty() {
            self.runs.remove(run);
        } else {
            self.runs.insert(run.to_owned(), claims.into_iter().map(Arc::new).collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn claim(pod: &str) -> Claim {
        Claim {
            test: "shop/nightly".to_owned(),
            fault: "kill".to_owned(),
            namespace: "shop".to_owned(),
            selector: "app=dbman".to_owned(),
            pods: BTreeMap::from([(pod.to_owned(), pod.to_owned())]),
            before: Default::default(),
            injected_at: None,
            replaced_at: None,
        }
    }

    fn pods(others: &Others) -> Vec<String> {
        others.claims.iter().flat_map(|claim| claim.pods.keys().cloned()).collect()
    }

    #[test]
    fn of_two_that_look_at_the_same_time_one_looks_again() {
        let claims = Claims::new(&[]);
        let (first, second) = (claims.of_others("a"), claims.of_others("b"));
        assert!(claims.hold("a", vec![claim("d-1")], &first));
        assert!(!claims.hold("b", vec![claim("d-2")], &second));
        let second = claims.of_others("b");
        assert_eq!(pods(&second), ["d-1"]);
        // Nothing has changed, so nobody has to look again.
        assert!(claims.hold("a", vec![claim("d-1")], &claims.of_others("a")));
        assert!(claims.hold("b", Vec::new(), &second));
        assert_eq!(pods(&claims.of_others("a")), Vec::<String>::new());
        claims.forget("a");
        assert_eq!(pods(&claims.of_others("b")), Vec::<String>::new());
    }

    /// As another process has recorded it, until the run says so itself.
    #[tokio::test]
    async fn what_is_recorded_is_known_before_any_run_goes_on() {
        let claims = Claims::new(&["shop".to_owned(), "gone".to_owned()]);
        let test: LoadTest = serde_json::from_value(json!({
            "metadata": {"name": "nightly", "namespace": "shop", "uid": "u-1"},
            "spec": {
                "serviceAccountName": "breaker",
                "scenarios": [{"name": "a", "script": {"inline": "x"}, "vus": 1, "duration": "60s"}],
                "objectives": [{"name": "ok", "k6": {"metric": "http_req_failed"}, "atMost": "1%"}],
                "faults": [{
                    "name": "kill", "at": "20s", "podKill": {"gracePeriodSeconds": 0},
                    "target": {"selector": {"matchLabels": {"app": "dbman"}}, "pick": {"count": 1}},
                }],
            },
            "status": {
                "faults": [{
                    "name": "kill", "state": "Intended",
                    "targets": [{"namespace": "shop", "name": "dbman-0", "uid": "d-1", "state": "Intended"}],
                }],
            },
        }))
        .unwrap();
        claims.learn(&test);
        claims.heard("shop");
        assert_eq!(pods(&claims.of_others("u-2")), ["d-1"]);
        assert!(!*claims.complete.borrow(), "one namespace is not known yet");
        claims.heard("gone");
        claims.complete().await;

        assert!(claims.hold("u-1", vec![claim("d-2")], &claims.of_others("u-1")));
        claims.learn(&test);
        assert_eq!(pods(&claims.of_others("u-2")), ["d-2"], "the run knows better");
    }
}
