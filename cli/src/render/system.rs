//! The system under test as it was watched: its parts, and what happened to them that no fault explains.

use loadtest_crds::{HappeningKind, LoadTest, Outcome, Phase, WatchedStatus};

use super::paint::Tone;
use super::table::{self, Column, Field, plain};
use super::{Page, outcome_word, phase_of, text};

const COLUMNS: [Column; 7] = [
    table::text("PART"),
    table::number("PODS"),
    table::breaking("READY"),
    table::number("RESTARTS"),
    table::number("SCALED IN"),
    table::breaking("IMAGES"),
    table::text("RESULT"),
];

/// Steps of the number of ready pods that are shown.
const SHOWN_STEPS: usize = 6;

/// The table of watched parts with what happened to them below it. Empty when nothing was watched.
pub fn render(test: &LoadTest, page: Page) -> String {
    let parts = test.status.as_ref().map(|status| status.system.as_slice()).unwrap_or_default();
    let seen: Vec<&WatchedStatus> =
        parts.iter().filter(|part| part.pods.is_some() || part.message.is_some()).collect();
    if seen.is_empty() {
        return String::new();
    }
    let over = phase_of(test) == Phase::Finished;
    let rows: Vec<Vec<Field>> = seen.iter().map(|part| row(part, over)).collect();
    let mut out = table::render(&COLUMNS, &rows, page.width, page.paint);
    for part in seen {
        for note in notes(part) {
            out.push_str(&text::wrap(&note, usize::from(page.width), "  ! ", "    "));
            out.push('\n');
        }
    }
    out
}

fn row(part: &WatchedStatus, over: bool) -> Vec<Field> {
    let reached = part.scaling.as_ref().and_then(|scaling| scaling.reached_milliseconds);
    vec![
        plain(&part.name),
        plain(part.pods.map(|pods| pods.to_string()).unwrap_or_default()),
        plain(ready(part)),
        plain(if part.restarts > 0 { part.restarts.to_string() } else { String::new() }),
        plain(reached.map(text::span).unwrap_or_default()),
        plain(part.images.join("\n")),
        result(part, over),
    ]
}

/// `2, 3, 6`: the number of ready pods as it changed, the last few of many.
fn ready(part: &WatchedStatus) -> String {
    let steps: Vec<String> = part.ready.iter().map(|step| step.pods.to_string()).collect();
    match steps.len().checked_sub(SHOWN_STEPS) {
        Some(more) if more > 0 => format!("…, {}", steps[more..].join(", ")),
        _ => steps.join(", "),
    }
}

/// The worse of asserts and scaling.
fn result(part: &WatchedStatus, over: bool) -> Field {
    let scaling = part.scaling.as_ref().map(|scaling| scaling.outcome);
    let outcome = scaling.map_or(part.outcome, |scaling| scaling.max(part.outcome));
    if outcome == Outcome::NoData && !over {
        return ("watched".to_owned(), Tone::Faint);
    }
    (outcome_word(outcome).to_owned(), Tone::of_outcome(outcome))
}

fn notes(part: &WatchedStatus) -> Vec<String> {
    let mut notes = Vec::new();
    for happening in &part.happenings {
        let at = happening.at.as_ref().map(|at| text::time_of_day(at.0)).unwrap_or_default();
        let kind = match happening.kind {
            HappeningKind::Rollout => "rollout: ",
            _ => "",
        };
        notes.push(format!("{}: {at} {kind}{}", part.name, happening.message));
    }
    if part.more_happenings > 0 {
        notes.push(format!("{}: {} more", part.name, part.more_happenings));
    }
    for gap in &part.gaps {
        let time = |at: &Option<_>| at.as_ref().map_or_else(|| "?".to_owned(), time_of);
        notes.push(format!("{}: not watched from {} to {}", part.name, time(&gap.from), time(&gap.to)));
    }
    let own = (part.outcome != Outcome::Met).then_some(part.message.as_ref()).flatten();
    let scaling = part.scaling.as_ref().filter(|scaling| scaling.outcome != Outcome::Met);
    let scaling = scaling.and_then(|scaling| scaling.message.as_ref());
    notes.extend(own.into_iter().chain(scaling).map(|message| format!("{}: {message}", part.name)));
    notes
}

fn time_of(at: &k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime) -> String {
    text::time_of_day(at.0)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use loadtest_crds::WatchedStatus;

    use super::super::fixtures::{self, PAGE};
    use super::*;

    fn with(parts: &str) -> LoadTest {
        let mut test = fixtures::pass();
        let parts: Vec<WatchedStatus> = serde_saphyr::from_str(parts).unwrap();
        test.status.get_or_insert_default().system = parts;
        test
    }

    #[test]
    fn nothing_watched_is_no_section() {
        assert_eq!(render(&with("[]"), PAGE), "");
        assert_eq!(render(&with("[{name: dbman, outcome: NoData}]"), PAGE), "");
    }

    #[test]
    fn parts_and_what_happened_to_them() {
        let test = with(
            r#"
- name: dbman
  outcome: Missed
  pods: 2
  images: ["dbman:1"]
  ready: [{at: "2026-08-01T10:20:36.240000Z", pods: 2}, {at: "2026-08-01T10:21:03.000000Z", pods: 1}]
  restarts: 1
  happenings:
    - {at: "2026-08-01T10:21:03.000000Z", kind: Restart, pod: dbman-a, container: dbman, message: "container dbman of pod dbman-a restarted, exit code 1 (Error)"}
  gaps: [{from: "2026-08-01T10:21:10.000000Z", to: "2026-08-01T10:21:14.000000Z", podsChanged: false}]
  message: "1 restart that no fault explains, none allowed"
- name: chat
  outcome: Met
  pods: 2
  images: ["chat:1", "chat:2"]
  ready: [{pods: 2}, {pods: 3}, {pods: 2}, {pods: 3}, {pods: 2}, {pods: 3}, {pods: 6}]
  scaling: {outcome: Met, reachedMilliseconds: 48000, message: "6 pods were ready after 48s"}
  happenings:
    - {at: "2026-08-01T10:21:03.000000Z", kind: Rollout, message: "chat from a to b: image chat:1 → chat:2"}
"#,
        );
        let text = render(&test, PAGE);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        assert_snapshot!(text);
    }
}
