//! Errors of reading a live Marathon.

use std::error::Error;
use std::fmt;
use std::iter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Url;

use crate::DocumentError;

/// Why Marathon could not be read. URLs are shown without user and password.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// No connection: refused, no route, no such host, no TLS.
    #[error("{url}: no connection: {cause}; check that Marathon runs there and is reachable")]
    NoConnection {
        /// The URL that was requested.
        url: String,
        /// The error of the system or of TLS.
        cause: Cause,
    },
    /// A timeout.
    #[error("{url}: nothing after {after:.1?} {stage}; Marathon may be overloaded or stuck")]
    Silent {
        /// The URL that was requested.
        url: String,
        /// The stage that the request had reached.
        stage: Stage,
        /// The time since the request began.
        after: Duration,
    },
    /// The connection broke, or the compressed answer is damaged.
    #[error("{url}: the answer broke off: {cause}; try again")]
    BrokenOff {
        /// The URL that was requested.
        url: String,
        /// The error of the connection or of the decompression.
        cause: Cause,
    },
    /// A status other than success.
    #[error("{url}: status {status}{}{}", message_clause(.message), status_advice(*.status))]
    Status {
        /// The URL that was requested.
        url: String,
        /// The status code.
        status: u16,
        /// Marathon's message, or the title of the web page.
        message: Option<String>,
    },
    /// Marathon doesn't name the Mesos master.
    #[error("Marathon doesn't tell the URL of the Mesos master (mesos_leader_ui_url)")]
    NoMesos,
    /// A redirect that is not followed.
    #[error("{url}: {reason}; give the URL that it leads to, if that is Marathon's")]
    Redirect {
        /// The URL that redirects.
        url: String,
        /// Why it is not followed.
        reason: RedirectError,
    },
    /// An answer over the limit.
    #[error(
        "{url}: the answer is longer than the limit of {limit} bytes; check that it is Marathon's"
    )]
    TooLarge {
        /// The URL that was requested.
        url: String,
        /// The limit, in bytes after decompression.
        limit: usize,
    },
    /// An answer that is not what was requested: empty, a web page, cut off, something else.
    #[error("{url}: the answer is of no use")]
    Document {
        /// The URL that was requested.
        url: String,
        /// The defect of the answer.
        #[source]
        error: DocumentError,
    },
    /// The answer to the request for events is not an event stream.
    #[error(
        "{url}: it answers {} instead of events; check that no proxy changes the answers",
        .content_type.as_deref().unwrap_or("something")
    )]
    NoEvents {
        /// The URL that was requested.
        url: String,
        /// The `Content-Type` of the answer.
        content_type: Option<String>,
    },
    /// A service account that can't log in.
    #[error("{url}: the service account can't log in: {reason}; check its name, key and rights")]
    Login {
        /// The URL of the login.
        url: String,
        /// Why it failed.
        reason: LoginError,
    },
    /// An answer about another workload than was requested.
    #[error("the answer to a read of {key} is about something else; check what stands between")]
    OtherAnswer {
        /// The workload that was requested, as `app /db`.
        key: String,
    },
    /// An id that Marathon doesn't allow.
    #[error("{key} can't be requested: Marathon allows no such ids")]
    StrangeId {
        /// The workload that was requested, as `app /db`.
        key: String,
    },
    /// All of several URLs failed.
    #[error("no URL of Marathon works: {}", join_errors(.0))]
    All(Vec<ClientError>),
}

/// Stage of a request that a timeout ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Waiting for the connection.
    Connecting,
    /// Waiting for the start of the answer.
    Answering,
    /// Waiting for the rest of the answer.
    Sending,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "while connecting",
            Self::Answering => "while waiting for the answer",
            Self::Sending => "in the middle of the answer",
        })
    }
}

/// Why a redirect is not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    /// No `Location`, or one that is not text.
    #[error("it redirects without saying where to")]
    NoLocation,
    /// A `Location` that is not a URL.
    #[error("it redirects to what is not a URL")]
    NoUrl,
    /// Credentials and answers would be readable on the way.
    #[error("it redirects from https to http, which is not followed")]
    Unencrypted,
    /// Neither http nor https.
    #[error("it redirects to what is neither http nor https")]
    OtherScheme,
    /// A long chain of redirects, or a loop.
    #[error("it redirects more than {limit} times, last to {last}")]
    TooMany {
        /// The number of redirects that are followed.
        limit: usize,
        /// The URL of the last redirect.
        last: String,
    },
}

/// Why a service account can't log in.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoginError {
    /// The key could not sign the login.
    #[error("the key can't sign")]
    Signing,
    /// The server refused.
    #[error("status {0}")]
    Status(u16),
    /// The connection broke.
    #[error("{0}")]
    BrokenOff(Cause),
    /// The answer is longer than any token.
    #[error("the answer is too long for a token")]
    TooLong,
    /// The answer is not JSON with a token.
    #[error("the answer holds no token")]
    NoToken,
    /// The token has characters that no HTTP header may have.
    #[error("the token holds characters that no header may hold")]
    BadToken,
}

/// An error of the HTTP client. Shows the innermost cause only: the errors around it repeat the
/// URL and say little.
#[derive(Debug, Clone)]
pub struct Cause(Arc<reqwest::Error>);

impl From<reqwest::Error> for Cause {
    fn from(error: reqwest::Error) -> Self {
        Self(Arc::new(error))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cause: &dyn Error = &*self.0;
        while let Some(source) = cause.source() {
            cause = source;
        }
        fmt::Display::fmt(cause, f)
    }
}

impl Error for Cause {}

/// Converts an error of sending a request or of waiting for the start of its answer.
pub(super) fn sending_error(error: reqwest::Error, url: &Url, started: Instant) -> ClientError {
    let url = url.to_string();
    match (error.is_timeout(), error.is_connect()) {
        (true, connecting) => {
            let stage = if connecting { Stage::Connecting } else { Stage::Answering };
            ClientError::Silent { url, stage, after: started.elapsed() }
        }
        (false, true) => ClientError::NoConnection { url, cause: error.into() },
        (false, false) => ClientError::BrokenOff { url, cause: error.into() },
    }
}

/// Converts an error of receiving the body of an answer.
pub(super) fn receiving_error(error: reqwest::Error, url: &Url, started: Instant) -> ClientError {
    let url = url.to_string();
    if error.is_timeout() {
        ClientError::Silent { url, stage: Stage::Sending, after: started.elapsed() }
    } else {
        ClientError::BrokenOff { url, cause: error.into() }
    }
}

/// Formats an error with its sources, separated by colons.
#[must_use]
pub fn with_sources(error: &(dyn Error + 'static)) -> String {
    let errors = iter::successors(Some(error), |error| (*error).source());
    errors.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn message_clause(message: &Option<String>) -> String {
    let one_line = |text: &String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    message.as_ref().map(|message| format!(": {}", one_line(message))).unwrap_or_default()
}

fn status_advice(status: u16) -> &'static str {
    match status {
        401 => "; give a user and password that Marathon accepts",
        403 => "; this user may not read all apps and pods",
        404 => "; check that the URL is Marathon's, with its path prefix if it has one",
        500..=599 => "; Marathon has no leader or is overloaded, try again",
        _ => "",
    }
}

fn join_errors(errors: &[ClientError]) -> String {
    let errors: Vec<_> = errors.iter().map(|error| with_sources(error)).collect();
    errors.join("; ")
}
