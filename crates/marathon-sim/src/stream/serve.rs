//! The stream of one listener, from its head to its end (`EventSourceServlet` of Jetty 9,
//! `core/event/impl/stream/HttpEventStreamActor.scala`).

use std::io;
use std::time::Duration;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior};

use super::bus::{Filter, Frame, Subscription};
use super::wire::Peer;
use crate::event::Event;
use crate::shared::Shared;
use crate::time::Timestamp;

/// Sends events to the client until it disconnects, the leader changes, or the simulator ends. The
/// returned response is not sent; it makes the HTTP server close the connection.
pub(crate) async fn serve_events(
    shared: &Shared,
    peer: &Peer,
    leader: usize,
    filter: Filter,
) -> Response {
    peer.take_over();
    let mut terms = shared.leader.subscribe();
    let head = response_head(shared, peer, leader);
    let is_leader = *terms.borrow_and_update() == Some(leader);
    // An error means that the client is gone.
    let is_there = peer.send_bytes(head.as_bytes()).await.is_ok();
    if is_there && is_leader && !shared.faults.closes_stream() {
        let (mut attached, too_slow) = Attached::new(shared, peer, filter);
        tokio::select! {
            // The end of a term comes before any event: a former leader sends nothing.
            biased;
            _ = terms.changed() => {}
            _ = too_slow => {}
            () = shared.wait_for_stop() => {}
            _ = attached.send_events() => {}
        }
        if shared.faults.half_open() {
            drop(attached);
            shared.wait_for_stop().await;
        }
    }
    ([(header::CONNECTION, "close")], ()).into_response()
}

fn response_head(shared: &Shared, peer: &Peer, leader: usize) -> String {
    let date = format!("Date: {}\r\n", Timestamp::now().to_http_date());
    let via = match peer.member == leader {
        true => String::new(),
        // A forwarded answer has the headers of both members.
        false => format!("{date}X-Marathon-Via: {}\r\n", shared.via_header(peer.member)),
    };
    format!(
        "HTTP/1.1 200 OK\r\n{date}{via}X-Marathon-Leader: {}\r\n\
         Cache-Control: no-cache, no-store, must-revalidate\r\nPragma: no-cache\r\nExpires: 0\r\n\
         X-Frame-Options: DENY\r\nX-XSS-Protection: 1; mode=block\r\n\
         Content-Type: text/event-stream;charset=utf-8\r\nConnection: close\r\n\r\n",
        shared.members[leader],
    )
}

/// Lower limit of the period: 0 must not keep the machine busy.
const SHORTEST_HEARTBEAT: Duration = Duration::from_millis(1);

/// An announced listener. Dropping it unsubscribes and announces that.
struct Attached<'a> {
    shared: &'a Shared,
    peer: &'a Peer,
    subscription: Subscription,
    late: Vec<Frame>,
}

impl<'a> Attached<'a> {
    fn new(shared: &'a Shared, peer: &'a Peer, filter: Filter) -> (Self, oneshot::Receiver<()>) {
        let (subscription, too_slow) = shared.bus.subscribe(filter);
        let attached = Self { shared, peer, subscription, late: Vec::new() };
        attached.push_event("event_stream_attached");
        (attached, too_slow)
    }

    fn push_event(&self, kind: &'static str) {
        let address = json!(self.peer.address.ip().to_string());
        let event = Event::new(kind, [("remoteAddress", address)]);
        self.shared.with_store(|store| store.push_event(event));
    }

    /// Sends events and heartbeats until the client is gone or the stream has to go silent.
    async fn send_events(&mut self) -> io::Result<()> {
        let period = self.shared.config.heartbeat.max(SHORTEST_HEARTBEAT);
        let mut heartbeat = tokio::time::interval_at(Instant::now() + period, period);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = self.late.iter().map(|frame| frame.due).min();
            let wake = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let mut beats = false;
            tokio::select! {
                frame = self.subscription.frames.recv() => match frame {
                    Some(frame) => self.late.push(frame),
                    None => return Ok(()),
                },
                () = wake => {}
                _ = heartbeat.tick() => beats = true,
            }
            if self.shared.faults.half_open() {
                return Ok(());
            }
            if beats {
                self.peer.send_bytes(b"\r").await?;
                self.peer.send_bytes(b"\n").await?;
            }
            let now = Instant::now();
            let waits = |frame: &Frame| frame.due > now;
            // Due frames are sent in the order of their arrival.
            let (late, ready): (Vec<Frame>, Vec<Frame>) =
                std::mem::take(&mut self.late).into_iter().partition(waits);
            self.late = late;
            for Frame { text, .. } in ready {
                self.peer.send_bytes(text.as_bytes()).await?;
            }
        }
    }
}

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        self.shared.bus.unsubscribe(self.subscription.id);
        self.push_event("event_stream_detached");
    }
}
