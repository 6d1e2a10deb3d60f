//! A run judged again: its page, and what came out otherwise than before.

use jiff::Timestamp;
use loadtest_core::record::{Record, replay::Replayed};
use loadtest_crds::{LoadTestStatus, ObjectiveStatus, Outcome, WindowResult};

use super::{
    Page, outcome_word,
    paint::Tone,
    status,
    table::{self, Column, Field, plain},
    text, verdict_word, window_name,
};

const COLUMNS: [Column; 4] =
    [table::breaking("WHAT"), table::breaking("WINDOW"), table::breaking("BEFORE"), table::breaking("AFTER")];

/// The page of `kubectl loadtest judge`.
pub fn render(
    recorded: &Record,
    replayed: &Replayed,
    other_limits: bool,
    now: Timestamp,
    page: Page,
) -> String {
    let judged = &replayed.test;
    let after = judged.status.clone().unwrap_or_default();
    let mut out = status::render(judged, now, page);
    out.push_str(&format!("\n{}\n", page.paint.bold("JUDGED AGAIN")));
    for left_out in &recorded.left_out {
        out.push_str(&text::wrap(
            &format!("not in the record: {left_out}"),
            usize::from(page.width),
            "  ",
            "  ",
        ));
        out.push('\n');
    }
    if let (true, Some(cells)) = (replayed.recounted > 0, &recorded.cells) {
        let note = format!(
            "{} questions were not asked in the run, as of windows that move with a limit: counted from cells of {} s",
            replayed.recounted,
            cells.step_milliseconds / 1000
        );
        out.push_str(&text::wrap(&note, usize::from(page.width), "  ", "  "));
        out.push('\n');
    }
    let rows = changes(&recorded.judged, &after);
    match (rows.is_empty(), other_limits) {
        (true, false) => out.push_str("  as recorded\n"),
        (true, true) => out.push_str("  no result changes with these limits\n"),
        (false, other_limits) => {
            if !other_limits {
                // The same limits over the same answers: only another program judges otherwise.
                let note =
                    "this program judges otherwise than the operator that ran it: compare their versions";
                out.push_str(&text::wrap(note, usize::from(page.width), "  ", "  "));
                out.push('\n');
            }
            out.push_str(&table::render(&COLUMNS, &rows, page.width, page.paint));
        }
    }
    out
}

fn changes(before: &LoadTestStatus, after: &LoadTestStatus) -> Vec<Vec<Field>> {
    let mut rows = Vec::new();
    if before.verdict != after.verdict || before.reason != after.reason {
        let words = |status: &LoadTestStatus| {
            let verdict = status.verdict.map_or("-", verdict_word);
            format!("{verdict} ({})", status.reason.as_deref().unwrap_or("-"))
        };
        let tone = after.verdict.map_or(Tone::Plain, Tone::of_verdict);
        rows.push(vec![plain("verdict"), plain(""), plain(words(before)), (words(after), tone)]);
    }
    for new in &after.objectives {
        let old = before.objectives.iter().find(|o| o.name == new.name);
        for window in &new.windows {
            let was = old.and_then(|o| {
                o.windows.iter().find(|w| (w.window, &w.fault) == (window.window, &window.fault))
            });
            let now_words = words(new, window);
            let old_words = old.zip(was).map_or_else(|| "-".to_owned(), |(o, w)| words(o, w));
            if now_words != old_words {
                let tone = Tone::of_outcome(window.outcome);
                rows.push(vec![
                    plain(&new.name),
                    plain(window_name(window)),
                    plain(old_words),
                    (now_words, tone),
                ]);
            }
        }
    }
    for new in &after.faults {
        let words = |outcome: Outcome, within: &Option<String>| {
            format!("{}, limit {}", outcome_word(outcome), within.as_deref().unwrap_or("-"))
        };
        let old = before.faults.iter().find(|f| f.name == new.name).and_then(|f| f.recovery.as_ref());
        let (Some(old), Some(new), name) = (old, new.recovery.as_ref(), &new.name) else { continue };
        if (old.outcome, &old.within) != (new.outcome, &new.within) {
            let tone = Tone::of_outcome(new.outcome);
            let [old, new] = [old, new].map(|r| words(r.outcome, &r.within));
            rows.push(vec![plain(format!("recovery from {name}")), plain(""), plain(old), (new, tone)]);
        }
    }
    rows
}

/// `Met, 212ms, at most 300ms`
fn words(objective: &ObjectiveStatus, window: &WindowResult) -> String {
    let value = window.value.as_deref().map(|value| format!(", {value}")).unwrap_or_default();
    format!("{}{value}, {}", outcome_word(window.outcome), objective.limit)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use loadtest_core::{
        evaluate::windows::context::Settings,
        record::{Draft, Evidence, cells::Cells},
        verdict::ground::Facts,
    };
    use loadtest_crds::{LoadTest, Verdict};

    use super::{
        super::fixtures::{self, PAGE, at},
        *,
    };

    fn recorded(test: &LoadTest) -> Record {
        let settings = Settings { run_id: "1".to_owned(), push: std::time::Duration::from_secs(1) };
        let draft = Draft {
            status: LoadTestStatus::default(),
            facts: Facts::default(),
            evidence: Evidence { settings, asked: Vec::new(), cells: Ok(Cells::default()) }.into(),
            judged: test.status.clone().unwrap_or_default(),
        };
        Record::new(test, &draft)
    }

    fn again(test: &LoadTest, recounted: usize) -> Replayed {
        Replayed { test: test.clone(), recounted }
    }

    fn end(text: &str) -> &str {
        text.split_once("JUDGED AGAIN\n").unwrap().1
    }

    #[test]
    fn nothing_has_changed() {
        let test = fixtures::pass();
        let text = render(&recorded(&test), &again(&test, 0), false, at("10:27:00"), PAGE);
        assert!(text.starts_with(&status::render(&test, at("10:27:00"), PAGE)));
        assert_eq!(end(&text), "  as recorded\n");
        let text = render(&recorded(&test), &again(&test, 0), true, at("10:27:00"), PAGE);
        assert_eq!(end(&text), "  no result changes with these limits\n");
    }

    #[test]
    fn a_stricter_limit() {
        let test = fixtures::pass();
        let mut record = recorded(&test);
        record.cells = Some(Cells { step_milliseconds: 2000, ..Cells::default() });
        record.left_out.push("cells of 1 s: the record holds cells of 2 s".to_owned());
        let mut judged = test;
        let status = judged.status.as_mut().unwrap();
        (status.verdict, status.reason) = (Some(Verdict::Fail), Some("KeyObjectiveMissed".to_owned()));
        status.objectives[0].limit = "at most 0.01%".to_owned();
        status.objectives[0].windows[0].outcome = Outcome::Missed;
        if let Some(recovery) = status.faults.first_mut().and_then(|f| f.recovery.as_mut()) {
            (recovery.outcome, recovery.within) = (Outcome::Missed, Some("1s".to_owned()));
        }
        assert_snapshot!(end(&render(&record, &again(&judged, 3), true, at("10:27:00"), PAGE)));
    }
}
