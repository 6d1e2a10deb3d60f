//! How many pods were ready, step by step.

use loadtest_crds::ReadyStep;

const MOST_STEPS: usize = 100;

/// Adds a step to the line of ready pods, where it is one.
pub(super) fn push_step(steps: &mut Vec<ReadyStep>, step: ReadyStep) {
    if steps.last().is_none_or(|last| last.pods != step.pods) {
        steps.push(step);
        thin(steps, MOST_STEPS);
    }
}

/// Takes the shortest steps out of a line that is too long; the first, the last and the extremes stay.
pub(crate) fn thin(steps: &mut Vec<ReadyStep>, most: usize) {
    while steps.len() > most.max(4) {
        let time = |i: usize| steps[i].at.as_ref().map(|t| t.0);
        let least = steps.iter().map(|s| s.pods).min();
        let peak = steps.iter().map(|s| s.pods).max();
        let kept = |i: usize| {
            let extreme = [least, peak].contains(&Some(steps[i].pods));
            extreme && !steps[..i].iter().any(|s| s.pods == steps[i].pods)
        };
        let length = |i: usize| time(i).zip(time(i + 1)).map(|(from, to)| to.duration_since(from));
        let Some(shortest) = (1..steps.len() - 1).filter(|i| !kept(*i)).min_by_key(|i| length(*i)) else {
            return;
        };
        steps.remove(shortest);
        steps.dedup_by(|next, step| next.pods == step.pods);
    }
}
