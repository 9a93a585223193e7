//! Recognition of the shape of a document.

use std::borrow::Cow;

use serde::de::{IgnoredAny, SeqAccess};
use serde_json::value::RawValue;

use super::DocumentError;
use crate::lenient::{FromJson, Log, raw_fields, read_json, record};
use crate::model::{App, Group, PodSpec, PodStatus, Present};

/// The contents of a document, by the keys of its outermost object.
#[derive(Debug)]
pub(super) enum Content {
    App(Box<App>),
    Answer(Box<AppAnswer>),
    Group(Group),
    PodStatus(Box<PodStatus>),
    PodSpec(Box<PodSpec>),
    List(Elements),
}

/// The elements of a list, which may be of different shapes.
pub(super) type Elements = Vec<Result<Content, DocumentError>>;

/// `{"apps": [...]}` of /v2/apps, `{"app": {...}}` of /v2/apps/{id}, `{"*": [...]}` of
/// /v2/apps/{group}/*.
#[derive(Debug, Default)]
pub(super) struct AppAnswer {
    pub(super) apps: Option<Vec<App>>,
    pub(super) app: Option<App>,
    pub(super) of_group: Option<Vec<App>>,
    /// Keys of a group, which has apps, too.
    id: Option<Present>,
    groups: Option<Present>,
}

record!(AppAnswer {
    "apps" => apps,
    "app" => app,
    "*" => of_group,
    "id" => id,
    "groups" => groups,
});

impl AppAnswer {
    fn is_empty(&self) -> bool {
        self.apps.is_none() && self.app.is_none() && self.of_group.is_none()
    }
}

/// Keys of other objects of Marathon's API that have an id like an app.
const OTHERS_WITH_ID: [(&str, &str); 2] = [("appId", "a task"), ("affectedApps", "a deployment")];

/// Keys of other objects of Marathon's API.
const OTHERS: [(&str, &str); 3] = [
    ("eventType", "an event"),
    ("tasks", "a list of tasks, which has no ports (/v2/apps?embed=apps.tasks has both)"),
    ("marathon_config", "an answer of /v2/info"),
];

/// Reads a text that isn't empty, and recognises its shape.
pub(super) fn read_content(text: &str, log: &mut Log) -> Result<Content, DocumentError> {
    if text.trim_ascii_start().starts_with('[') {
        return Ok(Content::List(read_json::<List>(text, log)?.0));
    }
    if begins_as_answer(text) {
        // The largest kind of document is recognised without reading it twice.
        let mut notes = Log::new(text.len());
        let answer: AppAnswer = read_json(text, &mut notes)?;
        if answer.apps.is_some() && answer.id.is_none() && answer.groups.is_none() {
            log.take_over(notes);
            return Ok(Content::Answer(Box::new(answer)));
        }
    }
    read_element(text, log)
}

fn read_element(text: &str, log: &mut Log) -> Result<Content, DocumentError> {
    if !text.trim_ascii_start().starts_with('{') {
        // A syntax error, if there is one, is the better reason.
        serde_json::from_str::<IgnoredAny>(text)?;
        return Err(DocumentError::unrecognised("a bare value"));
    }
    let fields = raw_fields(text)?;
    let has = |key: &str| fields.iter().any(|(found, _)| found == key);
    Ok(if has("groups") || has("id") && (has("apps") || has("pods")) {
        Content::Group(read_json(text, log)?)
    } else if has("apps") || has("app") || has("*") {
        let answer: AppAnswer = read_json(text, log)?;
        if answer.is_empty() {
            return Err(DocumentError::unrecognised("an object whose apps are not a list"));
        }
        Content::Answer(Box::new(answer))
    } else if has("spec") && (has("instances") || has("status")) {
        Content::PodStatus(Box::new(read_json(text, log)?))
    } else if has("id") && has("containers") {
        Content::PodSpec(Box::new(read_json(text, log)?))
    } else if has("id") && !OTHERS_WITH_ID.iter().any(|(key, _)| has(key)) {
        Content::App(Box::new(read_json(text, log)?))
    } else {
        return Err(DocumentError::unrecognised(describe_other(&fields)));
    })
}

/// Tells whether the first key is `apps`.
fn begins_as_answer(text: &str) -> bool {
    let inside = text.trim_ascii_start().strip_prefix('{');
    inside.is_some_and(|inside| inside.trim_ascii_start().starts_with("\"apps\""))
}

/// Describes an object of an unknown shape.
fn describe_other(fields: &[(Cow<'_, str>, &RawValue)]) -> String {
    if let Some(message) = error_message(fields) {
        return format!("an error message: {message:?}");
    }
    let has = |key: &str| fields.iter().any(|(found, _)| found == key);
    let known = OTHERS_WITH_ID.iter().chain(&OTHERS).find(|(key, _)| has(key));
    if let Some((_, what)) = known {
        return (*what).to_owned();
    }
    if fields.is_empty() {
        return "an empty object".to_owned();
    }
    let keys: Vec<_> = fields.iter().take(5).map(|(key, _)| clip_text(key)).collect();
    format!("an object with the keys {}", keys.join(", "))
}

/// Extracts the message of an error of Marathon's.
fn error_message(fields: &[(Cow<'_, str>, &RawValue)]) -> Option<String> {
    let (_, message) = fields.iter().find(|(key, _)| key == "message")?;
    serde_json::from_str(message.get()).ok().map(|message: String| clip_text(&message))
}

/// Extracts the message of an error body, if it is an error of Marathon's.
#[cfg(feature = "client")]
pub(super) fn message_in(text: &str) -> Option<String> {
    error_message(&raw_fields(text).ok()?)
}

/// Shortens a text of unknown origin.
fn clip_text(text: &str) -> String {
    text.chars().take(200).collect()
}

#[derive(Default)]
struct List(Elements);

impl FromJson for List {
    const EXPECTED: &'static str = "a list";

    fn from_list<'de, A: SeqAccess<'de>>(
        mut list: A,
        log: &mut Log,
    ) -> Result<Option<Self>, A::Error> {
        let mut elements = Vec::new();
        while let Some(raw) = list.next_element::<&RawValue>()? {
            if log.make_room::<Result<Content, DocumentError>>() {
                elements.push(log.at_index(elements.len(), |log| read_element(raw.get(), log)));
            }
        }
        Ok(Some(Self(elements)))
    }
}
