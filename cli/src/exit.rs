//! What the process answers to the shell.

use loadtest_crds::Verdict;

/// Codes besides those of the verdicts. They follow sysexits(3), so that none of them is mistaken for a verdict.
pub const USAGE: u8 = 64;
pub const BAD_MANIFEST: u8 = 65;
pub const NOT_FOUND: u8 = 66;
pub const UNAVAILABLE: u8 = 69;
pub const FAILURE: u8 = 70;
pub const NOT_FINISHED: u8 = 75;
pub const NOT_ALLOWED: u8 = 77;

/// The code of a verdict, or of a run that has none yet.
pub fn of_verdict(verdict: Option<Verdict>) -> u8 {
    match verdict {
        Some(Verdict::Pass) => 0,
        Some(Verdict::Fail) => 1,
        Some(Verdict::Warn) => 2,
        Some(Verdict::Inconclusive) => 3,
        Some(Verdict::Error) => 4,
        Some(Verdict::Aborted) => 5,
        None => NOT_FINISHED,
    }
}
