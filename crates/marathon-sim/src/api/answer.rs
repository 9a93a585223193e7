//! Answers and errors in Marathon's words (`api/RestResource.scala`,
//! `api/MarathonExceptionMapper.scala`).

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::config::Generation;
use crate::definition::Refusal;
use crate::scheduler::{ChangeError, Deployed};

/// An answer, without the headers common to all answers.
pub(super) struct Answer {
    status: u16,
    body: Option<(&'static str, String)>,
    headers: Vec<(HeaderName, String)>,
}

impl Answer {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        let body = Some(("application/json", body.to_string()));
        Self { status, body, headers: Vec::new() }
    }

    pub(super) fn ok(body: &Value) -> Self {
        Self::json(200, body)
    }

    pub(super) fn text(body: &str) -> Self {
        Self { status: 200, body: Some(("text/plain", body.to_owned())), headers: Vec::new() }
    }

    /// Makes an error page like that of Jetty.
    pub(super) fn html(status: u16, path: &str, reason: &str) -> Self {
        let path = path.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let body = format!(
            "<html>\n<head>\n<meta http-equiv=\"Content-Type\" content=\"text/html;charset=utf-8\"/>\n\
             <title>Error {status} {reason}</title>\n</head>\n<body><h2>HTTP ERROR {status}</h2>\n\
             <p>Problem accessing {path}. Reason:\n<pre>    {reason}</pre></p>\n</body>\n</html>\n"
        );
        let body = Some(("text/html;charset=utf-8", body));
        Self { status, body, headers: Vec::new() }
    }

    pub(super) fn empty(status: u16) -> Self {
        Self { status, body: None, headers: Vec::new() }
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Adds the header with the id of the deployment, in generations that have it.
    pub(super) fn with_deployment(self, deployed: &Deployed, generation: Generation) -> Self {
        if !generation.has_pods() {
            return self;
        }
        self.with_header(HeaderName::from_static("marathon-deployment-id"), &*deployed.id)
    }

    /// Makes the answer to a change, with the id and version of the deployment.
    pub(super) fn from_deployment(
        status: u16,
        deployed: &Deployed,
        generation: Generation,
    ) -> Self {
        let body = json!({"version": deployed.version.to_string(), "deploymentId": deployed.id});
        Self::json(status, &body).with_deployment(deployed, generation)
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let (kind, body) = match self.body {
            Some((kind, body)) => (Some(kind), Body::from(body)),
            None => (None, Body::empty()),
        };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or_default();
        let headers = response.headers_mut();
        if let Some(kind) = kind {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// Why a request fails.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("App '{0}' does not exist")]
    NoApp(String),
    #[error("App '{0}' does not exist in version {1}")]
    NoAppVersion(String, String),
    #[error("Pod '{0}' does not exist")]
    NoPod(String),
    #[error("Group '{0}' does not exist")]
    NoGroup(String),
    #[error("Task '{0}' does not exist")]
    NoTask(String),
    #[error("Application {0} not found in tasks queue.")]
    NotQueued(String),
    #[error("DeploymentPlan {0} does not exist")]
    NoDeployment(String),
    #[error("An app with id [{0}] already exists.")]
    AppExists(String),
    #[error("A pod with id [{0}] already exists.")]
    PodExists(String),
    #[error("Group {0} is already created. Use PUT to change this group.")]
    GroupExists(String),
    #[error(
        "App is locked by one or more deployments. Override with the option '?force=true'. \
         View details at '/v2/deployments/<DEPLOYMENT_ID>'."
    )]
    Locked(Vec<String>),
    #[error("Invalid JSON")]
    NotJson(String),
    #[error("{0:?}")]
    Refused(Refusal),
    #[error("{0}")]
    Bad(String),
    #[error("while retrieving health counts for app [{0}]")]
    HealthAsk(String),
    #[error("Not Found")]
    NoRoute,
    #[error("Method Not Allowed")]
    NoMethod,
}

impl Error {
    pub(super) fn wrong_shape(error: &str) -> Self {
        Self::Refused(Refusal::Shape(error.to_owned()))
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<ChangeError> for Error {
    fn from(ChangeError::Locked(deployments): ChangeError) -> Self {
        Self::Locked(deployments)
    }
}

impl From<Error> for Answer {
    fn from(error: Error) -> Self {
        let mut body = json!({"message": error.to_string()});
        let status = match error {
            Error::NoApp(_)
            | Error::NoAppVersion(..)
            | Error::NoPod(_)
            | Error::NoGroup(_)
            | Error::NoTask(_)
            | Error::NotQueued(_)
            | Error::NoDeployment(_)
            | Error::NoRoute => 404,
            Error::AppExists(_) | Error::PodExists(_) | Error::GroupExists(_) => 409,
            Error::Locked(ids) => {
                body["deployments"] = ids.iter().map(|id| json!({"id": id})).collect();
                409
            }
            Error::NotJson(details) => {
                body["details"] = details.into();
                400
            }
            Error::Refused(Refusal::Shape(error)) => {
                body = json!({"message": "Invalid JSON"});
                body["details"] = json!([{"path": "/", "errors": [error]}]);
                422
            }
            Error::Refused(Refusal::Invalid(violations)) => {
                let detail =
                    |v: &crate::definition::Violation| json!({"path": v.path, "errors": [v.error]});
                let details: Vec<Value> = violations.iter().map(detail).collect();
                body = json!({"message": "Object is not valid", "details": details});
                422
            }
            Error::Bad(_) => 400,
            Error::HealthAsk(_) => 500,
            Error::NoMethod => 405,
        };
        Self::json(status, &body)
    }
}
