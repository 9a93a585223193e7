//! `/v2/pods` (`api/v2/PodsResource.scala`).

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

fn find<'a>(store: &'a Store, id: &str) -> Result<&'a Entry, Error> {
    store.pod(id).ok_or_else(|| Error::NoPod(id.to_owned()))
}

pub(super) fn list(shared: &Shared) -> Answer {
    let store = shared.seen();
    let pods = store.pods().map(|entry| view::pod(&entry.spec, store.generation));
    Answer::ok(&pods.collect())
}

pub(super) fn show(shared: &Shared, id: &str) -> Result<Answer, Error> {
    let store = shared.seen();
    Ok(Answer::ok(&view::pod(&find(&store, id)?.spec, store.generation)))
}

pub(super) fn create(shared: &Shared, request: &Request) -> Result<Answer, Error> {
    let body = request.object()?;
    let id = apps::named("/", &body)?;
    let spec = definition::create_pod(&id, body)?;
    shared.update(|store| {
        if store.pod(&id).is_some() {
            return Err(Error::PodExists(id));
        }
        if store.app(&id).is_some() {
            return Err(Error::AppExists(id));
        }
        put(store, spec, request, 201, "pod_created_event")
            .map(|answer| answer.with(LOCATION, format!("{}/v2/pods{id}", shared.leader_url())))
    })
}

pub(super) fn replace(shared: &Shared, id: &str, request: &Request) -> Result<Answer, Error> {
    let body = request.object()?;
    let own = body.get("id").and_then(Value::as_str).unwrap_or(id);
    if id::absolute(own) != id {
        return Err(Error::Bad(format!("'{id}' does not match definition's id ('{own}')")));
    }
    let spec = definition::create_pod(id, body)?;
    shared.update(|store| {
        find(store, id)?;
        put(store, spec, request, 200, "pod_updated_event")
    })
}

fn put(
    store: &mut Store,
    spec: definition::Spec,
    request: &Request,
    status: u16,
    event: &'static str,
) -> Result<Answer, Error> {
    let id = spec.id.clone();
    let deployed = store.change(id::parent(&id), vec![Change::Put(spec)], request.flag("force"))?;
    pod_event(store, request, event);
    let pod = view::pod(&find(store, &id)?.spec, store.generation);
    Ok(Answer::json(status, &pod).deployed(&deployed, store.generation))
}

/// The id is told by the path of the request alone, and by a POST's not at all.
fn pod_event(store: &mut Store, request: &Request, kind: &'static str) {
    let client = json!(request.client.ip().to_string());
    store.announce(Event::new(kind, [("clientIp", client), ("uri", json!(request.path))]));
}

pub(super) fn remove(shared: &Shared, id: &str, request: &Request) -> Result<Answer, Error> {
    shared.update(|store| {
        find(store, id)?;
        let gone = vec![Change::Remove(id.to_owned())];
        let deployed = store.change(id::parent(id), gone, request.flag("force"))?;
        pod_event(store, request, "pod_deleted_event");
        let answer = Answer::empty(202).with(LOCATION, deployed.id.clone());
        Ok(answer.deployed(&deployed, store.generation))
    })
}

pub(super) fn statuses(shared: &Shared) -> Answer {
    let store = shared.seen();
    Answer::ok(&store.pods().map(|entry| view::pod_status(&store, entry)).collect())
}

pub(super) fn status(shared: &Shared, id: &str) -> Result<Answer, Error> {
    let store = shared.seen();
    Ok(Answer::ok(&view::pod_status(&store, find(&store, id)?)))
}

pub(super) fn versions(shared: &Shared, id: &str) -> Result<Answer, Error> {
    let store = shared.seen();
    Ok(Answer::ok(&find(&store, id)?.versions.keys().map(|at| Value::from(*at)).collect()))
}

pub(super) fn version(shared: &Shared, id: &str, version: &str) -> Result<Answer, Error> {
    let store = shared.seen();
    let entry = find(&store, id)?;
    let spec = version.parse().ok().and_then(|version| entry.versions.get(&version));
    let spec = spec.ok_or_else(|| Error::NoPod(id.to_owned()))?;
    Ok(Answer::ok(&view::pod(spec, store.generation)))
}

pub(super) fn kill_one(shared: &Shared, id: &str, instance: &str) -> Result<Answer, Error> {
    let mut killed = kill(shared, id, |known| known == instance)?;
    match killed.pop() {
        Some(status) => Ok(Answer::ok(&status)),
        None => Err(Error::NoTask(instance.to_owned())),
    }
}

pub(super) fn kill_many(shared: &Shared, id: &str, request: &Request) -> Result<Answer, Error> {
    let ids = request.json()?;
    let ids = ids.as_array().ok_or_else(|| Error::shape("error.expected.jsarray"))?;
    let killed = kill(shared, id, |known| ids.iter().any(|id| id == known))?;
    Ok(Answer::ok(&json!(killed)))
}

fn kill(shared: &Shared, id: &str, chosen: impl Fn(&str) -> bool) -> Result<Vec<Value>, Error> {
    shared.update(|store| {
        find(store, id)?;
        let ids: Vec<String> = store
            .instances_of(id)
            .filter(|instance| chosen(&instance.id))
            .map(|instance| instance.id.clone())
            .collect();
        ids.iter().for_each(|id| store.kill(id));
        let killed = store.instances_of(id).filter(|instance| ids.contains(&instance.id));
        Ok(killed.map(|instance| view::pod_instance(store, instance)).collect())
    })
}
