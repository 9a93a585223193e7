//! JSON of groups, as a tree.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Embed, app_definition, app_info, pod_status};
use crate::id;
use crate::store::{Entry, Store};

/// The parts of a group in an answer (`api/v2/InfoEmbedResolver.scala`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupEmbed {
    groups: bool,
    apps: bool,
    pods: bool,
    /// The parts of the apps. None: definitions only.
    of_apps: Option<Embed>,
}

impl GroupEmbed {
    /// Parses `embed=group.apps` and the like; without any, all parts are shown.
    pub(crate) fn from_parameters<'a>(parameters: impl Iterator<Item = &'a str>) -> Self {
        let stem = |p: &'a str| p.strip_prefix("group.").unwrap_or(p);
        let names: BTreeSet<&str> = parameters.map(stem).collect();
        if names.is_empty() {
            return Self { groups: true, apps: true, pods: true, of_apps: None };
        }
        let of_apps = names.iter().filter(|name| name.starts_with("apps."));
        Self {
            groups: names.contains("groups"),
            apps: names.contains("apps"),
            pods: names.contains("pods"),
            of_apps: (of_apps.clone().next().is_some())
                .then(|| Embed::from_parameters(of_apps.copied())),
        }
    }
}

/// Returns a group with its contents.
pub(crate) fn group_tree(store: &Store, id: &str, embed: GroupEmbed) -> Value {
    let own = |entry: &&Entry| id::parent_path(&entry.spec.id) == id;
    let newest = store.apps().chain(store.pods()).map(|entry| entry.spec.version).max();
    let mut view = json!({"id": id, "dependencies": [], "groups": [], "apps": []});
    if store.generation.has_pods() {
        view["pods"] = json!([]);
        if embed.pods {
            view["pods"] = store.pods().filter(own).map(|pod| pod_status(store, pod)).collect();
        }
    }
    if let Some(version) = newest {
        view["version"] = version.into();
    }
    if embed.apps {
        let show = |entry: &Entry| match embed.of_apps {
            Some(embed) => app_info(store, entry, embed),
            None => Value::Object(app_definition(&entry.spec, store.generation)),
        };
        view["apps"] = store.apps().filter(own).map(show).collect();
    }
    if embed.groups {
        view["groups"] =
            child_groups(store, id).iter().map(|id| group_tree(store, id, embed)).collect();
    }
    view
}

/// Returns the direct subgroups of `id`.
fn child_groups(store: &Store, id: &str) -> BTreeSet<String> {
    let entries = store.apps().chain(store.pods()).map(|entry| id::parent_path(&entry.spec.id));
    let inside = entries.chain(store.groups()).filter(|group| id::is_inside(id, group));
    let child = |group: &str| {
        let below = group[id.len()..].trim_start_matches('/');
        let name = below.split('/').next().unwrap_or_default();
        id::resolve_path(id, name)
    };
    inside.filter(|group| *group != "/").map(child).collect()
}
