//! New messages on their way to the WebSockets of all chat instances, over Redis channels, one per room.
//!
//! ```text
//! publish ─▶ outbox ─▶ publisher task ─▶ Redis ─▶ subscriber task ─▶ members of the room on this instance
//! ```
//!
//! Saving a message never waits for Redis: what cannot be published is counted and dropped, for it is in the
//! database all the same. A message may also come twice (a retry publishes again); receivers go by its id.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use futures::StreamExt;
use redis::aio::{ConnectionManager, ConnectionManagerConfig, PubSubSink, PubSubStream};
use redis::{Client, Msg, RedisResult};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::metrics::ChatMetrics;

const CHANNEL: &str = "chat:room:";
/// Limit for a command to Redis, and for a connection.
const REDIS_TIMEOUT: Duration = Duration::from_millis(500);
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);
/// A subscription only listens: without a question now and then a dead connection would go unnoticed.
const PING_EVERY: Duration = Duration::from_secs(2);
const JOIN_TIMEOUT: Duration = Duration::from_secs(2);
const OUTBOX: usize = 10_000;
const BATCH: usize = 200;

/// Where a WebSocket takes what others have written.
#[derive(Clone)]
pub struct Member {
    pub id: Uuid,
    pub queue: mpsc::Sender<Utf8Bytes>,
    /// Cancelled when the queue is full: its reader is too slow and shall be disconnected.
    pub lagging: CancellationToken,
}

#[derive(Clone)]
pub struct Fanout {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    outbox: mpsc::Sender<Outgoing>,
    redis: ConnectionManager,
}

struct Shared {
    rooms: Mutex<HashMap<Uuid, HashMap<Uuid, Member>>>,
    metrics: ChatMetrics,
}

enum Command {
    /// Answered when messages of the room arrive from then on.
    Subscribe(Uuid, oneshot::Sender<()>),
    /// The last member has left, unless another has come meanwhile.
    Release(Uuid),
}

enum Outgoing {
    Message(Uuid, String),
    Flush(oneshot::Sender<()>),
}

impl Fanout {
    /// Starts the two tasks. Redis need not be there yet.
    pub fn start(redis_url: &str, metrics: ChatMetrics) -> anyhow::Result<Self> {
        let client = Client::open(redis_url)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(REDIS_TIMEOUT))
            .set_response_timeout(Some(REDIS_TIMEOUT))
            .set_max_delay(Duration::from_secs(1))
            .set_number_of_retries(2);
        let redis = ConnectionManager::new_lazy_with_config(client.clone(), config)?;
        let shared = Arc::new(Shared { rooms: Mutex::default(), metrics });
        let (commands, inbox) = mpsc::channel(1024);
        let (outbox, outgoing) = mpsc::channel(OUTBOX);
        tokio::spawn(subscribe(client, shared.clone(), inbox));
        tokio::spawn(publish(redis.clone(), shared.clone(), outgoing));
        Ok(Self { shared, commands, outbox, redis })
    }

    /// Returns true when the member gets every message that is published from now on, by any instance.
    pub async fn join(&self, room: Uuid, member: Member) -> bool {
        let id = member.id;
        self.shared.rooms().entry(room).or_default().insert(id, member);
        let (done, subscribed) = oneshot::channel();
        let joined = timeout(JOIN_TIMEOUT, async {
            self.commands.send(Command::Subscribe(room, done)).await.is_ok() && subscribed.await.is_ok()
        });
        let joined = joined.await.unwrap_or(false);
        if !joined {
            self.leave(room, id).await;
        }
        joined
    }

    pub async fn leave(&self, room: Uuid, member: Uuid) {
        let is_empty = {
            let mut rooms = self.shared.rooms();
            let Some(members) = rooms.get_mut(&room) else { return };
            members.remove(&member);
            members.is_empty()
        };
        if is_empty {
            // A failure to send means that the subscriber is gone, and its subscriptions with it.
            let _ = self.commands.send(Command::Release(room)).await;
        }
    }

    pub fn publish(&self, room: Uuid, event: String) {
        if self.outbox.try_send(Outgoing::Message(room, event)).is_err() {
            self.shared.metrics.publish_failures.inc();
        }
    }

    /// Waits until what was published before has gone to Redis, as long as Redis is not slow.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        let sent = async {
            if self.outbox.send(Outgoing::Flush(done)).await.is_ok() {
                let _ = flushed.await;
            }
        };
        if timeout(REDIS_TIMEOUT, sent).await.is_err() {
            tracing::warn!(event = "fanout_unflushed", "some messages have not been published");
        }
    }

    pub async fn ping(&self) -> RedisResult<()> {
        redis::cmd("PING").query_async::<String>(&mut self.redis.clone()).await.map(|_| ())
    }
}

impl Shared {
    fn rooms(&self) -> MutexGuard<'_, HashMap<Uuid, HashMap<Uuid, Member>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deliver(&self, message: &Msg) {
        let room =
            message.get_channel_name().strip_prefix(CHANNEL).and_then(|room| room.parse::<Uuid>().ok());
        let (Some(room), Ok(event)) = (room, message.get_payload::<String>()) else {
            tracing::warn!(event = "fanout_garbled", channel = message.get_channel_name());
            return;
        };
        self.hand_out(room, event.into());
    }

    fn hand_out(&self, room: Uuid, event: Utf8Bytes) {
        let rooms = self.rooms();
        let members = rooms.get(&room).into_iter().flat_map(HashMap::values);
        for member in members {
            if member.queue.try_send(event.clone()).is_ok() {
                self.metrics.delivered.inc();
            } else {
                member.lagging.cancel();
            }
        }
    }

    /// The rooms that have members. Those that have none are forgotten.
    fn occupied(&self) -> HashSet<Uuid> {
        let mut rooms = self.rooms();
        rooms.retain(|_, members| !members.is_empty());
        rooms.keys().copied().collect()
    }
}

async fn publish(mut redis: ConnectionManager, shared: Arc<Shared>, mut outgoing: mpsc::Receiver<Outgoing>) {
    let mut batch = Vec::with_capacity(BATCH);
    while outgoing.recv_many(&mut batch, BATCH).await > 0 {
        let mut pipeline = redis::pipe();
        let (mut count, mut flushes) = (0, Vec::new());
        for item in batch.drain(..) {
            match item {
                Outgoing::Message(room, event) => {
                    pipeline.publish(channel(room), event).ignore();
                    count += 1;
                }
                Outgoing::Flush(done) => flushes.push(done),
            }
        }
        if count > 0 {
            match pipeline.query_async::<()>(&mut redis).await {
                Ok(()) => _ = shared.metrics.published.inc_by(count),
                Err(error) => {
                    shared.metrics.publish_failures.inc_by(count);
                    tracing::warn!(event = "fanout_publish_failed", count, %error);
                }
            }
        }
        for done in flushes {
            // Whoever waited may have given up.
            let _ = done.send(());
        }
    }
}

/// Holds one subscribing connection, and makes another when it ends.
async fn subscribe(client: Client, shared: Arc<Shared>, mut commands: mpsc::Receiver<Command>) {
    while !commands.is_closed() {
        let error = match Subscription::open(&client, &shared).await {
            Ok(subscription) => subscription.run(&shared, &mut commands).await.err(),
            Err(error) => Some(error),
        };
        if let Some(error) = error {
            tracing::warn!(event = "fanout_subscription_lost", %error);
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

struct Subscription {
    sink: PubSubSink,
    stream: PubSubStream,
    rooms: HashSet<Uuid>,
}

impl Subscription {
    async fn open(client: &Client, shared: &Shared) -> RedisResult<Self> {
        let (mut sink, stream) = in_time(client.get_async_pubsub()).await?.split();
        let rooms = shared.occupied();
        if !rooms.is_empty() {
            let channels: Vec<String> = rooms.iter().copied().map(channel).collect();
            in_time(sink.subscribe(channels)).await?;
        }
        Ok(Self { sink, stream, rooms })
    }

    async fn run(mut self, shared: &Shared, commands: &mut mpsc::Receiver<Command>) -> RedisResult<()> {
        let mut pings = tokio::time::interval(PING_EVERY);
        loop {
            tokio::select! {
                message = self.stream.next() => match message {
                    Some(message) => shared.deliver(&message),
                    None => return Ok(()),
                },
                command = commands.recv() => match command {
                    Some(command) => self.obey(command, shared).await?,
                    None => return Ok(()),
                },
                _ = pings.tick() => in_time(self.sink.ping::<redis::Value>()).await.map(|_| ())?,
            }
        }
    }

    async fn obey(&mut self, command: Command, shared: &Shared) -> RedisResult<()> {
        match command {
            Command::Subscribe(room, done) => {
                if !self.rooms.contains(&room) {
                    in_time(self.sink.subscribe(channel(room))).await?;
                    self.rooms.insert(room);
                }
                // Whoever joined may have given up, and then leaves by itself.
                let _ = done.send(());
            }
            Command::Release(room) => {
                if !shared.occupied().contains(&room) && self.rooms.remove(&room) {
                    in_time(self.sink.unsubscribe(channel(room))).await?;
                }
            }
        }
        Ok(())
    }
}

fn channel(room: Uuid) -> String {
    format!("{CHANNEL}{room}")
}

async fn in_time<T>(command: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    timeout(REDIS_TIMEOUT, command).await.unwrap_or_else(|_| {
        Err(redis::RedisError::from((redis::ErrorKind::Io, "Redis did not answer in time")))
    })
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;

    fn member(capacity: usize) -> (Member, mpsc::Receiver<Utf8Bytes>) {
        let (queue, received) = mpsc::channel(capacity);
        (Member { id: Uuid::new_v4(), queue, lagging: CancellationToken::new() }, received)
    }

    #[test]
    fn only_members_of_the_room_receive_and_a_slow_one_is_told_so() {
        let metrics = ChatMetrics::register(&mut Registry::default());
        let shared = Shared { rooms: Mutex::default(), metrics };
        let (room, other_room) = (Uuid::new_v4(), Uuid::new_v4());
        let (quick, mut quick_received) = member(10);
        let (slow, mut slow_received) = member(1);
        let (elsewhere, mut elsewhere_received) = member(10);
        for (room, member) in [(room, &quick), (room, &slow), (other_room, &elsewhere)] {
            shared.rooms().entry(room).or_default().insert(member.id, member.clone());
        }

        shared.hand_out(room, "one".into());
        assert!(!slow.lagging.is_cancelled());
        shared.hand_out(room, "two".into());

        assert_eq!(quick_received.try_recv().unwrap().as_str(), "one");
        assert_eq!(quick_received.try_recv().unwrap().as_str(), "two");
        assert_eq!(slow_received.try_recv().unwrap().as_str(), "one");
        assert!(slow.lagging.is_cancelled());
        assert!(!quick.lagging.is_cancelled());
        assert!(elsewhere_received.try_recv().is_err());
        assert_eq!(shared.metrics.delivered.get(), 3);
    }

    #[test]
    fn a_room_without_members_is_forgotten() {
        let metrics = ChatMetrics::register(&mut Registry::default());
        let shared = Shared { rooms: Mutex::default(), metrics };
        let (someone, _received) = member(1);
        let (room, empty) = (Uuid::new_v4(), Uuid::new_v4());
        shared.rooms().entry(room).or_default().insert(someone.id, someone);
        shared.rooms().entry(empty).or_default();
        assert_eq!(shared.occupied(), HashSet::from([room]));
        assert_eq!(shared.rooms().len(), 1);
    }
}
