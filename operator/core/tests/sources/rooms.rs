//! The rooms of the core: data flows one way, and this test keeps it so.
//!
//! A room imports only from rooms below it, and no circle of files closes inside a room or between rooms. A name is
//! imported from the file that defines it, never through another file's `pub use`. Tests may import what they like.

use std::path::Path;

use crate::house::House;

/// From the ground up. Rooms that stand beside each other do not import from each other.
pub const FLOORS: &[&[&str]] = &[
    &["numbers"],
    &["prometheus"],
    &["k6"],
    &["plan"],
    &["objects", "watch", "evaluate"],
    &["verdict"],
    &["record"],
    &["machine"],
];

/// Rooms within a room; what is not named stands above them.
pub const WITHIN: &[(&str, &[&[&str]])] =
    &[("evaluate", &[&["windows"], &["objective", "load"], &["fault"]])];

#[test]
fn every_room_imports_only_from_rooms_below_it() {
    let house = House::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let complaints = house.complaints();
    assert!(house.files.len() > 50, "the sources were not found");
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

mod planted {
    use super::House;

    fn complaints(files: &[(&str, &str)]) -> Vec<String> {
        House::of(files).complaints()
    }

    #[test]
    fn an_import_from_above_is_told_with_both_files() {
        let plan = ("plan/mod.rs", "use crate::numbers::limit::Limit; pub struct Plan(Limit);");
        let good = ("numbers/limit.rs", "pub struct Limit;");
        assert_eq!(complaints(&[plan, good]), [""; 0]);
        let upward = "numbers::limit imports from plan, which stands above it";
        for planted in [
            "use crate::plan::Plan; pub struct Limit;",
            "pub struct Limit; fn of(plan: &crate::plan::Plan) {}",
            "pub struct Limit; fn of() { matches!(1, crate::plan::Plan) }",
            "pub struct Limit; mod inner { use super::super::super::plan::Plan; }",
        ] {
            let found = complaints(&[("plan/mod.rs", "pub struct Plan;"), ("numbers/limit.rs", planted)]);
            assert_eq!(found, [upward], "{planted}");
        }
    }

    #[test]
    fn rooms_that_stand_beside_each_other_do_not_know_each_other() {
        let found = complaints(&[
            ("watch/mod.rs", "pub struct Watch;"),
            ("objects/mod.rs", "use crate::watch::Watch;"),
            ("evaluate/load/mod.rs", "pub struct Load;"),
            ("evaluate/objective/mod.rs", "use crate::evaluate::load::Load;"),
        ]);
        let wanted = [
            "evaluate::objective imports from evaluate::load, which stands above it",
            "objects imports from watch, which stands above it",
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_circle_within_a_room_is_told_with_its_files() {
        let found = complaints(&[
            ("plan/mod.rs", "pub mod fault; pub struct Plan(fault::Fault);"),
            ("plan/fault.rs", "use super::Plan; pub struct Fault;"),
        ]);
        assert_eq!(found, ["a circle: plan → plan::fault → plan"]);
    }

    #[test]
    fn a_name_comes_from_where_it_is_defined() {
        let found = complaints(&[
            ("numbers/limit.rs", "pub struct Limit;"),
            ("plan/mod.rs", "pub use crate::numbers::limit::Limit;"),
            ("plan/fault.rs", "use crate::plan::Limit;"),
        ]);
        let wanted = [
            "plan: `pub use crate::numbers::limit::Limit`: import it where it is used, from where it is",
            "plan::fault: Limit is not defined in plan",
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn tests_import_what_they_like() {
        let tested = "pub struct Limit; #[cfg(test)] mod tests { use crate::plan::Plan; }";
        let other = ("numbers/tests.rs", "use crate::plan::Plan;");
        let declared = ("numbers/mod.rs", "#[cfg(test)] mod tests;");
        let plan = ("plan/mod.rs", "pub struct Plan;");
        assert_eq!(complaints(&[("numbers/limit.rs", tested), other, declared, plan]), [""; 0]);
    }
}
