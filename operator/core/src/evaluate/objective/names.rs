//! Whether what a query reads exists at all. `… or vector(0)` has a value whether anything is measured or not: right
//! where a counter of errors has no series before the first one, and no evidence where no series has that name.

use std::collections::{BTreeMap, BTreeSet};

use loadtest_crds::Outcome;
use promql_parser::parser::{self, Expr, VectorSelector};

use crate::{
    evaluate::{objective::finding::Finding, windows::Window},
    k6::question::Asks,
    prometheus::{
        ask::{Answers, RequestKind},
        expression, promql,
    },
};

/// The names that a query reads, each with the questions how many series have it as the window begins and ends.
#[derive(Debug, Default)]
pub struct Names {
    query: Option<Expr>,
    asked: BTreeMap<String, Vec<usize>>,
}

/// Whether a part of a query stands on anything that is measured; or the name of a series that it stands on and that does
/// not exist.
type Ground = Result<bool, String>;

impl Names {
    #[must_use]
    pub fn ask(query: &str, window: &Window, asks: &mut Asks) -> Self {
        let stretches = window.stretches();
        let ends = [stretches.first().map(|s| s.from), stretches.last().map(|s| s.to)];
        let asked = names_of(query).into_iter().map(|name| {
            let ask = |at| asks.ask(promql::present(&name), RequestKind::Instant { at });
            let questions = ends.into_iter().flatten().map(ask).collect();
            (name, questions)
        });
        Self { asked: asked.collect(), query: parser::parse(query).ok() }
    }

    /// The finding, unless it would be a good one and stands on what does not exist.
    #[must_use]
    pub fn or_else(&self, finding: Finding, answers: &Answers) -> Finding {
        let is_good = matches!(finding.outcome, Outcome::Met | Outcome::Warn);
        let Some(query) = self.query.as_ref().filter(|_| is_good) else { return finding };
        let all = |name: &str, is: fn(&Result<Option<f64>, String>) -> bool| {
            self.asked.get(name).is_some_and(|ids| ids.iter().all(|id| is(&answers.sum(*id))))
        };
        let Err(name) = ground(query, &|name| all(name, |sum| *sum == Ok(None))) else {
            return match ground(query, &|name| all(name, |sum| !matches!(sum, Ok(Some(_))))) {
                Err(name) => Finding::no_data(format!(
                    "whether there is a series {name} is not known: Prometheus gave no answer"
                )),
                Ok(_) => finding,
            };
        };
        let message = format!(
            "{}; but there is no series {name}, so this is what the query says of nothing: see whether the name is right, or \
             export it from the start on",
            finding.message
        );
        Finding { outcome: Outcome::Unclear, message, ..finding }
    }
}

/// What a query stands on. One side of an `or` is enough, unless it is only there for want of the other.
fn ground(expression: &Expr, missing: &impl Fn(&str) -> bool) -> Ground {
    let of = |expression: &Expr| ground(expression, missing);
    let of_selector = |selector: &VectorSelector| match &selector.name {
        Some(name) if missing(name) => Err(name.clone()),
        _ => Ok(true),
    };
    match expression {
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Ok(false),
        Expr::VectorSelector(selector) => of_selector(selector),
        Expr::MatrixSelector(matrix) => of_selector(&matrix.vs),
        Expr::Paren(inner) => of(&inner.expr),
        Expr::Unary(inner) => of(&inner.expr),
        Expr::Subquery(inner) => of(&inner.expr),
        Expr::Aggregate(inner) => of(&inner.expr),
        // That nothing is there is what it tells.
        Expr::Call(call) if call.func.name.starts_with("absent") => Ok(true),
        Expr::Call(call) => call.args.args.iter().try_fold(false, |any, argument| Ok(any | of(argument)?)),
        Expr::Binary(binary) => {
            let left = of(&binary.lhs);
            match binary.op.to_string().as_str() {
                "unless" => left,
                "or" => match (left, of(&binary.rhs)) {
                    (Ok(true), _) | (_, Ok(true)) => Ok(true),
                    (left, right) => Ok(left? | right?),
                },
                _ => Ok(left? | of(&binary.rhs)?),
            }
        }
        Expr::Extension(_) => Ok(true),
    }
}

/// The names of all selectors of a query. k6 and alerts write only what there is to tell.
fn names_of(query: &str) -> BTreeSet<String> {
    let lasting = |name: &String| !name.starts_with("k6_") && !name.starts_with("ALERTS");
    expression::selectors(query).into_iter().filter_map(|selector| selector.name).filter(lasting).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use loadtest_crds::WindowKind;
    use rstest::rstest;

    use super::*;
    use crate::{
        evaluate::windows::Extent, k6::question::Request, numbers::interval::Interval,
        prometheus::ask::Answer,
    };

    /// Series are called `a` and `b`, none `x` or `y`.
    #[rstest]
    #[case("max(a)", None)]
    #[case("max(x) or vector(0)", Some("x"))]
    #[case("vector(0) or max(x)", Some("x"))]
    #[case("sum(increase(x{code=\"500\"}[1m])) or vector(0)", Some("x"))]
    // A series with other labels: none failed.
    #[case("sum(increase(a{code=\"500\"}[1m])) or vector(0)", None)]
    #[case("sum(rate(a[1m])) / sum(rate(x[1m])) or vector(0)", Some("x"))]
    #[case("(sum(rate(x[1m])) or vector(0)) / sum(rate(b[1m]))", Some("x"))]
    // The name that it had before, and the one that it has now.
    #[case("sum(rate(x[1m])) or sum(rate(a[1m]))", None)]
    #[case("max(x) or max(y) or vector(0)", Some("x"))]
    #[case("a unless x", None)]
    #[case("absent(x) or vector(0)", None)]
    #[case("max_over_time(sum(x)[1m:5s]) or vector(0)", Some("x"))]
    #[case("-x or vector(0)", Some("x"))]
    #[case("vector(0)", None)]
    #[case("time() - 3", None)]
    #[case("sum(k6_x_total) or vector(0)", None)]
    #[case("{job=\"x\"} or vector(0)", None)]
    // There as the window began, and then went with its pod.
    #[case("max(z) or vector(0)", None)]
    fn what_a_query_stands_on(#[case] query: &str, #[case] missing: Option<&str>) {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut asks = Asks::default();
        let extent = Extent::Stretches(vec![Interval { from: at(0), to: at(60) }]);
        let window = Window { kind: WindowKind::Run, fault: None, extent };
        let names = Names::ask(query, &window, &mut asks);
        let mut answers = Answers::default();
        let number = |request: &Request| {
            let begins = request.kind == RequestKind::Instant { at: at(0) };
            let there = ["a", "b"].into_iter().chain(begins.then_some("z"));
            if there.map(promql::present).any(|there| there == request.question.to_string()) {
                vec![(std::collections::BTreeMap::new(), 60.0, 3.0)]
            } else {
                vec![]
            }
        };
        answers.add(asks.into_requests().iter().map(|r| (r.id, Answer::Vector(number(r)))).collect());
        let met = Finding { outcome: Outcome::Met, ..Finding::no_data("0, limit 3") };
        let found = names.or_else(met.clone(), &answers);
        match missing {
            None => assert_eq!(found, met),
            Some(name) => {
                assert_eq!(found.outcome, Outcome::Unclear);
                assert!(found.message.starts_with(&format!("0, limit 3; but there is no series {name}, ")));
            }
        }
        let missed = Finding { outcome: Outcome::Missed, ..met };
        assert_eq!(names.or_else(missed.clone(), &answers), missed);
    }

    /// No answer is no evidence that there is such a series.
    #[rstest]
    #[case("max(x) or vector(0)", Outcome::NoData)]
    #[case("sum(rate(x[1m])) or sum(rate(a[1m]))", Outcome::Met)]
    #[case("max(a) or vector(0)", Outcome::Met)]
    fn a_name_that_is_not_answered_for(#[case] query: &str, #[case] expected: Outcome) {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut asks = Asks::default();
        let extent = Extent::Stretches(vec![Interval { from: at(0), to: at(60) }]);
        let names = Names::ask(query, &Window { kind: WindowKind::Run, fault: None, extent }, &mut asks);
        let answer = |request: &Request| {
            if request.question.to_string() == promql::present("x") {
                Answer::Failed("503".to_owned())
            } else {
                Answer::Vector(vec![(std::collections::BTreeMap::new(), 60.0, 3.0)])
            }
        };
        let mut answers = Answers::default();
        answers.add(asks.into_requests().iter().map(|r| (r.id, answer(r))).collect());
        let met = Finding { outcome: Outcome::Met, ..Finding::no_data("0, limit 3") };
        assert_eq!(names.or_else(met, &answers).outcome, expected);
    }
}
