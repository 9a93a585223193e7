//! `/v1/events`: the latest changes, and the stream of new ones.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use super::answer::answer_problem;
use super::state::SharedState;
use crate::agent::journal::Journal;

/// The longest stream. It ends before the server cuts the connection after 30 s; the client then
/// connects again with the number of the last change that it has.
const LONGEST: Duration = Duration::from_secs(25);
/// The pause before the client connects again.
const RETRY: Duration = Duration::from_millis(200);
const KEEP_ALIVE: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
pub(super) struct After {
    /// The number of the last change that the client has.
    #[serde(default)]
    after: u64,
}

pub(super) async fn answer_events(
    State(state): SharedState,
    Query(After { after }): Query<After>,
    headers: HeaderMap,
) -> Response {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let follows = text(header::ACCEPT).is_some_and(|accept| accept.contains("text/event-stream"));
    let journal = &state.handle.journal;
    if !follows {
        return Json(journal.entries_after(after)).into_response();
    }
    let Ok(permit) = state.followers.clone().try_acquire_owned() else {
        let why = "too many clients follow the changes: try again, or poll with ?after=NUMBER";
        return answer_problem(StatusCode::SERVICE_UNAVAILABLE, why);
    };
    let last = text(header::HeaderName::from_static("last-event-id"));
    let after = last.and_then(|last| last.parse().ok()).unwrap_or(after);
    let following = Following {
        journal: journal.clone(),
        // A restarted agent numbers its changes from 1 again.
        after: if after > *journal.last_number().borrow() { 0 } else { after },
        ready: VecDeque::from([Event::default().retry(RETRY).comment("changes")]),
        end: Instant::now() + LONGEST,
        _permit: permit,
    };
    let events = stream::unfold(following, |mut following| async {
        let event = following.next_event().await?;
        Some((Ok::<_, Infallible>(event), following))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

struct Following {
    journal: Journal,
    after: u64,
    ready: VecDeque<Event>,
    end: Instant,
    _permit: tokio::sync::OwnedSemaphorePermit,
}

impl Following {
    async fn next_event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let mut follow = self.journal.last_number();
            for change in self.journal.entries_after(self.after) {
                self.after = change.number;
                let event = Event::default().id(change.number.to_string()).event("change");
                self.ready.extend(event.json_data(&*change));
            }
            if self.ready.is_empty() {
                let after = self.after;
                let newer = follow.wait_for(|last| *last > after);
                timeout_at(self.end, newer).await.ok()?.ok()?;
            }
        }
    }
}
