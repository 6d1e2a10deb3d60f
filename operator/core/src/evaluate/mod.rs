//! From a run's status to its figures: which questions to ask, in which order, and what the answers mean.
//!
//! [`Evaluation::step`] takes answers and gives either further requests or the [`Judgement`]:
//! 1. the run's totals, and the cells around each fault: when the system was back;
//! 2. with that, all windows are known: the counts for each objective in each window, and in cells over the load.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::{Expectation, LoadTestStatus, ObjectiveStatus, WindowKind, WindowResult};

use crate::{
    evaluate::{
        fault::{FaultProbe, Findings},
        judgement::{Judgement, leave_out_queries, objective_status, result},
        load::{Delivered, LoadProbe, case, end::LoadEnd},
        names::Counted,
        objective::{probe::Probe, pushes::Pushes, spikes::SpikeProbe},
        windows::{
            Extent, Window,
            context::{Context, Settings},
            windows,
        },
    },
    k6::{
        outcomes::Outcomes,
        queries::{DROPPED_ITERATIONS, HTTP_REQS, ITERATIONS, K6Series, Metric, Split},
        question::{About, Asked, Asks, Request},
    },
    numbers::{interval::Interval, limit},
    plan::{Plan, fault::FaultLimits, objective::ObjectivePlan},
    prometheus::ask::{Answer, Answers, RequestKind},
};

pub mod fault;
pub mod fit;
pub mod live;
pub mod load;
pub mod names;
pub mod settle;
pub mod windows;

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Ask(Vec<Request>),
    Done(Box<Judgement>),
}

/// The evaluation of one run, between its questions.
#[derive(Debug)]
pub struct Evaluation {
    objectives: Vec<ObjectivePlan>,
    faults: Vec<(String, FaultLimits)>,
    expect: Option<Expectation>,
    status: LoadTestStatus,
    context: Context,
    /// What is asked about the load itself.
    load: LoadProbe,
    ended_at: Option<MicroTime>,
    answers: Answers,
    /// Every question, for the record.
    asked: Vec<Request>,
    next_id: usize,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    New,
    /// When the load ended is asked.
    End(LoadEnd),
    /// Cells and totals are asked.
    Faults {
        totals: Totals,
        faults: Vec<(String, FaultProbe)>,
    },
    /// The figures are asked.
    Figures {
        judgement: Box<Judgement>,
        rows: Vec<Row>,
        spikes: Vec<SpikeProbe>,
    },
}

#[derive(Clone, Copy, Debug)]
struct Totals {
    requests: usize,
    names: usize,
    iterations: usize,
    dropped: usize,
}

/// One objective in one window.
#[derive(Debug)]
struct Row {
    objective: usize,
    window: Window,
    probe: Probe,
    pushes: Option<Pushes>,
}

impl Evaluation {
    /// An evaluation of a planned run.
    #[must_use]
    pub fn of(plan: &Plan, status: &LoadTestStatus, settings: Settings) -> Self {
        let faults = plan.faults.iter().map(|f| (f.name.clone(), f.limits.clone())).collect();
        let mut evaluation = Self::new(&plan.judged(status), faults, status, settings);
        evaluation.context.namespace.clone_from(&plan.names.namespace);
        Self { expect: plan.expect.clone(), ..evaluation }
    }

    /// An evaluation. Each fault comes with what is asked of the system when it strikes.
    #[must_use]
    pub fn new(
        objectives: &[ObjectivePlan],
        faults: Vec<(String, FaultLimits)>,
        status: &LoadTestStatus,
        settings: Settings,
    ) -> Self {
        let context = Context::of(status, &settings);
        Self {
            objectives: objectives.to_vec(),
            faults,
            expect: None,
            status: status.clone(),
            context,
            load: LoadProbe::default(),
            ended_at: None,
            answers: Answers::default(),
            asked: Vec::new(),
            next_id: 0,
            stage: Stage::New,
        }
    }

    /// Takes the answers to the last requests, none at first, and says what comes next. A request without an
    /// answer counts as failed.
    pub fn step(&mut self, answers: Vec<(usize, Answer)>) -> Step {
        self.answers.add(answers);
        loop {
            let requests = match std::mem::replace(&mut self.stage, Stage::New) {
                Stage::New => self.ask_for_the_end(),
                Stage::End(end) => {
                    self.set_end(&end);
                    self.ask_about_faults()
                }
                Stage::Faults { totals, faults } => self.ask_for_figures(totals, &faults),
                Stage::Figures { judgement, rows, spikes } => {
                    return Step::Done(self.judge(judgement, &rows, &spikes));
                }
            };
            if !requests.is_empty() {
                self.asked.extend(requests.iter().cloned());
                return Step::Ask(requests);
            }
        }
    }

    /// Everything that was asked, with its answer.
    #[must_use]
    pub fn into_asked(mut self) -> Vec<Asked> {
        let answered = self.asked.into_iter().filter_map(|request| {
            let answer = self.answers.take(request.id)?;
            Some(Asked { question: request.question, kind: request.kind, answer })
        });
        answered.collect()
    }

    fn ask_for_the_end(&mut self) -> Vec<Request> {
        let mut asks = Asks::from(self.next_id);
        let Some(end) = LoadEnd::ask(&self.status, &self.context, &mut asks) else {
            return self.ask_about_faults();
        };
        self.next_id = asks.next_id();
        self.stage = Stage::End(end);
        asks.into_requests()
    }

    fn set_end(&mut self, end: &LoadEnd) {
        let Some(ended) = end.read(&self.answers) else { return };
        self.ended_at = Some(MicroTime(ended));
        self.status.load.get_or_insert_default().ended_at.clone_from(&self.ended_at);
        let namespace = std::mem::take(&mut self.context.namespace);
        self.context = Context { namespace, ..Context::of(&self.status, &self.context.settings) };
    }

    fn ask_about_faults(&mut self) -> Vec<Request> {
        let mut asks = Asks::from(self.next_id);
        let load = self.context.read_load();
        let at = load.map_or(Timestamp::UNIX_EPOCH, |load| load.to);
        let stretches: Vec<Interval> = load.into_iter().collect();
        let metrics = &self.context.metrics;
        let mut total = |metric: Metric, split: Split| {
            let increase = metrics.increase(K6Series::all(metric), split, &stretches);
            asks.ask(increase, RequestKind::Instant { at })
        };
        let totals = Totals {
            requests: total(HTTP_REQS, Split::Outcome),
            iterations: total(ITERATIONS, Split::Whole),
            dropped: total(DROPPED_ITERATIONS, Split::Whole),
            names: asks.ask(metrics.about(About::RequestNames), RequestKind::Instant { at }),
        };
        let mut faults = Vec::new();
        for (name, limits) in &self.faults {
            let Some(fault) = self.status.faults.iter().find(|f| f.name == *name) else { continue };
            let probe = fault::probe(fault, limits, &self.objectives, &self.status, &self.context, &mut asks);
            faults.push((name.clone(), probe));
        }
        self.next_id = asks.next_id();
        self.stage = Stage::Faults { totals, faults };
        if self.context.load.is_none() { Vec::new() } else { asks.into_requests() }
    }

    fn ask_for_figures(&mut self, totals: Totals, faults: &[(String, FaultProbe)]) -> Vec<Request> {
        let found = fault::assess(faults, &mut self.status, &self.context, &self.answers);
        let budget = |(name, f): &(String, Findings)| Some((name.clone(), f.budget.clone()?));
        let budgets = found.iter().filter_map(budget).collect();
        let recoveries = found.into_iter().map(|(name, f)| (name, f.recovery)).collect();
        let requests = self.answers.vector(totals.requests).ok().and_then(Outcomes::of);
        let sum = |id| self.answers.sum(id).ok().flatten().map(limit::whole);
        let iterations = sum(totals.iterations);
        let dropped = self.answers.sum(totals.dropped);
        let judgement = Box::new(Judgement {
            objectives: Vec::new(),
            recoveries,
            budgets,
            requests: requests.map(|o| limit::whole(o.total())),
            failed_requests: requests.map(|o| limit::whole(o.failed)),
            request_names: self.answers.vector(totals.names).ok().and_then(Counted::of),
            // k6 has no series for what never happened; a question that failed says nothing.
            dropped_iterations: dropped.ok().and_then(|sum| sum.map(limit::whole).or(iterations.map(|_| 0))),
            iterations,
            delivered: Delivered::default(),
            ended_at: self.ended_at.clone(),
        });

        let mut asks = Asks::from(self.next_id);
        let windows = windows(&self.status);
        let steady = windows.iter().find(|window| window.kind == WindowKind::Steady);
        let stretches = steady.map(|window| self.context.reads(window)).unwrap_or_default();
        self.load = LoadProbe::new(&self.status, &self.context, &stretches, &mut asks);
        let mut rows = Vec::new();
        let mut spikes = Vec::new();
        for (index, objective) in self.objectives.iter().enumerate() {
            if let Some(steady) = steady {
                spikes.extend(SpikeProbe::ask(index, objective, steady, &self.context, &mut asks));
            }
            for window in of_objective(objective, &windows, &self.status) {
                let probe = Probe::new(objective, &window, &self.context, &mut asks);
                let reads = probe.is_of_k6().then(|| self.context.reads(&window));
                let pushes = reads.and_then(|reads| Pushes::ask(&reads, objective, &self.context, &mut asks));
                rows.push(Row { objective: index, window, probe, pushes });
            }
        }
        self.next_id = asks.next_id();
        self.stage = Stage::Figures { judgement, rows, spikes };
        asks.into_requests()
    }

    fn judge(&self, mut judgement: Box<Judgement>, rows: &[Row], spikes: &[SpikeProbe]) -> Box<Judgement> {
        let holes = self.context.holes(&self.status);
        judgement.objectives = self
            .objectives
            .iter()
            .enumerate()
            .map(|(index, objective)| {
                let windows: Vec<WindowResult> = rows
                    .iter()
                    .filter(|row| row.objective == index)
                    .map(|row| {
                        let (finding, query) =
                            row.probe.judge(objective, &self.context, &self.answers, &holes);
                        let finding = match &row.pushes {
                            Some(pushes) => pushes.or_else(finding, &self.answers),
                            None => finding,
                        };
                        result(&row.window, finding, query)
                    })
                    .collect();
                let spikes = spikes.iter().find(|spikes| spikes.objective == index);
                ObjectiveStatus {
                    spikes: spikes.map(|s| s.find(objective, &self.answers)).unwrap_or_default(),
                    ..objective_status(objective, windows)
                }
            })
            .collect();
        let totals = case::Totals {
            requests: judgement.requests,
            iterations: judgement.iterations,
            dropped: judgement.dropped_iterations,
        };
        judgement.delivered = self.load.assess(&self.status, self.expect.as_ref(), totals, &self.answers);
        leave_out_queries(&mut judgement.objectives);
        judgement
    }
}

/// The windows in which an objective is judged; where a kind has none, one that says so.
fn of_objective(objective: &ObjectivePlan, all: &[Window], status: &LoadTestStatus) -> Vec<Window> {
    if let Some(stretch) = objective.between {
        return vec![windows::between(status, stretch)];
    }
    let mut judged = Vec::new();
    for kind in &objective.windows {
        let before = judged.len();
        judged.extend(all.iter().filter(|w| w.kind == *kind).cloned());
        if judged.len() == before {
            let why = "this LoadTest has no faults: judge the objective in Run or Steady".to_owned();
            judged.push(Window { kind: *kind, fault: None, extent: Extent::Absent(why) });
        }
    }
    judged
}

#[cfg(test)]
pub(crate) mod fake;
pub mod judgement;
#[cfg(test)]
pub(crate) mod minute;
pub mod objective;
#[cfg(test)]
mod tests;
