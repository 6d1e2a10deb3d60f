//! Guardrails, and thresholds of scripts that cannot be judged, as grounds.

use loadtest_crds::{GuardrailNoData, LoadTestStatus, Outcome, Verdict};

use crate::{
    plan::{
        guardrail::{Check, GuardrailPlan},
        threshold,
    },
    verdict::ground::{Ground, Reason},
};

/// Each guardrail is a ground: a breach that stopped the load is a Fail. A drop is no evidence where a runner was lost:
/// its load dropped with it. A runner that went after the breach is not counted as lost.
pub(super) fn of_guardrails(plans: &[GuardrailPlan], status: &LoadTestStatus, grounds: &mut Vec<Ground>) {
    let lost = status.lost_runners() > 0;
    for guardrail in &status.guardrails {
        let name = &guardrail.name;
        let message = guardrail.message.as_deref().unwrap_or("never looked at");
        let query = guardrail.query.as_ref().map(|query| format!(" ({query})")).unwrap_or_default();
        let plan = plans.iter().find(|plan| plan.name == *name);
        let on_no_data = plan.map_or(GuardrailNoData::Ignore, |p| p.on_no_data);
        let is_drop = plan.is_some_and(|p| matches!(p.check, Check::Drop(_)));
        let stopped = format!("guardrail {name} stopped the load: {message}{query}");
        grounds.push(match guardrail.outcome {
            Outcome::Missed if is_drop && lost => {
                Ground::new(Verdict::Inconclusive, Reason::RunnerLost, stopped)
            }
            Outcome::Missed => Ground::new(Verdict::Fail, Reason::GuardrailBreached, stopped),
            _ if guardrail.breached_at.is_some() => {
                Ground::new(Verdict::Inconclusive, Reason::GuardrailWithoutData, stopped)
            }
            Outcome::Met => Ground::told(format!("met: guardrail {name}: {message}")),
            Outcome::Warn => {
                let text = format!("warning: guardrail {name}: {message}");
                Ground::new(Verdict::Warn, Reason::GuardrailWarned, text)
            }
            _ => {
                let ignored = on_no_data == GuardrailNoData::Ignore;
                let verdict = if ignored { Verdict::Pass } else { Verdict::Warn };
                let text = format!("no data: guardrail {name}: {message}{query}");
                Ground::new(verdict, Reason::GuardrailWithoutData, text)
            }
        });
    }
    // One that was never watched held nothing.
    for plan in plans.iter().filter(|plan| !status.guardrails.iter().any(|g| g.name == plan.name)) {
        let text = format!("no data: guardrail {}: it was never watched", plan.name);
        grounds.push(Ground::new(Verdict::Warn, Reason::GuardrailWithoutData, text));
    }
}

/// What cannot be judged is named, and no Pass.
pub(super) fn of_thresholds(status: &LoadTestStatus, grounds: &mut Vec<Ground>) {
    for (name, why) in threshold::unjudged(status) {
        let text = format!("not judged: {name}: {why}");
        grounds.push(Ground::new(Verdict::Warn, Reason::ThresholdNotJudged, text));
    }
}
