//! Bodies of HTTP answers that somebody else may make up.

/// Reads an answer of up to [`caps::ANSWER`] bytes. `None`: it is longer. Whoever answers must not take this
/// process's memory.
pub(crate) async fn read_bounded(
    mut response: reqwest::Response,
) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(bytes) = response.chunk().await? {
        if body.len() + bytes.len() > caps::ANSWER {
            return Ok(None);
        }
        body.extend_from_slice(&bytes);
    }
    Ok(Some(body))
}
