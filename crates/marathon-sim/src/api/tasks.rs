//! Handlers of `/v2/tasks` and `/v2/apps/{id}/tasks` (`api/v2/TasksResource.scala`,
//! `AppTasksResource.scala`).

use serde_json::{Value, json};

use super::answer::{Answer, Error};
use super::request::Request;
use crate::definition::{self, service_ports};
use crate::scheduler::Change;
use crate::shared::Shared;
use crate::store::{Entry, Instance, Store, TaskState};
use crate::view;

pub(super) fn list_tasks(shared: &Shared, request: &Request) -> Answer {
    let store = shared.visible_store();
    if request.wants_text() {
        return Answer::text(
            &store.apps().map(|entry| text_lines(&store, entry)).collect::<String>(),
        );
    }
    let mut wanted: Vec<&str> = request.parameters("status").collect();
    wanted.extend(request.parameters("status[]"));
    let is_wanted = |instance: &&Instance| match instance.tasks[0].state {
        TaskState::Running => wanted.is_empty() || wanted.contains(&"running"),
        TaskState::Staging => wanted.is_empty() || wanted.contains(&"staging"),
        _ => wanted.is_empty(),
    };
    let apps = store.apps().flat_map(|entry| store.instances_of(&entry.spec.id));
    let tasks = apps.filter(is_wanted).map(|i| view::task_with_service_ports(&store, i));
    Answer::ok(&json!({"tasks": tasks.collect::<Vec<Value>>()}))
}

/// Lists the running tasks of an app for scripts: a line for each service port, with tabs between
/// the columns (`api/EndpointsHelper.scala`).
fn text_lines(store: &Store, entry: &Entry) -> String {
    let name = entry.spec.id.trim_start_matches('/').replace('/', "_");
    let running: Vec<&Instance> = store
        .instances_of(&entry.spec.id)
        .filter(|instance| instance.tasks[0].state == TaskState::Running)
        .collect();
    let host = |instance: &Instance| store.agents[instance.agent].hostname.clone();
    let line = |port: &str, mut places: Vec<String>| {
        places.sort();
        let places: String = places.iter().map(|place| format!("{place}\t")).collect();
        format!("{name}\t{port}\t{places}\n")
    };
    let ports = service_ports(&entry.spec.source, &entry.spec.network);
    if ports.is_empty() {
        return line(" ", running.iter().map(|instance| host(instance)).collect());
    }
    let lines = ports.iter().enumerate().map(|(index, port)| {
        let place = |instance: &&Instance| {
            let at = instance.tasks[0].host_ports.get(index).copied().unwrap_or(0);
            format!("{}:{at}", host(instance))
        };
        line(&port.to_string(), running.iter().map(place).collect())
    });
    lines.collect()
}

pub(super) fn list_app_tasks(
    shared: &Shared,
    id: &str,
    request: &Request,
) -> Result<Answer, Error> {
    let store = shared.visible_store();
    let entry = store.find_app(id).ok_or_else(|| Error::NoApp(id.to_owned()))?;
    if request.wants_text() {
        return Ok(Answer::text(&text_lines(&store, entry)));
    }
    let tasks = store.instances_of(id).map(|instance| view::task_status(&store, instance));
    Ok(Answer::ok(&json!({"tasks": tasks.collect::<Vec<Value>>()})))
}

/// An order to kill tasks, and either scale down or replace them.
struct Order {
    scale: bool,
    force: bool,
}

impl Order {
    fn from_request(request: &Request) -> Result<Self, Error> {
        let order = Self { scale: request.flag("scale"), force: request.flag("force") };
        if order.scale && request.flag("wipe") {
            return Err(Error::Bad("You cannot use scale and wipe at the same time.".to_owned()));
        }
        Ok(order)
    }

    /// Kills the chosen instances of apps. `replaced` makes the answer if they are replaced.
    fn carry_out(
        &self,
        store: &mut Store,
        chosen: impl Fn(&Instance) -> bool,
        replaced: impl FnOnce(Vec<Value>) -> Result<Answer, Error>,
    ) -> Result<Answer, Error> {
        let live =
            |i: &&Instance| !i.is_ending() && store.find_app(&i.spec.id).is_some() && chosen(i);
        let killed: Vec<&Instance> = store.instances().iter().filter(live).collect();
        let tasks = killed.iter().map(|instance| view::task_status(store, instance)).collect();
        let ids: Vec<(String, String)> =
            killed.iter().map(|i| (i.id.clone(), i.spec.id.clone())).collect();
        let answer = if self.scale {
            let deployed = store.apply_changes("/", scale_down(store, &ids)?, self.force)?;
            Answer::from_deployment(200, &deployed, store.generation)
        } else {
            replaced(tasks)?
        };
        ids.iter().for_each(|(id, _)| store.kill_instance(id));
        Ok(answer)
    }
}

/// Returns the changes that reduce each app's instances by the number of those killed.
fn scale_down(store: &Store, killed: &[(String, String)]) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    for entry in store.apps() {
        let count = killed.iter().filter(|(_, app)| *app == entry.spec.id).count();
        if count > 0 {
            let instances = entry.spec.instances.saturating_sub(count);
            let update = [("instances".to_owned(), instances.into())].into_iter().collect();
            let (id, source) = (&entry.spec.id, &entry.spec.source);
            let spec = definition::update_app(id, source, update, store.generation)?;
            changes.push(Change::Put(spec));
        }
    }
    Ok(changes)
}

pub(super) fn kill_app_tasks(
    shared: &Shared,
    id: &str,
    request: &Request,
) -> Result<Answer, Error> {
    let order = Order::from_request(request)?;
    let host = request.parameter("host").filter(|host| *host != "*");
    shared.update_store(|store| {
        store.find_app(id).ok_or_else(|| Error::NoApp(id.to_owned()))?;
        let agents = store.agents.clone();
        let on_host = |i: &Instance| host.is_none_or(|host| agents[i.agent].hostname == host);
        order.carry_out(
            store,
            |instance| instance.spec.id == id && on_host(instance),
            |tasks| Ok(Answer::ok(&json!({"tasks": tasks}))),
        )
    })
}

pub(super) fn kill_app_task(
    shared: &Shared,
    id: &str,
    task: &str,
    request: &Request,
) -> Result<Answer, Error> {
    let order = Order::from_request(request)?;
    shared.update_store(|store| {
        store.find_app(id).ok_or_else(|| Error::NoApp(id.to_owned()))?;
        order.carry_out(
            store,
            |instance| instance.spec.id == id && instance.tasks[0].id == task,
            |mut tasks| match tasks.pop() {
                Some(task) => Ok(Answer::ok(&json!({"task": task}))),
                None => Err(Error::NoTask(task.to_owned())),
            },
        )
    })
}

pub(super) fn kill_tasks(shared: &Shared, request: &Request) -> Result<Answer, Error> {
    let order = Order::from_request(request)?;
    let body = request.parse_object()?;
    let ids: Option<Vec<&str>> = body
        .get("ids")
        .and_then(Value::as_array)
        .map(|ids| ids.iter().filter_map(Value::as_str).collect());
    let ids = ids.ok_or_else(|| Error::wrong_shape("ids: error.path.missing"))?;
    shared.update_store(|store| {
        order.carry_out(
            store,
            |instance| ids.contains(&instance.tasks[0].id.as_str()),
            |tasks| Ok(Answer::ok(&json!({"tasks": tasks}))),
        )
    })
}
