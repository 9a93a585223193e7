//! The leader's answers: the handler of each route, and the headers of every answer.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::answer::{Answer, Error};
use super::request::Request;
use super::route::Route;
use super::{apps, cluster, groups, pods, queue, subscriptions, tasks};
use crate::config::Generation;
use crate::shared::Shared;

/// Answers a request as the leader.
pub(super) fn answer_as_leader(shared: &Arc<Shared>, leader: usize, request: &Request) -> Response {
    let answer = dispatch_request(shared, &Route::parse(&request.path), request);
    let mut response = answer.unwrap_or_else(Answer::from).into_response();
    add_headers(&shared.members[leader], response.headers_mut());
    response
}

/// Adds the headers of every answer of a leader (`api/CacheDisablingFilter`, `HttpModule`,
/// `LeaderProxyFilter`).
pub(super) fn add_headers(leader: &str, headers: &mut HeaderMap) {
    let fixed = [
        (header::CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
        (header::PRAGMA, "no-cache"),
        (header::EXPIRES, "0"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::X_XSS_PROTECTION, "1; mode=block"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(url) = HeaderValue::from_str(leader) {
        headers.insert(HeaderName::from_static("x-marathon-leader"), url);
    }
}

/// Answers a read as a Marathon with an empty ZooKeeper.
pub(super) fn dispatch_wiped(shared: &Shared, route: &Route<'_>) -> Result<Answer, Error> {
    match route {
        Route::Info => Ok(cluster::show_info(shared, cluster::WIPED_FRAMEWORK)),
        Route::Leader => Ok(cluster::show_leader(shared)),
        Route::Apps => Ok(Answer::ok(&json!({"apps": []}))),
        Route::Tasks => Ok(Answer::ok(&json!({"tasks": []}))),
        Route::Pods | Route::PodStatuses if shared.config.generation.has_pods() => {
            Ok(Answer::ok(&json!([])))
        }
        Route::Deployments => Ok(Answer::ok(&json!([]))),
        Route::App(id) => Err(Error::NoApp(id.clone())),
        Route::Pod(id) | Route::PodStatus(id) => Err(Error::NoPod(id.clone())),
        Route::Group(id) => Err(Error::NoGroup(id.clone())),
        _ => Err(Error::NoRoute),
    }
}

/// Calls the handler of a route.
fn dispatch_request(
    shared: &Arc<Shared>,
    route: &Route<'_>,
    request: &Request,
) -> Result<Answer, Error> {
    let is_of_pods = matches!(
        route,
        Route::Pods
            | Route::PodStatuses
            | Route::Pod(_)
            | Route::PodStatus(_)
            | Route::PodVersions(_)
            | Route::PodVersion(..)
            | Route::PodInstances(_)
            | Route::PodInstance(..)
    );
    // Removed in 1.5.
    if *route == Route::EventSubscriptions && shared.config.generation >= Generation::V1_5 {
        return Err(Error::NoRoute);
    }
    if is_of_pods && !shared.config.generation.has_pods() {
        return Err(Error::NoRoute);
    }
    match (request.method.as_str(), route) {
        ("GET" | "HEAD", Route::Ping) => Ok(cluster::answer_ping(request)),
        ("GET", Route::Info) => Ok(cluster::show_info(shared, &shared.config.framework)),
        ("GET", Route::MesosAgents) => Ok(cluster::list_mesos_agents(shared)),
        ("GET", Route::Leader) => Ok(cluster::show_leader(shared)),
        ("DELETE", Route::Leader) => Ok(cluster::abdicate_leader(shared)),
        ("GET", Route::Metrics) => Ok(cluster::show_metrics(shared)),
        ("GET", Route::Queue) => Ok(queue::list_queue(shared)),
        ("DELETE", Route::QueueDelay(id)) => queue::reset_delay(shared, id),
        ("GET", Route::EventSubscriptions) => Ok(subscriptions::list_subscriptions(shared)),
        ("POST", Route::EventSubscriptions) => subscriptions::add_subscription(shared, request),
        ("DELETE", Route::EventSubscriptions) => {
            subscriptions::remove_subscription(shared, request)
        }
        ("GET", Route::Deployments) => Ok(cluster::list_deployments(shared)),
        ("DELETE", Route::Deployment(id)) => cluster::cancel_deployment(shared, id, request),

        ("GET", Route::Apps) => Ok(apps::list_apps(shared, request)),
        ("POST", Route::Apps) => apps::create_app(shared, request),
        ("PUT" | "PATCH", Route::Apps) => apps::change_apps(shared, request),
        ("GET", Route::App(id)) => apps::show_app(shared, id, request),
        ("GET", Route::AppsOf(group)) => apps::list_group_apps(shared, group, request),
        ("PUT" | "PATCH", Route::App(id)) => apps::change_app(shared, id, request),
        ("DELETE", Route::App(id)) => apps::remove_app(shared, id, request),
        ("POST", Route::AppRestart(id)) => apps::restart_app(shared, id, request),
        ("GET", Route::AppVersions(id)) => apps::list_app_versions(shared, id),
        ("GET", Route::AppVersion(id, version)) => apps::show_app_version(shared, id, version),

        ("GET", Route::AppTasks(id)) => tasks::list_app_tasks(shared, id, request),
        ("DELETE", Route::AppTasks(id)) => tasks::kill_app_tasks(shared, id, request),
        ("DELETE", Route::AppTask(id, task)) => tasks::kill_app_task(shared, id, task, request),
        ("GET", Route::Tasks) => Ok(tasks::list_tasks(shared, request)),
        ("POST", Route::TasksDelete) => tasks::kill_tasks(shared, request),

        ("HEAD", Route::Pods) => Ok(Answer::empty(200)),
        ("GET", Route::Pods) => Ok(pods::list_pods(shared)),
        ("POST", Route::Pods) => pods::create_pod(shared, request),
        ("GET", Route::PodStatuses) => Ok(pods::list_pod_statuses(shared)),
        ("GET", Route::Pod(id)) => pods::show_pod(shared, id),
        ("PUT", Route::Pod(id)) => pods::replace_pod(shared, id, request),
        ("DELETE", Route::Pod(id)) => pods::remove_pod(shared, id, request),
        ("GET", Route::PodStatus(id)) => pods::show_pod_status(shared, id),
        ("GET", Route::PodVersions(id)) => pods::list_pod_versions(shared, id),
        ("GET", Route::PodVersion(id, version)) => pods::show_pod_version(shared, id, version),
        ("DELETE", Route::PodInstances(id)) => pods::kill_pod_instances(shared, id, request),
        ("DELETE", Route::PodInstance(id, instance)) => {
            pods::kill_pod_instance(shared, id, instance)
        }

        ("GET", Route::Group(id)) => groups::show_group(shared, id, request),
        ("POST", Route::Group(id)) => groups::create_group(shared, id, request),
        ("PUT", Route::Group(id)) => groups::replace_group(shared, id, request),
        ("DELETE", Route::Group(id)) => groups::remove_group(shared, id, request),

        (_, Route::Unknown) => Err(Error::NoRoute),
        _ => Err(Error::NoMethod),
    }
}
