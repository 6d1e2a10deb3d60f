//! Asking the API server until it has answered. A refusal is an answer.

use std::{
    future::{Future, pending},
    pin::pin,
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{
    error::said,
    run::refused::{GivenUp, Refusal},
};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What ends load is asked for again though it was refused, for so long: a right that is given anew counts within
/// moments.
pub const RIGHTS_COME: Duration = Duration::from_secs(5);
/// What a run can do without is asked for so long.
pub const DISPENSABLE: Duration = Duration::from_secs(60);

/// Asked again, it would be answered the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum No {
    /// What it was asked of is not there.
    Gone,
    Refused(GivenUp),
}

impl No {
    /// `None` where a moment later the answer may be another: no connection, an API server that is not well or busy, a
    /// token that has just run out, a conflict, a list that was too slow.
    fn of(error: &kube::Error) -> Option<Self> {
        match error {
            kube::Error::Api(status) if status.code == 404 => Some(Self::Gone),
            error => Refusal::of(error)
                .map(|refusal| Self::Refused(GivenUp { cause: Some(refusal.cause), why: said(error) })),
        }
    }
}

/// Repeats what may be repeated until the API server has taken it or says no, with growing pauses. Until `refusals_end`
/// a refusal is no last word either.
pub async fn persist<T, F: Future<Output = kube::Result<T>>>(
    what: &str,
    refusals_end: Instant,
    attempt: impl FnMut() -> F,
) -> Result<T, No> {
    ask(what, refusals_end, pending(), attempt).await
}

/// The same for what is not waited for for ever: until its end, whatever the answers are. What is under way by then is
/// waited for: it may be done.
pub async fn persist_until<T, F: Future<Output = kube::Result<T>>>(
    what: &str,
    end: impl Future<Output = ()>,
    attempt: impl FnMut() -> F,
) -> Result<T, No> {
    ask(what, Instant::now(), end, attempt).await
}

async fn ask<T, F: Future<Output = kube::Result<T>>>(
    what: &str,
    refusals_end: Instant,
    end: impl Future<Output = ()>,
    mut attempt: impl FnMut() -> F,
) -> Result<T, No> {
    let mut end = pin!(end);
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        match No::of(&error) {
            Some(No::Gone) => return Err(No::Gone),
            Some(no) if Instant::now() >= refusals_end => return Err(no),
            _ => tracing::warn!(%error, "failed to {what}, trying again"),
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = &mut end => {
                let why = format!("the API server has not taken it in time: {}", said(&error));
                return Err(No::Refused(GivenUp { cause: None, why }));
            }
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use kube::core::Status;
    use rstest::rstest;

    use super::*;
    use crate::run::refused::Cause;

    const WORDS: &str = "pods is forbidden";

    fn refused(cause: Cause) -> Result<(), No> {
        Err(No::Refused(GivenUp { cause: Some(cause), why: WORDS.to_owned() }))
    }

    /// What is answered one after the other, how long refusals are borne, and what comes of it after how many questions.
    #[rstest]
    #[case::taken(&[200], 0, Ok(()), 1)]
    #[case::busy_and_unwell(&[429, 500, 503, 200], 0, Ok(()), 4)]
    #[case::no_connection(&[0, 200], 0, Ok(()), 2)]
    #[case::a_conflict(&[409, 200], 0, Ok(()), 2)]
    #[case::an_old_token(&[401, 200], 0, Ok(()), 2)]
    #[case::a_list_that_was_too_slow(&[410, 200], 0, Ok(()), 2)]
    #[case::forbidden(&[503, 403, 200], 0, refused(Cause::Forbidden), 2)]
    #[case::invalid(&[422, 200], 0, refused(Cause::Invalid), 1)]
    #[case::not_understood(&[400, 200], 0, refused(Cause::Unwanted), 1)]
    #[case::too_large(&[413, 200], 0, refused(Cause::TooLarge), 1)]
    #[case::gone(&[404, 200], 0, Err(No::Gone), 1)]
    #[case::gone_where_refusals_are_borne(&[404, 200], 60, Err(No::Gone), 1)]
    #[case::a_right_that_comes_late(&[403, 403, 200], 60, Ok(()), 3)]
    #[tokio::test]
    async fn it_asks_again_where_that_may_help(
        #[case] codes: &[u16],
        #[case] borne_seconds: u64,
        #[case] expected: Result<(), No>,
        #[case] questions: usize,
    ) {
        let end = Instant::now() + Duration::from_secs(borne_seconds);
        assert_eq!(ask(codes, end).await, (expected, questions));
    }

    #[tokio::test]
    async fn a_right_that_never_comes_is_not_asked_for_for_ever() {
        let (result, questions) = ask(&[403], Instant::now() + Duration::from_millis(50)).await;
        assert_eq!(result, refused(Cause::Forbidden));
        assert!(questions > 1, "asked once");
    }

    /// An API server that is never well does not hold up the verdict.
    #[tokio::test]
    async fn what_a_run_can_do_without_is_asked_for_a_while() {
        let unwell =
            || async { Err::<(), _>(kube::Error::Api(Status::failure(WORDS, "").with_code(500).boxed())) };
        let result = persist_until("ask", sleep(Duration::from_millis(50)), unwell).await;
        let why = format!("the API server has not taken it in time: {WORDS}");
        assert_eq!(result, Err(No::Refused(GivenUp { cause: None, why })));
    }

    /// The last answer is given for ever.
    async fn ask(codes: &[u16], refusals_end: Instant) -> (Result<(), No>, usize) {
        let asked = AtomicUsize::new(0);
        let attempt = || {
            let nth = asked.fetch_add(1, Ordering::Relaxed).min(codes.len() - 1);
            let answer = match codes[nth] {
                200 => Ok(()),
                0 => Err(kube::Error::Service(Box::new(std::io::Error::other("connection refused")))),
                code => Err(kube::Error::Api(Status::failure(WORDS, "").with_code(code).boxed())),
            };
            async move { answer }
        };
        let result = persist("ask", refusals_end, attempt).await;
        (result, asked.into_inner())
    }
}
