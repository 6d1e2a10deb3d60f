//! What the load lacked, as grounds.

use loadtest_crds::{LoadTestStatus, ShortfallCause, Verdict};

use crate::verdict::ground::{Ground, Reason};

/// Why a miss is no evidence, if it is none: runners that were short of CPU measured themselves.
pub(super) fn doubt(status: &LoadTestStatus) -> Option<Reason> {
    let shortfalls = status.load.iter().flat_map(|load| &load.shortfalls);
    shortfalls
        .map(|s| s.cause)
        .any(|cause| cause == ShortfallCause::Generator)
        .then_some(Reason::LoadNotDelivered)
}

/// The runners whose log was not read, and why.
pub(super) fn unread(status: &LoadTestStatus) -> &[String] {
    status.load.as_ref().map(|load| load.unread_logs.as_slice()).unwrap_or_default()
}

/// Less load than was asked for makes the run Inconclusive, and a Fail where the system under test was the reason,
/// as far as the figures are whole.
pub(super) fn of_shortfalls(status: &LoadTestStatus, figures_whole: bool, grounds: &mut Vec<Ground>) {
    for shortfall in status.load.iter().flat_map(|load| &load.shortfalls) {
        let verdict = match shortfall.cause {
            ShortfallCause::Target if figures_whole => Verdict::Fail,
            ShortfallCause::Target | ShortfallCause::Generator | ShortfallCause::Unknown => {
                Verdict::Inconclusive
            }
        };
        grounds.push(Ground::new(verdict, Reason::LoadNotDelivered, shortfall.message.as_str()));
    }
}
