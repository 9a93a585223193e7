//! Finds the items that one file of a crate uses of another. A path leads to the file that defines
//! the item, not to those that re-export it.

use std::collections::{BTreeMap, BTreeSet};

use syn::{ItemUse, UseTree, Visibility};

use crate::modules::{Crate, Module};
use crate::scan::{Piece, scan_tokens};

/// For each pair of files, by index, the items of the second that the first uses.
pub(crate) type Uses = BTreeMap<(usize, usize), BTreeSet<String>>;

/// Finds what each file uses of the others.
pub(crate) fn find_uses(krate: &Crate) -> Uses {
    let (scopes, mentioned) = read_scopes(krate);
    let resolver = Resolver { krate, scopes: &scopes };
    let mut uses = Uses::new();
    for (module, paths) in mentioned.iter().enumerate() {
        let user = krate.modules[module].file;
        for path in paths {
            for target in resolver.resolve_path(module, path, &mut Vec::new()) {
                if let Target::Item { file, name } = target
                    && file != user
                {
                    uses.entry((user, file)).or_default().insert(name.to_owned());
                }
            }
        }
    }
    uses
}

/// A path's segments.
type Path = Vec<String>;

/// The names that a module imports.
#[derive(Default)]
struct Scope {
    /// The path behind each name. There may be several: types and functions can share a name.
    names: BTreeMap<String, Vec<Path>>,
    /// Paths of modules whose names are all imported.
    globs: Vec<Path>,
}

/// Reads the imports of each module and the paths that its code mentions. An import that is not
/// public counts as mentioned: a trait may be used by its methods alone. A re-export does not.
fn read_scopes(krate: &Crate) -> (Vec<Scope>, Vec<BTreeSet<Path>>) {
    let mut scopes = Vec::new();
    let mut mentioned = Vec::new();
    for module in &krate.modules {
        let mut scope = Scope::default();
        let mut paths = BTreeSet::new();
        let mut import = |item: &ItemUse, paths: &mut BTreeSet<Path>| {
            let is_private = matches!(item.vis, Visibility::Inherited);
            for (name, path) in import_leaves(&item.tree) {
                if is_private {
                    paths.insert(path.clone());
                }
                match name {
                    Some(name) => scope.names.entry(name).or_default().push(path),
                    None => scope.globs.push(path),
                }
            }
        };
        for item in &module.imports {
            import(item, &mut paths);
        }
        for code in &module.code {
            scan_tokens(code.clone(), &mut |piece| match piece {
                Piece::Import(item) => import(&item, &mut paths),
                Piece::Path(path) => {
                    paths.insert(path);
                }
                Piece::Function(_) | Piece::DocComment(..) => {}
            });
        }
        scopes.push(scope);
        mentioned.push(paths);
    }
    (scopes, mentioned)
}

/// Lists the names that a `use` tree imports with their paths; a glob has no name.
fn import_leaves(tree: &UseTree) -> Vec<(Option<String>, Path)> {
    match tree {
        UseTree::Path(path) => {
            let first = path.ident.to_string();
            let mut found = import_leaves(&path.tree);
            for (name, rest) in &mut found {
                // `a::{self}` imports `a`.
                if rest.as_slice() == ["self"] {
                    rest.clear();
                    if name.as_deref() == Some("self") {
                        *name = Some(first.clone());
                    }
                }
                rest.insert(0, first.clone());
            }
            found
        }
        UseTree::Name(name) => vec![(Some(name.ident.to_string()), vec![name.ident.to_string()])],
        UseTree::Rename(name) => {
            vec![(Some(name.rename.to_string()), vec![name.ident.to_string()])]
        }
        UseTree::Glob(_) => vec![(None, Vec::new())],
        UseTree::Group(group) => group.items.iter().flat_map(import_leaves).collect(),
    }
}

/// The end of a path.
#[derive(Clone, Copy)]
enum Target<'a> {
    Module(usize),
    Item { file: usize, name: &'a str },
}

struct Resolver<'a> {
    krate: &'a Crate,
    scopes: &'a [Scope],
}

impl<'a> Resolver<'a> {
    /// Follows a path from a module. Paths into other crates and local names lead nowhere.
    /// `visited` holds the names whose lookup is under way.
    fn resolve_path(
        &self,
        module: usize,
        path: &'a [String],
        visited: &mut Vec<(usize, &'a str)>,
    ) -> Vec<Target<'a>> {
        let mut targets = vec![Target::Module(module)];
        for name in path {
            let step = |target| match (target, name.as_str()) {
                // A variant or a method is defined where its type is.
                (Target::Item { .. }, _) | (Target::Module(_), "self") => vec![target],
                (Target::Module(_), "crate") => vec![Target::Module(0)],
                (Target::Module(module), "super") => {
                    self.krate.modules[module].parent.map(Target::Module).into_iter().collect()
                }
                (Target::Module(module), name) => self.look_up(module, name, visited),
            };
            targets = targets.into_iter().flat_map(step).collect();
        }
        targets
    }

    /// Looks up a name in a module.
    fn look_up(
        &self,
        module: usize,
        name: &'a str,
        visited: &mut Vec<(usize, &'a str)>,
    ) -> Vec<Target<'a>> {
        if visited.contains(&(module, name)) {
            return Vec::new();
        }
        visited.push((module, name));
        let Module { file, children, defined, .. } = &self.krate.modules[module];
        let mut found: Vec<_> =
            children.get(name).copied().map(Target::Module).into_iter().collect();
        if defined.contains(name) {
            found.push(Target::Item { file: *file, name });
        }
        for path in self.scopes[module].names.get(name).into_iter().flatten() {
            found.extend(self.resolve_path(module, path, visited));
        }
        if found.is_empty() {
            for glob in &self.scopes[module].globs {
                for target in self.resolve_path(module, glob, visited) {
                    if let Target::Module(module) = target {
                        found.extend(self.look_up(module, name, visited));
                    }
                }
            }
        }
        visited.pop();
        found
    }
}
