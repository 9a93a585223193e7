//! Handlers of `/v2/pods` (`api/v2/PodsResource.scala`).

use axum::http::header::LOCATION;
use serde_json::{Value, json};

use super::answer::{Answer, Error};
use super::apps;
use super::request::Request;
use crate::definition;
use crate::event::Event;
use crate::id;
use crate::scheduler::Change;
use crate::shared::Shared;
use crate::store::{Entry, Store};
use crate::view;

fn find_pod<'a>(store: &'a Store, id: &str) -> Result<&'a Entry, Error> {
    store.find_pod(id).ok_or_else(|| Error::NoPod(id.to_owned()))
}

pub(super) fn list_pods(shared: &Shared) -> Answer {
    let store = shared.visible_store();
    let pods = store.pods().map(|entry| view::pod_definition(&entry.spec, store.generation));
    Answer::ok(&pods.collect())
}

pub(super) fn show_pod(shared: &Shared, id: &str) -> Result<Answer, Error> {
    let store = shared.visible_store();
    Ok(Answer::ok(&view::pod_definition(&find_pod(&store, id)?.spec, store.generation)))
}

pub(super) fn create_pod(shared: &Shared, request: &Request) -> Result<Answer, Error> {
    let body = request.parse_object()?;
    let id = apps::read_id("/", &body)?;
    let spec = definition::create_pod(&id, body)?;
    shared.update_store(|store| {
        if store.find_pod(&id).is_some() {
            return Err(Error::PodExists(id));
        }
        if store.find_app(&id).is_some() {
            return Err(Error::AppExists(id));
        }
        put_pod(store, spec, request, 201, "pod_created_event").map(|answer| {
            answer.with_header(LOCATION, format!("{}/v2/pods{id}", shared.leader_url()))
        })
    })
}

pub(super) fn replace_pod(shared: &Shared, id: &str, request: &Request) -> Result<Answer, Error> {
    let body = request.parse_object()?;
    let own = body.get("id").and_then(Value::as_str).unwrap_or(id);
    if id::absolute_path(own) != id {
        return Err(Error::Bad(format!("'{id}' does not match definition's id ('{own}')")));
    }
    let spec = definition::create_pod(id, body)?;
    shared.update_store(|store| {
        find_pod(store, id)?;
        put_pod(store, spec, request, 200, "pod_updated_event")
    })
}

fn put_pod(
    store: &mut Store,
    spec: definition::Spec,
    request: &Request,
    status: u16,
    event: &'static str,
) -> Result<Answer, Error> {
    let id = spec.id.clone();
    let deployed = store.apply_changes(
        id::parent_path(&id),
        vec![Change::Put(spec)],
        request.flag("force"),
    )?;
    announce_pod_event(store, request, event);
    let pod = view::pod_definition(&find_pod(store, &id)?.spec, store.generation);
    Ok(Answer::json(status, &pod).with_deployment(&deployed, store.generation))
}

/// Announces a request about a pod. Only the path of the request tells the id, and that of a POST
/// doesn't.
fn announce_pod_event(store: &mut Store, request: &Request, kind: &'static str) {
    let client = json!(request.client.ip().to_string());
    store.push_event(Event::new(kind, [("clientIp", client), ("uri", json!(request.path))]));
}

pub(super) fn remove_pod(shared: &Shared, id: &str, request: &Request) -> Result<Answer, Error> {
    shared.update_store(|store| {
        find_pod(store, id)?;
        let gone = vec![Change::Remove(id.to_owned())];
        let deployed = store.apply_changes(id::parent_path(id), gone, request.flag("force"))?;
        announce_pod_event(store, request, "pod_deleted_event");
        let answer = Answer::empty(202).with_header(LOCATION, deployed.id.clone());
        Ok(answer.with_deployment(&deployed, store.generation))
    })
}

pub(super) fn list_pod_statuses(shared: &Shared) -> Answer {
    let store = shared.visible_store();
    Answer::ok(&store.pods().map(|entry| view::pod_status(&store, entry)).collect())
}

pub(super) fn show_pod_status(shared: &Shared, id: &str) -> Result<Answer, Error> {
    let store = shared.visible_store();
    Ok(Answer::ok(&view::pod_status(&store, find_pod(&store, id)?)))
}

pub(super) fn list_pod_versions(shared: &Shared, id: &str) -> Result<Answer, Error> {
    let store = shared.visible_store();
    Ok(Answer::ok(&find_pod(&store, id)?.versions.keys().map(|at| Value::from(*at)).collect()))
}

pub(super) fn show_pod_version(shared: &Shared, id: &str, version: &str) -> Result<Answer, Error> {
    let store = shared.visible_store();
    let entry = find_pod(&store, id)?;
    let spec = version.parse().ok().and_then(|version| entry.versions.get(&version));
    let spec = spec.ok_or_else(|| Error::NoPod(id.to_owned()))?;
    Ok(Answer::ok(&view::pod_definition(spec, store.generation)))
}

pub(super) fn kill_pod_instance(
    shared: &Shared,
    id: &str,
    instance: &str,
) -> Result<Answer, Error> {
    let mut killed = kill_instances(shared, id, |known| known == instance)?;
    match killed.pop() {
        Some(status) => Ok(Answer::ok(&status)),
        None => Err(Error::NoTask(instance.to_owned())),
    }
}

pub(super) fn kill_pod_instances(
    shared: &Shared,
    id: &str,
    request: &Request,
) -> Result<Answer, Error> {
    let ids = request.parse_json()?;
    let ids = ids.as_array().ok_or_else(|| Error::wrong_shape("error.expected.jsarray"))?;
    let killed = kill_instances(shared, id, |known| ids.iter().any(|id| id == known))?;
    Ok(Answer::ok(&json!(killed)))
}

fn kill_instances(
    shared: &Shared,
    id: &str,
    chosen: impl Fn(&str) -> bool,
) -> Result<Vec<Value>, Error> {
    shared.update_store(|store| {
        find_pod(store, id)?;
        let ids: Vec<String> = store
            .instances_of(id)
            .filter(|instance| chosen(&instance.id))
            .map(|instance| instance.id.clone())
            .collect();
        ids.iter().for_each(|id| store.kill_instance(id));
        let killed = store.instances_of(id).filter(|instance| ids.contains(&instance.id));
        Ok(killed.map(|instance| view::pod_instance(store, instance)).collect())
    })
}
