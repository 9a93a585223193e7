//! Handlers of `/v2/apps` (`api/v2/AppsResource.scala`).

use axum::http::header::LOCATION;
use serde_json::{Value, json};

use super::answer::{Answer, Error};
use super::request::{Request, into_object};
use crate::definition::{self, Object, Spec};
use crate::event::Event;
use crate::id;
use crate::scheduler::{Change, Deployed};
use crate::shared::Shared;
use crate::store::Store;
use crate::view::{self, Embed};

pub(super) fn list_apps(shared: &Shared, request: &Request) -> Answer {
    let embed = Embed::from_parameters(request.parameters("embed"));
    let part = |key: &str, text: &str| request.parameter(key).is_none_or(|p| text.contains(p));
    let store = shared.visible_store();
    let chosen = store.apps().filter(|entry| {
        let source = &entry.spec.source;
        let cmd = source.get("cmd").and_then(Value::as_str).unwrap_or_default();
        let label = request.parameter("label").unwrap_or_default();
        part("id", &entry.spec.id) && part("cmd", cmd) && has_label(source, label)
    });
    let apps: Vec<Value> = chosen.map(|entry| view::app_info(&store, entry, embed)).collect();
    Answer::ok(&json!({"apps": apps}))
}

/// Evaluates a label selector (`api/v2/LabelSelector.scala`): existence, `==`, `!=`, and commas for
/// "and".
fn has_label(app: &Object, selector: &str) -> bool {
    let label = |name: &str| app.get("labels")?.get(name.trim())?.as_str();
    selector.split(',').filter(|part| !part.trim().is_empty()).all(|part| {
        if let Some((name, value)) = part.split_once("!=") {
            label(name).is_some_and(|label| label != value.trim())
        } else if let Some((name, value)) = part.split_once("==") {
            label(name) == Some(value.trim())
        } else {
            label(part).is_some()
        }
    })
}

pub(super) fn list_group_apps(
    shared: &Shared,
    group: &str,
    request: &Request,
) -> Result<Answer, Error> {
    let embed = Embed::from_parameters(request.parameters("embed")).with_tasks();
    let store = shared.visible_store();
    if !store.has_group(group) {
        return Err(Error::NoGroup(group.to_owned()));
    }
    let inside = store.apps().filter(|entry| id::is_inside(group, &entry.spec.id));
    let apps: Vec<Value> = inside.map(|entry| view::app_info(&store, entry, embed)).collect();
    Ok(Answer::ok(&json!({"*": apps})))
}

pub(super) fn show_app(shared: &Shared, id: &str, request: &Request) -> Result<Answer, Error> {
    let embed =
        Embed::from_parameters(request.parameters("embed")).with_tasks().with_last_failure();
    let store = shared.visible_store();
    let entry = store.find_app(id).ok_or_else(|| Error::NoApp(id.to_owned()))?;
    Ok(Answer::ok(&json!({"app": view::app_info(&store, entry, embed)})))
}

pub(super) fn create_app(shared: &Shared, request: &Request) -> Result<Answer, Error> {
    let spec = read_app(shared, "/", request.parse_object()?)?;
    let id = spec.id.clone();
    shared.update_store(|store| {
        if store.find_app(&id).is_some() {
            return Err(Error::AppExists(id));
        }
        if store.find_pod(&id).is_some() {
            return Err(Error::PodExists(id));
        }
        let deployed = store.apply_changes(
            id::parent_path(&id),
            vec![Change::Put(spec)],
            request.flag("force"),
        )?;
        post_event(store, request, &id);
        let entry = store.find_app(&id).ok_or_else(|| Error::NoApp(id.clone()))?;
        let body = view::app_just_created(store, entry, &deployed.id);
        let answer = Answer::json(201, &body)
            .with_header(LOCATION, format!("{}/v2/apps{id}", shared.leader_url()));
        Ok(answer.with_deployment(&deployed, store.generation))
    })
}

/// Announces a request about one app. Other changes have no such event.
fn post_event(store: &mut Store, request: &Request, id: &str) {
    let Some(spec) = store.find_app(id).map(|entry| &entry.spec) else { return };
    let app = Value::Object(view::app_definition(spec, store.generation));
    let fields = [
        ("clientIp", json!(request.client.ip().to_string())),
        ("uri", json!(request.path)),
        ("appDefinition", app),
    ];
    store.push_event(Event::new("api_post_event", fields));
}

/// Reads a complete definition. Its `id` is relative to the group `base`.
pub(super) fn read_app(shared: &Shared, base: &str, app: Object) -> Result<Spec, Error> {
    let id = read_id(base, &app)?;
    Ok(definition::create_app(&id, app, shared.config.generation)?)
}

/// Reads the absolute id of a definition.
pub(super) fn read_id(base: &str, definition: &Object) -> Result<String, Error> {
    let id = definition.get("id").and_then(Value::as_str);
    let id =
        id::resolve_path(base, id.ok_or_else(|| Error::wrong_shape("id: error.path.missing"))?);
    definition::check_path(&id)?;
    Ok(id)
}

/// Reads the body of a PUT or PATCH, which is a partial update. PUT with `?partialUpdate=false` has
/// a complete definition and may create the app.
fn read_change(
    shared: &Shared,
    store: &Store,
    request: &Request,
    id: &str,
    body: Object,
) -> Result<Change, Error> {
    let generation = shared.config.generation;
    let existing = store.find_app(id).map(|entry| &entry.spec);
    let spec = match existing {
        // A rollback to an earlier version.
        Some(_)
            if body.contains_key("version") && body.keys().all(|k| k == "version" || k == "id") =>
        {
            let version = body["version"].as_str().unwrap_or_default();
            let app = store.find_app(id).and_then(|e| e.versions.get(&version.parse().ok()?));
            let missing = || Error::NoAppVersion(id.to_owned(), version.to_owned());
            definition::create_app(id, app.ok_or_else(missing)?.source.clone(), generation)?
        }
        Some(spec) if request.flag_or("partialUpdate", true) => {
            definition::update_app(id, &spec.source, body, generation)?
        }
        None if request.method == "PATCH" => return Err(Error::NoApp(id.to_owned())),
        _ => {
            definition::check_path(id)?;
            definition::create_app(id, body, generation)?
        }
    };
    Ok(Change::Put(spec))
}

pub(super) fn change_app(shared: &Shared, id: &str, request: &Request) -> Result<Answer, Error> {
    let body = request.parse_object()?;
    shared.update_store(|store| {
        let existed = store.find_app(id).is_some();
        let change = read_change(shared, store, request, id, body)?;
        let deployed =
            store.apply_changes(id::parent_path(id), vec![change], request.flag("force"))?;
        post_event(store, request, id);
        let answer =
            Answer::from_deployment(if existed { 200 } else { 201 }, &deployed, store.generation);
        Ok(if existed {
            answer
        } else {
            answer.with_header(LOCATION, format!("{}/v2/apps{id}", shared.leader_url()))
        })
    })
}

pub(super) fn change_apps(shared: &Shared, request: &Request) -> Result<Answer, Error> {
    let Value::Array(bodies) = request.parse_json()? else {
        return Err(Error::wrong_shape("error.expected.jsarray"));
    };
    shared.update_store(|store| {
        let mut changes = Vec::new();
        for body in bodies {
            let body = into_object(body)?;
            let id = read_id("/", &body)?;
            changes.push(read_change(shared, store, request, &id, body)?);
        }
        let deployed = store.apply_changes("/", changes, request.flag("force"))?;
        Ok(Answer::from_deployment(200, &deployed, store.generation))
    })
}

pub(super) fn remove_app(shared: &Shared, id: &str, request: &Request) -> Result<Answer, Error> {
    // A delete is forced by default.
    let force = request.flag_or("force", true);
    apply_change(shared, id, Change::Remove(id.to_owned()), force)
}

pub(super) fn restart_app(shared: &Shared, id: &str, request: &Request) -> Result<Answer, Error> {
    apply_change(shared, id, Change::Restart(id.to_owned()), request.flag("force"))
}

fn apply_change(shared: &Shared, id: &str, change: Change, force: bool) -> Result<Answer, Error> {
    shared.update_store(|store| {
        store.find_app(id).ok_or_else(|| Error::NoApp(id.to_owned()))?;
        let deployed: Deployed = store.apply_changes(id::parent_path(id), vec![change], force)?;
        Ok(Answer::from_deployment(200, &deployed, store.generation))
    })
}

pub(super) fn list_app_versions(shared: &Shared, id: &str) -> Result<Answer, Error> {
    let store = shared.visible_store();
    let entry = store.find_app(id).ok_or_else(|| Error::NoApp(id.to_owned()))?;
    let versions: Vec<Value> = entry.versions.keys().rev().map(|at| Value::from(*at)).collect();
    Ok(Answer::ok(&json!({"versions": versions})))
}

pub(super) fn show_app_version(shared: &Shared, id: &str, version: &str) -> Result<Answer, Error> {
    let store = shared.visible_store();
    let entry = store.find_app(id).ok_or_else(|| Error::NoApp(id.to_owned()))?;
    let spec = version.parse().ok().and_then(|version| entry.versions.get(&version));
    let spec = spec.ok_or_else(|| Error::NoAppVersion(id.to_owned(), version.to_owned()))?;
    Ok(Answer::ok(&Value::Object(view::app_definition(spec, store.generation))))
}
