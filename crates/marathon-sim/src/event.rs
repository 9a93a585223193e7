//! Events, as the event stream has them (`core/event/Events.scala`).

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::definition::Object;
use crate::time::Timestamp;

/// An event.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) kind: Cow<'static, str>,
    body: Object,
    roots: Option<Arc<Roots>>,
}

/// The root group before and after a deployment, which makes its events large.
#[derive(Debug)]
pub(crate) struct Roots {
    pub(crate) original: Value,
    pub(crate) target: Value,
}

impl Event {
    /// Creates an event of this moment, with `fields` besides its type and time.
    pub(crate) fn new<const N: usize>(kind: &'static str, fields: [(&str, Value); N]) -> Self {
        let fields = fields.into_iter().map(|(key, value)| (key.to_owned(), value));
        let mut body: Object = fields.collect();
        body.insert("eventType".to_owned(), kind.into());
        body.insert("timestamp".to_owned(), Timestamp::now().into());
        Self { kind: kind.into(), body, roots: None }
    }

    /// Creates an event of any type and with any fields, which may be wrong.
    pub(crate) fn invented(kind: String, mut body: Object) -> Self {
        body.insert("eventType".to_owned(), kind.as_str().into());
        Self { kind: kind.into(), body, roots: None }
    }

    /// Adds a field.
    pub(crate) fn with_field(mut self, key: &str, value: Value) -> Self {
        self.body.insert(key.to_owned(), value);
        self
    }

    /// Adds the groups of a `plan` without `plan-format=light`.
    pub(crate) fn with_roots(mut self, roots: Option<Arc<Roots>>) -> Self {
        self.roots = roots;
        self
    }

    /// Returns the event as JSON, without the groups of a `plan`.
    pub(crate) fn to_json(&self) -> Value {
        json!(self.body)
    }

    /// Formats the event for a stream: two lines and an empty one, each ended by CR LF.
    pub(crate) fn to_frame(&self, light: bool) -> String {
        let heavy = self.roots.as_ref().filter(|_| !light).map(|roots| {
            let mut body = Value::Object(self.body.clone());
            body["plan"]["original"] = roots.original.clone();
            body["plan"]["target"] = roots.target.clone();
            body
        });
        let body = heavy.unwrap_or_else(|| self.to_json());
        format!("event: {}\r\ndata: {body}\r\n\r\n", self.kind)
    }
}
