//! The load of a run: what was asked, what was delivered.

use jiff::Timestamp;
use loadtest_crds::{LoadStatus, LoadTest, RunnersStatus};

use super::paint::Tone;
use super::{Page, text};

/// A line for each thing known about the load. Empty before the runners exist.
pub fn render(test: &LoadTest, now: Timestamp, page: Page) -> String {
    let Some(status) = &test.status else { return String::new() };
    let load = status.load.clone().unwrap_or_default();
    let runners = status.runners.clone().unwrap_or_default();
    let lines = [
        ("asked", asked(test, &load, &runners)),
        ("started", started(&load, &runners)),
        ("delivered", delivered(&load, now)),
        ("iterations", iterations(&load)),
    ];
    let mut out = String::new();
    for (label, line) in lines {
        if let Some(line) = line {
            let first = format!("  {label:<12}");
            out.push_str(&text::wrap(&line, usize::from(page.width), &first, &" ".repeat(14)));
            out.push('\n');
        }
    }
    for problem in &runners.problems {
        let note = text::wrap(problem, usize::from(page.width), "  ! ", "    ");
        out.push_str(&page.paint.tone(Tone::Caution, &note));
        out.push('\n');
    }
    out
}

fn asked(test: &LoadTest, load: &LoadStatus, runners: &RunnersStatus) -> Option<String> {
    if load.asked_vus.is_none() && runners.total == 0 {
        return None;
    }
    let vus =
        load.asked_vus.map(|vus| format!("{} in ", text::counted(vus, "virtual user"))).unwrap_or_default();
    let mut line = format!("{vus}{}", text::counted(runners.total.into(), "runner pod"));
    let scenarios = test.status.as_ref().map(|s| s.scenarios.as_slice()).unwrap_or_default();
    if scenarios.len() > 1 {
        let parts: Vec<String> = scenarios
            .iter()
            .map(|s| match s.max_vus {
                Some(vus) => format!("{} {} in {}", s.name, text::count(vus), s.runners),
                None => format!("{} in {}", s.name, s.runners),
            })
            .collect();
        line.push_str(&format!(": {}", parts.join(", ")));
    }
    Some(line)
}

fn started(load: &LoadStatus, runners: &RunnersStatus) -> Option<String> {
    let started = load.started_at.as_ref()?;
    let mut line = text::moment(started.0);
    if let Some(created) = &runners.created_at {
        let after = text::span(text::between(created.0, started.0));
        line.push_str(&format!(", {after} after the pods were asked for"));
    }
    if let Some(spread) = load.start_spread_milliseconds {
        line.push_str(&format!(", all within {}", text::span(spread)));
    }
    if runners.lost > 0 {
        line.push_str(&format!("; {} lost", text::counted(runners.lost.into(), "runner")));
    }
    Some(line)
}

fn delivered(load: &LoadStatus, now: Timestamp) -> Option<String> {
    let requests = load.requests.or(load.k6_requests)?;
    let mut line = text::counted(requests, "request");
    if let Some(started) = &load.started_at {
        let until = load.ended_at.as_ref().map_or(now, |time| time.0);
        let took = text::between(started.0, until);
        if let Some(rate) = text::per_second(requests, took) {
            line.push_str(&format!(" in {}, {rate} a second", text::span(took)));
        }
    }
    if let Some(failed) = load.failed_requests {
        line.push_str(&format!("; {} failed ({})", text::count(failed), text::share(failed, requests)));
    }
    if let (Some(stored), Some(own)) = (load.requests, load.k6_requests)
        && stored != own
    {
        line.push_str(&format!("; k6 counted {} with setup and teardown", text::count(own)));
    }
    Some(line)
}

fn iterations(load: &LoadStatus) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(iterations) = load.iterations {
        parts.push(format!("{} completed", text::count(iterations)));
    }
    if let Some(dropped) = load.dropped_iterations {
        parts.push(format!("{} dropped", text::count(dropped)));
    }
    if let Some(errors) = load.script_errors {
        parts.push(text::counted(errors, "script error"));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}
