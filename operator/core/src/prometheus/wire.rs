//! Numbers of Prometheus as JSON, so that each reads back as the very same: whole ones as numbers, the others as
//! text, as Prometheus itself writes them. JSON has no NaN and no infinity, and its readers round.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// All whole numbers below this are their own.
const MOST_WHOLE: f64 = 9_007_199_254_740_992.0;
const MINUS_ZERO: u64 = 1 << 63;

/// A number that reads back as the very same.
#[derive(Clone, Copy, Debug)]
pub struct Number(pub f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = self.0;
        if number.trunc() == number && number.abs() < MOST_WHOLE && number.to_bits() != MINUS_ZERO {
            serializer.serialize_i64(number as i64)
        } else {
            serializer.collect_str(&format_args!("{number}"))
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number, or a number as text")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Number, E> {
                Ok(Number(number as f64))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Number, E> {
                Ok(Number(number as f64))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
                text.parse().map(Number).map_err(|_| E::custom(format!("`{text}` is no number")))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// One number.
pub mod number {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::prometheus::wire::Number;

    pub fn serialize<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        Number(*number).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(Number::deserialize(deserializer)?.0)
    }
}

/// `[labels, time, value]`
pub mod vector {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::prometheus::{series::Labels, wire::Number};

    type Single = (Labels, f64, f64);

    pub fn serialize<S: Serializer>(vector: &[Single], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(vector.iter().map(|(labels, at, value)| (labels, Number(*at), Number(*value))))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Single>, D::Error> {
        let vector = Vec::<(Labels, Number, Number)>::deserialize(deserializer)?;
        Ok(vector.into_iter().map(|(labels, at, value)| (labels, at.0, value.0)).collect())
    }
}

/// `[labels, [[time, value], …]]`
pub mod matrix {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::prometheus::{
        series::{Labels, Series},
        wire::Number,
    };

    pub fn serialize<S: Serializer>(matrix: &[Series], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(matrix.iter().map(|(labels, points)| {
            let points = points.iter().map(|(at, value)| (Number(*at), Number(*value)));
            (labels, points.collect::<Vec<_>>())
        }))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Series>, D::Error> {
        let matrix = Vec::<(Labels, Vec<(Number, Number)>)>::deserialize(deserializer)?;
        let points = |points: Vec<(Number, Number)>| points.into_iter().map(|(at, value)| (at.0, value.0));
        Ok(matrix.into_iter().map(|(labels, all)| (labels, points(all).collect())).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::prometheus::ask::Answer;

    #[test]
    fn what_is_no_number_to_json_comes_back_as_it_was() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1 + 0.2, -0.0, 5e-324] {
            let answer = Answer::Vector(vec![(Default::default(), 1_700_000_000.25, value)]);
            let json = serde_json::to_string(&answer).unwrap();
            let Answer::Vector(read) = serde_json::from_str(&json).unwrap() else { panic!("{json}") };
            assert_eq!((read[0].1, read[0].2.to_bits()), (1_700_000_000.25, value.to_bits()), "{json}");
        }
    }

    proptest! {
        #[test]
        fn every_number_comes_back_as_it_was(
            points in prop::collection::vec((any::<f64>(), any::<f64>()), 0..20)
        ) {
            let points: Vec<(f64, f64)> = points.into_iter().filter(|(a, b)| !a.is_nan() && !b.is_nan()).collect();
            let answer = Answer::Matrix(vec![([("name".to_owned(), "save".to_owned())].into(), points)]);
            let json = serde_json::to_string(&answer).unwrap();
            prop_assert_eq!(serde_json::from_str::<Answer>(&json).unwrap(), answer);
        }
    }
}
