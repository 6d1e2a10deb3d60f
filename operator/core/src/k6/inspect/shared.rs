//! What several runners cannot share: k6 cuts a load into segments, and each runner has tags by which it is told apart.

use crate::k6::{
    inspect::{document::Inspection, error::Refusal},
    queries,
};

impl Inspection {
    /// Requests, users and samples of all runners together must be what the script asks for.
    pub fn can_be_shared(&self, runners: i32) -> Result<(), Refusal> {
        let parts = || self.scenarios.iter().flatten();
        let tags = self.tags.iter().chain(parts().filter_map(|(_, part)| part.tags.as_ref()));
        if let Some(tag) = tags.flat_map(|tags| tags.keys()).find(|tag| queries::is_own_tag(tag)) {
            return Err(Refusal::OwnTag(tag.clone()));
        }
        if runners < 2 {
            return Ok(());
        }
        if let Some(rps) = self.rps.filter(|rps| *rps > 0.0) {
            return Err(Refusal::RateNotShared { runners, rps: rps.to_string() });
        }
        match parts().find(|(_, part)| part.executor == "externally-controlled") {
            Some((part, _)) => Err(Refusal::UsersNotShared { runners, part: part.clone() }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use crate::k6::inspect::requirements;

    // Of k6 inspect --execution-requirements, which names all options, null where the script says nothing.
    #[rstest]
    #[case::nothing_of_the_kind("null", "null", "null", None)]
    #[case::tags_of_its_own(r#"{"runner": "a", "team": "chat"}"#, r#"{"runner": "b"}"#, "null", None)]
    #[case::the_run(r#"{"testid": "nightly"}"#, "null", "null", Some("sets the tag testid for all"))]
    #[case::in_a_part(
        "null",
        r#"{"loadtest_runner": "b"}"#,
        "null",
        Some("sets the tag loadtest_runner for all")
    )]
    #[case::no_limit("null", "null", "0", None)]
    #[case::a_rate("null", "null", "50", Some("each of 3 runners would make up to 50 requests a second"))]
    fn what_runners_share(
        #[case] tags: &str,
        #[case] of_part: &str,
        #[case] rps: &str,
        #[case] refused: Option<&str>,
        #[values(3, 1)] runners: i32,
    ) {
        let part =
            format!(r#"{{"executor": "constant-vus", "vus": 9, "duration": "9s", "tags": {of_part}}}"#);
        let printed = format!(
            r#"{{"scenarios": {{"a": {part}}}, "tags": {tags}, "rps": {rps}, "totalDuration": "39s", "maxVUs": 9}}"#
        );
        let found = requirements("chat", runners, None, &printed).map_err(|error| error.to_string());
        // One runner makes them all.
        match refused.filter(|words| runners > 1 || !words.contains("runners would")) {
            None => assert!(found.is_ok(), "{found:?}"),
            Some(words) => assert!(found.as_ref().is_err_and(|error| error.contains(words)), "{found:?}"),
        }
    }

    #[rstest]
    #[case::alone(1, false)]
    #[case::by_two(2, true)]
    fn users_that_somebody_else_controls(#[case] runners: i32, #[case] refused: bool) {
        let printed = r#"{"scenarios": {"hands": {"executor": "externally-controlled", "vus": 4, "maxVUs": 8,
            "duration": "9s"}}, "totalDuration": "9s", "maxVUs": 8}"#;
        let found = requirements("chat", runners, None, printed).map_err(|error| error.to_string());
        assert_eq!(found.is_err_and(|error| error.contains("hands is externally-controlled")), refused);
    }
}
