//! The names of apps and pods.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The kind of what claims a VIP.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum AppKind {
    /// An app.
    #[default]
    App,
    /// A pod.
    Pod,
}

/// The name of an app or pod within its source. An app and a pod may have one id, since one may
/// replace the other. Reads and prints as the id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct AppId {
    /// The id, as `/group/db`.
    pub id: Arc<str>,
    /// App or pod.
    pub kind: AppKind,
}

impl AppKind {
    /// Tells whether it is an app.
    #[must_use]
    pub fn is_app(&self) -> bool {
        *self == Self::App
    }
}

/// Names an app.
impl From<&str> for AppId {
    fn from(id: &str) -> Self {
        Self { id: id.into(), kind: AppKind::App }
    }
}

impl Deref for AppId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.id
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.id)
    }
}
