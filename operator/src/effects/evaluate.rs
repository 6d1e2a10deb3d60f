//! Figures: asked of Prometheus in the order that the core says, once they have settled.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use jiff::Timestamp;
use loadtest_core::{
    ask::{Answer, Labels, Request},
    cells::{self, Cells, Counted, Reader},
    evaluate::{Evaluation, Judgement, Settings, Step},
    machine::Live,
    plan::objective::K6Samples,
    promql::{self, K6Metrics, OUTCOME, Split},
    record::{self, Evidence},
    settle::{Settled, Settling},
};
use loadtest_crds::LoadTestStatus;
use tokio::time::{Instant, MissedTickBehavior};

use super::Shared;
use crate::{
    apart::apart,
    prometheus::{Prometheus, QueryError},
};

/// How long the figures may take to arrive.
const SETTLE_LIMIT: Duration = Duration::from_secs(45);
/// How long to wait for the last few requests, which may never come.
const NEARLY_LIMIT: Duration = Duration::from_secs(5);
/// Between two looks; as often as new samples can be expected.
const SETTLE_POLL: Duration = Duration::from_millis(500);
/// A query that is not answered is asked again for so long.
const ANSWER_LIMIT: Duration = Duration::from_secs(45);
/// Queries under way at once: Prometheus itself takes 20.
const PARALLEL: usize = 8;
/// How often the figures so far are published while the load runs.
const LIVE: Duration = Duration::from_secs(5);

/// Waits until the figures have settled, then judges them. What does not settle is judged all the same, so
/// that there is something to see, but the verdict knows.
pub async fn evaluate(s: Arc<Shared>, status: LoadTestStatus) {
    let Some((prometheus, settings)) = source(&s) else {
        let message =
            format!("Prometheus {} is no longer in the operator's configuration", s.plan.prometheus);
        let judgement =
            answer_all(&s, &status, &Settings { run_id: s.plan.names.uid.clone(), push: LIVE }, |_| {
                let message = message.clone();
                async move { Answer::Failed(message) }
            })
            .await;
        return tell(&s, judgement, None);
    };
    let not_settled = settle(&s, &prometheus, &status, &settings).await;
    let judgement = answer_all(&s, &status, &settings, |request| {
        let prometheus = prometheus.clone();
        async move { insist(&prometheus, &request).await }
    })
    .await;
    tell(&s, judgement, not_settled);
}

fn tell(s: &Shared, (judgement, evidence): (Judgement, Evidence), not_settled: Option<String>) {
    s.tell(move |facts| {
        facts.judgement = Some((judgement, not_settled));
        facts.evidence = Some(Arc::new(evidence));
    });
}

async fn answer_all<F: Future<Output = Answer>>(
    s: &Shared,
    status: &LoadTestStatus,
    settings: &Settings,
    ask: impl Fn(Request) -> F,
) -> (Judgement, Evidence) {
    // As a reader of the record will see it.
    let status = record::as_written(status);
    let wanted = cells::wanted(&s.plan, &status);
    let mut evaluation = Evaluation::of(&s.plan, &status, settings.clone());
    let mut answers = Vec::new();
    loop {
        let step;
        (evaluation, step) = apart(move || {
            let step = evaluation.step(answers);
            (evaluation, step)
        })
        .await;
        match step {
            Step::Done(judgement) => {
                let cells = read_cells(&status, settings, wanted, &ask).await;
                let evidence = Evidence { settings: settings.clone(), asked: evaluation.into_asked(), cells };
                return (*judgement, evidence);
            }
            Step::Ask(requests) => {
                answers = stream::iter(requests)
                    .map(|request| {
                        let id = request.id;
                        let answer = ask(request);
                        async move { (id, answer.await) }
                    })
                    .buffer_unordered(PARALLEL)
                    .collect()
                    .await;
            }
        }
    }
}

/// The requests second by second, for the record.
async fn read_cells<F: Future<Output = Answer>>(
    status: &LoadTestStatus,
    settings: &Settings,
    wanted: Vec<String>,
    ask: &impl Fn(Request) -> F,
) -> Result<Cells, String> {
    let mut reader = Reader::new(status, settings, wanted).ok_or("there was no load")?;
    while let Some(request) = reader.next() {
        let answer = ask(request).await;
        reader = apart(move || reader.take(answer).map(|()| reader)).await?;
    }
    reader.finish().ok_or_else(|| "not all of them were read".to_owned())
}

/// `None` when settled; else why not.
async fn settle(
    s: &Shared,
    prometheus: &Prometheus,
    status: &LoadTestStatus,
    settings: &Settings,
) -> Option<String> {
    let begun = Instant::now();
    let mut poll = tokio::time::interval(SETTLE_POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        poll.tick().await;
        let settling = Settling::new(&s.plan.judged(status), status, settings, Timestamp::now());
        let answers = stream::iter(settling.requests())
            .map(|request| async move {
                let answer = prometheus.answer(&request).await;
                (request.id, answer.unwrap_or_else(|error| Answer::Failed(error.to_string())))
            })
            .buffer_unordered(PARALLEL)
            .collect()
            .await;
        match settling.judge(answers) {
            Settled::Yes => return None,
            Settled::Nearly(_) if begun.elapsed() > NEARLY_LIMIT => return None,
            Settled::NotYet(why) if begun.elapsed() > SETTLE_LIMIT => return Some(why),
            Settled::Nearly(_) | Settled::NotYet(_) => {}
        }
    }
}

/// Asks until Prometheus says something, be it no.
async fn insist(prometheus: &Prometheus, request: &Request) -> Answer {
    let begun = Instant::now();
    loop {
        match prometheus.answer(request).await {
            Ok(answer) => return answer,
            Err(error @ QueryError::Refused(_)) => return Answer::Failed(error.to_string()),
            Err(error) if begun.elapsed() > ANSWER_LIMIT => return Answer::Failed(error.to_string()),
            Err(error) => {
                tracing::warn!(%error, "a query was not answered, asking again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Publishes requests and failures so far, while the load runs, for those who watch. Not judged.
pub async fn follow_live(s: Arc<Shared>) {
    let Some((prometheus, settings)) = source(&s) else { return };
    let mut poll = tokio::time::interval(LIVE);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let begun = Instant::now();
    // The first tick is at once, when nothing has been pushed yet.
    poll.tick().await;
    loop {
        poll.tick().await;
        let reach = i64::try_from(begun.elapsed().as_secs()).unwrap_or(i64::MAX - 600) + 600;
        let metrics = K6Metrics::new(&settings.run_id, reach);
        if let Some(live) = live(&prometheus, &metrics).await {
            s.tell(move |facts| facts.live = Some(live));
        }
    }
}

/// The figures so far; none where Prometheus does not answer.
async fn live(prometheus: &Prometheus, metrics: &K6Metrics) -> Option<Live> {
    let all = K6Samples::default();
    let counted = metrics.cumulative(&metrics.selector(promql::HTTP_REQS, &all), Split::Outcome, None);
    let durations = promql::answered(&metrics.selector(promql::HTTP_REQ_DURATION, &all));
    let p95 = metrics.cumulative(&durations, Split::Whole, None);
    // Of late: each of them may be a series by itself.
    let names = promql::request_names(&metrics.lately(promql::LOOKBACK));
    let (counted, p95, names) =
        tokio::join!(prometheus.query(&counted), prometheus.query(&p95), prometheus.query(&names));
    let Ok(Answer::Vector(sums)) = counted else { return None };
    let failed = |labels: &Labels| labels.get(OUTCOME).is_some_and(|o| o == "false");
    let sum = |only_failed: bool| {
        let counted = sums.iter().filter(|(labels, ..)| !only_failed || failed(labels));
        counted.map(|(.., value)| value).sum::<f64>().round() as i64
    };
    let p95_milliseconds = match p95 {
        Ok(Answer::Histograms(one)) => {
            let took = one.first().and_then(|(_, points)| points.last());
            took.and_then(|(_, took)| took.quantile(0.95)).map(|seconds| seconds * 1000.0)
        }
        _ => None,
    };
    Some(Live {
        requests: sum(false),
        failed: sum(true),
        request_names: match names {
            Ok(Answer::Vector(names)) => Counted::of(&names).map(Counted::names),
            _ => None,
        },
        p95_milliseconds: p95_milliseconds.filter(|ms| ms.is_finite()).map(|ms| ms.round() as i64),
    })
}

pub fn source(s: &Shared) -> Option<(Prometheus, Settings)> {
    let prometheus = s.context.prometheus.get(&s.plan.prometheus)?.clone();
    let push = s.context.config.prometheus.get(&s.plan.prometheus)?.push_interval;
    Some((prometheus, Settings { run_id: s.plan.names.uid.clone(), push }))
}
