//! Figures and sentences as people read them.

use jiff::Timestamp;

/// A length of time as people write it in a LoadTest: `4ms`, `2.1s`, `1m30s`, `2h5m`.
pub fn span(milliseconds: i64) -> String {
    let sign = if milliseconds < 0 { "-" } else { "" };
    let ms = milliseconds.unsigned_abs();
    if ms < 1_000 {
        return format!("{sign}{ms}ms");
    }
    if ms < 60_000 {
        let tenths = (ms + 50) / 100;
        return if tenths.is_multiple_of(10) {
            format!("{sign}{}s", tenths / 10)
        } else {
            format!("{sign}{}.{}s", tenths / 10, tenths % 10)
        };
    }
    let seconds = ms / 1_000;
    let (large, small, units) =
        if seconds < 3_600 { (seconds / 60, seconds % 60, ('m', 's')) } else { hours_or_days(seconds) };
    if small == 0 {
        format!("{sign}{large}{}", units.0)
    } else {
        format!("{sign}{large}{}{small}{}", units.0, units.1)
    }
}

fn hours_or_days(seconds: u64) -> (u64, u64, (char, char)) {
    if seconds < 86_400 {
        (seconds / 3_600, seconds % 3_600 / 60, ('h', 'm'))
    } else {
        (seconds / 86_400, seconds % 86_400 / 3_600, ('d', 'h'))
    }
}

/// A point of time on the run's own clock: `0:47`, `12:05`, `1:02:03`. Never negative.
pub fn clock(milliseconds: i64) -> String {
    let seconds = milliseconds.max(0) / 1_000;
    let (h, m, s) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if h > 0 { format!("{h}:{m:02}:{s:02}") } else { format!("{m}:{s:02}") }
}

/// A count with its thousands apart: `9,204`.
pub fn count(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut text = String::from(if n < 0 { "-" } else { "" });
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 pod`, `3 pods`.
pub fn counted(n: i64, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

/// A share in percent, never rounded down to nothing: `0%`, `0.07%`, `<0.01%`, `100%`.
pub fn share(part: i64, whole: i64) -> String {
    if whole <= 0 || part <= 0 {
        return "0%".to_owned();
    }
    let percent = ratio(part, whole) * 100.0;
    if percent < 0.01 {
        return "<0.01%".to_owned();
    }
    // A share just below all must not read as all.
    let shown = if part < whole { percent.min(99.99) } else { percent };
    format!("{}%", trimmed(&format!("{shown:.2}")))
}

/// Events a second: `98.2`, `1,204`.
pub fn per_second(events: i64, milliseconds: i64) -> Option<String> {
    if milliseconds <= 0 {
        return None;
    }
    let rate = ratio(events, milliseconds) * 1_000.0;
    #[expect(clippy::cast_possible_truncation, reason = "rates are far below the range of i64")]
    let whole = rate.round() as i64;
    Some(if rate >= 1_000.0 { count(whole) } else { trimmed(&format!("{rate:.1}")).to_owned() })
}

#[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
fn ratio(part: i64, whole: i64) -> f64 {
    part as f64 / whole as f64
}

fn trimmed(decimal: &str) -> &str {
    if decimal.contains('.') { decimal.trim_end_matches('0').trim_end_matches('.') } else { decimal }
}

/// `2026-08-01 10:20:31 UTC`.
pub fn moment(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `10:20:31`, in UTC.
pub fn time_of_day(time: Timestamp) -> String {
    time.strftime("%H:%M:%S").to_string()
}

/// Milliseconds from one time to another.
pub fn between(from: Timestamp, to: Timestamp) -> i64 {
    to.as_millisecond() - from.as_millisecond()
}

/// Breaks a text between words. Each line starts with `indent` but the first, which starts with `first`.
pub fn wrap(text: &str, width: usize, first: &str, indent: &str) -> String {
    let mut lines = Vec::new();
    let mut line = first.to_owned();
    let mut used = 0;
    for word in text.split_whitespace() {
        let space = usize::from(used > 0);
        if used > 0 && line.chars().count() + space + word.chars().count() > width {
            lines.push(std::mem::replace(&mut line, indent.to_owned()));
            used = 0;
        }
        if used > 0 {
            line.push(' ');
        }
        line.push_str(word);
        used += 1;
    }
    lines.push(line);
    lines.join("\n")
}

/// Cuts a line to the width, with an ellipsis in place of what is cut.
pub fn cut(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        let cases =
            [(0, "0ms"), (4, "4ms"), (999, "999ms"), (1_000, "1s"), (2_149, "2.1s"), (59_940, "59.9s")];
        for (ms, text) in cases {
            assert_eq!(span(ms), text);
        }
        let cases = [(60_000, "1m"), (90_400, "1m30s"), (3_600_000, "1h"), (7_500_000, "2h5m")];
        for (ms, text) in cases {
            assert_eq!(span(ms), text);
        }
        assert_eq!(span(90_000_000), "1d1h");
        assert_eq!(span(-4), "-4ms");
    }

    #[test]
    fn clocks_count_from_the_start() {
        assert_eq!(
            [clock(-5_000), clock(47_900), clock(725_000), clock(3_723_000)],
            ["0:00", "0:47", "12:05", "1:02:03"]
        );
    }

    #[test]
    fn counts_have_their_thousands_apart() {
        assert_eq!(
            [count(0), count(999), count(9_204), count(-1_234_567)],
            ["0", "999", "9,204", "-1,234,567"]
        );
    }

    #[test]
    fn a_share_never_rounds_to_none_or_all() {
        assert_eq!(share(0, 100), "0%");
        assert_eq!(share(3, 4_608), "0.07%");
        assert_eq!(share(1, 1_000_000), "<0.01%");
        assert_eq!(share(999_999, 1_000_000), "99.99%");
        assert_eq!(share(5, 5), "100%");
        assert_eq!(share(0, 0), "0%");
    }

    #[test]
    fn rates_need_time_to_pass() {
        assert_eq!(per_second(9_204, 90_000).as_deref(), Some("102.3"));
        assert_eq!(per_second(120_400, 100_000).as_deref(), Some("1,204"));
        assert_eq!(per_second(5, 0), None);
    }

    #[test]
    fn long_sentences_break_between_words() {
        assert_eq!(wrap("one two three four", 9, "- ", "  "), "- one two\n  three\n  four");
        assert_eq!(wrap("", 9, "- ", "  "), "- ");
    }
}
