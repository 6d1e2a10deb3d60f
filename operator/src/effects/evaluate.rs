//! Figures: asked of Prometheus in the order that the core says, once they have settled.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, future::join_all, stream};
use jiff::Timestamp;
use loadtest_core::{
    evaluate::{
        Evaluation, Step,
        live::{self, Live},
        names::Counted,
        settle::{Settled, Settling},
        windows::context::Settings,
    },
    k6::question::Request,
    machine::fact::Fact,
    prometheus::{ask::Answer, room::Room},
    record::{
        self, Evidence,
        cells::{Cells, Reader},
    },
    verdict::drift,
};
use loadtest_crds::LoadTestStatus;
use tokio::time::{Instant, MissedTickBehavior};

use super::Shared;
use crate::{
    apart::apart,
    failpoint,
    prometheus::{Purpose, QueryError},
    stores::Stores,
};

/// How long the figures may take to arrive.
const SETTLE_LIMIT: Duration = Duration::from_secs(45);
/// Between two looks; as often as new samples can be expected.
const SETTLE_POLL: Duration = Duration::from_millis(500);
/// A query that is not answered is asked again for so long.
const ANSWER_LIMIT: Duration = Duration::from_secs(45);
/// Queries under way at once: Prometheus itself takes 20.
const PARALLEL: usize = 8;
/// How often the figures so far are published while the load runs.
const LIVE: Duration = Duration::from_secs(5);

/// Waits until the figures have settled, and until there is room to keep them. What does not settle is judged all the
/// same, so that there is something to see, but the verdict knows.
pub async fn settle(s: Arc<Shared>, status: LoadTestStatus, again: bool) {
    let settled = until_settled(&s, &s.stores(), &status, &settings(&s)).await;
    get_room(&s, again).await;
    s.tell(Fact::Settled(settled));
}

/// Room for what the run keeps of its answers, where it has none.
async fn get_room(s: &Shared, again: bool) {
    if s.change_room(|room| room.is_none()) {
        let held = s.context.rooms.for_run(again).await;
        s.change_room(|room| *room = Some(held));
    }
}

/// Judges the figures.
pub async fn evaluate(s: Arc<Shared>, status: LoadTestStatus) {
    failpoint::hit("judging");
    // It was given back where nothing could be recorded for a while.
    get_room(&s, status.resume.judged_by.len() > 1).await;
    let (stores, settings) = (s.stores(), settings(&s));
    let gave_up = AtomicBool::new(false);
    let ask = |request: Request, purpose| {
        let (stores, gave_up) = (stores.clone(), &gave_up);
        async move { insist(&stores, &request, purpose, gave_up).await }
    };
    let judged = match answer_all(&s, &status, &settings, Room::little(), ask).await {
        Some(judged) => Some(judged),
        None => {
            let held = s.change_room(Option::take);
            if let Some(held) = held {
                let held = held.grow(&s.context.rooms).await;
                s.change_room(|room| *room = Some(held));
            }
            answer_all(&s, &status, &settings, Room::whole(), ask).await
        }
    };
    if let Some(judged) = judged {
        s.tell(judged);
    }
}

/// `None` where there is too little room, and more would help.
async fn answer_all<F: Future<Output = Answer>>(
    s: &Shared,
    status: &LoadTestStatus,
    settings: &Settings,
    room: Room,
    ask: impl Fn(Request, Purpose) -> F,
) -> Option<Fact> {
    let room = Mutex::new(room);
    let room = || room.lock().unwrap_or_else(PoisonError::into_inner);
    // As a reader of the record will see it.
    let status = record::as_written(status);
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
                let (cells, bytes) = match read_cells(&status, settings, judgement.request_names, &ask).await
                {
                    Ok((cells, bytes)) => (Ok(cells), bytes),
                    Err(why) => (Err(why), 0),
                };
                let bytes = room().taken() + bytes;
                s.change_room(|held| held.iter_mut().for_each(|held| held.shrink(bytes)));
                let asked = evaluation.into_asked();
                let matched = drift::matched(&s.plan, &status, &asked);
                let evidence = Arc::new(Evidence { settings: settings.clone(), asked, cells });
                return Some(Fact::Judged { judgement, evidence, matched });
            }
            Step::Ask(requests) => {
                answers = stream::iter(requests)
                    .map(|request| {
                        let (id, kind, ask, room) = (request.id, request.kind, &ask, &room);
                        async move {
                            if room().is_too_little() {
                                return (id, Answer::Failed(String::new()));
                            }
                            let answer = ask(request, Purpose::Figure).await;
                            // Kept or dropped at once: those that wait to be taken would need room too.
                            (id, room().keep(kind, answer))
                        }
                    })
                    .buffer_unordered(PARALLEL)
                    .collect()
                    .await;
                if room().is_too_little() {
                    return None;
                }
            }
        }
    }
}

/// The requests second by second, for the record, and how much memory they take.
async fn read_cells<F: Future<Output = Answer>>(
    status: &LoadTestStatus,
    settings: &Settings,
    names: Option<Counted>,
    ask: &impl Fn(Request, Purpose) -> F,
) -> Result<(Cells, usize), String> {
    let mut reader = Reader::new(status, settings, names)?;
    while let Some(request) = reader.next() {
        let answer = ask(request, Purpose::Cells).await;
        reader = apart(move || reader.take(answer).map(|()| reader)).await?;
    }
    let bytes = reader.bytes;
    Ok((reader.finish(), bytes))
}

/// When settled, or else why not.
async fn until_settled(
    s: &Shared,
    stores: &Stores,
    status: &LoadTestStatus,
    settings: &Settings,
) -> Result<(), String> {
    let begun = Instant::now();
    let mut poll = tokio::time::interval(SETTLE_POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        poll.tick().await;
        let settling = Settling::new(&s.plan.judged(status), status, settings, Timestamp::now());
        let answers = stream::iter(settling.requests())
            .map(
                |request| async move { (request.id, answered(stores.answer(&request, Purpose::Look).await)) },
            )
            .buffer_unordered(PARALLEL)
            .collect()
            .await;
        match settling.judge(answers) {
            Settled::Yes => return Ok(()),
            Settled::NotYet(why) if begun.elapsed() > SETTLE_LIMIT => return Err(why),
            Settled::NotYet(_) => {}
        }
    }
}

/// Asks until Prometheus says something, be it no. Where that was in vain for one question, it is so for all: other runs
/// wait for the room that this one has.
async fn insist(stores: &Stores, request: &Request, purpose: Purpose, gave_up: &AtomicBool) -> Answer {
    let mut begun = Instant::now();
    loop {
        if gave_up.load(Ordering::Relaxed) {
            let limit = ANSWER_LIMIT.as_secs();
            return Answer::Failed(format!(
                "Prometheus gave no answer to a question for {limit} s, so it was asked no more"
            ));
        }
        match stores.answer(request, purpose).await {
            Ok(answer) => return answer,
            // That is no silence of Prometheus.
            Err(QueryError::Busy) => begun = Instant::now(),
            Err(error @ QueryError::Refused(_)) => return Answer::Failed(error.to_string()),
            Err(error) if begun.elapsed() > ANSWER_LIMIT => {
                gave_up.store(true, Ordering::Relaxed);
                return Answer::Failed(error.to_string());
            }
            Err(error) => {
                tracing::warn!(%error, "a query was not answered, asking again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Publishes requests and failures so far, while the load runs, for those who watch. Not judged.
pub async fn follow_live(s: Arc<Shared>) {
    let mut poll = tokio::time::interval(LIVE);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let begun = Instant::now();
    // The first tick is at once, when nothing has been pushed yet.
    poll.tick().await;
    loop {
        poll.tick().await;
        let queries = live::queries(&s.plan.names.uid, begun.elapsed());
        let answers = join_all(queries.iter().map(|query| s.context.load_store.query(query))).await;
        let answers: Vec<Answer> = answers.into_iter().map(answered).collect();
        if let Some(live) = Live::of(&answers) {
            s.tell(Fact::Live(live));
        }
    }
}

/// No answer is one too, where nobody asks again.
pub fn answered(answer: Result<Answer, QueryError>) -> Answer {
    answer.unwrap_or_else(|error| Answer::Failed(error.to_string()))
}

pub fn settings(s: &Shared) -> Settings {
    Settings { run_id: s.plan.names.uid.clone(), push: s.context.config.load_store.push_interval }
}
