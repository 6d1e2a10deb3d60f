//! `watch`: follows a run by the API server's own events.

use std::pin::pin;
use std::time::Duration;

use backon::ExponentialBuilder;
use futures::{Stream, StreamExt, future};
use jiff::Timestamp;
use kube::core::Status;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Config, Event, ExponentialBackoff, watcher};
use loadtest_crds::{LoadTest, Phase};

use crate::args::WatchArgs;
use crate::cluster::{Cluster, root_cause};
use crate::error::Error;
use crate::render::{phase_of, verdict_of};
use crate::view::{Closing, View};
use crate::{exit, find, screen, signals};

/// The API server ends a watch after this many seconds and it is begun anew, so that a connection that died without
/// a word is found out soon.
const WATCH_SECONDS: u32 = 60;

/// How a watch ended.
pub enum Ended {
    Finished(Box<LoadTest>),
    /// By a signal; the exit code.
    Interrupted(u8),
}

pub async fn execute(cluster: &Cluster, args: &WatchArgs) -> Result<u8, Error> {
    let name = find::name_or_latest(cluster, args.name.as_deref()).await?;
    match until_finished(cluster, &name, Closing::Keep).await? {
        Ended::Finished(test) => {
            screen::note(&format!("more: {}", cluster.command(&format!("status {name}"))));
            Ok(exit::of_verdict(verdict_of(&test)))
        }
        Ended::Interrupted(code) => Ok(code),
    }
}

/// Shows a run until it is finished, gone, or a signal comes.
pub async fn until_finished(cluster: &Cluster, name: &str, closing: Closing) -> Result<Ended, Error> {
    let mut test = find::get(cluster, name).await?;
    let uid = test.metadata.uid.clone();
    let mut interrupted = pin!(signals::listen()?);
    let mut readings = pin!(readings(cluster, name));
    let mut view = View::new();
    view.update(&test, Timestamp::now())?;
    while phase_of(&test) != Phase::Finished {
        tokio::select! {
            code = &mut interrupted => {
                view.close(Closing::Keep)?;
                return Ok(interruption(cluster, name, code));
            }
            () = view.tick() => view.redraw(&test, Timestamp::now())?,
            reading = readings.next() => match reading {
                Some(Ok(Some(next))) if next.metadata.uid == uid => {
                    test = next;
                    view.update(&test, Timestamp::now())?;
                }
                Some(Ok(_)) | None => return Err(Error::Deleted(name.to_owned())),
                Some(Err(error)) => match fatal(error) {
                    Fatal::Yes(error) => return Err(cluster.explain(error, format!("watch LoadTest {name}"))),
                    Fatal::No(cause) => view.lost(&test, cause, Timestamp::now())?,
                },
            },
        }
    }
    view.close(closing)?;
    Ok(Ended::Finished(Box::new(test)))
}

fn interruption(cluster: &Cluster, name: &str, code: u8) -> Ended {
    screen::note(&format!(
        "\nThe watching ended, the run goes on.\n  watch it again:  {}\n  stop the run:    {}",
        cluster.command(&format!("watch {name}")),
        cluster.command(&format!("stop {name}"))
    ));
    Ended::Interrupted(code)
}

/// Every state of the object that the API server reports; `None` when it is gone. Errors are passed on and the watch
/// is begun anew after a pause.
fn readings(
    cluster: &Cluster,
    name: &str,
) -> impl Stream<Item = Result<Option<LoadTest>, watcher::Error>> + use<> {
    let config = Config::default().fields(&format!("metadata.name={name}")).timeout(WATCH_SECONDS);
    let pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(250))
        .with_max_delay(Duration::from_secs(5))
        .without_max_times()
        .with_jitter();
    let mut seen = false;
    watcher(cluster.api::<LoadTest>(), config).backoff(ExponentialBackoff::from(pauses)).filter_map(
        move |event| {
            future::ready(match event {
                Ok(Event::Init) => {
                    seen = false;
                    None
                }
                Ok(Event::InitApply(test)) => {
                    seen = true;
                    Some(Ok(Some(test)))
                }
                Ok(Event::InitDone) => (!seen).then_some(Ok(None)),
                Ok(Event::Apply(test)) => Some(Ok(Some(test))),
                Ok(Event::Delete(_)) => Some(Ok(None)),
                Err(error) => Some(Err(error)),
            })
        },
    )
}

enum Fatal {
    Yes(kube::Error),
    /// The watch goes on by itself; the cause is none when there is nothing to tell.
    No(Option<String>),
}

/// A refusal lasts; anything else may pass.
fn fatal(error: watcher::Error) -> Fatal {
    let lasts = |status: &Status| [401, 403, 404].contains(&status.code);
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => match error {
            kube::Error::Api(status) if lasts(&status) => Fatal::Yes(kube::Error::Api(status)),
            error => Fatal::No(Some(root_cause(&error))),
        },
        // The API server has dropped the version that was watched from: listed again at once.
        watcher::Error::WatchError(status) if status.code == 410 => Fatal::No(None),
        watcher::Error::WatchError(status) => Fatal::No(Some(status.message.clone())),
        error @ watcher::Error::NoResourceVersion => Fatal::No(Some(error.to_string())),
    }
}
