//! Why a script cannot be run as asked, with what to write instead.

/// The script is not one that can be run as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InspectionError {
    #[error("scenario {scenario}: failed to read what k6 inspect printed: {cause}")]
    Unreadable { scenario: String, cause: String },
    #[error(
        "scenario {scenario}: the script defines scenarios of its own ({scenarios}), which vus and duration \
         would silently delete: remove vus and duration from the LoadTest, or the scenarios from the script"
    )]
    LoadTwice { scenario: String, scenarios: String },
    #[error(
        "scenario {scenario}: the script says nothing of its load and would run one iteration: write vus and \
         duration into the LoadTest, or scenarios into the script"
    )]
    NoLoad { scenario: String },
    #[error(
        "scenario {scenario}: {runners} runners share {vus} virtual users, so some would get none: lower \
         parallelism to {vus} or raise the load"
    )]
    MoreRunnersThanVus { scenario: String, runners: i32, vus: i64 },
    #[error("scenario {scenario}: the script has {found} {what}, and at most {most} can be run: write fewer")]
    TooMany { scenario: String, what: &'static str, found: usize, most: usize },
    #[error(
        "scenario {scenario}: the script sets the tag {tag} for all of its samples, and testid and tags that begin with \
         loadtest_ are the operator's own: give it another name"
    )]
    OwnTag { scenario: String, tag: String },
    #[error(
        "scenario {scenario}: each of {runners} runners would make up to {rps} requests a second (rps of the script, or \
         K6_RPS), which k6 does not share out: ask for a rate by the executor constant-arrival-rate, which is shared out, \
         or set parallelism to 1"
    )]
    RateNotShared { scenario: String, runners: i32, rps: String },
    #[error(
        "scenario {scenario}: {part} is externally-controlled, which k6 cannot share out to {runners} runners: use another \
         executor, or set parallelism to 1"
    )]
    UsersNotShared { scenario: String, runners: i32, part: String },
    #[error("scenario {scenario}: the script's load lasts longer than 168h, a week: shorten it")]
    TooLong { scenario: String },
}
