//! The objectives of a run: each limit beside the figure of each window.

use loadtest_crds::{LoadTest, Objective, ObjectiveStatus, Phase, WindowResult};

use super::paint::Tone;
use super::table::{self, Column, Field, plain};
use super::{Page, outcome_word, phase_of, text, window_name};

const COLUMNS: [Column; 7] = [
    table::breaking("OBJECTIVE"),
    table::breaking("WINDOW"),
    table::number("VALUE"),
    table::breaking("LIMIT"),
    table::number("SAMPLES"),
    table::number("BAD"),
    table::text("RESULT"),
];

/// The table of objectives: judged ones with their figures, the others as they stand in the spec. Empty when
/// there are none.
pub fn render(test: &LoadTest, page: Page) -> String {
    let judged = test.status.as_ref().map(|status| status.objectives.as_slice()).unwrap_or_default();
    let over = phase_of(test) == Phase::Finished;
    let wanted = test.spec.objectives.len();
    if wanted > 0 && judged.is_empty() && over {
        return format!("  none of {wanted} was judged\n");
    }
    let mut rows = Vec::new();
    let mut any_key = false;
    for objective in &test.spec.objectives {
        any_key |= objective.key;
        match judged.iter().find(|candidate| candidate.name == objective.name) {
            Some(status) if !status.windows.is_empty() => rows.extend(judged_rows(status)),
            // Its results had no room in the status.
            Some(status) => {
                let result = (outcome_word(status.outcome).to_owned(), Tone::of_outcome(status.outcome));
                rows.push(open_row(objective, result));
            }
            None => {
                let result = if over { "not judged" } else { "not yet" };
                rows.push(open_row(objective, (result.to_owned(), Tone::Faint)));
            }
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    let mut out = table::render(&COLUMNS, &rows, page.width, page.paint);
    if any_key {
        out.push_str(&page.paint.tone(Tone::Faint, "  * a key objective: its miss alone fails the run"));
        out.push('\n');
    }
    out
}

fn judged_rows(status: &ObjectiveStatus) -> Vec<Vec<Field>> {
    status
        .windows
        .iter()
        .enumerate()
        .map(|(i, window)| {
            let tone = Tone::of_outcome(window.outcome);
            let value_tone = if tone == Tone::Good { Tone::Plain } else { tone };
            let [name, limit] = if i == 0 {
                [title(&status.name, status.key), short(&status.limit)]
            } else {
                [String::new(), String::new()]
            };
            vec![
                plain(name),
                plain(window_name(window)),
                (value(window), value_tone),
                plain(limit),
                plain(window.samples.map(text::count).unwrap_or_default()),
                plain(window.bad.map(text::count).unwrap_or_default()),
                (outcome_word(window.outcome).to_owned(), tone),
            ]
        })
        .collect()
}

fn value(window: &WindowResult) -> String {
    window.value.clone().unwrap_or_else(|| "-".to_owned())
}

fn open_row(objective: &Objective, result: Field) -> Vec<Field> {
    let windows = objective.windows.iter().map(|window| window.as_str()).collect::<Vec<_>>().join(", ");
    vec![
        plain(title(&objective.name, objective.key)),
        plain(windows),
        plain(""),
        plain(short(&limit(objective))),
        plain(""),
        plain(""),
        result,
    ]
}

fn title(name: &str, key: bool) -> String {
    if key { format!("{name} *") } else { name.to_owned() }
}

/// The limit in the words that the operator uses: `at most 300ms`.
pub fn limit(objective: &Objective) -> String {
    match (&objective.at_most, &objective.at_least) {
        (Some(limit), _) => format!("at most {limit}"),
        (None, Some(limit)) => format!("at least {limit}"),
        (None, None) => String::new(),
    }
}

/// The limit as a column has room for it: `≤ 300ms`.
fn short(limit: &str) -> String {
    let at_most = limit.strip_prefix("at most ").map(|limit| format!("≤ {limit}"));
    let at_least = || limit.strip_prefix("at least ").map(|limit| format!("≥ {limit}"));
    at_most.or_else(at_least).unwrap_or_else(|| limit.to_owned())
}
