//! All files of the core, and what is wrong between them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use crate::{
    files::sources,
    reader::{Name, Room, name_of, read},
    rooms::{FLOORS, WITHIN},
};

#[derive(Default)]
pub struct House {
    pub files: BTreeMap<Name, Room>,
}

impl House {
    pub fn of(files: &[(&str, &str)]) -> Self {
        let mut house = Self::default();
        let mut of_tests: Vec<Name> = Vec::new();
        for (path, text) in files {
            let own = name_of(path);
            let (room, tests) = read(&own, text).unwrap_or_else(|error| panic!("{path}: {error}"));
            of_tests.extend(tests);
            house.files.insert(own, room);
        }
        house.files.retain(|name, _| !of_tests.iter().any(|tests| name.starts_with(tests)));
        house
    }

    pub fn at(root: &Path) -> Self {
        let read = |path: PathBuf| {
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        };
        let files: Vec<(String, String)> = sources(root).into_iter().map(read).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
        Self::of(&files)
    }

    /// The file that a path leads to, and the name that it asks for there.
    fn leads_to<'a>(&self, path: &'a [String]) -> (&'a [String], Option<&'a String>) {
        let mut length = path.len();
        while length > 0 && !self.files.contains_key(&path[..length]) {
            length -= 1;
        }
        (&path[..length], path.get(length))
    }

    /// Everything that is wrong, a line each.
    pub fn complaints(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut imports: BTreeMap<&[String], BTreeSet<&[String]>> = BTreeMap::new();
        for (own, room) in &self.files {
            if let [top, ..] = own.as_slice()
                && floor(FLOORS, top).is_none()
            {
                all.push(format!(
                    "{}: this room has no place: give it one in operator/core/tests/sources/rooms.rs",
                    file(own)
                ));
            }
            if own.is_empty() {
                continue;
            }
            all.extend(room.handed_on.iter().map(|what| {
                format!("{}: `pub use {what}`: import it where it is used, from where it is", file(own))
            }));
            for path in &room.asks {
                let (to, what) = self.leads_to(path);
                if to == own || to.is_empty() {
                    continue;
                }
                if let Some(what) = what
                    && !self.files[to].defines.contains(what)
                {
                    all.push(format!("{}: {what} is not defined in {}", file(own), file(to)));
                }
                if is_above(to, own) {
                    all.push(format!("{} imports from {}, which stands above it", file(own), file(to)));
                }
                imports.entry(own).or_default().insert(to);
            }
        }
        all.extend(circle(&imports).map(|names| {
            let names: Vec<String> = names.iter().map(|name| file(name)).collect();
            format!("a circle: {}", names.join(" → "))
        }));
        all.sort();
        all.dedup();
        all
    }
}

fn floor(floors: &[&[&str]], room: &str) -> Option<usize> {
    floors.iter().position(|floor| floor.contains(&room))
}

/// True where `to` does not stand below `from`, and not in its room.
fn is_above(to: &[String], from: &[String]) -> bool {
    let (Some(to_top), Some(from_top)) = (to.first(), from.first()) else { return false };
    if to_top != from_top {
        return floor(FLOORS, to_top) >= floor(FLOORS, from_top);
    }
    let Some((_, floors)) = WITHIN.iter().find(|(room, _)| room == from_top) else { return false };
    let place = |name: &[String]| {
        let inner = name.get(1).cloned().unwrap_or_default();
        floor(floors, &inner).map_or((floors.len(), String::new()), |floor| (floor, inner))
    };
    let ((to, to_room), (from, from_room)) = (place(to), place(from));
    to > from || (to == from && to_room != from_room)
}

/// A circle of imports, if there is one.
fn circle<'a>(imports: &BTreeMap<&'a [String], BTreeSet<&'a [String]>>) -> Option<Vec<&'a [String]>> {
    fn walk<'a>(
        at: &'a [String],
        imports: &BTreeMap<&'a [String], BTreeSet<&'a [String]>>,
        way: &mut Vec<&'a [String]>,
        done: &mut BTreeSet<&'a [String]>,
    ) -> Option<Vec<&'a [String]>> {
        if let Some(start) = way.iter().position(|name| *name == at) {
            return Some(way[start..].iter().copied().chain([at]).collect());
        }
        if !done.insert(at) {
            return None;
        }
        way.push(at);
        let found = imports.get(at).into_iter().flatten().find_map(|to| walk(to, imports, way, done));
        way.pop();
        found
    }
    let mut done = BTreeSet::new();
    imports.keys().find_map(|name| walk(name, imports, &mut Vec::new(), &mut done))
}

fn file(name: &[String]) -> String {
    if name.is_empty() { "the root".to_owned() } else { name.join("::") }
}
