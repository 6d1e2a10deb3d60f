//! What an expression reads, how far it reaches back, and whether it goes on.

use std::time::Duration;

use promql_parser::{
    parser::{self, Expr, VectorSelector},
    util::{ExprVisitor, walk_expr},
};

/// True where the value of a query is there as long as what it reads is: not with a comparison, which leaves out what
/// does not hold, nor with series that come and go with what they tell.
pub fn goes_on(query: &str) -> bool {
    let Ok(expression) = parser::parse(query) else { return false };
    matches!(walk_expr(&mut Lasting, &expression), Ok(true))
}

/// True where a query stands on each of its selectors: with `or`, another one or a constant may stand in.
pub fn needs_all(query: &str) -> bool {
    let Ok(expression) = parser::parse(query) else { return false };
    goes_on(query) && matches!(walk_expr(&mut WithoutOr, &expression), Ok(true))
}

/// Stops at an `or`.
pub(crate) struct WithoutOr;

impl ExprVisitor for WithoutOr {
    type Error = std::convert::Infallible;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Self::Error> {
        Ok(!matches!(expression, Expr::Binary(binary) if binary.op.to_string() == "or"))
    }
}

/// Stops at what may end while its data goes on.
pub(crate) struct Lasting;

impl ExprVisitor for Lasting {
    type Error = std::convert::Infallible;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Self::Error> {
        Ok(match expression {
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
    struct Found(Vec<VectorSelector>);
    impl ExprVisitor for Found {
        type Error = std::convert::Infallible;

        fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Self::Error> {
            match expression {
                Expr::VectorSelector(selector) => self.0.push(selector.clone()),
                Expr::MatrixSelector(matrix) => self.0.push(matrix.vs.clone()),
                _ => {}
            }
            Ok(true)
        }
    }
    let mut found = Found(Vec::new());
    if let Ok(expression) = parser::parse(query) {
        let _ = walk_expr(&mut found, &expression);
    }
    found.0
}
