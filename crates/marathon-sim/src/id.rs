//! Paths of apps and pods, and ids of instances and tasks.

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::config::Generation;

/// Normalises a path as Marathon stores it: one leading slash, none at the end.
pub(crate) fn absolute_path(path: &str) -> String {
    format!("/{}", path.trim_matches('/'))
}

/// Resolves a path relative to the group `base`.
pub(crate) fn resolve_path(base: &str, path: &str) -> String {
    if path.starts_with('/') {
        absolute_path(path)
    } else {
        absolute_path(&format!("{base}/{path}"))
    }
}

/// Tells whether `id` is in the group `group`.
pub(crate) fn is_inside(group: &str, id: &str) -> bool {
    group == "/" || id.strip_prefix(group).is_some_and(|rest| rest.starts_with('/'))
}

/// Returns the group of a path.
pub(crate) fn parent_path(id: &str) -> &str {
    match id.rfind('/') {
        Some(0) | None => "/",
        Some(at) => &id[..at],
    }
}

/// Generates a random UUID (version 4).
pub(crate) fn new_uuid() -> String {
    let random = || RandomState::new().build_hasher().finish();
    let (high, low) = (random(), random());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | (low >> 48) & 0x3fff,
        low & 0xffff_ffff_ffff,
    )
}

/// The naming of an instance and its tasks.
///
/// Until 1.3 there are only tasks, `app.UUID`. From 1.4 on instance and task share a UUID. From 1.8
/// on the id of a task also has its container (`_app` in an app) and its incarnation.
///
/// A resident task that is started again keeps the rest of its id. Until 1.4.6 it keeps all of it;
/// later the number of its incarnation tells it apart (`Task.Id.forResidentTask`).
#[derive(Debug, Clone)]
pub(crate) struct Naming {
    stem: String,
    uuid: String,
    generation: Generation,
    pod: bool,
    /// Number of times that it was started again.
    restarts: u32,
}

impl Naming {
    pub(crate) fn new(id: &str, generation: Generation, pod: bool) -> Self {
        Self {
            stem: id.trim_start_matches('/').replace('/', "_"),
            uuid: new_uuid(),
            generation,
            pod,
            restarts: 0,
        }
    }

    /// Returns the naming of the next incarnation.
    pub(crate) fn next_incarnation(self) -> Self {
        Self { restarts: self.restarts + 1, ..self }
    }

    pub(crate) fn instance_id(&self) -> String {
        let kind = match self.generation {
            Generation::V1_1 => "",
            Generation::V1_4 | Generation::V1_5 if !self.pod => "marathon-",
            _ => "instance-",
        };
        format!("{}.{kind}{}", self.stem, self.uuid)
    }

    pub(crate) fn task_id(&self, container: Option<&str>) -> String {
        match (self.generation, container) {
            (Generation::V1_6, name) => {
                let incarnation = self.restarts + 1;
                format!("{}.{}.{incarnation}", self.instance_id(), name.unwrap_or("_app"))
            }
            (_, Some(name)) => format!("{}.{name}", self.instance_id()),
            (Generation::V1_4 | Generation::V1_5, None) if self.restarts > 0 => {
                format!("{}.{}.{}", self.stem, self.uuid, self.restarts)
            }
            (_, None) => format!("{}.{}", self.stem, self.uuid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_absolute_and_read_within_their_group() {
        assert_eq!(absolute_path("mysql"), "/mysql");
        assert_eq!(absolute_path("//grp/mysql/"), "/grp/mysql");
        assert_eq!(resolve_path("/grp", "mysql"), "/grp/mysql");
        assert_eq!(resolve_path("/grp", "/mysql"), "/mysql");
        assert!(is_inside("/", "/mysql") && is_inside("/a", "/a/b/c"));
        assert!(!is_inside("/a", "/ab") && !is_inside("/a", "/a"));
        assert_eq!((parent_path("/a/b"), parent_path("/a")), ("/a", "/"));
    }

    #[test]
    fn task_ids_have_the_form_of_their_generation() {
        for (generation, task, instance) in [
            (Generation::V1_1, "g_db.U", "g_db.U"),
            (Generation::V1_4, "g_db.U", "g_db.marathon-U"),
            (Generation::V1_6, "g_db.instance-U._app.1", "g_db.instance-U"),
        ] {
            let mut naming = Naming::new("/g/db", generation, false);
            assert_eq!(naming.uuid.len(), 36);
            naming.uuid = "U".to_owned();
            assert_eq!(
                (naming.task_id(None).as_str(), naming.instance_id().as_str()),
                (task, instance)
            );
        }
    }
}
