//! Routes: the resources that paths name.
//!
//! Ids are paths themselves, so the part after an id is found from the end, as with the greedy
//! patterns of Marathon's resources (`{id:.+}/tasks/{taskId}`).

use crate::id::absolute_path;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    Ping,
    Info,
    /// `/slaves`, which a Mesos master has.
    MesosAgents,
    Leader,
    Deployments,
    Deployment(&'a str),
    Metrics,
    Queue,
    QueueDelay(String),
    EventSubscriptions,
    Apps,
    App(String),
    /// `/v2/apps//group/*`
    AppsOf(String),
    AppRestart(String),
    AppVersions(String),
    AppVersion(String, &'a str),
    AppTasks(String),
    AppTask(String, &'a str),
    Tasks,
    TasksDelete,
    Pods,
    PodStatuses,
    Pod(String),
    PodStatus(String),
    PodVersions(String),
    PodVersion(String, &'a str),
    PodInstances(String),
    PodInstance(String, &'a str),
    Group(String),
    Unknown,
}

impl<'a> Route<'a> {
    pub(super) fn parse(path: &'a str) -> Self {
        let trimmed = path.strip_suffix('/').unwrap_or(path);
        match trimmed {
            "/ping" => return Self::Ping,
            "/v2/info" => return Self::Info,
            "/slaves" => return Self::MesosAgents,
            "/v2/leader" => return Self::Leader,
            "/metrics" => return Self::Metrics,
            "/v2/queue" => return Self::Queue,
            "/v2/eventSubscriptions" => return Self::EventSubscriptions,
            "/v2/deployments" => return Self::Deployments,
            "/v2/apps" => return Self::Apps,
            "/v2/tasks" => return Self::Tasks,
            "/v2/tasks/delete" => return Self::TasksDelete,
            "/v2/pods" => return Self::Pods,
            "/v2/pods/::status" => return Self::PodStatuses,
            "/v2/groups" => return Self::Group("/".to_owned()),
            _ => {}
        }
        let below = |prefix: &str| trimmed.strip_prefix(prefix).filter(|rest| !rest.is_empty());
        if let Some(id) = below("/v2/deployments/") {
            Self::Deployment(id)
        } else if let Some(rest) = below("/v2/apps/") {
            Self::of_app(rest)
        } else if let Some(rest) = below("/v2/pods/") {
            Self::of_pod(rest)
        } else if let Some(id) = below("/v2/queue/").and_then(|rest| rest.strip_suffix("/delay")) {
            Self::QueueDelay(absolute_path(id))
        } else if let Some(id) = below("/v2/groups/") {
            Self::Group(absolute_path(id))
        } else {
            Self::Unknown
        }
    }

    fn of_app(rest: &'a str) -> Self {
        let Some((before, last)) = rest.rsplit_once('/') else {
            return Self::App(absolute_path(rest));
        };
        match last {
            "*" => return Self::AppsOf(absolute_path(before)),
            "tasks" => return Self::AppTasks(absolute_path(before)),
            "versions" => return Self::AppVersions(absolute_path(before)),
            "restart" => return Self::AppRestart(absolute_path(before)),
            _ => {}
        }
        match before.rsplit_once('/') {
            Some((id, "tasks")) => Self::AppTask(absolute_path(id), last),
            Some((id, "versions")) => Self::AppVersion(absolute_path(id), last),
            _ => Self::App(absolute_path(rest)),
        }
    }

    fn of_pod(rest: &'a str) -> Self {
        let Some((id, after)) = rest.split_once("::") else {
            return Self::Pod(absolute_path(rest));
        };
        let id = absolute_path(id);
        match after.split_once('/').unwrap_or((after, "")) {
            ("status", "") => Self::PodStatus(id),
            ("versions", "") => Self::PodVersions(id),
            ("versions", version) => Self::PodVersion(id, version),
            ("instances", "") => Self::PodInstances(id),
            ("instances", instance) => Self::PodInstance(id, instance),
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_resource_whatever_slashes_its_id_has() {
        let db = || "/grp/db".to_owned();
        for (path, route) in [
            ("/ping", Route::Ping),
            ("/v2/apps/", Route::Apps),
            ("/v2/apps/grp/db", Route::App(db())),
            ("/v2/apps//grp/db", Route::App(db())),
            ("/v2/apps//grp/*", Route::AppsOf("/grp".to_owned())),
            ("/v2/apps//*", Route::AppsOf("/".to_owned())),
            ("/v2/apps//grp/db/restart", Route::AppRestart(db())),
            ("/v2/apps//grp/db/tasks", Route::AppTasks(db())),
            ("/v2/apps//grp/db/tasks/grp_db.1", Route::AppTask(db(), "grp_db.1")),
            ("/v2/apps/grp/db/versions", Route::AppVersions(db())),
            ("/v2/apps/grp/db/versions/2017", Route::AppVersion(db(), "2017")),
            ("/v2/pods/::status", Route::PodStatuses),
            ("/v2/pods//grp/db::status", Route::PodStatus(db())),
            ("/v2/pods/grp/db::versions/2017", Route::PodVersion(db(), "2017")),
            ("/v2/pods/grp/db::instances/x", Route::PodInstance(db(), "x")),
            ("/v2/groups", Route::Group("/".to_owned())),
            ("/v2/groups//grp/db", Route::Group(db())),
            ("/v2/deployments/x", Route::Deployment("x")),
            ("/metrics", Route::Metrics),
            ("/v2/queue", Route::Queue),
            ("/v2/queue//grp/db/delay", Route::QueueDelay(db())),
            ("/v2/queue/grp/db", Route::Unknown),
            ("/v2/eventSubscriptions", Route::EventSubscriptions),
            ("/v3/apps", Route::Unknown),
            ("/", Route::Unknown),
            ("", Route::Unknown),
        ] {
            assert_eq!(Route::parse(path), route, "{path}");
        }
    }
}
