//! Recognition of the shape of a document.

use serde::de::{IgnoredAny, MapAccess, SeqAccess};
use serde_json::value::RawValue;

use super::DocumentError;
use super::top_keys::{Shape, TopKeys, clip_text};
use crate::lenient::{Field, FromJson, Log, Record, read_json, read_once};
use crate::model::{App, Group, PodSpec, PodStatus};

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
    keys: TopKeys,
}

impl Record for AppAnswer {
    fn read_field<'de, A: MapAccess<'de>>(
        &mut self,
        key: &str,
        field: Field<'_, A>,
    ) -> Result<(), A::Error> {
        self.keys.note_key(key);
        match key {
            "apps" => field.read_into("apps", &mut self.apps),
            "app" => field.read_into("app", &mut self.app),
            "*" => field.read_into("*", &mut self.of_group),
            _ => field.skip_value(),
        }
    }
}

impl AppAnswer {
    fn is_empty(&self) -> bool {
        self.apps.is_none() && self.app.is_none() && self.of_group.is_none()
    }
}

/// Reads a text that isn't empty, and recognises its shape.
pub(super) fn read_content(text: &str, log: &mut Log) -> Result<Content, DocumentError> {
    if text.trim_ascii_start().starts_with('[') {
        return Ok(Content::List(read_json::<List>(text, log)?.0));
    }
    if begins_as_answer(text) {
        // The largest kind of document is recognised without reading it twice.
        let mut notes = Log::new(text.len());
        let answer: AppAnswer = read_json(text, &mut notes)?;
        if answer.keys.shape() == Some(Shape::Answer) && !answer.is_empty() {
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
    let keys = read_keys(text)?;
    Ok(match keys.shape() {
        Some(Shape::Group) => Content::Group(read_json(text, log)?),
        Some(Shape::Answer) => {
            let answer: AppAnswer = read_json(text, log)?;
            if answer.is_empty() {
                return Err(DocumentError::unrecognised("an object whose apps are not a list"));
            }
            Content::Answer(Box::new(answer))
        }
        Some(Shape::PodStatus) => Content::PodStatus(Box::new(read_json(text, log)?)),
        Some(Shape::PodSpec) => Content::PodSpec(Box::new(read_json(text, log)?)),
        Some(Shape::App) => Content::App(Box::new(read_json(text, log)?)),
        None => return Err(DocumentError::unrecognised(keys.describe_other())),
    })
}

/// Tells whether the first key is `apps`.
fn begins_as_answer(text: &str) -> bool {
    let inside = text.trim_ascii_start().strip_prefix('{');
    inside.is_some_and(|inside| inside.trim_ascii_start().starts_with("\"apps\""))
}

fn read_keys(text: &str) -> Result<TopKeys, DocumentError> {
    Ok(read_once(text, &mut Log::new(0))?)
}

/// Extracts the message of an error body, if it is an error of Marathon's.
#[cfg(feature = "client")]
pub(super) fn message_in(text: &str) -> Option<String> {
    read_keys(text).ok()?.message.map(|message| clip_text(&message))
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
