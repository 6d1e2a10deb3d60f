//! A run against earlier ones: regressions, misses that are no accident, and what matches nothing any more.

use loadtest_crds::{LoadTestStatus, Outcome, Verdict};

use crate::{
    evaluate::windows::Window,
    verdict::{
        drift,
        ground::{Facts, Ground, Reason},
    },
};

pub(super) fn of_change(status: &LoadTestStatus, facts: &Facts, grounds: &mut Vec<Ground>) {
    for one in status.baseline.iter().filter(|one| one.outcome == Outcome::Warn) {
        let window = Window::words(one.window, None);
        let message = one.message.as_deref().unwrap_or("worse than before");
        let text = format!("warning: {}{window}: regression: {message}", one.name);
        grounds.push(Ground::new(Verdict::Warn, Reason::Regression, text));
    }
    if let Some(why) = facts.history.unread.as_ref().filter(|_| !status.baseline.is_empty()) {
        let text = format!("no data: baseline: the earlier runs cannot be read: {why}");
        grounds.push(Ground::new(Verdict::Inconclusive, Reason::NoData, text));
    }
}

/// What matched in the run before and matches nothing now, each by its name.
pub(super) fn of_drift(facts: &Facts, grounds: &mut Vec<Ground>) {
    let Some(before) = facts.history.last() else { return };
    for lost in lost(facts) {
        let text = format!(
            "no data: drift: {lost} matched in the run before ({}), and matches nothing now: see whether it was renamed",
            before.name
        );
        grounds.push(Ground::new(Verdict::Inconclusive, Reason::Drift, text));
    }
}

/// What matched in the run before and matches nothing now.
pub(super) fn lost(facts: &Facts) -> Vec<String> {
    facts.history.last().map(|before| drift::lost(&before.matched, &facts.matched)).unwrap_or_default()
}

/// What is said of a miss that was there in the run before too, with that run's name.
pub(super) fn again(before: Option<&str>) -> String {
    before.map(|name| format!(", as in the run before ({name})")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use Outcome::{Met, Missed};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
    use loadtest_crds::{
        BaselineStatus, K6Figure, Objective, ObjectiveStatus, Ratio, VerdictPolicy, WindowKind, WindowResult,
    };
    use rstest::rstest;

    use super::*;
    use crate::{
        plan::objective::ObjectivePlan,
        verdict::{
            Ruling,
            baseline::{Earlier, EarlierFigure, History},
            decide,
        },
    };

    fn window(outcome: Outcome) -> WindowResult {
        let message = Some("7.1% of 9,204 requests failed, limit 1%".to_owned());
        WindowResult {
            outcome,
            message,
            from: Some(MicroTime(jiff::Timestamp::UNIX_EPOCH)),
            ..WindowResult::default()
        }
    }

    /// A run of objectives `save`, which is key or not, and `list`, and the run before with the same load.
    fn ruling(now: [Outcome; 2], key: bool, before: Option<[Outcome; 2]>, max_misses: i32) -> Ruling {
        let names = ["save", "list"];
        let objectives = names.iter().zip(now).map(|(name, outcome)| ObjectiveStatus {
            name: (*name).to_owned(),
            outcome,
            key: key && *name == "save",
            limit: "at most 1%".to_owned(),
            windows: vec![window(outcome)],
            ..ObjectiveStatus::default()
        });
        let status = LoadTestStatus {
            fingerprint: Some("f".to_owned()),
            objectives: objectives.collect(),
            ..LoadTestStatus::default()
        };
        let figures = before.map(|before| {
            names
                .iter()
                .zip(before)
                .map(|(name, outcome)| EarlierFigure {
                    objective: (*name).to_owned(),
                    window: WindowKind::Run,
                    fault: None,
                    outcome,
                    figure: None,
                })
                .collect()
        });
        let runs = figures.into_iter().map(|figures| Earlier { figures, ..run_before() }).collect();
        let facts = Facts { history: History { runs, unread: None }, ..Facts::default() };
        let policy = VerdictPolicy { max_misses, ..VerdictPolicy::default() };
        decide(&policy, &plans(), &[], &status, &facts)
    }

    fn run_before() -> Earlier {
        Earlier {
            name: "chat-6".to_owned(),
            verdict: Verdict::Warn,
            finished_at: jiff::Timestamp::UNIX_EPOCH,
            fingerprint: Some("f".to_owned()),
            report: None,
            figures: Vec::new(),
            matched: BTreeMap::new(),
        }
    }

    fn plans() -> Vec<ObjectivePlan> {
        let plan = |name: &str| {
            let objective = Objective {
                name: name.to_owned(),
                k6: Some(K6Figure { metric: "http_req_failed".to_owned(), ..K6Figure::default() }),
                at_most: Some("1%".into()),
                ..Objective::default()
            };
            ObjectivePlan::parse(&objective, &VerdictPolicy::default()).unwrap()
        };
        vec![plan("save"), plan("list")]
    }

    #[rstest]
    #[case::the_first_run([Missed, Met], false, None, Verdict::Warn, Reason::ObjectiveMissed)]
    #[case::met_before([Missed, Met], false, Some([Met, Met]), Verdict::Warn, Reason::ObjectiveMissed)]
    #[case::another_before([Missed, Met], false, Some([Met, Missed]), Verdict::Warn, Reason::ObjectiveMissed)]
    #[case::the_same_before([Missed, Met], false, Some([Missed, Met]), Verdict::Fail, Reason::MissedAgain)]
    #[case::met_now([Met, Met], false, Some([Missed, Missed]), Verdict::Pass, Reason::AllObjectivesMet)]
    #[case::the_key([Missed, Met], true, Some([Missed, Met]), Verdict::Fail, Reason::KeyObjectiveMissed)]
    fn the_same_miss_twice(
        #[case] now: [Outcome; 2],
        #[case] key: bool,
        #[case] before: Option<[Outcome; 2]>,
        #[case] verdict: Verdict,
        #[case] reason: Reason,
    ) {
        let ruling = ruling(now, key, before, 1);
        assert_eq!((ruling.verdict, ruling.reason), (verdict, reason), "{ruling:?}");
        let again = now[0] == Missed && before.is_some_and(|b| b[0] == Missed);
        assert_eq!(
            ruling.grounds[0].ends_with("limit 1%, as in the run before (chat-6)"),
            again,
            "{ruling:?}"
        );
    }

    #[test]
    fn of_several_allowed_misses_one_that_was_there_before_is_a_fail() {
        assert_eq!(ruling([Missed, Missed], false, Some([Met, Met]), 2).verdict, Verdict::Warn);
        assert_eq!(ruling([Missed, Missed], false, Some([Met, Missed]), 2).verdict, Verdict::Fail);
    }

    #[test]
    fn a_miss_of_what_matches_nothing_any_more_is_no_evidence() {
        let ratio = Objective {
            name: "save".to_owned(),
            ratio: Some(Ratio { good: "good_total".to_owned(), total: "all_total".to_owned() }),
            at_least: Some("99%".into()),
            ..Objective::default()
        };
        let plan = ObjectivePlan::parse(&ratio, &VerdictPolicy::default()).unwrap();
        let saved = ObjectiveStatus {
            name: "save".to_owned(),
            key: true,
            windows: vec![window(Missed)],
            ..Default::default()
        };
        let status = LoadTestStatus { objectives: vec![saved], ..LoadTestStatus::default() };
        let what = "the selector good_total".to_owned();
        let before = Earlier { matched: [(what.clone(), 3)].into(), ..run_before() };
        let mut facts = Facts {
            matched: [(what.clone(), 0)].into(),
            history: History { runs: vec![before], unread: None },
            ..Facts::default()
        };
        let decided = |facts: &Facts| {
            let ruling = decide(&VerdictPolicy::default(), std::slice::from_ref(&plan), &[], &status, facts);
            (ruling.verdict, ruling.reason, ruling.message)
        };
        let (verdict, reason, message) = decided(&facts);
        assert_eq!((verdict, reason), (Verdict::Inconclusive, Reason::Drift));
        // What is gone is the reason, and that the objective is missed for it comes after.
        assert!(message.starts_with("drift: the selector good_total matched in the run before"), "{message}");
        assert!(message.ends_with("(and 1 more)"), "{message}");
        facts.matched.insert(what, 3);
        let (verdict, reason, _) = decided(&facts);
        assert_eq!((verdict, reason), (Verdict::Fail, Reason::KeyObjectiveMissed));
    }

    fn of(status: &LoadTestStatus, facts: &Facts) -> Vec<(Verdict, Reason, String)> {
        let mut grounds = Vec::new();
        of_change(status, facts, &mut grounds);
        grounds.into_iter().map(|g| (g.verdict, g.reason, g.text)).collect()
    }

    fn compared(outcome: Outcome) -> LoadTestStatus {
        let one = BaselineStatus {
            name: "p95".to_owned(),
            window: WindowKind::Steady,
            outcome,
            message: Some("267ms, 15.1% above 232ms".to_owned()),
            ..BaselineStatus::default()
        };
        LoadTestStatus { baseline: vec![one], ..LoadTestStatus::default() }
    }

    #[test]
    fn a_regression_is_a_warning_with_its_figures() {
        let expected = "warning: p95 in steady load: regression: 267ms, 15.1% above 232ms";
        assert_eq!(
            of(&compared(Outcome::Warn), &Facts::default()),
            [(Verdict::Warn, Reason::Regression, expected.to_owned())]
        );
        assert_eq!(of(&compared(Outcome::Met), &Facts::default()), []);
        assert_eq!(of(&compared(Outcome::NoData), &Facts::default()), []);
    }

    #[test]
    fn a_baseline_that_cannot_be_read_is_no_pass() {
        let history = History { unread: Some("forbidden".to_owned()), ..History::default() };
        let facts = Facts { history, ..Facts::default() };
        let grounds = of(&compared(Outcome::NoData), &facts);
        assert_eq!((grounds[0].0, grounds[0].1), (Verdict::Inconclusive, Reason::NoData));
        // Nobody asked for it.
        assert_eq!(of(&LoadTestStatus::default(), &facts), []);
    }

    #[rstest]
    #[case::gone(Some(0), 1)]
    #[case::still_there(Some(1), 0)]
    #[case::not_asked(None, 0)]
    fn what_matches_nothing_any_more_is_named(#[case] now: Option<i64>, #[case] expected: usize) {
        let what = "the query max(lag)".to_owned();
        let before = Earlier { matched: [(what.clone(), 1200)].into(), ..run_before() };
        let facts = Facts {
            matched: now.map(|now| (what, now)).into_iter().collect(),
            history: History { runs: vec![before], unread: None },
            ..Facts::default()
        };
        let mut grounds = Vec::new();
        of_drift(&facts, &mut grounds);
        assert_eq!(grounds.len(), expected);
        if let [ground] = grounds.as_slice() {
            assert_eq!((ground.verdict, ground.reason), (Verdict::Inconclusive, Reason::Drift));
            assert_eq!(
                ground.text,
                "no data: drift: the query max(lag) matched in the run before (chat-6), and matches nothing now: see \
                 whether it was renamed"
            );
        }
    }
}
