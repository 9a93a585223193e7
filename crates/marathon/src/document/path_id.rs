//! Ids of apps, pods and groups.

/// Resolves an id, which may be relative to the group around its definition, as Marathon does
/// (`PathId.scala`). `..` above the root stays at the root.
pub(super) fn resolve_id(group: &str, id: &str) -> String {
    let base = if id.starts_with('/') { "" } else { group };
    let mut path = Vec::new();
    for segment in base.split('/').chain(id.split('/')) {
        match segment {
            "" | "." => {}
            ".." => drop(path.pop()),
            name => path.push(name),
        }
    }
    format!("/{}", path.join("/"))
}

#[cfg(test)]
mod tests {
    use super::resolve_id;

    #[test]
    fn ids_resolve_as_in_marathon() {
        for (group, id, expected) in [
            ("", "db", "/db"),
            ("/", "db", "/db"),
            ("/", "/db", "/db"),
            ("/prod", "db", "/prod/db"),
            ("/prod", "db/mysql", "/prod/db/mysql"),
            ("/prod", "/db", "/db"),
            ("/prod/db", "../web", "/prod/web"),
            ("/prod/db", "../../../web", "/web"),
            ("/prod/db", "./mysql", "/prod/db/mysql"),
            ("/prod/db", "mysql/.", "/prod/db/mysql"),
            ("/prod", "../test/./web/../db", "/test/db"),
            ("/prod", "/a/../b", "/b"),
            ("/prod", "//a///b//", "/a/b"),
            ("/prod", "a/", "/prod/a"),
            ("/prod", "...", "/prod/..."),
            ("/prod", ".hidden", "/prod/.hidden"),
            ("/prod", "a b", "/prod/a b"),
            ("/prod", ".", "/prod"),
            ("/prod", "..", "/"),
            ("/", "/..", "/"),
            ("", "//", "/"),
        ] {
            assert_eq!(resolve_id(group, id), expected, "{id} in {group}");
        }
    }
}
