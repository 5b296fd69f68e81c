//! The storeys of `src`, as `lib.rs` draws them: imports go downwards, no circle leaves a folder, and what is pure stays so.
//!
//! What only tests compile may look anywhere.

#![allow(
    clippy::unwrap_used,
    reason = "what helps a test may fail as a test does"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use syn::visit::{self, Visit};

/// The folders of `src` from the ground up. What stands in one may import what stands in it or before it.
const STOREYS: [&str; 5] = ["core", "host", "cluster", "server", "cli"];
/// What is not in `core`: what paths begin with. A type that only holds a time or an address may be.
const IMPURE: [&str; 20] = [
    "tokio",
    "tracing",
    "std::env",
    "std::fs",
    "std::io::stdin",
    "std::io::stdout",
    "std::net::Tcp",
    "std::net::Udp",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "Timestamp::now",
    "Uuid::now",
    "Zoned::now",
    "kube::Api",
    "kube::Client",
    "kube::api",
    "kube::client",
    "kube::runtime",
];

/// A module's path below the crate, such as `core::job::name`, and the paths that its code names.
type Sources = BTreeMap<String, BTreeSet<String>>;

#[test]
fn imports_go_downwards() {
    none(&upward(&sources()));
}

#[test]
fn no_circle_leaves_a_folder() {
    none(&circles(&sources()));
}

#[test]
fn the_core_is_pure() {
    none(&impure(&sources()));
}

#[test]
fn what_they_forbid_is_found() {
    let code = [
        ("core::job", "use crate::core::policy::Action;"),
        (
            "core::policy::rules",
            "fn f() { crate::core::job::name::Name::new() }",
        ),
        (
            "core::text",
            "use std::{fs::File, io}; fn now() { tokio::spawn(x) }",
        ),
        (
            "core::wire",
            "#[cfg(test)] mod tests { use crate::cli::run; use std::fs; }",
        ),
        (
            "host::health",
            "use crate::core::text; use crate::cluster::jobs::Jobs;",
        ),
    ];
    let parse =
        |(module, text): (&str, &str)| (module.to_owned(), named(&syn::parse_file(text).unwrap()));
    let sources: Sources = code.into_iter().map(parse).collect();
    assert_eq!(
        upward(&sources),
        ["host::health imports cluster::jobs::Jobs"]
    );
    assert_eq!(
        circles(&sources),
        [
            "in a circle: core::job -> core::policy::Action",
            "in a circle: core::policy::rules -> core::job::name::Name::new",
        ]
    );
    assert_eq!(
        impure(&sources),
        [
            "core::text names std::fs::File",
            "core::text names tokio::spawn"
        ]
    );
}

#[track_caller]
fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Imports of something that stands higher, or on no storey.
fn upward(sources: &Sources) -> Vec<String> {
    let storey = |path: &str| STOREYS.iter().position(|storey| root(path) == *storey);
    let mut wrong = Vec::new();
    for (module, names) in sources {
        let Some(own) = storey(module) else {
            wrong.push(format!("{module} is on no storey"));
            continue;
        };
        for name in names.iter().filter_map(|name| name.strip_prefix("crate::")) {
            if storey(name).is_none_or(|other| other > own) {
                wrong.push(format!("{module} imports {name}"));
            }
        }
    }
    wrong
}

/// Folders of a storey that import each other, straight or through others.
fn circles(sources: &Sources) -> Vec<String> {
    let folder = |path: &str| path.split("::").take(2).collect::<Vec<_>>().join("::");
    let mut imports: BTreeMap<(String, String), String> = BTreeMap::new();
    for (module, names) in sources {
        for name in names.iter().filter_map(|name| name.strip_prefix("crate::")) {
            let (from, into) = (folder(module), folder(name));
            if from != into {
                let said = format!("{module} -> {name}");
                imports.entry((from, into)).or_insert(said);
            }
        }
    }
    let reaches = |from: &str, to: &str| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(here) = open.pop() {
            let next = imports
                .keys()
                .filter(|(a, _)| a == here)
                .map(|(_, b)| b.as_str());
            open.extend(next.filter(|next| seen.insert(*next)));
        }
        seen.contains(to)
    };
    let forth = imports.iter().filter(|((a, b), _)| reaches(b, a));
    forth
        .map(|(_, said)| format!("in a circle: {said}"))
        .collect()
}

/// What the core names and should not.
fn impure(sources: &Sources) -> Vec<String> {
    let core = sources.iter().filter(|(module, _)| root(module) == "core");
    let named = core.flat_map(|(module, names)| names.iter().map(move |name| (module, name)));
    named
        .filter(|(_, name)| IMPURE.iter().any(|path| name.starts_with(path)))
        .map(|(module, name)| format!("{module} names {name}"))
        .collect()
}

fn root(path: &str) -> &str {
    path.split("::").next().unwrap_or_default()
}

/// Every module of the library that is not for tests alone.
fn sources() -> Sources {
    let src = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    let mut sources = Sources::new();
    let top = syn::parse_file(&fs::read_to_string(src.join("lib.rs")).unwrap()).unwrap();
    read(src, "", &top, &mut sources);
    sources
}

/// Reads the modules that `file` declares, whose own modules are in `folder`.
fn read(folder: &Path, module: &str, file: &syn::File, sources: &mut Sources) {
    for item in &file.items {
        let syn::Item::Mod(declared) = item else {
            continue;
        };
        if declared.content.is_some() || is_for_tests(&declared.attrs) {
            continue;
        }
        let name = declared.ident.to_string();
        let path = folder.join(format!("{name}.rs"));
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let parsed = syn::parse_file(&text).unwrap();
        let child = if module.is_empty() {
            name.clone()
        } else {
            format!("{module}::{name}")
        };
        read(&folder.join(&name), &child, &parsed, sources);
        sources.insert(child, named(&parsed));
    }
}

fn is_for_tests(attrs: &[syn::Attribute]) -> bool {
    attrs.iter().any(|attr| {
        attr.path().is_ident("cfg")
            && attr
                .parse_args::<syn::Path>()
                .is_ok_and(|path| path.is_ident("test"))
    })
}

/// The paths that a file names, outside of its tests.
fn named(file: &syn::File) -> BTreeSet<String> {
    let mut names = Names::default();
    names.visit_file(file);
    names.0
}

#[derive(Default)]
struct Names(BTreeSet<String>);

impl Names {
    fn tree(&mut self, before: &str, tree: &syn::UseTree) {
        let join = |ident: &syn::Ident| match before {
            "" => ident.to_string(),
            before => format!("{before}::{ident}"),
        };
        match tree {
            syn::UseTree::Path(path) => self.tree(&join(&path.ident), &path.tree),
            syn::UseTree::Name(name) if name.ident == "self" => self.add(before),
            syn::UseTree::Name(name) => self.add(&join(&name.ident)),
            syn::UseTree::Rename(rename) => self.add(&join(&rename.ident)),
            syn::UseTree::Glob(_) => self.add(before),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.tree(before, tree);
                }
            }
        }
    }

    fn add(&mut self, name: &str) {
        self.0.insert(name.to_owned());
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_for_tests(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree("", &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.add(&segments.join("::"));
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        // Expressions in a macro are not parsed: its paths are found in its tokens.
        visit::visit_macro(self, mac);
        let text = mac.tokens.to_string().replace(" :: ", "::");
        for word in text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')) {
            if word.contains("::") {
                self.add(word);
            }
        }
    }
}
