//! Which file uses a name that which other file defines, and whether any files do so in a circle.
//!
//! A name counts for the file that defines it, however many `pub use` it passed through. A `mod`
//! line doesn't count: a folder's `mod.rs` may list the files that import from it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::{Attribute, Item, UseTree};

use crate::sandbox::files_below;

/// A path such as `crate::store::key`, split at its `::`.
type ModulePath = Vec<String>;

/// What a module calls by one name.
#[derive(Clone)]
enum Name {
    /// It is defined in this module.
    Here,
    /// It is a child module.
    Module,
    /// A `use` brings it from this path.
    Imported(ModulePath),
}

#[derive(Default)]
struct Module {
    file: PathBuf,
    names: BTreeMap<String, Vec<Name>>,
    globs: Vec<ModulePath>,
    /// Every path that the module's code mentions, `use` declarations included.
    mentioned: Vec<ModulePath>,
}

#[derive(Default)]
struct Crate {
    modules: BTreeMap<ModulePath, Module>,
    visiting: RefCell<BTreeSet<(ModulePath, String)>>,
}

/// Whether an item is part of what ships on Linux or elsewhere, and not only of tests.
fn is_shipped(attributes: &[Attribute]) -> bool {
    !attributes.iter().any(|attribute| {
        let text = attribute.to_token_stream().to_string();
        text.starts_with("# [cfg (test)") || text.contains("all (test")
    })
}

fn item_name(item: &Item) -> Option<(String, &[Attribute])> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "other items define no name")]
    Some(match item {
        Item::Const(item) => (item.ident.to_string(), &item.attrs),
        Item::Enum(item) => (item.ident.to_string(), &item.attrs),
        Item::Fn(item) => (item.sig.ident.to_string(), &item.attrs),
        Item::Macro(item) => (item.ident.as_ref()?.to_string(), &item.attrs),
        Item::Static(item) => (item.ident.to_string(), &item.attrs),
        Item::Struct(item) => (item.ident.to_string(), &item.attrs),
        Item::Trait(item) => (item.ident.to_string(), &item.attrs),
        Item::Type(item) => (item.ident.to_string(), &item.attrs),
        Item::Impl(item) => (String::new(), &item.attrs),
        _ => return None,
    })
}

/// Lists what a `use` declaration imports: each path, and the name it gets here.
fn imports(tree: &UseTree, path: &ModulePath, found: &mut Vec<(ModulePath, String)>) {
    let joined = |last: &syn::Ident| {
        let mut path = path.clone();
        if last != "self" || path.is_empty() {
            path.push(last.to_string());
        }
        path
    };
    match tree {
        UseTree::Path(tree) => imports(&tree.tree, &joined(&tree.ident), found),
        UseTree::Name(tree) => {
            let path = joined(&tree.ident);
            let name = path.last().cloned().unwrap_or_default();
            found.push((path, name));
        }
        UseTree::Rename(tree) => found.push((joined(&tree.ident), tree.rename.to_string())),
        UseTree::Glob(_) => found.push((path.clone(), "*".to_owned())),
        UseTree::Group(tree) => {
            for tree in &tree.items {
                imports(tree, path, found);
            }
        }
    }
}

/// Lists the paths of two or more segments in any code, inside macros as well.
fn paths(tokens: TokenStream, found: &mut Vec<ModulePath>) {
    let mut path: ModulePath = Vec::new();
    let mut colons = 0;
    let mut tokens = tokens.into_iter().peekable();
    if matches!(tokens.peek(), Some(TokenTree::Ident(ident)) if ident == "in") {
        return; // `pub(in crate::store)` names no file.
    }
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => {
                if colons != 2 {
                    found.push(std::mem::take(&mut path));
                }
                path.push(ident.to_string());
                colons = 0;
            }
            TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => colons += 1,
            TokenTree::Group(group) => {
                found.push(std::mem::take(&mut path));
                colons = 0;
                paths(group.stream(), found);
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {
                found.push(std::mem::take(&mut path));
                colons = 0;
            }
        }
    }
    found.push(path);
    found.retain(|path| path.len() > 1);
}

impl Crate {
    /// Reads every file below `root`, which is a crate's `src` folder or a benchmark's.
    fn read(root: &Path, entry: &str) -> Self {
        let mut this = Self::default();
        for file in files_below(root) {
            if file.extension().is_none_or(|extension| extension != "rs")
                || file.file_stem().is_some_and(|stem| stem == "tests")
            {
                continue;
            }
            let inside = file.strip_prefix(root).expect("it is below the root");
            let mut path: ModulePath = inside
                .with_extension("")
                .components()
                .map(|part| part.as_os_str().to_string_lossy().into_owned())
                .collect();
            if path == ["main"] && entry != "main" {
                continue; // A crate of its own, with one line.
            }
            if path.last().is_some_and(|last| last == "mod") || path == [entry] {
                path.pop();
            }
            let text = fs::read_to_string(&file).expect("a source file can be read");
            let parsed = syn::parse_file(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            this.add(path, inside, parsed.items);
        }
        // A file is a child of the folder's module.
        let all: Vec<ModulePath> = this.modules.keys().cloned().collect();
        for path in all {
            if let Some((name, parent)) = path.split_last()
                && let Some(parent) = this.modules.get_mut(parent)
            {
                parent
                    .names
                    .entry(name.clone())
                    .or_default()
                    .push(Name::Module);
            }
        }
        this
    }

    fn add(&mut self, path: ModulePath, file: &Path, items: Vec<Item>) {
        let mut module = Module {
            file: file.to_owned(),
            ..Module::default()
        };
        for item in items {
            if let Item::Use(item) = &item {
                if !is_shipped(&item.attrs) {
                    continue;
                }
                let mut found = Vec::new();
                imports(&item.tree, &ModulePath::new(), &mut found);
                for (from, name) in found {
                    if name == "*" {
                        module.globs.push(from.clone());
                    } else {
                        let imported = Name::Imported(from.clone());
                        module.names.entry(name).or_default().push(imported);
                    }
                    module.mentioned.push(from);
                }
                continue;
            }
            if let Item::Mod(item) = item {
                if let (true, Some((_, items))) = (is_shipped(&item.attrs), item.content) {
                    let mut path = path.clone();
                    path.push(item.ident.to_string());
                    self.add(path, file, items);
                }
                continue;
            }
            if let Some((name, attributes)) = item_name(&item) {
                if !is_shipped(attributes) {
                    continue;
                }
                module.names.entry(name).or_default().push(Name::Here);
            }
            paths(item.to_token_stream(), &mut module.mentioned);
        }
        self.modules.insert(path, module);
    }

    /// Finds the files that define what `path` means inside `module`; none if another crate does.
    fn defined_in(&self, module: &ModulePath, path: &[String]) -> BTreeSet<PathBuf> {
        let Some((first, rest)) = path.split_first() else {
            let module = self.modules.get(module);
            return module
                .map(|module| module.file.clone())
                .into_iter()
                .collect();
        };
        match first.as_str() {
            "crate" => return self.defined_in(&ModulePath::new(), rest),
            "self" => return self.defined_in(module, rest),
            "super" => {
                let parent = module[..module.len().saturating_sub(1)].to_vec();
                return self.defined_in(&parent, rest);
            }
            _ => {}
        }
        let Some(here) = self.modules.get(module) else {
            return BTreeSet::new();
        };
        let key = (module.clone(), path.join("::"));
        if !self.visiting.borrow_mut().insert(key.clone()) {
            return BTreeSet::new();
        }
        let mut found = BTreeSet::new();
        for name in here.names.get(first).into_iter().flatten() {
            match name {
                Name::Here => {
                    found.insert(here.file.clone());
                }
                Name::Module => {
                    let mut child = module.clone();
                    child.push(first.clone());
                    found.extend(self.defined_in(&child, rest));
                }
                Name::Imported(from) => {
                    let mut from = from.clone();
                    from.extend_from_slice(rest);
                    // `use time::{self, …};` names another crate.
                    if from.first() != Some(first) {
                        found.extend(self.defined_in(module, &from));
                    }
                }
            }
        }
        if found.is_empty() {
            for from in &here.globs {
                let mut from = from.clone();
                from.extend_from_slice(path);
                found.extend(self.defined_in(module, &from));
            }
        }
        self.visiting.borrow_mut().remove(&key);
        found
    }

    /// Lists for each file the files whose names it uses, each with one such name.
    fn graph(&self) -> BTreeMap<PathBuf, BTreeMap<PathBuf, String>> {
        let mut graph: BTreeMap<PathBuf, BTreeMap<PathBuf, String>> = BTreeMap::new();
        for (path, module) in &self.modules {
            for mentioned in &module.mentioned {
                for file in self.defined_in(path, mentioned) {
                    if file != module.file {
                        let uses = graph.entry(module.file.clone()).or_default();
                        uses.entry(file).or_insert_with(|| mentioned.join("::"));
                    }
                }
            }
        }
        graph
    }
}

/// Lists the edges that are part of a circle.
fn circular(graph: &BTreeMap<PathBuf, BTreeMap<PathBuf, String>>) -> Vec<String> {
    let reaches = |from: &PathBuf, to: &PathBuf| {
        let mut seen = BTreeSet::from([from]);
        let mut next = vec![from];
        while let Some(file) = next.pop() {
            for file in graph.get(file).into_iter().flat_map(BTreeMap::keys) {
                if file == to {
                    return true;
                }
                if seen.insert(file) {
                    next.push(file);
                }
            }
        }
        false
    };
    let mut found = Vec::new();
    for (from, uses) in graph {
        for (to, name) in uses {
            if reaches(to, from) {
                found.push(format!("{} -> {} ({name})", from.display(), to.display()));
            }
        }
    }
    found
}

#[test]
fn no_files_import_from_each_other_in_a_circle() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (folder, entry, least) in [("src", "lib", 150), ("benches/hits", "main", 3)] {
        let graph = Crate::read(&root.join(folder), entry).graph();
        assert!(
            graph.len() >= least,
            "{folder}: {} files use another",
            graph.len()
        );
        let circles = circular(&graph);
        assert!(circles.is_empty(), "{folder}: {circles:#?}");
    }
}
