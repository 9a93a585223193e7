//! Places of labels in the documents of a source.

use crate::AppId;

/// The place of a label in a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelPlace {
    /// The app or pod.
    pub app: AppId,
    /// The index of the labelled port among the app's ports; `None` for a label of the app itself.
    pub port: Option<usize>,
    /// JSON path of the label's object in its document, as
    /// `$.apps[3].container.portMappings[0].labels`.
    pub path: String,
    /// The label's key.
    pub key: String,
    /// The number of equal keys before it in the same object.
    pub occurrence: usize,
    /// The label's value.
    pub value: String,
}
