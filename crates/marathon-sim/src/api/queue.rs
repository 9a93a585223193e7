//! Handlers of `/v2/queue` (`api/v2/QueueResource.scala`, `raml/QueueInfoConversion.scala`).

use serde_json::{Value, json};

use super::answer::{Answer, Error};
use crate::config::Generation;
use crate::shared::Shared;
use crate::store::{Entry, Store};
use crate::view;

pub(super) fn list_queue(shared: &Shared) -> Answer {
    let store = shared.visible_store();
    let entries = store.apps().chain(store.pods());
    let queue: Vec<Value> = entries.filter_map(|entry| queue_item(&store, entry)).collect();
    Answer::ok(&json!({"queue": queue}))
}

/// Ends the back-off of an app or pod that has instances to start.
pub(super) fn reset_delay(shared: &Shared, id: &str) -> Result<Answer, Error> {
    shared.update_store(|store| {
        let waits = store.entries.get(id).is_some_and(|entry| missing_instances(store, entry) > 0);
        if !waits {
            return Err(Error::NotQueued(id.to_owned()));
        }
        store.reset_backoff(id);
        Ok(Answer::empty(204))
    })
}

/// Counts the instances of an app or pod that are yet to be started.
fn missing_instances(store: &Store, entry: &Entry) -> usize {
    let live = store.instances_of(&entry.spec.id).filter(|instance| !instance.is_ending());
    entry.spec.instances.saturating_sub(live.count())
}

/// Describes an app or pod with instances to start; `None` without any.
fn queue_item(store: &Store, entry: &Entry) -> Option<Value> {
    let count = Some(missing_instances(store, entry)).filter(|count| *count > 0)?;
    let generation = store.generation;
    let left = entry.remaining_delay().as_secs();
    let mut item = json!({
        "count": count,
        // Overdue: no back-off is left, so it waits for an offer.
        "delay": {"timeLeftSeconds": left, "overdue": left == 0},
    });
    match entry.spec.pod {
        true => item["pod"] = view::pod_definition(&entry.spec, generation),
        false => item["app"] = Value::Object(view::app_definition(&entry.spec, generation)),
    }
    if generation >= Generation::V1_4 {
        item["since"] = entry.last_scaling.into();
        // Agents here make no offers, so none was declined.
        item["processedOffersSummary"] = json!({
            "processedOffersCount": 0,
            "unusedOffersCount": 0,
            "rejectSummaryLastOffers": [],
            "rejectSummaryLaunchAttempt": [],
        });
    }
    Some(item)
}
