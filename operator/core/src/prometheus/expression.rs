//! What an expression reads, how far it reaches back, and whether it goes on.

use std::time::Duration;

use promql_parser::{
    label::{METRIC_NAME, MatchOp, Matcher},
    parser::{self, Expr, VectorSelector},
    util::{ExprVisitor, walk_expr},
};

/// True where the value of a query is there as long as what it reads is: not with a comparison, which leaves out what
/// does not hold, nor with series that come and go with what they tell.
pub fn goes_on(query: &str) -> bool {
    all(query, |expression| match expression {
        Expr::Binary(binary) => {
            let leaves_out = binary.op.is_comparison_operator() && !binary.return_bool();
            !leaves_out && !["and", "unless"].contains(&binary.op.to_string().as_str())
        }
        Expr::Call(call) => !call.func.name.starts_with("absent"),
        Expr::VectorSelector(selector) => lasts(selector),
        Expr::MatrixSelector(matrix) => lasts(&matrix.vs),
        _ => true,
    })
}

/// True where a query stands on each of its selectors: with `or`, another one or a constant may stand in.
pub fn needs_all(query: &str) -> bool {
    let is_or =
        |expression: &Expr| matches!(expression, Expr::Binary(binary) if binary.op.to_string() == "or");
    goes_on(query) && all(query, |expression| !is_or(expression))
}

/// True where that holds of all parts of a query, up to the first of which it does not.
fn all(query: &str, holds: impl FnMut(&Expr) -> bool) -> bool {
    struct Each<F>(F);
    impl<F: FnMut(&Expr) -> bool> ExprVisitor for Each<F> {
        type Error = std::convert::Infallible;

        fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Self::Error> {
            Ok((self.0)(expression))
        }
    }
    parser::parse(query).is_ok_and(|expression| walk_expr(&mut Each(holds), &expression) == Ok(true))
}

/// k6 writes only what happened, and an alert has a series only while there is something to tell.
fn lasts(selector: &VectorSelector) -> bool {
    selector.name.as_deref().is_some_and(|name| !name.starts_with("k6_") && !name.starts_with("ALERTS"))
}

/// The longest range of an expression.
pub(crate) fn reach(expression: &Expr) -> Duration {
    match expression {
        Expr::MatrixSelector(selector) => selector.range,
        Expr::Subquery(subquery) => subquery.range + reach(&subquery.expr),
        Expr::Aggregate(aggregate) => {
            reach(&aggregate.expr).max(aggregate.param.as_deref().map(reach).unwrap_or_default())
        }
        Expr::Unary(unary) => reach(&unary.expr),
        Expr::Binary(binary) => reach(&binary.lhs).max(reach(&binary.rhs)),
        Expr::Paren(paren) => reach(&paren.expr),
        Expr::Call(call) => call.args.args.iter().map(|arg| reach(arg)).max().unwrap_or_default(),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::VectorSelector(_) | Expr::Extension(_) => {
            Duration::ZERO
        }
    }
}

/// All selectors of a query, in its order.
#[must_use]
pub fn selectors(query: &str) -> Vec<VectorSelector> {
    let mut found = Vec::new();
    all(query, |expression| {
        match expression {
            Expr::VectorSelector(selector) => found.push(selector.clone()),
            Expr::MatrixSelector(matrix) => found.push(matrix.vs.clone()),
            _ => {}
        }
        true
    });
    found
}

/// Whether all series that it selects have one name.
#[must_use]
pub fn is_named(selector: &VectorSelector) -> bool {
    let mut matchers = selector.matchers.matchers.iter();
    let by_matcher = |matcher: &Matcher| matcher.name == METRIC_NAME && matcher.op == MatchOp::Equal;
    selector.name.is_some() || matchers.any(by_matcher)
}
