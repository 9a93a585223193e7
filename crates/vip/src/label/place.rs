//! Places of labels in the documents of a source.

use std::sync::Arc;

/// The place of a label in a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelPlace {
    /// Id of the app or pod.
    pub app: Arc<str>,
    /// The port it stands on: its index among the app's ports. `None`: on the app itself.
    pub port: Option<usize>,
    /// JSON path of the label's object in its document, as
    /// `$.apps[3].container.portMappings[0].labels`.
    pub path: String,
    /// The label's key.
    pub key: String,
    /// How many equal keys stand before it in the same object.
    pub occurrence: usize,
    /// The label's value.
    pub value: String,
}
