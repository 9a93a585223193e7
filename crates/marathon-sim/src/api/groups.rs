//! Handlers of `/v2/groups` (`api/v2/GroupsResource.scala`): groups of apps, and of pods from 1.4
//! on.

use axum::http::header::LOCATION;
use serde_json::Value;

use super::answer::{Answer, Error};
use super::apps;
use super::request::{Request, into_object};
use crate::definition::{self, Object};
use crate::id;
use crate::scheduler::{Change, Deployed};
use crate::shared::Shared;
use crate::store::Store;
use crate::view::{self, GroupEmbed};

pub(super) fn show_group(shared: &Shared, id: &str, request: &Request) -> Result<Answer, Error> {
    let store = shared.visible_store();
    if !store.has_group(id) {
        return Err(Error::NoGroup(id.to_owned()));
    }
    let embed = GroupEmbed::from_parameters(request.parameters("embed"));
    Ok(Answer::ok(&view::group_tree(&store, id, embed)))
}

/// Returns the group of a body: its id, relative to `base`, or `base` itself.
fn group_id(base: &str, body: &Object) -> String {
    match body.get("id").and_then(Value::as_str) {
        Some(id) => id::resolve_path(base, id),
        None => base.to_owned(),
    }
}

pub(super) fn create_group(
    shared: &Shared,
    base: &str,
    request: &Request,
) -> Result<Answer, Error> {
    let body = request.parse_object()?;
    let group = group_id(base, &body);
    let change = read(shared, &group, body)?;
    shared.update_store(|store| {
        if store.has_group(&group) {
            return Err(Error::GroupExists(group));
        }
        if store.contains(&group) {
            return Err(Error::AppExists(group));
        }
        let deployed = change.apply_to(store, &group, request)?;
        let answer = Answer::from_deployment(201, &deployed, store.generation);
        Ok(answer.with_header(LOCATION, format!("{}/v2/groups{group}", shared.leader_url())))
    })
}

pub(super) fn replace_group(
    shared: &Shared,
    base: &str,
    request: &Request,
) -> Result<Answer, Error> {
    let body = request.parse_object()?;
    let group = group_id(base, &body);
    let change = read(shared, &group, body)?;
    shared.update_store(|store| {
        let deployed = change.apply_to(store, &group, request)?;
        Ok(Answer::from_deployment(200, &deployed, store.generation))
    })
}

pub(super) fn remove_group(shared: &Shared, id: &str, request: &Request) -> Result<Answer, Error> {
    shared.update_store(|store| {
        if !store.has_group(id) {
            return Err(Error::NoGroup(id.to_owned()));
        }
        let inside: Vec<Change> = remove_members(store, |member| id::is_inside(id, member));
        let deployed = store.apply_changes(id, inside, request.flag("force"))?;
        store.remove_group(id);
        Ok(Answer::from_deployment(200, &deployed, store.generation))
    })
}

/// Removes every app and pod whose id is `chosen`.
fn remove_members(store: &Store, chosen: impl Fn(&str) -> bool) -> Vec<Change> {
    let all = store.apps().chain(store.pods()).map(|entry| entry.spec.id.clone());
    all.filter(|id| chosen(id)).map(Change::Remove).collect()
}

/// The desired state of a group.
#[derive(Default)]
struct GroupChange {
    groups: Vec<String>,
    put: Vec<definition::Spec>,
    /// Groups whose apps were listed: other apps in them are removed.
    listed_apps: Vec<String>,
    listed_pods: Vec<String>,
}

fn read(shared: &Shared, group: &str, body: Object) -> Result<GroupChange, Error> {
    let mut change = GroupChange::default();
    change.read(shared, group, body)?;
    Ok(change)
}

impl GroupChange {
    fn read(&mut self, shared: &Shared, group: &str, mut body: Object) -> Result<(), Error> {
        if group != "/" {
            definition::check_path(group)?;
        }
        self.groups.push(group.to_owned());
        let mut list = |key: &str| match body.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(_) => Err(Error::wrong_shape(&format!("{key}: error.expected.jsarray"))),
        };
        let (apps, pods, groups) = (list("apps")?, list("pods")?, list("groups")?);
        if let Some(apps) = apps {
            self.listed_apps.push(group.to_owned());
            for app in apps {
                self.put.push(apps::read_app(shared, group, into_object(app)?)?);
            }
        }
        if let Some(pods) = pods.filter(|_| shared.config.generation.has_pods()) {
            self.listed_pods.push(group.to_owned());
            for pod in pods {
                let pod = into_object(pod)?;
                self.put.push(definition::create_pod(&apps::read_id(group, &pod)?, pod)?);
            }
        }
        // The parser of the JSON has limited the depth.
        for inner in groups.unwrap_or_default() {
            let inner = into_object(inner)?;
            let id = apps::read_id(group, &inner)?;
            self.read(shared, &id, inner)?;
        }
        Ok(())
    }

    fn apply_to(
        self,
        store: &mut Store,
        group: &str,
        request: &Request,
    ) -> Result<Deployed, Error> {
        let is_put = |id: &str| self.put.iter().any(|spec| spec.id == id);
        let mut changes = remove_members(store, |member| {
            let listed = match store.find_pod(member) {
                Some(_) => &self.listed_pods,
                None => &self.listed_apps,
            };
            !is_put(member) && listed.iter().any(|group| id::parent_path(member) == group)
        });
        changes.extend(self.put.into_iter().map(Change::Put));
        let deployed = store.apply_changes(group, changes, request.flag("force"))?;
        self.groups.iter().for_each(|group| store.add_group(group));
        Ok(deployed)
    }
}
