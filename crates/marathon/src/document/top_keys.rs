//! The keys of an object, which tell its shape. Their order never matters.

use std::collections::BTreeSet;

use serde::de::MapAccess;

use crate::lenient::{Field, Record};

/// The shape of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    App,
    Answer,
    Group,
    PodStatus,
    PodSpec,
}

/// Keys that make an object with `apps` a group.
const OF_GROUP: [&str; 3] = ["id", "dependencies", "version"];

/// Keys that only a definition of an app has, even one without an id.
const OF_APP: [&str; 7] =
    ["container", "portDefinitions", "ipAddress", "networks", "labels", "cmd", "args"];

/// Keys of the shapes that are read.
const OF_SHAPES: [&str; 9] =
    ["apps", "app", "*", "groups", "pods", "spec", "instances", "status", "containers"];

/// Keys of objects that resemble a definition.
const OF_LOOKALIKES: [(&str, &str); 4] = [
    ("appId", "a task"),
    ("affectedApps", "a deployment"),
    ("eventType", "an event"),
    ("apiVersion", "an object of Kubernetes"),
];

/// Keys of other objects of Marathon's API.
const OF_OTHERS: [(&str, &str); 2] = [
    ("tasks", "a list of tasks, which has no ports (/v2/apps?embed=apps.tasks has both)"),
    ("marathon_config", "an answer of /v2/info"),
];

/// Limit of keys that a description of an object names.
const MAX_NAMED: usize = 5;

/// The keys of an object: those that tell its shape, and the first few of all.
#[derive(Debug, Default)]
pub(super) struct TopKeys {
    known: BTreeSet<&'static str>,
    first: Vec<String>,
    /// The message of an error of Marathon's.
    pub(super) message: Option<String>,
}

impl Record for TopKeys {
    fn read_field<'de, A: MapAccess<'de>>(
        &mut self,
        key: &str,
        field: Field<'_, A>,
    ) -> Result<(), A::Error> {
        self.note_key(key);
        match key {
            "message" => field.read_into("message", &mut self.message),
            _ => field.skip_value(),
        }
    }
}

impl TopKeys {
    pub(super) fn note_key(&mut self, key: &str) {
        let of_others = OF_LOOKALIKES.iter().chain(&OF_OTHERS).map(|(key, _)| key);
        let mut all = OF_SHAPES.iter().chain(&OF_GROUP).chain(&OF_APP).chain(of_others);
        self.known.extend(all.find(|known| **known == key));
        if self.first.len() < MAX_NAMED {
            self.first.push(clip_text(key).escape_debug().to_string());
        }
    }

    fn has(&self, key: &str) -> bool {
        self.known.contains(key)
    }

    /// Decides the shape by all keys; None for an object that is no document.
    pub(super) fn shape(&self) -> Option<Shape> {
        let has = |key| self.has(key);
        let has_any = |keys: &[&str]| keys.iter().any(|key| self.has(key));
        if OF_LOOKALIKES.iter().any(|(key, _)| self.has(key)) {
            None
        } else if has("groups") || has("pods") || has("apps") && has_any(&OF_GROUP) {
            Some(Shape::Group)
        } else if has("apps") || has("app") || has("*") {
            Some(Shape::Answer)
        } else if has("spec") && (has("instances") || has("status")) {
            Some(Shape::PodStatus)
        } else if has("containers") {
            Some(Shape::PodSpec)
        } else if has("id") || has_any(&OF_APP) {
            Some(Shape::App)
        } else {
            None
        }
    }

    /// Describes an object that is no document.
    pub(super) fn describe_other(&self) -> String {
        if let Some(message) = &self.message {
            return format!("an error message: {:?}", clip_text(message));
        }
        let known = OF_LOOKALIKES.iter().chain(&OF_OTHERS).find(|(key, _)| self.has(key));
        if let Some((_, what)) = known {
            return (*what).to_owned();
        }
        if self.first.is_empty() {
            return "an empty object".to_owned();
        }
        format!("an object with the keys {}", self.first.join(", "))
    }
}

/// Shortens a text of unknown origin.
pub(super) fn clip_text(text: &str) -> String {
    text.chars().take(200).collect()
}
