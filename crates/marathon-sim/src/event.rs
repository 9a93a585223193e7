//! Events as the stream carries them (`core/event/Events.scala`).

use std::sync::Arc;

use serde_json::{Value, json};

use crate::definition::Object;
use crate::time::Timestamp;

/// Something that happened.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) kind: &'static str,
    body: Object,
    roots: Option<Arc<Roots>>,
}

/// The root group before and after a deployment: what makes its events heavy.
#[derive(Debug)]
pub(crate) struct Roots {
    pub(crate) original: Value,
    pub(crate) target: Value,
}

impl Event {
    /// An event that happens now. `fields` are its own, next to its type and time.
    pub(crate) fn new<const N: usize>(kind: &'static str, fields: [(&str, Value); N]) -> Self {
        let fields = fields.into_iter().map(|(key, value)| (key.to_owned(), value));
        let mut body: Object = fields.collect();
        body.insert("eventType".to_owned(), kind.into());
        body.insert("timestamp".to_owned(), Timestamp::now().into());
        Self { kind, body, roots: None }
    }

    /// Adds a field only some generations have.
    pub(crate) fn with_field(mut self, key: &str, value: Value) -> Self {
        self.body.insert(key.to_owned(), value);
        self
    }

    /// Adds what a `plan` without `plan-format=light` tells besides.
    pub(crate) fn with_roots(mut self, roots: Option<Arc<Roots>>) -> Self {
        self.roots = roots;
        self
    }

    /// The bytes of the event in a stream: two lines and an empty one, ended by CR LF.
    pub(crate) fn to_frame(&self, light: bool) -> String {
        let heavy = self.roots.as_ref().filter(|_| !light).map(|roots| {
            let mut body = Value::Object(self.body.clone());
            body["plan"]["original"] = roots.original.clone();
            body["plan"]["target"] = roots.target.clone();
            body
        });
        let body = heavy.unwrap_or_else(|| json!(self.body));
        format!("event: {}\r\ndata: {body}\r\n\r\n", self.kind)
    }
}
