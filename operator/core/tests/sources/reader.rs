//! What a file defines and asks for, read from its source.

use std::collections::BTreeSet;

use syn::{
    Attribute, Item, ItemUse, Macro, UseTree, Visibility,
    visit::{self, Visit},
};

/// A module with a file of its own, as in `evaluate::fault::grid`.
pub type Name = Vec<String>;

/// What a file defines and what it asks for, outside tests.
#[derive(Default)]
pub struct Room {
    pub defines: BTreeSet<String>,
    pub children: BTreeSet<String>,
    /// Paths from the crate's root.
    pub asks: BTreeSet<Vec<String>>,
    pub handed_on: BTreeSet<String>,
}

struct Reader {
    own: Name,
    /// How deep in modules without a file of their own.
    inline: Vec<String>,
    room: Room,
}

/// A file, and which modules it declares for tests.
pub fn read(own: &Name, text: &str) -> syn::Result<(Room, Vec<Name>)> {
    let parsed = syn::parse_file(text)?;
    let mut reader = Reader { own: own.clone(), inline: Vec::new(), room: Room::default() };
    let mut of_tests = Vec::new();
    for item in &parsed.items {
        reader.room.define(item);
        if let Item::Mod(module) = item
            && module.attrs.iter().any(is_test)
        {
            of_tests.push(own.iter().cloned().chain([module.ident.to_string()]).collect());
        }
    }
    reader.visit_file(&parsed);
    Ok((reader.room, of_tests))
}

pub fn name_of(path: &str) -> Name {
    let path = path.trim_end_matches(".rs");
    path.split('/').filter(|part| !matches!(*part, "mod" | "lib")).map(str::to_owned).collect()
}

impl Room {
    fn define(&mut self, item: &Item) {
        let name = match item {
            Item::Const(it) => &it.ident,
            Item::Enum(it) => &it.ident,
            Item::Fn(it) => &it.sig.ident,
            Item::Mod(it) => {
                self.children.insert(it.ident.to_string());
                &it.ident
            }
            Item::Static(it) => &it.ident,
            Item::Struct(it) => &it.ident,
            Item::Trait(it) => &it.ident,
            Item::Type(it) => &it.ident,
            _ => return,
        };
        self.defines.insert(name.to_string());
    }
}

impl Reader {
    /// Notes a path that leads into this crate.
    fn note(&mut self, path: &[String]) -> bool {
        let Some((first, mut rest)) = path.split_first() else { return false };
        let mut from: Vec<String> = match first.as_str() {
            "crate" => Vec::new(),
            "self" => self.here(),
            "super" => {
                let mut up = self.here();
                up.pop();
                up
            }
            child if self.inline.is_empty() && self.room.children.contains(child) => {
                rest = path;
                self.own.clone()
            }
            _ => return false,
        };
        while let Some((first, more)) = rest.split_first().filter(|(first, _)| *first == "super") {
            let _ = first;
            from.pop();
            rest = more;
        }
        from.extend(rest.iter().filter(|part| *part != "self").cloned());
        self.room.asks.insert(from);
        true
    }

    fn here(&self) -> Vec<String> {
        self.own.iter().chain(&self.inline).cloned().collect()
    }

    fn note_tree(&mut self, before: &[String], tree: &UseTree, public: bool) {
        let with = |part: &dyn ToString| -> Vec<String> {
            before.iter().cloned().chain([part.to_string()]).collect()
        };
        let leaf = match tree {
            UseTree::Path(path) => return self.note_tree(&with(&path.ident), &path.tree, public),
            UseTree::Group(group) => {
                return group.items.iter().for_each(|item| self.note_tree(before, item, public));
            }
            UseTree::Name(name) => with(&name.ident),
            UseTree::Rename(rename) => with(&rename.ident),
            UseTree::Glob(_) => before.to_vec(),
        };
        if self.note(&leaf) && public {
            self.room.handed_on.insert(leaf.join("::"));
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if attributes(item).iter().any(is_test) {
            return;
        }
        if let Item::Mod(module) = item
            && module.content.is_some()
        {
            self.inline.push(module.ident.to_string());
            visit::visit_item(self, item);
            self.inline.pop();
        } else {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.note_tree(&[], &item.tree, !matches!(item.vis, Visibility::Inherited));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> = path.segments.iter().map(|part| part.ident.to_string()).collect();
        if parts.len() > 1 {
            self.note(&parts);
        }
        visit::visit_path(self, path);
    }

    /// What stands in a macro is not parsed: its paths are read from the words.
    fn visit_macro(&mut self, it: &'ast Macro) {
        let text = it.tokens.to_string().replace("::", " :: ");
        let words: Vec<&str> = text
            .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
            .filter(|word| !word.is_empty())
            .collect();
        let mut at = 0;
        while at < words.len() {
            let mut path = vec![words[at].to_owned()];
            while words.get(at + 1) == Some(&"::") && at + 2 < words.len() {
                path.push(words[at + 2].to_owned());
                at += 2;
            }
            if path.len() > 1 {
                self.note(&path);
            }
            at += 1;
        }
        visit::visit_macro(self, it);
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(it) => &it.attrs,
        Item::Fn(it) => &it.attrs,
        Item::Impl(it) => &it.attrs,
        Item::Mod(it) => &it.attrs,
        Item::Struct(it) => &it.attrs,
        Item::Use(it) => &it.attrs,
        _ => &[],
    }
}

fn is_test(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
}
