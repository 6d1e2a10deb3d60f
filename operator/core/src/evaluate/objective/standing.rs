//! How a share stands against what its limit allows.

use loadtest_crds::{Outcome, TooFewPolicy};

use crate::{
    evaluate::objective::{
        against::Against,
        finding::{Finding, warned_words},
        scope::Scope,
    },
    numbers::{
        confidence::{Cell, Count, Sample, Standing},
        limit::{count, percent, whole},
    },
    plan::objective::ObjectivePlan,
};

/// A share against its limit: so many of a total are bad. It is shown like this and said in these words, to which is added
/// how sure it is. `value` is the figure in its base unit, where it is a number.
pub(crate) fn ruled(
    plan: &ObjectivePlan,
    scope: Scope,
    (total, bad): (f64, Count),
    value: Option<f64>,
    shown: String,
    words: String,
) -> Finding {
    let against = Against::of(plan);
    let (design_effect, faults) = match scope {
        Scope::Census => (1.0, Cell::default()),
        Scope::Sample { design_effect, faults } => (design_effect, faults),
    };
    let sample = Sample {
        total,
        bad: if against.good { bad.rest_of(total) } else { bad },
        allowed: against.allowed,
        design_effect,
        faults: against.counted(faults),
    };
    let effective = sample.effective().round();
    let bracket = if whole(bad.least) == whole(bad.most) {
        String::new()
    } else {
        let (least, most) = (count(whole(bad.least)), count(whole(bad.most)));
        format!(" ({least} to {most} of them bad: the limit lies inside a bucket of k6's histogram)")
    };
    let worth = if effective < (total * 0.95).round() {
        format!(" (bad ones came in bursts, so these are worth {})", count(whole(effective)))
    } else {
        String::new()
    };
    let advice = "lengthen the window or raise the load";
    let standing = match scope {
        Scope::Census => sample.counted(),
        Scope::Sample { .. } => sample.estimated(),
    };
    let (outcome, note) = match standing {
        Standing::TooFew { needed } if plan.on_too_few == TooFewPolicy::Judge => {
            let outcome = of_standing(sample.counted());
            (outcome, format!("{bracket}; judged as counted, with fewer than {}{worth}", count(needed)))
        }
        Standing::TooFew { needed } => {
            let needed = count(needed);
            (Outcome::TooFew, format!("{bracket}; too few to tell, {needed} are needed{worth}: {advice}"))
        }
        Standing::Unclear { from, to } => {
            let (from, to) = if against.shown { (from, to) } else { (1.0 - to, 1.0 - from) };
            let range = format!("{} and {}", percent(from), percent(to));
            let unclear = "the sample cannot tell, the share behind it lies between";
            (Outcome::Unclear, format!("{bracket}; {unclear} {range}{worth}: {advice}"))
        }
        Standing::Bucket => {
            (Outcome::Unclear, format!("{bracket}; that decides: set the limit to another value"))
        }
        standing => (of_standing(standing), bracket),
    };
    let warned = value.filter(|value| outcome == Outcome::Met && plan.warns(*value));
    Finding {
        outcome: if warned.is_some() { Outcome::Warn } else { outcome },
        message: warned.and_then(|value| warned_words(plan, value)).unwrap_or(words) + &note,
        value: Some(shown),
        figure: value,
        samples: Some(whole(total)),
        bad: Some(whole(bad.likely)),
        effective: matches!(scope, Scope::Sample { .. }).then_some(whole(effective)),
    }
}

fn of_standing(standing: Standing) -> Outcome {
    match standing {
        Standing::Within => Outcome::Met,
        Standing::Beyond => Outcome::Missed,
        Standing::TooFew { .. } => Outcome::TooFew,
        Standing::Bucket | Standing::Unclear { .. } => Outcome::Unclear,
    }
}
