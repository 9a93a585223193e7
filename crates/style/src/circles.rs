//! Finds circles of imports: files of a crate that use each other's items, straight or through
//! others.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::Crate;
use crate::imports::{Uses, find_uses};

/// Files that all use one another, straight or through others.
#[derive(Debug, PartialEq, Eq)]
pub struct Circle {
    /// The files, sorted.
    pub files: Vec<PathBuf>,
    /// The items that they use of one another.
    pub imports: Vec<Import>,
}

/// One file's use of another one's items.
#[derive(Debug, PartialEq, Eq)]
pub struct Import {
    /// The file that uses them.
    pub user: PathBuf,
    /// The file that defines them.
    pub definer: PathBuf,
    /// Their names.
    pub items: Vec<String>,
}

/// Finds the circles of imports of a crate.
#[must_use]
pub fn find_circles(krate: &Crate) -> Vec<Circle> {
    let uses = find_uses(krate);
    let reachable: Vec<_> =
        (0..krate.files.len()).map(|file| reachable_from(file, &uses)).collect();
    let mut circles = Vec::new();
    let mut placed = BTreeSet::new();
    for file in 0..krate.files.len() {
        // A file that reaches itself is in exactly one circle, with all that it reaches and is
        // reached by.
        let in_circle = |other: &usize| reachable[*other].contains(&file);
        let members: BTreeSet<_> = reachable[file].iter().copied().filter(in_circle).collect();
        if !members.is_empty() && placed.insert(members.clone()) {
            circles.push(describe_circle(krate, &uses, &members));
        }
    }
    circles
}

/// Finds the files that `file` uses, straight or through others.
fn reachable_from(file: usize, uses: &Uses) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut ahead = vec![file];
    while let Some(user) = ahead.pop() {
        for (_, definer) in uses.keys().filter(|(from, _)| *from == user) {
            if reached.insert(*definer) {
                ahead.push(*definer);
            }
        }
    }
    reached
}

fn describe_circle(krate: &Crate, uses: &Uses, members: &BTreeSet<usize>) -> Circle {
    let path = |file: usize| krate.files[file].path.clone();
    let within = uses
        .iter()
        .filter(|((user, definer), _)| members.contains(user) && members.contains(definer));
    let import = |((user, definer), items): (&(usize, usize), &BTreeSet<String>)| Import {
        user: path(*user),
        definer: path(*definer),
        items: items.iter().cloned().collect(),
    };
    let mut files: Vec<_> = members.iter().copied().map(path).collect();
    files.sort();
    Circle { files, imports: within.map(import).collect() }
}
