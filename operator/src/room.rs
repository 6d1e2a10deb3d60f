//! The operator's memory, as far as answers take it: who may have how much of it at once, of all runs.
//!
//! Nobody who holds a room waits for one that is before it in this list, so none waits for ever:
//! 1. to be judged again, after a process has ended while it judged the run: one run at a time;
//! 2. what a run keeps of its answers: as much as it may need, before it begins to ask, and what it took afterwards. Little
//!    is enough for most; one that needs more gives it back, and begins to ask when it has all that there is;
//! 3. an answer that is being read: see [`Rooms::large`] and [`Rooms::brief`].

use std::sync::Arc;

use loadtest_core::{prometheus::room, record::cells};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// What all runs together keep, in KiB: one that takes as much as a run may, or four that take little.
const KEPT: u32 = ((room::MOST_BYTES + cells::MOST_BYTES) >> 10) as u32;
const LITTLE: u32 = ((room::LITTLE_BYTES + cells::MOST_BYTES) >> 10) as u32;
/// Of the answers that are no figures but short ones, so many may be not so short at once.
const BRIEF: usize = 4;

#[derive(Debug)]
pub struct Rooms {
    again: Arc<Semaphore>,
    kept: Arc<Semaphore>,
    large: Semaphore,
    brief: Semaphore,
    lists: Semaphore,
}

/// Room for the answers of one run.
#[derive(Debug)]
pub struct Held {
    again: Option<OwnedSemaphorePermit>,
    kept: Option<OwnedSemaphorePermit>,
}

impl Default for Rooms {
    fn default() -> Self {
        Self {
            again: Arc::new(Semaphore::new(1)),
            kept: Arc::new(Semaphore::new(KEPT as usize)),
            large: Semaphore::new(1),
            brief: Semaphore::new(BRIEF),
            lists: Semaphore::new(1),
        }
    }
}

impl Rooms {
    /// As much as most runs keep; `again` where a process ended while it judged the run. Those are judged one after the
    /// other: if it happens once more, it is known whose doing it was.
    pub async fn for_run(&self, again: bool) -> Held {
        let again = if again { self.again.clone().acquire_owned().await.ok() } else { None };
        let kept = self.kept.clone().acquire_many_owned(LITTLE).await.ok();
        Held { again, kept }
    }

    /// To read a large answer: one at a time, and only for a run that has room for it.
    pub async fn large(&self) -> Option<SemaphorePermit<'_>> {
        self.large.acquire().await.ok()
    }

    /// To read an answer of a question that is asked beside the judgement, and is usually short.
    pub async fn brief(&self) -> Option<SemaphorePermit<'_>> {
        self.brief.acquire().await.ok()
    }

    /// To list objects that are large: one list at a time.
    pub async fn list(&self) -> Option<SemaphorePermit<'_>> {
        self.lists.acquire().await.ok()
    }
}

impl Held {
    /// All that a run may keep, instead of what it has.
    pub async fn grow(self, rooms: &Rooms) -> Self {
        drop(self.kept);
        let kept = rooms.kept.clone().acquire_many_owned(KEPT).await.ok();
        Self { kept, ..self }
    }

    /// The run is judged, and keeps so many bytes until that is recorded.
    pub fn shrink(&mut self, bytes: usize) {
        self.again = None;
        let needed = bytes.div_ceil(1 << 10);
        if let Some(kept) = &mut self.kept {
            drop(kept.split(kept.num_permits().saturating_sub(needed)));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_run_waits_for_room_and_gets_what_others_do_not_need() {
        let rooms = Rooms::default();
        let mut four = Vec::new();
        for _ in 0..4 {
            four.push(rooms.for_run(false).await);
        }
        assert!(rooms.for_run(false).now_or_never().is_none());
        // Less than what it may need is not enough.
        four[0].shrink(5000);
        assert!(rooms.for_run(false).now_or_never().is_none());
        four.remove(0);
        let fifth = rooms.for_run(false).now_or_never();
        assert!(fifth.is_some());
        drop((four, fifth));
        assert_eq!(rooms.kept.available_permits(), KEPT as usize);
    }

    #[tokio::test]
    async fn a_run_that_needs_more_gives_back_what_it_has_before_it_waits() {
        let rooms = Rooms::default();
        let (one, other) = (rooms.for_run(false).await, rooms.for_run(false).await);
        // Both at once: each would wait for ever for what the other holds.
        let mut one = std::pin::pin!(one.grow(&rooms));
        assert!((&mut one).now_or_never().is_none());
        let mut other = std::pin::pin!(other.grow(&rooms));
        assert!((&mut other).now_or_never().is_none());
        let whole = one.await;
        assert!((&mut other).now_or_never().is_none());
        drop(whole);
        assert_eq!(rooms.kept.available_permits(), 0, "it is the other's now");
        assert!(other.await.kept.is_some());
    }

    #[tokio::test]
    async fn runs_that_took_an_operator_down_are_judged_one_after_the_other() {
        let rooms = Rooms::default();
        let mut one = rooms.for_run(true).await;
        assert!(rooms.for_run(true).now_or_never().is_none());
        assert!(rooms.for_run(false).now_or_never().is_some());
        one.shrink(0);
        assert!(rooms.for_run(true).now_or_never().is_some());
    }
}
