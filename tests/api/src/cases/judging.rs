//! Cases of what is judged beside plain objectives: budgets, alerts, stretches, slopes, the system watched.

use super::{Case, accepts, rejects};
use crate::server::{fault, merged, objective, spec, yaml};

pub fn all() -> Vec<Case> {
    [figures(), stretches(), harm(), system(), comparison()].into_iter().flatten().collect()
}

fn figures() -> Vec<Case> {
    vec![
        accepts(objective("{k6: {metric: http_req_duration, under: 300ms}, atLeast: 99%}")),
        accepts(objective("{k6: {metric: http_reqs, rate: true}, atLeast: '500'}")),
        accepts(objective("{k6: {metric: orders, count: true}, atLeast: 10k, onTooFew: Judge}")),
        accepts(objective("{slope: {query: max(memory_bytes)}, atMost: 10Mi}")),
        rejects(objective("{atMost: 1%}"), "write exactly one of k6, ratio, query or slope"),
        rejects(
            objective("{k6: {metric: http_req_duration, under: 300ms}, atMost: 300ms}"),
            "the share of samples under a limit is judged in percent",
        ),
        rejects(
            objective("{k6: {metric: http_reqs, rate: true}, atLeast: 99%}"),
            "rate and count are judged by a plain number",
        ),
        rejects(
            objective("{k6: {metric: http_reqs, rate: true, count: true}, atLeast: '5'}"),
            "write one of percentile, under, stat, rate or count",
        ),
        rejects(
            objective("{k6: {metric: checks, count: true}, atLeast: '5'}"),
            "rate and count take a Counter",
        ),
        rejects(
            objective("{k6: {metric: http_reqs, count: false}, atLeast: '5'}"),
            "count takes true, or is left out",
        ),
        rejects(
            objective("{k6: {metric: http_reqs, rate: false}, atLeast: '5'}"),
            "rate takes true, or is left out",
        ),
        rejects(objective("{slope: {query: up, per: 0s}, atMost: '5'}"), "nothing grows in no time"),
    ]
}

fn stretches() -> Vec<Case> {
    let between = |fields: &str| objective(&format!("{{query: up, atMost: '1', {fields}}}"));
    vec![
        accepts(between("between: {from: 30s, to: 90s}")),
        accepts(between("windows: [Between], between: {from: 30s, to: 90s}")),
        rejects(between("windows: [Between]"), "say which stretch"),
        rejects(
            between("windows: [Steady], between: {from: 30s, to: 90s}"),
            "between stands for itself: judge Steady",
        ),
        rejects(between("between: {from: 90s, to: 30s}"), "between.from lies before between.to"),
        rejects(between("between: {from: soon, to: 30s}"), "write a length of time with its units"),
        rejects(between("between: {from: 30s, to: 999999999h}"), "at most 168h"),
    ]
}

fn harm() -> Vec<Case> {
    vec![
        accepts(fault("budget: {of: [success], badRequests: 20, downtime: 3s, worstSecond: 50%}")),
        accepts(fault("recovery: {of: [success], within: 5m, alert: DbmanDown}")),
        rejects(fault("budget: {of: [success]}"), "a budget has a limit"),
        rejects(
            fault("budget: {of: [other], badRequests: 1}"),
            "budget.of names what is no k6 objective in spec.objectives",
        ),
        rejects(
            fault("budget: {of: [success], worstSecond: '5'}"),
            "write a share from 0% to 100%, as in 50%",
        ),
        rejects(
            fault("recovery: {of: [success], within: 5m, alert: dbman-down}"),
            "write the alert's name as its rule has it",
        ),
    ]
}

fn system() -> Vec<Case> {
    let watched = |fields: &str| {
        let part = format!("system: [{{name: dbman, selector: {{matchLabels: {{app: dbman}}}}, {fields}}}]");
        merged(spec("serviceAccountName: a"), yaml(&format!("{{{part}}}")))
    };
    vec![
        accepts(watched("assertNoOOM: true, assertNoRestarts: true, scaling: {reaches: 4, within: 2m}")),
        rejects(
            spec("system: [{name: dbman, selector: {matchLabels: {app: dbman}}}]"),
            "the system under test is watched with the rights of a service account",
        ),
        rejects(watched("namespace: Msg_Server"), "a namespace has lower-case letters"),
        rejects(
            merged(spec("serviceAccountName: a"), yaml("{system: [{name: dbman, selector: {}}]}")),
            "an empty selector would match every pod",
        ),
    ]
}

fn comparison() -> Vec<Case> {
    vec![
        accepts(spec("baseline: {}")),
        accepts(spec("baseline: {runs: 10, maxRegression: 5%}")),
        rejects(spec("baseline: {maxRegression: '0.1'}"), "write a share, as in 10%"),
        accepts(spec("expect: {minRequests: 1000, minRate: 10}")),
        rejects(spec("expect: {minRequests: 0}"), "should be greater than or equal to 1"),
    ]
}
