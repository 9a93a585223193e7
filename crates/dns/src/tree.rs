//! Names below a zone, and the empty names between them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::domain_name::parent_labels;
use crate::zone_file::Addresses;

/// Names in wire format with their data.
///
/// `web.a` makes `a` exist too, without data: a resolver that asks for it must not conclude that
/// nothing is below. RFC 8020 calls that an empty non-terminal.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    nodes: HashMap<Arc<[u8]>, Node>,
}

#[derive(Debug, Default)]
struct Node {
    data: Option<Data>,
    /// The number of nodes one label longer.
    children: u32,
}

/// What is known about a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Data {
    Vip(Addresses),
    Host(Box<[IpAddr]>),
}

impl Data {
    /// Returns whether the name is that of a task's host or container.
    pub(crate) fn is_host(&self) -> bool {
        matches!(self, Self::Host(_))
    }
}

impl Tree {
    /// Returns the data of a name; the inner `None` is that of an empty non-terminal.
    pub(crate) fn find_node(&self, name: &[u8]) -> Option<Option<&Data>> {
        self.nodes.get(name).map(|node| node.data.as_ref())
    }

    /// Lists all nodes, sorted.
    #[cfg(test)]
    pub(crate) fn list_nodes(&self) -> Vec<String> {
        let nodes = self
            .nodes
            .iter()
            .map(|(name, node)| format!("{} {node:?}", String::from_utf8_lossy(name)));
        let mut nodes: Vec<_> = nodes.collect();
        nodes.sort();
        nodes
    }

    /// Adds a name, and returns false if it was there.
    pub(crate) fn add_name(&mut self, name: &[u8], data: Data) -> bool {
        if let Some(node) = self.nodes.get_mut(name) {
            return node.data.replace(data).is_none();
        }
        self.nodes.insert(name.into(), Node { data: Some(data), children: 0 });
        let mut parent = parent_labels(name);
        while !parent.is_empty() {
            if let Some(node) = self.nodes.get_mut(parent) {
                node.children += 1;
                break;
            }
            self.nodes.insert(parent.into(), Node { data: None, children: 1 });
            parent = parent_labels(parent);
        }
        true
    }

    /// Removes a name, and the empty names that nothing is below any more.
    pub(crate) fn remove_name(&mut self, name: &[u8]) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.data = None;
        }
        let mut name = name;
        while self.nodes.get(name).is_some_and(Node::is_unused) {
            self.nodes.remove(name);
            name = parent_labels(name);
            let Some(parent) = self.nodes.get_mut(name) else { return };
            parent.children = parent.children.saturating_sub(1);
        }
    }
}

impl Node {
    fn is_unused(&self) -> bool {
        self.data.is_none() && self.children == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain_name::DomainName;
    use proptest::prelude::*;

    fn wire(name: &str) -> Vec<u8> {
        DomainName::parse(name).map(|name| name.as_wire().to_vec()).unwrap_or_default()
    }

    #[test]
    fn empty_names_come_and_go_with_what_is_below_them() {
        let mut tree = Tree::default();
        let data = || Data::Vip(Addresses::default());
        assert!(tree.add_name(&wire("a.b.c"), data()));
        assert!(!tree.add_name(&wire("a.b.c"), data()));
        assert_eq!(tree.find_node(&wire("c")), Some(None));
        assert!(tree.add_name(&wire("b.c"), data()));
        assert_eq!(tree.find_node(&wire("b.c")), Some(Some(&data())));
        tree.remove_name(&wire("a.b.c"));
        assert_eq!(tree.find_node(&wire("a.b.c")), None);
        assert_eq!(tree.find_node(&wire("b.c")), Some(Some(&data())));
        tree.remove_name(&wire("b.c"));
        assert!(tree.nodes.is_empty());
    }

    proptest! {
        #[test]
        fn a_name_exists_if_a_name_is_there_or_below(
            changes in prop::collection::vec((any::<bool>(), "[ab](\\.[ab]){0,4}"), 0..40)
        ) {
            let (mut tree, mut names) = (Tree::default(), std::collections::BTreeSet::new());
            for (adds, name) in changes {
                match adds {
                    true => { tree.add_name(&wire(&name), Data::Vip(Addresses::default())); names.insert(name); }
                    false => { tree.remove_name(&wire(&name)); names.remove(&name); }
                }
            }
            let mut expected = std::collections::BTreeSet::new();
            for name in &names {
                let starts = name.match_indices('.').map(|(dot, _)| dot + 1).chain([0]);
                expected.extend(starts.map(|start| wire(&name[start..])));
            }
            let found: std::collections::BTreeSet<_> = tree.nodes.keys().map(|key| key.to_vec()).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
