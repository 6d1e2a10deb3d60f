//! Good over total of server-side counters.

use loadtest_crds::Outcome;

use crate::{
    evaluate::objective::{
        finding::{Finding, limit_words},
        points::MIN_SCRAPES,
        scope::Scope,
        standing::ruled,
    },
    numbers::{
        confidence::Count,
        limit::{count, percent, whole},
    },
    plan::objective::ObjectivePlan,
    prometheus::series::Increase,
};

/// The share by what is known to have been counted in the window. What its series had counted when they began may be of
/// the window, or older than it: where that decides, nothing is decided.
#[must_use]
pub fn ratio(plan: &ObjectivePlan, scope: Scope, good: Option<Increase>, total: Option<Increase>) -> Finding {
    let known = counted(plan, scope, good, total);
    let perhaps_good = good.map_or(0.0, |good| good.perhaps);
    let perhaps_bad = (total.map_or(0.0, |total| total.perhaps) - perhaps_good).max(0.0);
    if perhaps_good.max(perhaps_bad) < 0.5 || known.outcome == Outcome::Unmeasurable {
        return known;
    }
    let with = |more_good: f64, more_bad: f64| {
        let good = good.map(|good| Increase { events: good.events + more_good, ..good });
        let total = total.map(|total| Increase { events: total.events + more_good + more_bad, ..total });
        counted(plan, scope, good, total)
    };
    let (worst, best) = (with(0.0, perhaps_bad), with(perhaps_good, 0.0));
    let all = [&known, &worst, &best];
    let is_one = all.iter().all(|one| one.outcome == known.outcome);
    if is_one || all.iter().all(|one| gravity(one.outcome).is_some()) {
        // Of equals the last: what is known.
        let gravest =
            [&best, &worst, &known].into_iter().max_by_key(|one| gravity(one.outcome)).unwrap_or(&known);
        let from_zero =
            with(perhaps_good, perhaps_bad).value.filter(|value| known.value.as_ref() != Some(value));
        let note =
            from_zero.map(|value| format!(" ({value} with what series had counted when they began in it)"));
        return Finding { message: gravest.message.clone() + &note.unwrap_or_default(), ..gravest.clone() };
    }
    let shown = |one: &Finding| one.figure.map_or_else(|| "nothing".to_owned(), percent);
    let events =
        known.samples.map(|events| format!("{} of {} events were good", shown(&known), count(events)));
    Finding {
        outcome: Outcome::Unmeasurable,
        message: format!(
            "{}; with the {} that series had counted when they began in this window, which may be older than it, {} to {} \
             ({}): let Prometheus scrape them before the load begins",
            events.unwrap_or_else(|| known.message.clone()),
            count(whole(perhaps_good + perhaps_bad)),
            shown(&worst),
            shown(&best),
            limit_words(&plan.bound)
        ),
        ..known
    }
}

/// Of outcomes that do not gainsay each other, the gravest holds.
fn gravity(outcome: Outcome) -> Option<u8> {
    match outcome {
        Outcome::Met => Some(0),
        Outcome::Warn => Some(1),
        Outcome::Unclear => Some(2),
        Outcome::TooFew => Some(3),
        Outcome::Missed | Outcome::NoData | Outcome::Unmeasurable => None,
    }
}

fn counted(plan: &ObjectivePlan, scope: Scope, good: Option<Increase>, total: Option<Increase>) -> Finding {
    let Some(total) = total else {
        return Finding::no_data(
            "no series matches ratio.total around this window: check the selector, and that Prometheus scrapes the pods",
        );
    };
    if total.scrapes < MIN_SCRAPES {
        return Finding::unmeasurable(format!(
            "this window holds {} of the {MIN_SCRAPES} scrapes needed: scrape more often, or judge a k6 figure here",
            total.scrapes
        ));
    }
    if total.events < 0.5 {
        return Finding::no_data("ratio.total counted nothing in this window");
    }
    if let Some(scrapes) = good.map(|good| good.scrapes).filter(|scrapes| *scrapes < MIN_SCRAPES) {
        return Finding::unmeasurable(format!(
            "this window holds {scrapes} of the {MIN_SCRAPES} scrapes of ratio.good that are needed: scrape more often, or \
             judge a longer window"
        ));
    }
    let share = good.map_or(0.0, |good| good.events) / total.events;
    // One counter may be written a moment before the other; more than that is another population.
    if share > 1.01 {
        return Finding::no_data(format!(
            "ratio.good counted {} and ratio.total only {}: the good events must be among the total",
            count(whole(good.unwrap_or_default().events)),
            count(whole(total.events))
        ));
    }
    let share = share.min(1.0);
    let bad = total.events * (1.0 - share);
    let shown = plan.bound.limit().show(share);
    let nothing_good = if good.is_none() { " (no series matches ratio.good)" } else { "" };
    let events = count(whole(total.events));
    let base = format!("{shown} of {events} events were good{nothing_good}, {}", limit_words(&plan.bound));
    ruled(plan, scope, (total.events, Count::exactly(bad)), Some(share), shown, base)
}
