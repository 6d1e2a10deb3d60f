//! Lengths of time as people write them: `300ms`, `1m30s`.

use std::time::Duration;

/// Parses a sum of numbers with units, `ms`, `s`, `m` or `h`. Returns `None` for anything else.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    if text.is_empty() {
        return None;
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let seconds = match &rest[..unit] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = &rest[unit..];
    }
    Some(total)
}

/// Writes a length of time the way [`parse`] reads it, to the millisecond below a minute.
#[must_use]
pub fn human(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let seconds = duration.as_secs();
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (h, m, s) {
        (0, 0, _) if millis.is_multiple_of(1000) => format!("{s}s"),
        (0, 0, _) => format!("{:.1}s", duration.as_secs_f64()),
        (0, m, 0) => format!("{m}m"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, 0, 0) => format!("{h}h"),
        (h, m, 0) => format!("{h}h{m}m"),
        (h, m, s) => format!("{h}h{m}m{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("300ms", 300)]
    #[case("1m30s", 90_000)]
    #[case("1.5h", 5_400_000)]
    #[case("0s", 0)]
    fn reads_what_people_write(#[case] text: &str, #[case] millis: u64) {
        assert_eq!(parse(text), Some(Duration::from_millis(millis)));
    }

    #[rstest]
    #[case("")]
    #[case("10")]
    #[case("s")]
    #[case("1d")]
    #[case("1m 30s")]
    fn refuses_the_rest(#[case] text: &str) {
        assert_eq!(parse(text), None);
    }

    proptest! {
        #[test]
        fn whole_seconds_survive_the_way_through_text(seconds in 0u64..1_000_000) {
            let duration = Duration::from_secs(seconds);
            prop_assert_eq!(parse(&human(duration)), Some(duration));
        }
    }
}
