//! What came of an effect, as it is told to the run. All that a process knows beside the record is the facts that it
//! was told, in their order.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use loadtest_crds::WatchedStatus;

use crate::{
    evaluate::{fault::steady::Health, judgement::Judgement, live::Live},
    k6::RunnerStatus,
    machine::{
        behind::Behind,
        pick::Candidate,
        world::{Facts, KillResult, LogSummary, Problem, Promptness, RunnerStart, TargetSeen},
    },
    plan::names::RunnerId,
    record::Evidence,
    verdict::baseline::History,
    watch::{
        guardrail::Reading,
        system::{course::Course, pod::PodSeen},
    },
};

/// Each has its place in [`Facts`], where it is told what it means.
#[derive(Clone, Debug)]
pub enum Fact {
    Checked {
        problems: Vec<Problem>,
        scraped_every: BTreeMap<String, Duration>,
        scripts: BTreeMap<String, String>,
    },
    Created(Result<(), String>),
    Inspected {
        scenario: String,
        result: Result<String, String>,
    },
    InspectionUnread {
        scenario: String,
        why: String,
    },
    LastWords {
        runner: RunnerId,
        log: Result<String, String>,
    },
    AtBarrier {
        runner: RunnerId,
        at: Timestamp,
    },
    SetUp {
        scenario: String,
        result: Result<(), String>,
    },
    Started(Vec<RunnerStart>),
    /// The runner is through, or its pod has ended: then it has no last answer.
    Followed {
        runner: RunnerId,
        promptness: Promptness,
        last: Option<RunnerStatus>,
    },
    Live(Live),
    Listed {
        fault: String,
        result: Result<Vec<Candidate>, Problem>,
    },
    Unlisted {
        fault: String,
        why: String,
    },
    Steady {
        fault: String,
        health: Health,
    },
    LookedAgain {
        fault: String,
        targets: BTreeMap<String, TargetSeen>,
    },
    Killed {
        fault: String,
        results: BTreeMap<String, KillResult>,
    },
    /// The pods behind a fault's selector as they are. `from` is what is known of them where nothing was told yet.
    SeenBehind {
        fault: String,
        from: Arc<Behind>,
        at: Timestamp,
        pods: Vec<Candidate>,
    },
    Read(Vec<Reading>),
    LoadStopped {
        unstopped: Vec<RunnerId>,
    },
    /// One part of the system under test. `before` is what was recorded of it where nothing was told yet.
    SeenOfSystem {
        before: Box<WatchedStatus>,
        started: Timestamp,
        at: Timestamp,
        news: News,
    },
    TornDown {
        scenario: String,
        result: Result<(), String>,
    },
    Counted(Option<i64>),
    LogsKept(LogSummary),
    Settled(Result<(), String>),
    Judged {
        judgement: Box<Judgement>,
        evidence: Arc<Evidence>,
        matched: BTreeMap<String, i64>,
    },
    History(History),
    Recorded(Result<(), String>),
    Unreleased(BTreeMap<RunnerId, String>),
    PodsDeleted(Result<(), String>),
}

/// What is seen of a part of the system under test.
#[derive(Clone, Debug)]
pub enum News {
    All(Vec<PodSeen>),
    Changed(Box<PodSeen>),
    /// By uid.
    Gone(String),
    Trouble(String),
    /// The last look, after the load.
    Last(Result<Vec<PodSeen>, String>),
}

impl Fact {
    /// A word for logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Checked { .. } => "checked",
            Self::Created(_) => "created",
            Self::Inspected { .. } => "inspected",
            Self::InspectionUnread { .. } => "inspection-unread",
            Self::LastWords { .. } => "last-words",
            Self::AtBarrier { .. } => "at-barrier",
            Self::SetUp { .. } => "set-up",
            Self::Started(_) => "started",
            Self::Followed { .. } => "followed",
            Self::Live(_) => "live",
            Self::Listed { .. } => "listed",
            Self::Unlisted { .. } => "unlisted",
            Self::Steady { .. } => "steady",
            Self::LookedAgain { .. } => "looked-again",
            Self::Killed { .. } => "killed",
            Self::SeenBehind { .. } => "seen-behind",
            Self::Read(_) => "read",
            Self::LoadStopped { .. } => "load-stopped",
            Self::SeenOfSystem { .. } => "seen-of-system",
            Self::TornDown { .. } => "torn-down",
            Self::Counted(_) => "counted",
            Self::LogsKept(_) => "logs-kept",
            Self::Settled(_) => "settled",
            Self::Judged { .. } => "judged",
            Self::History(_) => "history",
            Self::Recorded(_) => "recorded",
            Self::Unreleased(_) => "unreleased",
            Self::PodsDeleted(_) => "pods-deleted",
        }
    }
}

impl Facts {
    /// Takes a fact in.
    pub fn apply(&mut self, fact: Fact) {
        match fact {
            Fact::Checked { problems, scraped_every, scripts } => {
                self.preflight = Some(problems);
                self.scraped_every = scraped_every;
                self.scripts = scripts;
            }
            Fact::Created(result) => self.created = Some(result),
            // It is read in two ways, and the first to be whole counts.
            Fact::Inspected { scenario, result } => {
                self.inspections.entry(scenario).or_insert(result);
            }
            Fact::InspectionUnread { scenario, why } => drop(self.unread_inspections.insert(scenario, why)),
            Fact::LastWords { runner, log } => drop(self.last_words.insert(runner, log)),
            Fact::AtBarrier { runner, at } => drop(self.at_barrier.insert(runner, at)),
            Fact::SetUp { scenario, result } => drop(self.setup.insert(scenario, result)),
            Fact::Started(starts) => self.started = Some(starts),
            Fact::Followed { runner, promptness, last } => {
                self.promptness.insert(runner.clone(), promptness);
                self.k6.extend(last.map(|status| (runner, status)));
            }
            Fact::Live(live) => self.live = Some(live),
            Fact::Listed { fault, result } => drop(self.candidates.insert(fault, result)),
            Fact::Unlisted { fault, why } => drop(self.unlisted.insert(fault, why)),
            Fact::Steady { fault, health } => drop(self.steady.insert(fault, health)),
            Fact::LookedAgain { fault, targets } => drop(self.seen.insert(fault, targets)),
            Fact::Killed { fault, results } => drop(self.kills.insert(fault, results)),
            Fact::SeenBehind { fault, from, at, pods } => {
                let behind = self.behind.entry(fault).or_insert_with(|| Arc::unwrap_or_clone(from));
                behind.tell(at, &pods);
            }
            Fact::Read(readings) => self.watches.tell(readings),
            Fact::LoadStopped { unstopped } => self.load_stopped = Some(unstopped),
            Fact::SeenOfSystem { before, started, at, news } => {
                let course = self.system.entry(before.name.clone());
                course.or_insert_with(|| Course::new(*before, started)).take(at, news);
            }
            Fact::TornDown { scenario, result } => drop(self.teardown.insert(scenario, result)),
            Fact::Counted(sum) => self.k6_requests = Some(sum),
            Fact::LogsKept(summary) => self.logs = Some(summary),
            Fact::Settled(result) => self.settled = Some(result),
            Fact::Judged { judgement, evidence, matched } => {
                self.judgement = Some(*judgement);
                self.evidence = Some(evidence);
                self.matched = matched;
            }
            Fact::History(history) => self.history = Some(history),
            Fact::Recorded(result) => {
                self.record = Some(result);
                // It may be large, and is in the record, or never will be.
                self.evidence = None;
            }
            Fact::Unreleased(refused) => self.unreleased = refused,
            Fact::PodsDeleted(result) => self.pods_deleted = Some(result),
        }
    }
}

impl Course {
    fn take(&mut self, at: Timestamp, news: News) {
        match news {
            News::All(pods) => self.all(at, pods),
            News::Changed(pod) => self.changed(at, *pod),
            News::Gone(uid) => self.gone(at, &uid),
            News::Trouble(why) => self.trouble(at, why),
            News::Last(pods) => self.close(at, pods),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::windows::context::Settings;

    /// An inspection is read as it is printed, and in all: what is whole first is not replaced.
    #[test]
    fn the_first_inspection_that_is_whole_counts() {
        let mut facts = Facts::default();
        for result in [Ok("{}".to_owned()), Err("killed".to_owned())] {
            facts.apply(Fact::Inspected { scenario: "a".to_owned(), result });
        }
        assert_eq!(facts.inspections["a"], Ok("{}".to_owned()));
    }

    /// Other runs wait for its room.
    #[test]
    fn what_the_figures_were_read_from_is_dropped_once_the_record_is_written() {
        let settings = Settings { run_id: "uid-1".to_owned(), push: Duration::from_secs(1) };
        let evidence = Arc::new(Evidence { settings, asked: Vec::new(), cells: Err("none".to_owned()) });
        let matched = BTreeMap::from([("the query up".to_owned(), 2)]);
        let mut facts = Facts::default();
        facts.apply(Fact::Judged { judgement: Box::default(), evidence, matched: matched.clone() });
        facts.apply(Fact::Recorded(Ok(())));
        assert_eq!((facts.evidence.is_none(), facts.judgement.is_some()), (true, true));
        assert_eq!(facts.matched, matched, "the verdict is decided again, and from the same");
    }

    #[test]
    fn a_runner_that_ended_with_its_pod_has_no_last_answer() {
        let mut facts = Facts::default();
        let runner = RunnerId { scenario: "a".to_owned(), index: 0 };
        let promptness = Promptness { answers: 3, late: 1 };
        facts.apply(Fact::Followed { runner: runner.clone(), promptness, last: None });
        assert_eq!(facts.promptness[&runner], promptness);
        assert!(facts.k6.is_empty());
    }
}
