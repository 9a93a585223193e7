//! The event stream of a live Marathon, as bytes.

use std::collections::BTreeSet;
use std::time::Instant;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, Url};

use super::error::{ClientError, receiving_error};
use super::http::{Http, Wanted, leader_header};
use super::info::ServerInfo;
use super::request::{Base, EVENTS};

/// Longest body of an answer that is not an event stream; the rest is ignored.
const MAX_ERROR_BODY: usize = 64 << 10;

/// Types of events that matter, of every generation.
const TYPES: [&str; 9] = [
    "status_update_event",
    "instance_changed_event",
    "unknown_instance_terminated_event",
    "health_status_changed_event",
    "instance_health_changed_event",
    "api_post_event",
    "app_terminated_event",
    "group_change_success",
    "pod_deleted_event",
];

/// Types of events that carry the whole tree of groups unless the light format is requested.
const HEAVY: [&str; 2] = ["deployment_success", "deployment_failed"];

/// An open event stream.
#[derive(Debug)]
pub struct EventStream {
    /// `X-Marathon-Leader` of the answer.
    pub leader: Option<String>,
    /// The servers that this Marathon depends on ([`ServerInfo::servers`](super::ServerInfo)).
    pub servers: BTreeSet<String>,
    response: Response,
    url: Url,
    opened: Instant,
}

impl EventStream {
    /// Waits for the next bytes; None at the end of the stream.
    ///
    /// # Errors
    /// When the connection breaks, or nothing comes for a minute.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        let chunk = self.response.chunk().await;
        let chunk = chunk.map_err(|error| receiving_error(error, &self.url, self.opened))?;
        Ok(chunk.map(|bytes| bytes.to_vec()))
    }
}

/// Opens the event stream of one server.
pub(super) async fn open_stream(
    http: &Http,
    base: &Base,
    bases: &[Base],
    info: ServerInfo,
) -> Result<EventStream, ClientError> {
    let path = format!("{EVENTS}?{}", events_query(info.version.as_deref()));
    let opened = Instant::now();
    let (response, url) = http.follow_redirects(base.url_of(&path), bases, Wanted::Events).await?;
    let status = response.status();
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_stream = kind.is_some_and(|kind| kind.trim_start().starts_with("text/event-stream"));
    if status.as_u16() == 200 && is_stream {
        let (leader, servers) = (leader_header(&response), info.servers);
        return Ok(EventStream { leader, servers, response, url, opened });
    }
    if status.is_success() {
        let content_type = kind.map(str::to_owned);
        return Err(ClientError::NoEvents { url: url.into(), content_type });
    }
    let body = read_start(response).await;
    let message = crate::document::message_in(&body);
    Err(ClientError::Status { url: url.into(), status: status.as_u16(), message })
}

/// Reads a body up to the limit.
async fn read_start(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ERROR_BODY {
            break;
        }
    }
    body
}

/// Builds the query that selects the events that matter, in the light format if the server has it.
/// Old servers ignore the filter and send everything.
fn events_query(version: Option<&str>) -> String {
    let light = version.and_then(parse_version).is_some_and(has_light_format);
    let heavy = HEAVY.iter().filter(|_| light);
    let pods = ["pod_created_event", "pod_updated_event"];
    let types = TYPES.iter().chain(&pods).chain(heavy);
    let types: Vec<_> = types.map(|each| format!("event_type={each}")).collect();
    let format = if light { "plan-format=light&" } else { "" };
    format!("{format}{}", types.join("&"))
}

/// Parses a version like `1.8.222-86475ddac`.
pub(super) fn parse_version(version: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = version.trim_start_matches('v').splitn(3, '.');
    let number = |text: &str| {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text[..digits].parse().ok()
    };
    let (major, minor) = (number(numbers.next()?)?, number(numbers.next()?)?);
    Some((major, minor, numbers.next().and_then(number).unwrap_or(0)))
}

/// Tells whether a server has the light format: from 1.5.9 or 1.6.322 on. From 1.8 on it has no
/// other.
fn has_light_format(version: (u32, u32, u32)) -> bool {
    match version {
        (1, 5, patch) => patch >= 9,
        (1, 6, patch) => patch >= 322,
        (major, minor, _) => (major, minor) >= (1, 7),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deployments_are_asked_for_only_where_they_are_light() {
        for version in ["1.5.9", "1.6.322", "1.7.0", "1.8.222-86475ddac", "1.11.0", "2.0"] {
            let query = events_query(Some(version));
            assert!(query.starts_with("plan-format=light&"), "{version}");
            assert!(query.contains("event_type=deployment_success"), "{version}");
        }
        for version in ["0.16.0", "1.1.1", "1.4.0", "1.5.8", "1.6.0", "1.6.321", "", "x.y", "1"] {
            let query = events_query(Some(version));
            assert!(!query.contains("deployment") && !query.contains("light"), "{version}");
            assert!(query.contains("event_type=group_change_success"), "{version}");
        }
        assert!(!events_query(None).contains("deployment"));
    }
}
