//! Handlers of `/v2/eventSubscriptions` (`api/v2/EventSubscriptionsResource.scala` until 1.4), with
//! `--event_subscriber http_callback`.

use serde_json::json;

use super::answer::{Answer, Error};
use super::request::Request;
use crate::event::Event;
use crate::shared::Shared;

pub(super) fn list_subscriptions(shared: &Shared) -> Answer {
    Answer::ok(&json!({"callbackUrls": shared.callbacks.list_urls()}))
}

pub(super) fn add_subscription(shared: &Shared, request: &Request) -> Result<Answer, Error> {
    let url = callback_url(request)?;
    if !shared.callbacks.add_url(&shared.bus, url) {
        let reason = format!("{url} is not an http:// URL with an address and a port");
        return Err(Error::Bad(reason));
    }
    Ok(announce_subscription(shared, request, "subscribe_event", url))
}

pub(super) fn remove_subscription(shared: &Shared, request: &Request) -> Result<Answer, Error> {
    let url = callback_url(request)?;
    shared.callbacks.remove_url(&shared.bus, url);
    Ok(announce_subscription(shared, request, "unsubscribe_event", url))
}

fn callback_url(request: &Request) -> Result<&str, Error> {
    request.parameter("callbackUrl").ok_or_else(|| Error::Bad("callbackUrl is missing".to_owned()))
}

/// Publishes the event about a subscription and answers with it.
fn announce_subscription(
    shared: &Shared,
    request: &Request,
    kind: &'static str,
    url: &str,
) -> Answer {
    let client = request.client.ip().to_string();
    let event = Event::new(kind, [("clientIp", json!(client)), ("callbackUrl", json!(url))]);
    let answer = Answer::ok(&event.to_json());
    shared.with_store(|store| store.push_event(event));
    answer
}
