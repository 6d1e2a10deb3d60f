//! A Prometheus for tests: the part of PromQL that the templates use, over samples held in memory, and a k6 that
//! pushes into it as the real one does. A histogram holds its observations themselves, so quantiles and
//! fractions can be worked out on paper.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use promql_parser::parser::{
    self, AggregateExpr, AtModifier, BinaryExpr, Expr, LabelModifier, Offset, VectorSelector,
};

use crate::{
    k6::question::{Question, Request},
    numbers::interval::seconds,
    prometheus::{
        ask::{AlertRule, Answer, RequestKind},
        histogram::{Bucket, Histogram},
        series::Labels,
    },
};

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Number(f64),
    /// Observations in order.
    Histogram(Vec<f64>),
}

type Vector = Vec<(Labels, Value)>;

/// Samples by series, each with its time in seconds.
#[derive(Clone, Debug, Default)]
pub struct Fake {
    series: BTreeMap<Labels, Vec<(f64, Value)>>,
    /// From when on a series is marked as gone, as Prometheus does when a target is.
    gone: BTreeMap<Labels, f64>,
    pub rules: Vec<AlertRule>,
}

/// One request as k6 sees it: when it ended, in seconds, how long it took, and whether it was answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    pub at: f64,
    pub took: f64,
    pub answered: bool,
}

impl Fake {
    pub fn add(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        samples: impl IntoIterator<Item = (f64, f64)>,
    ) {
        let samples = samples.into_iter().map(|(at, value)| (at, Value::Number(value)));
        self.series.entry(named(name, labels)).or_default().extend(samples);
    }

    pub fn gone(&mut self, name: &str, labels: &[(&str, &str)], at: f64) {
        self.gone.insert(named(name, labels), at);
    }

    /// A runner that pushes every second: for each series that something happened to, one sample of its value
    /// since the start, with the time of the last thing that happened.
    pub fn push(&mut self, runner: &str, phase: f64, events: &[Event]) {
        self.push_as("save", runner, phase, events);
    }

    /// The same, with the name of the requests.
    pub fn push_as(&mut self, name: &str, runner: &str, phase: f64, events: &[Event]) {
        for answered in [true, false] {
            let outcome = if answered { "true" } else { "false" };
            let labels = [
                ("loadtest_run", "4f1c"),
                ("name", name),
                ("loadtest_runner", runner),
                ("expected_response", outcome),
            ];
            let mut own: Vec<Event> = events.iter().copied().filter(|e| e.answered == answered).collect();
            own.sort_by(|a, b| a.at.total_cmp(&b.at));
            let mut took = Vec::new();
            let mut samples: Vec<(f64, Vec<f64>)> = Vec::new();
            let mut push = f64::NEG_INFINITY;
            for event in own {
                took.push(event.took);
                let of = (event.at - phase).ceil();
                if of == push {
                    samples.pop();
                }
                push = of;
                samples.push((event.at, took.clone()));
            }
            for (at, mut took) in samples {
                took.sort_by(f64::total_cmp);
                let count = Value::Number(took.len() as f64);
                self.series
                    .entry(named("k6_http_reqs_total", &labels))
                    .or_default()
                    .push((at, count.clone()));
                self.series.entry(named("k6_iterations_total", &labels[..3])).or_default().push((at, count));
                // An iteration is a request.
                for name in ["k6_http_req_duration_milliseconds", "k6_iteration_duration_milliseconds"] {
                    let histogram = Value::Histogram(took.iter().map(|seconds| seconds * 1000.0).collect());
                    self.series.entry(named(name, &labels)).or_default().push((at, histogram));
                }
            }
        }
    }

    pub fn answer(&self, request: &Request) -> Answer {
        if let Question::AlertRules(_) = request.question {
            return Answer::Rules(self.rules.clone());
        }
        let parsed = match parser::parse(&request.question.to_string()) {
            Ok(parsed) => parsed,
            Err(why) => return Answer::Failed(why),
        };
        match (request.kind, &parsed) {
            (RequestKind::Instant { at }, Expr::MatrixSelector(matrix)) => {
                let to = time(matrix.vs.at.as_ref()).unwrap_or(seconds(at));
                let from = to - matrix.range.as_secs_f64();
                let series = self.select(&matrix.vs).map(|(labels, samples)| {
                    let points = samples.iter().filter(|(at, _)| *at > from && *at <= to);
                    (labels.clone(), points.map(|(at, value)| (*at, number(value))).collect::<Vec<_>>())
                });
                Answer::Matrix(series.filter(|(_, points)| !points.is_empty()).collect())
            }
            (RequestKind::Instant { at }, expression) => {
                let at = seconds(at);
                let vector = self.evaluate(expression, at);
                if vector.iter().any(|(_, value)| matches!(value, Value::Histogram(_))) {
                    let one = |(labels, value)| (labels, vec![(at, histogram(&value))]);
                    return Answer::Histograms(vector.into_iter().map(one).collect());
                }
                Answer::Vector(
                    vector.into_iter().map(|(labels, value)| (labels, at, number(&value))).collect(),
                )
            }
            (RequestKind::Range { from, to, step }, expression) => {
                let all = self.range(expression, from, to, step);
                let points = |all: Vec<(Labels, Vec<(f64, Value)>)>| all.into_iter();
                if all.iter().flat_map(|(_, points)| points).any(|(_, v)| matches!(v, Value::Histogram(_))) {
                    let series = points(all).map(|(labels, points)| {
                        (labels, points.iter().map(|(at, value)| (*at, histogram(value))).collect())
                    });
                    return Answer::Histograms(series.collect());
                }
                let series = points(all).map(|(labels, points)| {
                    (labels, points.iter().map(|(at, value)| (*at, number(value))).collect())
                });
                Answer::Matrix(series.collect())
            }
        }
    }

    fn range(
        &self,
        expression: &Expr,
        from: Timestamp,
        to: Timestamp,
        step: Duration,
    ) -> Vec<(Labels, Vec<(f64, Value)>)> {
        let mut series: BTreeMap<Labels, Vec<(f64, Value)>> = BTreeMap::new();
        let mut at = seconds(from);
        while at <= seconds(to) + 1e-6 {
            for (labels, value) in self.evaluate(expression, at) {
                series.entry(labels).or_default().push((at, value));
            }
            at += step.as_secs_f64();
        }
        series.into_iter().collect()
    }

    fn select(&self, selector: &VectorSelector) -> impl Iterator<Item = (&Labels, &Vec<(f64, Value)>)> {
        self.series.iter().filter(|(labels, _)| {
            let of = |name: &str| labels.get(name).map_or("", String::as_str);
            selector.name.as_deref().is_none_or(|name| of("__name__") == name)
                && selector.matchers.matchers.iter().all(|m| m.is_match(of(&m.name)))
        })
    }

    fn evaluate(&self, expression: &Expr, at: f64) -> Vector {
        match expression {
            Expr::Paren(inner) => self.evaluate(&inner.expr, at),
            Expr::NumberLiteral(literal) => vec![(Labels::new(), Value::Number(literal.val))],
            Expr::VectorSelector(selector) => self.last(selector, 300.0, at, &self.gone),
            Expr::Aggregate(aggregate) => self.aggregate(aggregate, at),
            Expr::Binary(binary) => self.binary(binary, at),
            Expr::Call(call) => self.call(call.func.name, &call.args.args, at),
            other => panic!("the fake does not know {other}"),
        }
    }

    fn last(&self, selector: &VectorSelector, reach: f64, at: f64, gone: &BTreeMap<Labels, f64>) -> Vector {
        let at = time(selector.at.as_ref()).unwrap_or(at);
        let at = match selector.offset {
            Some(Offset::Pos(before)) => at - before.as_secs_f64(),
            Some(Offset::Neg(after)) => at + after.as_secs_f64(),
            None => at,
        };
        self.select(selector)
            .filter(|(labels, _)| gone.get(*labels).is_none_or(|gone| at < *gone))
            .filter_map(|(labels, samples)| {
                let last = samples.iter().rev().find(|(t, _)| *t <= at && *t > at - reach)?;
                Some((unnamed(labels), last.1.clone()))
            })
            .collect()
    }

    fn written(&self, selector: &VectorSelector, at: f64) -> Vector {
        let times = self.select(selector).filter_map(|(labels, samples)| {
            let last = samples.iter().rev().find(|(t, _)| *t <= at && *t > at - 300.0)?;
            Some((unnamed(labels), Value::Number(last.0)))
        });
        times.collect()
    }

    fn aggregate(&self, aggregate: &AggregateExpr, at: f64) -> Vector {
        if aggregate.op.to_string() == "topk" {
            let Some(Expr::NumberLiteral(most)) = aggregate.param.as_deref() else { panic!("topk of what") };
            let mut vector = self.evaluate(&aggregate.expr, at);
            vector.sort_by(|a, b| number(&b.1).total_cmp(&number(&a.1)));
            vector.truncate(most.val as usize);
            return vector;
        }
        let kept: Vec<String> = match &aggregate.modifier {
            Some(LabelModifier::Include(labels)) => labels.labels.clone(),
            _ => Vec::new(),
        };
        let counts = aggregate.op.to_string() == "count";
        let mut groups: BTreeMap<Labels, Value> = BTreeMap::new();
        for (labels, value) in self.evaluate(&aggregate.expr, at) {
            let group = labels.into_iter().filter(|(name, _)| kept.contains(name)).collect();
            let value = if counts { Value::Number(1.0) } else { value };
            let merged = match (groups.remove(&group), value, aggregate.op.to_string().as_str()) {
                (None, value, _) => value,
                (Some(Value::Number(a)), Value::Number(b), "sum" | "count") => Value::Number(a + b),
                (Some(Value::Number(a)), Value::Number(b), "max") => Value::Number(a.max(b)),
                (Some(Value::Histogram(mut a)), Value::Histogram(b), "sum") => {
                    a.extend(b);
                    a.sort_by(f64::total_cmp);
                    Value::Histogram(a)
                }
                other => panic!("the fake does not aggregate {other:?}"),
            };
            groups.insert(group, merged);
        }
        groups.into_iter().collect()
    }

    fn binary(&self, binary: &BinaryExpr, at: f64) -> Vector {
        let (left, right) = (self.evaluate(&binary.lhs, at), self.evaluate(&binary.rhs, at));
        let operator = binary.op.to_string();
        if let (Expr::NumberLiteral(literal), "*") = (&*binary.lhs, operator.as_str()) {
            let times = |(labels, value)| (labels, Value::Number(literal.val * number(&value)));
            return right.into_iter().map(times).collect();
        }
        if let (Expr::Call(call), "-") = (&*binary.lhs, operator.as_str())
            && call.func.name == "time"
        {
            let since = |(labels, value)| (labels, Value::Number(at - number(&value)));
            return right.into_iter().map(since).collect();
        }
        if let (Expr::NumberLiteral(literal), ">") = (&*binary.rhs, operator.as_str()) {
            return left.into_iter().filter(|(_, value)| number(value) > literal.val).collect();
        }
        if operator == "and" {
            let on = match binary.modifier.as_ref().and_then(|modifier| modifier.matching.as_ref()) {
                Some(LabelModifier::Include(labels)) => Some(&labels.labels),
                _ => None,
            };
            let same =
                |a: &Labels, b: &Labels| on.map_or(a == b, |on| on.iter().all(|n| a.get(n) == b.get(n)));
            return left
                .into_iter()
                .filter(|(own, _)| right.iter().any(|(labels, _)| same(own, labels)))
                .collect();
        }
        if operator == "or" {
            let new = right.into_iter().filter(|(labels, _)| !left.iter().any(|(own, _)| own == labels));
            let new: Vector = new.collect();
            return left.into_iter().chain(new).collect();
        }
        let matches = left.into_iter().filter_map(|(labels, a)| {
            let b = right.iter().find(|(other, _)| *other == labels)?.1.clone();
            Some((labels, a, b))
        });
        matches
            .map(|(labels, a, b)| match (a, b, operator.as_str()) {
                (Value::Number(a), Value::Number(b), "-") => (labels, Value::Number(a - b)),
                (Value::Number(a), Value::Number(b), "*") => (labels, Value::Number(a * b)),
                (Value::Number(a), Value::Number(b), "/") => (labels, Value::Number(a / b)),
                (Value::Histogram(mut a), Value::Histogram(b), "-") => {
                    for gone in b {
                        let index = a.iter().position(|took| *took == gone).expect("counts only grow");
                        a.remove(index);
                    }
                    (labels, Value::Histogram(a))
                }
                other => panic!("the fake does not calculate {other:?}"),
            })
            .collect()
    }

    fn call(&self, name: &str, arguments: &[Box<Expr>], at: f64) -> Vector {
        let text = |index: usize| match &*arguments[index] {
            Expr::StringLiteral(literal) => literal.val.clone(),
            other => panic!("the fake wants a text, not {other}"),
        };
        match name {
            "time" => vec![(Labels::new(), Value::Number(at))],
            "timestamp" => match &*arguments[0] {
                Expr::VectorSelector(selector) => self.written(selector, at),
                other => panic!("the fake wants a selector, not {other}"),
            },
            "last_over_time" => match &*arguments[0] {
                Expr::MatrixSelector(matrix) => {
                    self.last(&matrix.vs, matrix.range.as_secs_f64(), at, &BTreeMap::new())
                }
                other => panic!("the fake wants a range, not {other}"),
            },
            "count_over_time" => match &*arguments[0] {
                Expr::MatrixSelector(matrix) => {
                    let to = time(matrix.vs.at.as_ref()).unwrap_or(at);
                    let from = to - matrix.range.as_secs_f64();
                    let counted = self.select(&matrix.vs).map(|(labels, samples)| {
                        let within = samples.iter().filter(|(at, _)| *at > from && *at <= to).count();
                        (unnamed(labels), within)
                    });
                    let found = counted.filter(|(_, within)| *within > 0);
                    found.map(|(labels, within)| (labels, Value::Number(within as f64))).collect()
                }
                other => panic!("the fake wants a range, not {other}"),
            },
            "max_over_time" => match &*arguments[0] {
                Expr::Subquery(inner) => {
                    let to = time(inner.at.as_ref()).unwrap_or(at);
                    let step = inner.step.expect("a step").as_secs_f64();
                    // At multiples of the step.
                    let first = ((to - inner.range.as_secs_f64()) / step).floor() + 1.0;
                    let times = (0..).map(|n| (first + f64::from(n)) * step).take_while(|at| *at <= to);
                    let mut most: BTreeMap<Labels, f64> = BTreeMap::new();
                    for (labels, value) in times.flat_map(|at| self.evaluate(&inner.expr, at)) {
                        let most = most.entry(labels).or_insert(f64::NEG_INFINITY);
                        *most = most.max(number(&value));
                    }
                    most.into_iter().map(|(labels, value)| (labels, Value::Number(value))).collect()
                }
                other => panic!("the fake wants a subquery, not {other}"),
            },
            "label_replace" => {
                let replaced = self.evaluate(&arguments[0], at).into_iter().map(|(mut labels, value)| {
                    labels.insert(text(1), text(2));
                    (labels, value)
                });
                replaced.collect()
            }
            "histogram_quantile" => {
                let Expr::NumberLiteral(quantile) = &*arguments[0] else { panic!("no quantile") };
                let vector = self.evaluate(&arguments[1], at).into_iter();
                let of = |value: Value| histogram(&value).quantile(quantile.val).unwrap_or(f64::NAN);
                vector.map(|(labels, value)| (labels, Value::Number(of(value)))).collect()
            }
            other => panic!("the fake does not know {other}"),
        }
    }
}

fn named(name: &str, labels: &[(&str, &str)]) -> Labels {
    let name = [("__name__", name)];
    name.iter().chain(labels).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn unnamed(labels: &Labels) -> Labels {
    labels.iter().filter(|(name, _)| *name != "__name__").map(|(n, v)| (n.clone(), v.clone())).collect()
}

fn number(value: &Value) -> f64 {
    match value {
        Value::Number(number) => *number,
        Value::Histogram(_) => panic!("a histogram is no number"),
    }
}

/// A bucket for each observation, which ends there.
fn histogram(value: &Value) -> Histogram {
    let Value::Histogram(took) = value else { panic!("no histogram") };
    let buckets =
        took.iter().map(|took| Bucket { lower: took * (1.0 - 1e-7), upper: *took, count: 1.0 }).collect();
    Histogram { count: took.len() as f64, sum: took.iter().sum(), buckets }
}

fn time(at: Option<&AtModifier>) -> Option<f64> {
    match at? {
        AtModifier::At(time) => Some(time.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs_f64()),
        AtModifier::Start | AtModifier::End => None,
    }
}
