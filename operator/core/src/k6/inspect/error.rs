//! Why a script cannot be run as asked, with what to write instead.

/// The script of a scenario is not one that can be run as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("scenario {scenario}: {why}")]
pub struct InspectionError {
    pub scenario: String,
    pub why: Refusal,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("failed to read what k6 inspect printed: {0}")]
    Unreadable(String),
    #[error(
        "the script defines scenarios of its own ({0}), which vus and duration would silently delete: remove vus and \
         duration from the LoadTest, or the scenarios from the script"
    )]
    LoadTwice(String),
    #[error(
        "the script says nothing of its load and would run one iteration: write vus and duration into the LoadTest, or \
         scenarios into the script"
    )]
    NoLoad,
    #[error(
        "{runners} runners share {vus} virtual users, so some would get none: lower parallelism to {vus} or raise the load"
    )]
    MoreRunnersThanVus { runners: i32, vus: i64 },
    #[error("the script has {found} {what}, and at most {most} can be run: write fewer")]
    TooMany { what: &'static str, found: usize, most: usize },
    #[error(
        "the script sets the tag {0} for all of its samples, and testid and tags that begin with loadtest_ are the \
         operator's own: give it another name"
    )]
    OwnTag(String),
    #[error(
        "each of {runners} runners would make up to {rps} requests a second (rps of the script, or K6_RPS), which k6 does \
         not share out: ask for a rate by the executor constant-arrival-rate, which is shared out, or set parallelism to 1"
    )]
    RateNotShared { runners: i32, rps: String },
    #[error(
        "{part} is externally-controlled, which k6 cannot share out to {runners} runners: use another executor, or set \
         parallelism to 1"
    )]
    UsersNotShared { runners: i32, part: String },
    #[error("the script's load lasts longer than 168h, a week: shorten it")]
    TooLong,
}
