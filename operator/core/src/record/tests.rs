use std::{collections::BTreeMap, time::Duration};

use super::*;
use crate::record::cells::CellSeries;

/// Cells that do not compress well: each second a draw from a generator.
fn record(seconds: u64) -> Record {
    let mut state = 7u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let cells =
        (0..seconds).map(|second| (second, [(0, draw() % 1000), (1, draw() % 1000)].into())).collect();
    let series = CellSeries { labels: BTreeMap::new(), cells };
    let settings = Settings { run_id: "4f1c".to_owned(), push: Duration::from_secs(1) };
    let cells = Cells { step_milliseconds: 1000, series: vec![series], ..Cells::default() };
    let draft = Draft {
        status: LoadTestStatus::default(),
        facts: Facts::default(),
        evidence: Arc::new(Evidence { settings, asked: Vec::new(), cells: Ok(cells) }),
        judged: LoadTestStatus::default(),
    };
    Record::new(&LoadTest::default(), &draft)
}

#[test]
fn a_record_that_fits_is_whole() {
    let whole = record(600);
    let read = Record::read(&whole.clone().write(MOST_BYTES).unwrap()).unwrap();
    assert_eq!((&read.cells, read.left_out.len()), (&whole.cells, 0));
}

#[test]
fn where_there_is_no_room_cells_are_left_out() {
    let whole = record(600);
    let size = whole.clone().write(MOST_BYTES).unwrap().len();
    let none = Record::read(&whole.clone().write(size - 1).unwrap()).unwrap();
    assert_eq!(none.cells, None);
    assert_eq!(none.left_out, ["the cells: the ConfigMap has no room for them"]);
    assert!(matches!(whole.write(10).unwrap_err(), RecordError::TooLarge(_)));
}
