//! Fault injection over HTTP, at `/_sim/`: for tests and demos, not part of Marathon. Every member
//! answers, whoever leads.

use axum::http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Error};
use crate::definition::Object;
use crate::fault::Rule;
use crate::shared::Shared;
use crate::store::Store;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lead {
    leader: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Clock {
    ahead_ms: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Invented {
    event_type: String,
    #[serde(flatten)]
    fields: Object,
}

/// Answers a request for a `path` under `/_sim/`.
pub(super) fn answer_control(
    shared: &Shared,
    method: &Method,
    path: &str,
    body: &[u8],
) -> Result<Answer, Error> {
    match (method.as_str(), path) {
        ("GET", "faults") => return Ok(Answer::ok(&json!(shared.faults.list_rules()))),
        ("POST", "faults") => {
            if !shared.inject_fault(parse_body::<Rule>(body)?) {
                return Err(Error::Bad("there are too many faults: DELETE them first".to_owned()));
            }
        }
        ("DELETE", "faults") => shared.faults.clear_rules(),
        ("GET", "members") => {
            let leader = *shared.leader.borrow();
            return Ok(Answer::ok(&json!({"members": shared.members, "leader": leader})));
        }
        ("PUT", "leader") => {
            let Lead { leader } = parse_body(body)?;
            if leader.is_some_and(|leader| leader >= shared.members.len()) {
                return Err(Error::Bad(format!("there are {} members", shared.members.len())));
            }
            shared.set_leader(leader);
        }
        ("PUT", "clock") => {
            let Clock { ahead_ms } = parse_body(body)?;
            shared.set_clock(ahead_ms);
        }
        ("POST", "events") => {
            let Invented { event_type, fields } = parse_body(body)?;
            shared.send_event(event_type, fields);
        }
        ("POST", "forget-health") => shared.update_store(Store::forget_health),
        ("POST", "expire-tokens") => shared.access.expire_all(),
        _ => return Err(Error::NoRoute),
    }
    Ok(Answer::ok(&Value::Object(serde_json::Map::new())))
}

fn parse_body<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| Error::NotJson(error.to_string()))
}
