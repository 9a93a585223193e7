use std::error::Error;
use std::time::{Duration, Instant};

use reqwest::Url;

use crate::DocumentError;

/// Why Marathon could not be read. URLs are shown without user and password.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// No connection: refused, no route, no such name, no TLS.
    #[error("{url}: no connection: {reason}; see that Marathon runs there and is reachable")]
    NoConnection {
        /// What was read.
        url: String,
        /// What the system, or TLS, says.
        reason: String,
    },
    /// A time limit was reached.
    #[error("{url}: nothing after {after:.1?} {stage}; Marathon may be overloaded or stuck")]
    Silent {
        /// What was read.
        url: String,
        /// What was waited for.
        stage: Stage,
        /// How long it was tried.
        after: Duration,
    },
    /// The connection broke, or the compressed answer did.
    #[error("{url}: the answer broke off: {reason}; try again")]
    BrokenOff {
        /// What was read.
        url: String,
        /// What is known of it.
        reason: String,
    },
    /// An answer that isn't 200.
    #[error("{url}: status {status}{}{}", said(.message), advice(*.status))]
    Status {
        /// What was read.
        url: String,
        /// The status code.
        status: u16,
        /// Marathon's message, or the title of the page.
        message: Option<String>,
    },
    /// A redirect that isn't followed.
    #[error("{url}: {reason}; give the URL that it leads to, if that is Marathon's")]
    Redirect {
        /// The URL that redirects.
        url: String,
        /// Why it isn't followed.
        reason: String,
    },
    /// An answer over the limit.
    #[error(
        "{url}: the answer is longer than the limit of {limit} bytes; raise it if that is right"
    )]
    TooLarge {
        /// What was read.
        url: String,
        /// The limit, in bytes after decompression.
        limit: usize,
    },
    /// An answer that isn't what was asked for: empty, a web page, cut off, something else.
    #[error("{url}: the answer is of no use: {reason}")]
    Document {
        /// What was read.
        url: String,
        /// What is wrong with it.
        reason: DocumentError,
    },
    /// What answers the request for events sends none.
    #[error("{url}: {reason}; see that no proxy stands between that changes answers")]
    NoEvents {
        /// What was asked.
        url: String,
        /// What came instead.
        reason: String,
    },
    /// A service account that can't log in.
    #[error("{url}: the service account can't log in: {reason}; see its name, key and rights")]
    Login {
        /// Where it logs in.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// An answer about something else than was asked for.
    #[error("the answer to a read of {key} is about something else; see what stands between")]
    OtherAnswer {
        /// What was to be read.
        key: String,
    },
    /// An id that can't be one of Marathon's.
    #[error("{key} can't be asked for: Marathon has no such ids")]
    StrangeId {
        /// What was to be read.
        key: String,
    },
    /// None of several URLs worked.
    #[error("no URL of Marathon works: {}", joined(.0))]
    All(Vec<ClientError>),
}

/// What was waited for when time was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The connection.
    Connecting,
    /// The start of the answer.
    Answering,
    /// The rest of it.
    Sending,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connecting => "while connecting",
            Self::Answering => "while waiting for the answer",
            Self::Sending => "in the middle of the answer",
        })
    }
}

fn said(message: &Option<String>) -> String {
    message.as_ref().map(|message| format!(": {message}")).unwrap_or_default()
}

fn advice(status: u16) -> &'static str {
    match status {
        401 => "; give a user and password that Marathon accepts",
        403 => "; this user may not read all apps and pods",
        404 => "; see that the URL is Marathon's, with its path prefix if it has one",
        500..=599 => "; Marathon has no leader or is overloaded, try again",
        _ => "",
    }
}

fn joined(errors: &[ClientError]) -> String {
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    errors.join("; ")
}

pub(super) fn sending(error: &reqwest::Error, url: &Url, started: Instant) -> ClientError {
    let url = url.to_string();
    match (error.is_timeout(), error.is_connect()) {
        (true, connecting) => {
            let stage = if connecting { Stage::Connecting } else { Stage::Answering };
            ClientError::Silent { url, stage, after: started.elapsed() }
        }
        (false, true) => ClientError::NoConnection { url, reason: innermost(error) },
        (false, false) => ClientError::BrokenOff { url, reason: innermost(error) },
    }
}

pub(super) fn receiving(error: &reqwest::Error, url: &Url, started: Instant) -> ClientError {
    let url = url.to_string();
    if error.is_timeout() {
        ClientError::Silent { url, stage: Stage::Sending, after: started.elapsed() }
    } else {
        ClientError::BrokenOff { url, reason: innermost(error) }
    }
}

/// The cause of it all: what stands around it repeats the URL and says little.
pub(super) fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
