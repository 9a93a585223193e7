//! The event stream, as bytes.

use std::collections::BTreeSet;
use std::time::Instant;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Response, Url};

use super::error::{ClientError, receiving};
use super::http::{Http, Wanted, leader_of};
use super::info;
use super::request::{Base, EVENTS};

/// As much of an answer as is read that is no event stream.
const MAX_ERROR_BODY: usize = 64 << 10;

/// Those that matter, of every generation.
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

/// Those that carry the whole tree of groups unless the light format is asked for.
const HEAVY: [&str; 2] = ["deployment_success", "deployment_failed"];

/// An open event stream.
#[derive(Debug)]
pub struct EventStream {
    /// `X-Marathon-Leader` of its answer.
    pub leader: Option<String>,
    /// The servers that this Marathon depends on ([`ServerInfo::servers`](super::ServerInfo)).
    pub servers: BTreeSet<String>,
    response: Response,
    url: Url,
    opened: Instant,
}

impl EventStream {
    /// The next bytes; None at the end.
    ///
    /// # Errors
    /// When the connection breaks, or nothing comes for a minute.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        let chunk = self.response.chunk().await;
        let chunk = chunk.map_err(|error| receiving(&error, &self.url, self.opened))?;
        Ok(chunk.map(|bytes| bytes.to_vec()))
    }
}

pub(super) async fn open(
    http: &Http,
    base: &Base,
    bases: &[Base],
) -> Result<EventStream, ClientError> {
    let info = info::read(http, base, bases).await.unwrap_or_default();
    let path = format!("{EVENTS}?{}", query(info.version.as_deref()));
    let opened = Instant::now();
    let (response, url) = http.follow(base.at(&path), bases, Wanted::Events).await?;
    let status = response.status();
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_stream = kind.is_some_and(|kind| kind.trim_start().starts_with("text/event-stream"));
    if status.as_u16() == 200 && is_stream {
        let (leader, servers) = (leader_of(&response), info.servers);
        return Ok(EventStream { leader, servers, response, url, opened });
    }
    if status.is_success() {
        let reason = format!("it answers {} instead of events", kind.unwrap_or("something"));
        return Err(ClientError::NoEvents { url: url.into(), reason });
    }
    let body = start_of(response).await;
    let message = crate::document::message_in(&body);
    Err(ClientError::Status { url: url.into(), status: status.as_u16(), message })
}

async fn start_of(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ERROR_BODY {
            break;
        }
    }
    body
}

/// Asks for what matters, in the light format where the server has it. Servers that know no
/// filter send everything, whatever is asked.
fn query(version: Option<&str>) -> String {
    let light = version.and_then(parse).is_some_and(has_light_format);
    let heavy = HEAVY.iter().filter(|_| light);
    let pods = ["pod_created_event", "pod_updated_event"];
    let types = TYPES.iter().chain(&pods).chain(heavy);
    let types: Vec<_> = types.map(|each| format!("event_type={each}")).collect();
    let format = if light { "plan-format=light&" } else { "" };
    format!("{format}{}", types.join("&"))
}

/// `1.8.222-86475ddac`.
fn parse(version: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = version.trim_start_matches('v').splitn(3, '.');
    let number = |text: &str| {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text[..digits].parse().ok()
    };
    let (major, minor) = (number(numbers.next()?)?, number(numbers.next()?)?);
    Some((major, minor, numbers.next().and_then(number).unwrap_or(0)))
}

/// Light plans came with 1.5.9 and 1.6.322, and are all there is from 1.8 on.
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
            let query = query(Some(version));
            assert!(query.starts_with("plan-format=light&"), "{version}");
            assert!(query.contains("event_type=deployment_success"), "{version}");
        }
        for version in ["0.16.0", "1.1.1", "1.4.0", "1.5.8", "1.6.0", "1.6.321", "", "x.y", "1"] {
            let query = query(Some(version));
            assert!(!query.contains("deployment") && !query.contains("light"), "{version}");
            assert!(query.contains("event_type=group_change_success"), "{version}");
        }
        assert!(!query(None).contains("deployment"));
    }
}
