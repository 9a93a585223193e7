//! What a server says of itself.

use serde::Deserialize;

use super::http::Http;
use super::request::{Base, INFO};
use super::{ClientError, found};
use crate::DocumentError;
use crate::document::text_of;

/// What one server of Marathon says of itself (`/v2/info`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ServerInfo {
    /// Its version, as `1.8.222-86475ddac`.
    pub version: Option<String>,
    /// The leader's host and port. `None`: there is none now.
    pub leader: Option<String>,
}

pub(super) async fn read(
    http: &Http,
    base: &Base,
    bases: &[Base],
) -> Result<ServerInfo, ClientError> {
    let answer = found(http.get(base.at(INFO), bases).await?)?;
    let read = text_of(&answer.body)
        .and_then(|text| serde_json::from_str(&text).map_err(DocumentError::from));
    read.map_err(|reason| ClientError::Document { url: answer.url.to_string(), reason })
}
