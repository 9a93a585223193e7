//! The leader's answers: the handler of each route, and the headers of every answer.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::answer::{Answer, Error};
use super::request::Request;
use super::route::Route;
use super::{apps, cluster, groups, pods, tasks};
use crate::shared::Shared;

/// Answers a request as the leader.
pub(super) fn answer_as_leader(shared: &Arc<Shared>, leader: usize, request: &Request) -> Response {
    let answer = dispatch_request(shared, &Route::of(&request.path), request);
    let mut response = answer.unwrap_or_else(Answer::from).into_response();
    add_headers(&shared.members[leader], response.headers_mut());
    response
}

/// What every answer of a leader has (`api/CacheDisablingFilter`, `HttpModule`, `LeaderProxyFilter`).
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
    if is_of_pods && !shared.config.generation.has_pods() {
        return Err(Error::NoRoute);
    }
    match (request.method.as_str(), route) {
        ("GET" | "HEAD", Route::Ping) => Ok(cluster::ping(request)),
        ("GET", Route::Info) => Ok(cluster::info(shared)),
        ("GET", Route::Leader) => Ok(cluster::leader(shared)),
        ("DELETE", Route::Leader) => Ok(cluster::abdicate(shared)),
        ("GET", Route::Deployments) => Ok(cluster::deployments(shared)),
        ("DELETE", Route::Deployment(id)) => cluster::cancel(shared, id, request),

        ("GET", Route::Apps) => Ok(apps::list(shared, request)),
        ("POST", Route::Apps) => apps::create(shared, request),
        ("PUT" | "PATCH", Route::Apps) => apps::change_many(shared, request),
        ("GET", Route::App(id)) => apps::show(shared, id, request),
        ("GET", Route::AppsOf(group)) => apps::of_group(shared, group, request),
        ("PUT" | "PATCH", Route::App(id)) => apps::change(shared, id, request),
        ("DELETE", Route::App(id)) => apps::remove(shared, id, request),
        ("POST", Route::AppRestart(id)) => apps::restart(shared, id, request),
        ("GET", Route::AppVersions(id)) => apps::versions(shared, id),
        ("GET", Route::AppVersion(id, version)) => apps::version(shared, id, version),

        ("GET", Route::AppTasks(id)) => tasks::of_app(shared, id),
        ("DELETE", Route::AppTasks(id)) => tasks::kill_all(shared, id, request),
        ("DELETE", Route::AppTask(id, task)) => tasks::kill_one(shared, id, task, request),
        ("GET", Route::Tasks) => Ok(tasks::list(shared, request)),
        ("POST", Route::TasksDelete) => tasks::kill_many(shared, request),

        ("HEAD", Route::Pods) => Ok(Answer::empty(200)),
        ("GET", Route::Pods) => Ok(pods::list(shared)),
        ("POST", Route::Pods) => pods::create(shared, request),
        ("GET", Route::PodStatuses) => Ok(pods::statuses(shared)),
        ("GET", Route::Pod(id)) => pods::show(shared, id),
        ("PUT", Route::Pod(id)) => pods::replace(shared, id, request),
        ("DELETE", Route::Pod(id)) => pods::remove(shared, id, request),
        ("GET", Route::PodStatus(id)) => pods::status(shared, id),
        ("GET", Route::PodVersions(id)) => pods::versions(shared, id),
        ("GET", Route::PodVersion(id, version)) => pods::version(shared, id, version),
        ("DELETE", Route::PodInstances(id)) => pods::kill_many(shared, id, request),
        ("DELETE", Route::PodInstance(id, instance)) => pods::kill_one(shared, id, instance),

        ("GET", Route::Group(id)) => groups::show(shared, id, request),
        ("POST", Route::Group(id)) => groups::create(shared, id, request),
        ("PUT", Route::Group(id)) => groups::replace(shared, id, request),
        ("DELETE", Route::Group(id)) => groups::remove(shared, id, request),

        (_, Route::Unknown) => Err(Error::NoRoute),
        _ => Err(Error::NoMethod),
    }
}
