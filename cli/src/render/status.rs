//! Everything about one run on one page.

use jiff::Timestamp;
use loadtest_crds::{LoadTest, Phase};

use super::paint::Tone;
use super::progress::standing::Standing;
use super::{Page, created_at, faults, heading, load, namespace_of, objectives, phase_of, system, text};

/// A run that no operator took up within this time tells so.
pub const UNCLAIMED_AFTER_MS: i64 = 10_000;

/// The page of `kubectl loadtest status`, ended by a newline.
pub fn render(test: &LoadTest, now: Timestamp, page: Page) -> String {
    let mut out = header(test, now, page);
    section(&mut out, "OBJECTIVES", &objectives::render(test, page), page);
    section(&mut out, "FAULTS", &faults::render(test, page), page);
    section(&mut out, "SYSTEM", &system::render(test, page), page);
    section(&mut out, "LOAD", &load::render(test, now, page), page);
    section(&mut out, "GROUNDS", &grounds(test, page), page);
    out
}

fn section(out: &mut String, title: &str, body: &str, page: Page) {
    if !body.is_empty() {
        out.push('\n');
        out.push_str(&page.paint.bold(title));
        out.push('\n');
        out.push_str(body);
    }
}

fn header(test: &LoadTest, now: Timestamp, page: Page) -> String {
    let mut out = heading(test, page) + "\n";
    if let Some(sentence) = sentence(test, now) {
        out.push_str(&text::wrap(&sentence, usize::from(page.width), "", ""));
        out.push('\n');
    }
    let times = text::cut(&times(test, now), usize::from(page.width));
    out.push_str(&page.paint.tone(Tone::Faint, &times));
    out.push('\n');
    out
}

/// What the run is doing, or why it ended as it did.
pub fn sentence(test: &LoadTest, now: Timestamp) -> Option<String> {
    let message = test.status.as_ref().and_then(|status| status.message.clone());
    if message.is_some() {
        return message;
    }
    let taken_up = test.status.as_ref().is_some_and(|status| status.accepted_at.is_some());
    let age = created_at(test).map_or(0, |created| text::between(created, now));
    (!taken_up && age > UNCLAIMED_AFTER_MS).then(|| {
        format!(
            "No operator has taken this run up. Is loadtest-operator running, and does it serve the namespace {}?",
            namespace_of(test)
        )
    })
}

fn times(test: &LoadTest, now: Timestamp) -> String {
    let status = test.status.as_ref();
    let created = created_at(test);
    let mut parts = Vec::new();
    if let Some(reason) = status.and_then(|status| status.reason.as_ref()) {
        parts.push(reason.clone());
    }
    match status.and_then(|status| status.finished_at.as_ref()) {
        Some(finished) => {
            parts.push(format!("finished {}", text::moment(finished.0)));
            if let Some(created) = created {
                parts.push(format!("{} after its creation", text::span(text::between(created, finished.0))));
            }
        }
        None => {
            let standing = Standing::of(test, now);
            if phase_of(test) == Phase::Running {
                parts.push(standing.clock());
            }
            parts.extend(standing.next_fault());
            if let Some(created) = created {
                // Whole seconds: an age is no measurement.
                let age = text::between(created, now).max(0) / 1_000 * 1_000;
                parts.push(format!("created {} ago", text::span(age)));
            }
            if test.spec.stop {
                parts.push("being stopped".to_owned());
            }
        }
    }
    parts.join(" · ")
}

fn grounds(test: &LoadTest, page: Page) -> String {
    let grounds = test.status.as_ref().map(|status| status.grounds.as_slice()).unwrap_or_default();
    let message = test.status.as_ref().and_then(|status| status.message.as_deref());
    // A single ground that only repeats the sentence at the top says nothing new.
    if grounds.len() == 1 && grounds.first().map(String::as_str) == message {
        return String::new();
    }
    let mut out = String::new();
    for ground in grounds {
        let (mark, tone, text) = mark(ground);
        let wrapped = text::wrap(text, usize::from(page.width), &format!("  {mark} "), "    ");
        // Only the mark is coloured: a page of coloured sentences is hard to read.
        let rest = wrapped.trim_start().strip_prefix(mark).unwrap_or_default();
        out.push_str(&format!("  {}{rest}\n", page.paint.tone(tone, mark)));
    }
    out
}

/// The operator begins a ground with how it speaks: `met: save-p95 in Steady: …`.
fn mark(ground: &str) -> (&'static str, Tone, &str) {
    let marks = [
        ("met: ", "✔", Tone::Good),
        ("not met: ", "✘", Tone::Bad),
        ("warning: ", "!", Tone::Caution),
        ("no data: ", "?", Tone::Unknown),
    ];
    let known = marks.iter().find_map(|(word, mark, tone)| Some((*mark, *tone, ground.strip_prefix(word)?)));
    known.unwrap_or(("-", Tone::Plain, ground))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::fixtures::{self, PAGE, at};
    use super::super::paint::Paint;
    use super::*;

    #[test]
    fn pass() {
        assert_snapshot!(render(&fixtures::pass(), at("10:27:00"), PAGE));
    }

    #[test]
    fn fail() {
        assert_snapshot!(render(&fixtures::fail(), at("10:27:00"), PAGE));
    }

    #[test]
    fn fail_on_a_narrow_terminal() {
        let page = Page { width: 80, ..PAGE };
        let text = render(&fixtures::fail(), at("10:27:00"), page);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert_snapshot!(text);
    }

    #[test]
    fn running() {
        assert_snapshot!(render(&fixtures::running(), at("10:21:23.300"), PAGE));
    }

    #[test]
    fn preparing() {
        assert_snapshot!(render(&fixtures::preparing(), at("10:20:34.500"), PAGE));
    }

    #[test]
    fn error() {
        assert_snapshot!(render(&fixtures::error(), at("10:27:00"), PAGE));
    }

    #[test]
    fn a_run_that_nobody_takes_up_says_so() {
        let young = render(&fixtures::untouched(), at("10:20:36"), PAGE);
        assert!(!young.contains("No operator"), "{young}");
        assert_snapshot!(render(&fixtures::untouched(), at("10:20:50"), PAGE));
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let coloured = render(&fixtures::fail(), at("10:27:00"), Page { paint: Paint::On, ..PAGE });
        let mut plain = String::new();
        let mut rest = coloured.as_str();
        while let Some((before, after)) = rest.split_once('\x1b') {
            plain.push_str(before);
            rest = after.split_once('m').unwrap().1;
        }
        plain.push_str(rest);
        // Colours end where the text ends, so padding may follow them.
        let plain: String = plain.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
        assert_eq!(plain, render(&fixtures::fail(), at("10:27:00"), PAGE));
    }
}
