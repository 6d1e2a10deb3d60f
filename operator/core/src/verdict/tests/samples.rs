//! What samples of a steady load can tell.

use loadtest_crds::Spike;

use super::*;

#[rstest]
#[case::unclear(
    Outcome::Unclear,
    TooFewPolicy::Inconclusive,
    NoDataPolicy::Inconclusive,
    Verdict::Warn,
    "Unclear"
)]
#[case::unclear_whatever_the_policies(
    Outcome::Unclear,
    TooFewPolicy::Fail,
    NoDataPolicy::Fail,
    Verdict::Warn,
    "Unclear"
)]
#[case::too_few(
    Outcome::TooFew,
    TooFewPolicy::Inconclusive,
    NoDataPolicy::Fail,
    Verdict::Inconclusive,
    "TooFew"
)]
#[case::too_few_is_a_fail(
    Outcome::TooFew,
    TooFewPolicy::Fail,
    NoDataPolicy::Inconclusive,
    Verdict::Fail,
    "TooFew"
)]
#[case::unmeasurable(
    Outcome::Unmeasurable,
    TooFewPolicy::Fail,
    NoDataPolicy::Inconclusive,
    Verdict::Inconclusive,
    "Unmeasurable"
)]
#[case::unmeasurable_is_a_fail(
    Outcome::Unmeasurable,
    TooFewPolicy::Inconclusive,
    NoDataPolicy::Fail,
    Verdict::Fail,
    "Unmeasurable"
)]
fn what_cannot_be_told(
    #[case] outcome: Outcome,
    #[case] on_too_few: TooFewPolicy,
    #[case] on_no_data: NoDataPolicy,
    #[case] verdict: Verdict,
    #[case] reason: &str,
) {
    let mut case = case([Outcome::Met, outcome, Outcome::Met]);
    for plan in &mut case.plans {
        (plan.on_too_few, plan.on_no_data) = (on_too_few, on_no_data);
    }
    let ruling = case.decide();
    assert_eq!((ruling.verdict, ruling.reason.to_string().as_str()), (verdict, reason));
    assert_eq!(ruling.message, "list: the samples cannot tell");
}

/// Spikes of `save` and of `list`, each so many seconds after the start.
#[rstest]
#[case::none(&[], &[], Verdict::Pass, "AllObjectivesMet")]
#[case::one(&[10], &[], Verdict::Pass, "AllObjectivesMet")]
#[case::one_moment(&[10], &[10], Verdict::Pass, "AllObjectivesMet")]
#[case::one_across_two_cells(&[10, 15], &[], Verdict::Pass, "AllObjectivesMet")]
#[case::two(&[10, 20], &[], Verdict::Warn, "Unstable")]
#[case::one_of_each(&[10], &[30], Verdict::Warn, "Unstable")]
#[case::far_apart(&[10], &[611], Verdict::Pass, "AllObjectivesMet")]
fn spikes_of_steady_load(
    #[case] save: &[i64],
    #[case] list: &[i64],
    #[case] verdict: Verdict,
    #[case] reason: &str,
) {
    let mut case = case([Outcome::Met; 3]);
    let spike = |second: &i64| Spike {
        at: at(*second),
        seconds: 5,
        share: "42%".to_owned(),
        usual: "0.1%".to_owned(),
        samples: 100,
    };
    case.status.objectives[0].spikes = save.iter().map(spike).collect();
    case.status.objectives[1].spikes = list.iter().map(spike).collect();
    let ruling = case.decide();
    assert_eq!((ruling.verdict, ruling.reason.to_string().as_str()), (verdict, reason));
    let words = "save at 22:13:30 (10s after the start): 42% of 100 requests bad in 5s, usually 0.1%";
    assert_eq!(ruling.grounds.iter().any(|line| line.contains(words)), !save.is_empty(), "{ruling:#?}");
}
