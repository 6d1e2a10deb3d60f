//! Many runs, a line each.

use jiff::Timestamp;
use loadtest_crds::LoadTest;

use super::paint::Tone;
use super::table::{self, Column, Field, plain};
use super::{Page, created_at, name_of, namespace_of, phase_of, phase_word, text, verdict_of, verdict_word};

const COLUMNS: [Column; 9] = [
    table::text("NAMESPACE"),
    table::text("NAME"),
    table::text("PHASE"),
    table::text("VERDICT"),
    table::breaking("LOAD"),
    table::breaking("WORST"),
    table::breaking("FAULTS"),
    table::breaking("RECOVERY"),
    table::text("AGE"),
];

/// The runs in the order given. Namespaces are shown where there can be several.
pub fn render(tests: &[LoadTest], with_namespace: bool, now: Timestamp, page: Page) -> String {
    let rows: Vec<Vec<Field>> = tests.iter().map(|test| row(test, with_namespace, now)).collect();
    table::lines(&COLUMNS, &rows, page.width, page.paint).join("\n") + "\n"
}

fn row(test: &LoadTest, with_namespace: bool, now: Timestamp) -> Vec<Field> {
    let display = test.status.as_ref().and_then(|status| status.display.clone()).unwrap_or_default();
    let verdict = match verdict_of(test) {
        Some(verdict) => (verdict_word(verdict).to_owned(), Tone::of_verdict(verdict)),
        None => plain(""),
    };
    let age = created_at(test).map(|created| age(text::between(created, now))).unwrap_or_default();
    vec![
        plain(if with_namespace { namespace_of(test) } else { "" }),
        plain(name_of(test)),
        plain(phase_word(phase_of(test))),
        verdict,
        plain(display.load.unwrap_or_default()),
        plain(display.worst.unwrap_or_default()),
        plain(display.faults.unwrap_or_default()),
        plain(display.recovery.unwrap_or_default()),
        plain(age),
    ]
}

/// An age in its largest unit, as kubectl shows it: `38s`, `5m`, `3h`, `2d`.
fn age(milliseconds: i64) -> String {
    let seconds = milliseconds.max(0) / 1_000;
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{self, PAGE, at};
    use super::*;

    #[test]
    fn runs_stand_below_each_other() {
        let runs = [fixtures::running(), fixtures::fail(), fixtures::error()];
        insta::assert_snapshot!(render(&runs, false, at("10:27:00"), PAGE));
    }

    #[test]
    fn ages_are_short() {
        assert_eq!(
            [age(38_000), age(300_000), age(10_800_000), age(172_800_000), age(-5)],
            ["38s", "5m", "3h", "2d", "0s"]
        );
    }
}
