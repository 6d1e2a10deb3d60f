//! Errors in words.

use std::error::Error;

use kube::{core::Status, runtime::watcher};

/// An error with its causes, for those that say no more than where they happened.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// What the API server says, or why it says nothing. kube shows a refusal with all of its fields, as Rust writes them.
pub fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(refusal) => of_refusal(refusal),
        error => format!("no answer from the API server: {}", root_cause(error)),
    }
}

/// What the API server says as it refuses something.
pub fn of_refusal(refusal: &Status) -> String {
    match refusal.message.as_str() {
        "" => format!("the API server refused it ({} {})", refusal.code, refusal.reason).replace(" )", ")"),
        message => message.to_owned(),
    }
}

/// Why a watch broke off.
pub fn said_of_watch(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => said(error),
        watcher::Error::WatchError(refusal) => of_refusal(refusal),
        watcher::Error::NoResourceVersion => "the API server gave no version to watch from".to_owned(),
    }
}

/// What lies at the bottom, as `Connection refused`.
fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_words_of_the_api_server() {
        let words = "pods \"chat-a-0\" is forbidden: exceeded quota: pods";
        let refused = kube::Error::Api(Status::failure(words, "Forbidden").with_code(403).boxed());
        assert!(refused.to_string().contains("Some("), "kube has learned to say it: {refused}");
        assert_eq!(said(&refused), words);
        let watch = watcher::Error::InitialListFailed(refused);
        assert_eq!(said_of_watch(&watch), words);
        let wordless = kube::Error::Api(Status::failure("", "").with_code(503).boxed());
        assert_eq!(said(&wordless), "the API server refused it (503)");
        let silent = kube::Error::Service(Box::new(std::io::Error::other("connection reset")));
        assert_eq!(said(&silent), "no answer from the API server: connection reset");
    }
}
