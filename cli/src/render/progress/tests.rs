use insta::assert_snapshot;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use loadtest_crds::LoadTest;

use super::block;
use super::lines::{changes, summary};
use super::meter::{Meter, Pace};
use super::standing::Standing;
use crate::render::Page;
use crate::render::fixtures::{self, PAGE, at};

fn shown(test: &LoadTest, time: &str) -> String {
    block::render(test, at(time), None, PAGE).join("\n")
}

#[test]
fn block_while_the_load_runs() {
    assert_snapshot!(shown(&fixtures::running(), "10:21:23.300"));
}

#[test]
fn block_while_runners_come_up() {
    assert_snapshot!(shown(&fixtures::preparing(), "10:20:34"));
}

#[test]
fn block_at_the_end() {
    assert_snapshot!(shown(&fixtures::fail(), "10:22:13"));
}

#[test]
fn no_line_of_a_block_is_wider_than_the_terminal() {
    for width in [40, 60, 100, 200] {
        let page = Page { width, ..PAGE };
        for test in [fixtures::running(), fixtures::preparing(), fixtures::fail(), fixtures::error()] {
            for line in block::render(&test, at("10:21:23"), None, page) {
                assert!(line.chars().count() <= usize::from(width), "{width}: {line}");
            }
        }
    }
}

#[test]
fn lines_of_a_log() {
    let running = fixtures::running();
    let pace = Some(Pace { requests: 491, milliseconds: 5_000 });
    assert_snapshot!(
        [
            summary(&fixtures::untouched(), at("10:20:50"), None),
            summary(&fixtures::preparing(), at("10:20:34"), None),
            summary(&running, at("10:21:23.300"), pace),
            summary(&fixtures::pass(), at("10:22:13"), None),
            summary(&fixtures::fail(), at("10:22:13"), None),
        ]
        .join("\n")
    );
}

#[test]
fn the_countdown_reaches_zero_when_the_fault_is_due() {
    let running = fixtures::running();
    let next = |time| Standing::of(&running, at(time)).next_fault().unwrap();
    assert_eq!(next("10:21:35.300"), "kill-chat in 1s");
    assert_eq!(next("10:21:36.239"), "kill-chat in 1s");
    assert_eq!(next("10:21:36.241"), "kill-chat due now");
}

#[test]
fn changes_are_told_once() {
    let before = fixtures::running();
    let mut after = fixtures::pass();
    after.spec.stop = true;
    assert_snapshot!(changes(Some(&before), &after).join("\n"));
    assert_eq!(changes(Some(&after), &after), Vec::<String>::new());
    assert_eq!(changes(None, &fixtures::preparing()), Vec::<String>::new());
}

#[test]
fn the_pace_is_that_of_the_last_readings() {
    let mut meter = Meter::default();
    let mut test = fixtures::running();
    meter.read(&test, at("10:21:20"));
    assert_eq!(meter.pace(), None);
    meter.read(&test, at("10:21:21"));
    assert_eq!(meter.pace(), None, "the same count says nothing");
    if let Some(load) = test.status.as_mut().and_then(|status| status.load.as_mut()) {
        load.requests = Some(5_099);
        load.planned_end_at = Some(MicroTime(at("10:22:06")));
    }
    meter.read(&test, at("10:21:25"));
    assert_eq!(meter.pace(), Some(Pace { requests: 491, milliseconds: 5_000 }));
}
