//! Limits as people write them: `300ms`, `99.9%`, `5000`, `1.5Gi`. Parsed once into a number in its base unit
//! (seconds, a share of one, bytes, a plain number), and shown back in the unit that the user chose.

use std::fmt;

/// What a unit measures. Only limits of one dimension compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    Number,
    Share,
    Time,
}

/// A unit that a limit can carry: as it is written behind the number, and how many base units it is.
type Unit = (&'static str, f64, Dimension);

const UNITS: [Unit; 13] = [
    ("ms", 0.001, Dimension::Time),
    ("Ki", 1024.0, Dimension::Number),
    ("Mi", 1_048_576.0, Dimension::Number),
    ("Gi", 1_073_741_824.0, Dimension::Number),
    ("Ti", 1_099_511_627_776.0, Dimension::Number),
    ("%", 0.01, Dimension::Share),
    ("s", 1.0, Dimension::Time),
    ("m", 60.0, Dimension::Time),
    ("h", 3600.0, Dimension::Time),
    ("k", 1e3, Dimension::Number),
    ("M", 1e6, Dimension::Number),
    ("G", 1e9, Dimension::Number),
    ("", 1.0, Dimension::Number),
];

/// A limit with its unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    text: String,
    number: f64,
    base: f64,
    unit: Unit,
}

impl Limit {
    /// Parses a number with its unit. Returns `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let unit = UNITS.into_iter().find(|(suffix, ..)| text.ends_with(suffix))?;
        let (suffix, factor, _) = unit;
        let digits = text.strip_suffix(suffix)?;
        let plain = digits.strip_prefix('-').unwrap_or(digits);
        let numeric = plain.chars().all(|c| c.is_ascii_digit() || c == '.')
            && plain.starts_with(|c: char| c.is_ascii_digit())
            && plain.ends_with(|c: char| c.is_ascii_digit());
        let number: f64 = digits.parse().ok().filter(|_| numeric)?;
        // Shifting the decimal point is exact where multiplying by 0.01 or 0.001 is off by a bit.
        let base = match suffix {
            "%" => format!("{digits}e-2").parse().ok()?,
            "ms" => format!("{digits}e-3").parse().ok()?,
            _ => number * factor,
        };
        Some(Self { text: text.to_owned(), number, base, unit })
    }

    /// The limit in its base unit: seconds, a share of one, bytes, or a plain number.
    #[must_use]
    pub fn base(&self) -> f64 {
        self.base
    }

    #[must_use]
    pub fn dimension(&self) -> Dimension {
        self.unit.2
    }

    /// As the user wrote it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Shows a value, given in the base unit, in the unit of this limit: with three digits or so, and with
    /// more where fewer would make a value that differs from the limit look equal to it.
    #[must_use]
    pub fn show(&self, base: f64) -> String {
        let value = self.in_unit(base);
        let first = decimals(value, self.dimension());
        let differs = (value - self.number).abs() > self.number.abs().max(1e-9) * 1e-9;
        let number = (first..=first + 4)
            .map(|n| trimmed(value, n))
            .find(|shown| !differs || shown.parse() != Ok(self.number))
            .unwrap_or_else(|| trimmed(value, first + 4));
        format!("{number}{}", self.unit.0)
    }

    /// Shows a value that stands beside another one: with more digits where both would look the same and are not.
    #[must_use]
    pub fn show_beside(&self, base: f64, other: f64) -> String {
        let shown = self.show(base);
        if base == other || shown != self.show(other) {
            return shown;
        }
        let (value, other) = (self.in_unit(base), self.in_unit(other));
        let first = decimals(value, self.dimension());
        let apart = (first..=first + 4).find(|n| trimmed(value, *n) != trimmed(other, *n));
        apart.map_or(shown, |n| format!("{}{}", trimmed(value, n), self.unit.0))
    }

    fn in_unit(&self, base: f64) -> f64 {
        // Not by 0.01 or 0.001, which is off by a bit.
        match self.unit {
            ("%", ..) => base * 100.0,
            ("ms", ..) => base * 1000.0,
            (_, factor, _) => base / factor,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Writes a figure in its base unit for programs: a decimal number with at most 15 digits that count, which are as many
/// as a float always keeps; very large and very small ones with an exponent, as in `1.5e-12`. `None` for what is no
/// number.
#[must_use]
pub fn decimal(base: f64) -> Option<String> {
    let rounded: f64 = format!("{base:.14e}").parse().ok().filter(|n: &f64| n.is_finite())?;
    match rounded.abs() {
        0.0 => Some("0".to_owned()),
        size if (1e-9..1e15).contains(&size) => Some(rounded.to_string()),
        _ => Some(format!("{rounded:e}")),
    }
}

/// Reads such a figure.
#[must_use]
pub fn read_decimal(text: &str) -> Option<f64> {
    text.parse().ok().filter(|n: &f64| n.is_finite())
}

/// Shows a share of one in percent, near 100% with as many digits as the distance from it needs.
#[must_use]
pub fn percent(share: f64) -> String {
    let value = share * 100.0;
    format!("{}%", trimmed(value, decimals(value, Dimension::Share)))
}

/// Shows a count with its thousands apart: `9,204`.
#[must_use]
pub fn count(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut shown = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    if n < 0 { format!("-{shown}") } else { shown }
}

fn decimals(value: f64, of: Dimension) -> usize {
    let size =
        if of == Dimension::Share && (90.0..100.0).contains(&value) { 100.0 - value } else { value.abs() };
    match size {
        s if s >= 100.0 => 0,
        s if s >= 1.0 => 1,
        s if s >= 0.1 => 2,
        s if s > 0.0 => 3,
        _ => 0,
    }
}

fn trimmed(value: f64, decimals: usize) -> String {
    let shown = format!("{value:.decimals$}");
    let shown = if shown.contains('.') { shown.trim_end_matches('0').trim_end_matches('.') } else { &shown };
    if shown == "-0" { "0".to_owned() } else { shown.to_owned() }
}

/// A count that interpolation may have left with a fraction.
#[must_use]
pub fn whole(n: f64) -> i64 {
    n.round() as i64
}

/// The limit and the side on which a figure must stay.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    AtMost(Limit),
    AtLeast(Limit),
}

impl Bound {
    #[must_use]
    pub fn limit(&self) -> &Limit {
        match self {
            Self::AtMost(limit) | Self::AtLeast(limit) => limit,
        }
    }

    /// True when a value in the base unit keeps the bound. A value that differs by rounding alone keeps it.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        let limit = self.limit().base();
        let slack = limit.abs() * 1e-9;
        match self {
            Self::AtMost(_) => value <= limit + slack,
            Self::AtLeast(_) => value >= limit - slack,
        }
    }

    /// The bound in words: `at most 300ms`.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::AtMost(limit) => format!("at most {limit}"),
            Self::AtLeast(limit) => format!("at least {limit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("300ms", 0.3)]
    #[case("99.9%", 0.999)]
    #[case("0.1%", 0.001)]
    #[case("5000", 5000.0)]
    #[case("1.5Gi", 1_610_612_736.0)]
    #[case("2m", 120.0)]
    #[case("3M", 3e6)]
    #[case("-5", -5.0)]
    fn reads_what_people_write(#[case] text: &str, #[case] base: f64) {
        let limit = Limit::parse(text).unwrap();
        assert_eq!(limit.base(), base);
        assert_eq!(limit.to_string(), text);
    }

    #[rstest]
    #[case("")]
    #[case("ms")]
    #[case("300 ms")]
    #[case("1e3")]
    #[case("inf")]
    #[case("1.")]
    #[case(".5")]
    #[case("1.2.3s")]
    #[case("+5")]
    fn refuses_the_rest(#[case] text: &str) {
        assert_eq!(Limit::parse(text), None);
    }

    #[rstest]
    #[case("300ms", 0.2124, "212ms")]
    #[case("300ms", 0.02127, "21.3ms")]
    #[case("300ms", 0.3004, "300.4ms")]
    #[case("300ms", 0.3, "300ms")]
    #[case("1s", 0.2124, "0.21s")]
    #[case("0.1%", 0.0, "0%")]
    #[case("0.1%", 0.000_41, "0.041%")]
    #[case("99.9%", 0.999_99, "99.999%")]
    #[case("99.9%", 0.998_999, "99.8999%")]
    #[case("99.9%", 1.0, "100%")]
    #[case("5%", 0.0714, "7.1%")]
    #[case("5000", 812.4, "812")]
    #[case("1.5Gi", 805_306_368.0, "0.75Gi")]
    fn shows_a_value_in_the_unit_of_the_limit(#[case] limit: &str, #[case] base: f64, #[case] shown: &str) {
        assert_eq!(Limit::parse(limit).unwrap().show(base), shown);
    }

    #[rstest]
    #[case::as_ever("300ms", 0.212, 0.224, "212ms", "224ms")]
    #[case::alike_in_tenths("1s", 0.104, 0.1, "0.104s", "0.1s")]
    #[case::on_either_side_of_a_digit("1s", 0.0999, 0.1001, "0.0999s", "0.1001s")]
    #[case::the_same("1s", 0.104, 0.104, "0.1s", "0.1s")]
    #[case::hardly_apart("1s", 0.1, 0.100_000_1, "0.1s", "0.1s")]
    fn two_values_beside_each_other(
        #[case] limit: &str,
        #[case] one: f64,
        #[case] other: f64,
        #[case] shown: &str,
        #[case] beside: &str,
    ) {
        let limit = Limit::parse(limit).unwrap();
        assert_eq!(limit.show_beside(one, other), shown);
        assert_eq!(limit.show_beside(other, one), beside);
    }

    #[rstest]
    #[case(0.212_418, Some("0.212418"))]
    #[case(0.1 + 0.2, Some("0.3"))]
    #[case(5000.0, Some("5000"))]
    #[case(-0.0, Some("0"))]
    #[case(-2.5, Some("-2.5"))]
    #[case(999_999_999_999_999.0, Some("999999999999999"))]
    #[case(1.5e15, Some("1.5e15"))]
    #[case(1e-9, Some("0.000000001"))]
    #[case(1.5e-12, Some("1.5e-12"))]
    #[case(f64::MAX, None)]
    #[case(f64::NAN, None)]
    #[case(f64::INFINITY, None)]
    fn a_figure_for_programs(#[case] base: f64, #[case] written: Option<&str>) {
        assert_eq!(decimal(base).as_deref(), written);
    }

    #[rstest]
    #[case("0.212418", Some(0.212_418))]
    #[case("1.5e-12", Some(1.5e-12))]
    #[case("-2.5", Some(-2.5))]
    #[case("212ms", None)]
    #[case("", None)]
    #[case("NaN", None)]
    #[case("inf", None)]
    fn reads_a_figure_for_programs(#[case] text: &str, #[case] base: Option<f64>) {
        assert_eq!(read_decimal(text), base);
    }

    #[rstest]
    #[case(0, "0")]
    #[case(999, "999")]
    #[case(9_204, "9,204")]
    #[case(-1_234_567, "-1,234,567")]
    fn counts_have_their_thousands_apart(#[case] n: i64, #[case] shown: &str) {
        assert_eq!(count(n), shown);
    }

    proptest! {
        #[test]
        fn a_value_beyond_its_limit_never_looks_equal_to_it(number in 1u32..10_000, parts in 1i32..1000) {
            let limit = Limit::parse(&format!("{number}ms")).unwrap();
            let value = limit.base() * (1.0 + f64::from(parts) * 1e-5);
            prop_assert_ne!(limit.show(value), limit.text());
        }

        #[test]
        fn what_is_shown_can_be_read_again(base in 0.0f64..1e6) {
            let limit = Limit::parse("300ms").unwrap();
            let shown = limit.show(base);
            let read = Limit::parse(&shown).unwrap();
            prop_assert!((read.base() - base).abs() <= 0.005 * base + 1e-6, "{} read as {}", base, shown);
        }

        #[test]
        fn a_figure_for_programs_keeps_its_digits_and_stays_short(base in -1e300f64..1e300, small in -1.0f64..1.0) {
            for base in [base, small, small * 1e-20] {
                let written = decimal(base).unwrap();
                let read = read_decimal(&written).unwrap();
                prop_assert!((read - base).abs() <= 1e-14 * base.abs(), "{} written as {}", base, written);
                prop_assert!(written.len() <= 26, "{}", written);
            }
        }
    }
}
