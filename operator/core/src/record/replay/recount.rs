//! Answers to questions that a run did not ask, counted from its cells: as when another limit moves the end of a
//! window. They are right to the length of a cell.
//!
//! The questions are the templates of [`crate::prometheus::promql`] over k6's HTTP requests; whatever else they hold has no answer.
//! Nor have those that tell apart what the cells do not: request names that they count together, runners, statuses.

use std::collections::{BTreeMap, BTreeSet};

use promql_parser::{
    label::MatchOp,
    parser::{self, AggregateExpr, AtModifier, BinaryExpr, Call, Expr, LabelModifier, MatrixSelector, token},
};

use crate::{
    k6::queries,
    numbers::{interval::seconds, limit::count},
    prometheus::{
        ask::{Answer, HistogramSeries, Request, RequestKind},
        expression,
        histogram::{Bucket, Histogram},
        series::{Labels, Series},
    },
    record::cells::Cells,
};

/// Cells, added up from the start of the load.
#[derive(Debug)]
pub struct Recount {
    series: Vec<(Labels, Vec<(f64, Histogram)>)>,
    /// Between these times there are cells.
    from: f64,
    step: f64,
    folded: Option<Folded>,
}

/// Of so many request names only some are told apart.
#[derive(Debug)]
struct Folded {
    names: u64,
    told: BTreeSet<String>,
}

#[derive(Clone, Debug)]
enum Value {
    Number(f64),
    Histogram(Histogram),
}

type Vector = Vec<(Labels, Value)>;

impl Recount {
    #[must_use]
    pub fn of(cells: &Cells, run_id: &str) -> Self {
        let series = cells.series.iter().map(|series| {
            let mut labels = series.labels.clone();
            labels.insert(queries::RUN.to_owned(), run_id.to_owned());
            let mut sum = Histogram::default();
            let points = series.cells.iter().map(|(number, cell)| {
                let mut buckets: Vec<Bucket> = cell
                    .iter()
                    .filter_map(|(place, count)| {
                        Some(Bucket { count: *count as f64, ..*cells.buckets.get(*place)? })
                    })
                    .collect();
                buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
                let count = buckets.iter().map(|b| b.count).sum();
                let took = buckets.iter().map(|b| b.count * b.middle()).sum();
                sum = sum.plus(&Histogram { count, sum: took, buckets });
                (cells.end_of(*number), sum.clone())
            });
            (labels, points.collect())
        });
        Self {
            series: series.collect(),
            from: seconds(cells.from),
            step: cells.step_milliseconds as f64 / 1000.0,
            folded: cells
                .folded
                .map(|names| Folded { names, told: cells.names().into_iter().map(str::to_owned).collect() }),
        }
    }

    /// The answer; `None` where cells cannot tell, and where they can for some names only, why not.
    #[must_use]
    pub fn answer(&self, request: &Request) -> Option<Answer> {
        let query = parser::parse(&request.query).ok()?;
        if let Some(why) = self.folded.as_ref().and_then(|folded| folded.hides(&request.query)) {
            return Some(Answer::Failed(why));
        }
        match request.kind {
            RequestKind::Instant { at } => {
                let at = seconds(at);
                let vector = self.evaluate(&query, at)?;
                if vector.iter().any(|(_, value)| matches!(value, Value::Histogram(_))) {
                    let series = vector.into_iter().filter_map(|(labels, value)| match value {
                        Value::Histogram(histogram) => Some((labels, vec![(at, histogram)])),
                        Value::Number(_) => None,
                    });
                    return Some(Answer::Histograms(series.collect()));
                }
                let series =
                    vector.into_iter().filter_map(|(labels, value)| Some((labels, at, number(value)?)));
                Some(Answer::Vector(series.collect()))
            }
            RequestKind::Range { from, to, step } => {
                let (mut numbers, mut histograms) = (BTreeMap::new(), BTreeMap::new());
                let steps = (seconds(to) - seconds(from)) / step.as_secs_f64();
                for n in 0..=(steps + 1e-6).max(0.0) as u64 {
                    let at = seconds(from) + n as f64 * step.as_secs_f64();
                    for (labels, value) in self.evaluate(&query, at)? {
                        match value {
                            Value::Number(number) => {
                                numbers.entry(labels).or_insert_with(Vec::new).push((at, number));
                            }
                            Value::Histogram(histogram) => {
                                histograms.entry(labels).or_insert_with(Vec::new).push((at, histogram));
                            }
                        }
                    }
                }
                Some(if histograms.is_empty() {
                    Answer::Matrix(numbers.into_iter().collect::<Vec<Series>>())
                } else {
                    Answer::Histograms(histograms.into_iter().collect::<Vec<HistogramSeries>>())
                })
            }
            RequestKind::AlertRules => None,
        }
    }

    fn evaluate(&self, expression: &Expr, at: f64) -> Option<Vector> {
        match expression {
            Expr::Paren(inner) => self.evaluate(&inner.expr, at),
            Expr::Aggregate(aggregate) => self.sum(aggregate, at),
            Expr::Binary(binary) => self.binary(binary, at),
            Expr::Call(call) => self.call(call, at),
            _ => None,
        }
    }

    fn call(&self, call: &Call, at: f64) -> Option<Vector> {
        let argument = |n: usize| call.args.args.get(n).map(|argument| &**argument);
        let literal = |n: usize| match argument(n)? {
            Expr::NumberLiteral(number) => Some(number.val),
            _ => None,
        };
        let text = |n: usize| match argument(n)? {
            Expr::StringLiteral(text) => Some(text.val.clone()),
            _ => None,
        };
        let of_histograms = |n: usize, figure: &dyn Fn(&Histogram) -> f64| -> Option<Vector> {
            let vector = self.evaluate(argument(n)?, at)?;
            let figures = vector.into_iter().map(|(labels, value)| match value {
                Value::Histogram(histogram) => Some((labels, Value::Number(figure(&histogram)))),
                Value::Number(_) => None,
            });
            figures.collect()
        };
        match call.func.name {
            "label_replace" if text(3)?.is_empty() => {
                let (label, value) = (text(1)?, text(2)?);
                let mut vector = self.evaluate(argument(0)?, at)?;
                vector.iter_mut().for_each(|(labels, _)| drop(labels.insert(label.clone(), value.clone())));
                Some(vector)
            }
            "histogram_quantile" => {
                let share = literal(0)?;
                of_histograms(1, &|histogram| histogram.quantile(share).unwrap_or(f64::NAN))
            }
            _ => None,
        }
    }

    /// The last value of each series up to a time. A time within a cell reads as the end of the cell before.
    fn last(&self, matrix: &MatrixSelector, at: f64) -> Option<Vector> {
        let selector = &matrix.vs;
        let metric = selector.name.as_deref()?;
        let counts = match metric {
            queries::HTTP_REQS => true,
            queries::HTTP_REQ_DURATION => false,
            _ => return None,
        };
        let told = [queries::RUN, queries::NAME, queries::SCENARIO, queries::OUTCOME];
        let matchers = &selector.matchers.matchers;
        if selector.offset.is_some() || !selector.matchers.or_matchers.is_empty() {
            return None;
        }
        if !matchers.iter().all(|m| told.contains(&m.name.as_str())) {
            return None;
        }
        let at = match &selector.at {
            None => at,
            Some(AtModifier::At(time)) => time.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs_f64(),
            Some(AtModifier::Start | AtModifier::End) => return None,
        };
        let chosen = self.series.iter().filter(|(labels, _)| {
            matchers.iter().all(|m| m.is_match(labels.get(&m.name).map_or("", String::as_str)))
        });
        let values = chosen.filter_map(|(labels, points)| {
            // Sums of milliseconds may be off by the last bit.
            let until = points.partition_point(|(end, _)| *end <= at + self.step * 1e-3);
            let (_, histogram) = points.get(until.checked_sub(1)?)?;
            let value =
                if counts { Value::Number(histogram.count) } else { Value::Histogram(histogram.clone()) };
            Some((labels.clone(), value))
        });
        if at + 1e-3 < self.from { Some(Vec::new()) } else { Some(values.collect()) }
    }

    fn sum(&self, aggregate: &AggregateExpr, at: f64) -> Option<Vector> {
        if aggregate.op.id() != token::T_SUM {
            return None;
        }
        let kept: &[String] = match &aggregate.modifier {
            None => &[],
            Some(LabelModifier::Include(labels)) => &labels.labels,
            Some(LabelModifier::Exclude(_)) => return None,
        };
        // Another label would be in none of the groups, and names that are counted together in one of their own.
        let tells = |label: &String| match label.as_str() {
            queries::RUN | queries::SCENARIO | queries::OUTCOME => true,
            queries::NAME => self.folded.is_none(),
            _ => false,
        };
        if !kept.iter().all(tells) {
            return None;
        }
        let summed = match &*aggregate.expr {
            Expr::Call(call) if call.func.name == "last_over_time" => match &**call.args.args.first()? {
                Expr::MatrixSelector(matrix) => self.last(matrix, at),
                _ => None,
            },
            other => self.evaluate(other, at),
        };
        let mut groups: BTreeMap<Labels, Value> = BTreeMap::new();
        for (labels, value) in summed? {
            let group: Labels = labels.into_iter().filter(|(name, _)| kept.contains(name)).collect();
            let sum = match (groups.remove(&group), value) {
                (None, value) => value,
                (Some(Value::Number(a)), Value::Number(b)) => Value::Number(a + b),
                (Some(Value::Histogram(a)), Value::Histogram(b)) => Value::Histogram(a.plus(&b)),
                _ => return None,
            };
            groups.insert(group, sum);
        }
        Some(groups.into_iter().collect())
    }

    fn binary(&self, binary: &BinaryExpr, at: f64) -> Option<Vector> {
        if binary.modifier.as_ref().is_some_and(|modifier| modifier.matching.is_some()) {
            return None;
        }
        let (left, right) = (self.evaluate(&binary.lhs, at)?, self.evaluate(&binary.rhs, at)?);
        if binary.op.id() == token::T_LOR {
            let new: Vector =
                right.into_iter().filter(|(labels, _)| !left.iter().any(|(own, _)| own == labels)).collect();
            return Some(left.into_iter().chain(new).collect());
        }
        let pairs = left.into_iter().filter_map(|(labels, a)| {
            let b = right.iter().find(|(other, _)| *other == labels)?.1.clone();
            Some((labels, a, b))
        });
        let results = pairs.map(|(labels, a, b)| {
            let value = match (a, b, binary.op.id()) {
                (Value::Number(a), Value::Number(b), token::T_SUB) => Value::Number(a - b),
                (Value::Number(a), Value::Number(b), token::T_MUL) => Value::Number(a * b),
                (Value::Number(a), Value::Number(b), token::T_DIV) => Value::Number(a / b),
                (Value::Histogram(a), Value::Histogram(b), token::T_SUB) => Value::Histogram(a.since(&b)),
                _ => return None,
            };
            Some((labels, value))
        });
        results.collect()
    }
}

impl Folded {
    /// Why a query that asks for names has no answer.
    fn hides(&self, query: &str) -> Option<String> {
        let selectors = expression::selectors(query);
        let mut asked =
            selectors.iter().flat_map(|s| &s.matchers.matchers).filter(|m| m.name == queries::NAME);
        let hidden = asked.find(|m| m.op != MatchOp::Equal || !self.told.contains(&m.value))?;
        let (names, told) = (count(i64::try_from(self.names).unwrap_or(i64::MAX)), self.told.len());
        Some(format!(
            "the run did not ask it, and its record does not tell {} from others: of {names} request names it tells {told} \
             apart",
            hidden.value
        ))
    }
}

fn number(value: Value) -> Option<f64> {
    match value {
        Value::Number(number) => Some(number),
        Value::Histogram(_) => None,
    }
}

#[cfg(test)]
mod tests;
