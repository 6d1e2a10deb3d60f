//! How a share stands against what its limit allows.

use loadtest_crds::{Outcome, TooFewPolicy};

use crate::{
    evaluate::objective::{
        finding::{Finding, warned_words},
        scope::Scope,
    },
    numbers::{
        confidence::{Block, Count, Sample, Standing},
        limit::{Bound, count, percent, whole},
    },
    plan::{figure::Figure, objective::ObjectivePlan},
};

/// How a share stands, and what there is to say about it.
pub(crate) struct Ruled {
    pub(crate) outcome: Outcome,
    pub(crate) effective: Option<i64>,
    note: String,
}

impl Ruled {
    pub(crate) fn of(plan: &ObjectivePlan, total: f64, bad: Count, scope: Scope) -> Self {
        let against = Against::of(plan);
        let (design_effect, faults) = match scope {
            Scope::Census => (1.0, Block::default()),
            Scope::Sample { design_effect, faults } => (design_effect, faults),
        };
        let sample = Sample {
            total,
            bad: if against.good { bad.rest_of(total) } else { bad },
            allowed: against.allowed,
            design_effect,
            faults: if against.good { Block { bad: faults.total - faults.bad, ..faults } } else { faults },
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
        let effective = matches!(scope, Scope::Sample { .. }).then_some(whole(effective));
        Self { outcome, effective, note }
    }

    pub(crate) fn finding(
        self,
        plan: &ObjectivePlan,
        value: Option<f64>,
        shown: String,
        base: String,
        total: f64,
        bad: f64,
    ) -> Finding {
        let warned = value.filter(|value| self.outcome == Outcome::Met && plan.warns(*value));
        Finding {
            outcome: if warned.is_some() { Outcome::Warn } else { self.outcome },
            message: format!("{}{}", warned.and_then(|v| warned_words(plan, v)).unwrap_or(base), self.note),
            value: Some(shown),
            figure: value,
            samples: Some(whole(total)),
            bad: Some(whole(bad)),
            effective: self.effective,
        }
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

/// What a share is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Against {
    /// The share that the limit allows, of bad requests, or of good ones.
    pub allowed: f64,
    /// Good ones count against the limit: a share of good ones that must stay low, or of bad ones that must not.
    pub good: bool,
    /// The share that counts against the limit is the one that is shown.
    shown: bool,
}

impl Against {
    #[must_use]
    pub fn of(plan: &ObjectivePlan) -> Self {
        let limit = plan.bound.limit().base();
        match (&plan.figure, &plan.bound) {
            (Figure::K6Percentile { percentile, .. }, _) => {
                Self { allowed: 1.0 - percentile / 100.0, good: false, shown: true }
            }
            (Figure::K6Failed { .. }, Bound::AtMost(_)) => Self { allowed: limit, good: false, shown: true },
            (Figure::K6Failed { .. }, Bound::AtLeast(_)) => {
                Self { allowed: 1.0 - limit, good: true, shown: false }
            }
            (_, Bound::AtLeast(_)) => Self { allowed: 1.0 - limit, good: false, shown: false },
            (_, Bound::AtMost(_)) => Self { allowed: limit, good: true, shown: true },
        }
    }
}
