//! The URL of a server that is asked, from the configuration or the command line.

use marathon::client::Url;

/// The fault of such a URL. The URL is never quoted: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServerUrlError {
    /// No URL at all.
    #[error("is not a URL")]
    Malformed,
    /// A URL of another scheme than HTTP and HTTPS, or with port 0.
    #[error("is not the URL of a server")]
    NotOfServer,
    /// A query or a fragment.
    #[error("has a part after `?` or `#`, which no request would have: leave it out")]
    HasQuery,
    /// A user or a password.
    #[error("contains a user or a password, which others can see")]
    HasSecret,
}

/// Parses the URL of a server.
///
/// # Errors
/// When it is none, has a query, or holds a secret.
pub fn parse_server_url(text: &str) -> Result<Url, ServerUrlError> {
    let url = Url::parse(text).map_err(|_| ServerUrlError::Malformed)?;
    if !matches!(url.scheme(), "http" | "https") || url.port() == Some(0) {
        return Err(ServerUrlError::NotOfServer);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ServerUrlError::HasSecret);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(ServerUrlError::HasQuery);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_is_no_server_is_refused() {
        for (text, error) in [
            ("http://", ServerUrlError::Malformed),
            ("", ServerUrlError::Malformed),
            ("ftp://m1", ServerUrlError::NotOfServer),
            ("m1:8080", ServerUrlError::NotOfServer),
            ("http://m1:0", ServerUrlError::NotOfServer),
            ("file:///etc/passwd", ServerUrlError::NotOfServer),
            ("unix:/run/vipd/vipd.sock", ServerUrlError::NotOfServer),
            ("http://m1/?token=a", ServerUrlError::HasQuery),
            ("http://m1/#a", ServerUrlError::HasQuery),
            ("http://u@m1", ServerUrlError::HasSecret),
            ("http://:p@m1/?token=a", ServerUrlError::HasSecret),
        ] {
            assert_eq!(parse_server_url(text), Err(error), "{text}");
        }
        for text in ["https://m1/marathon", "http://[fd00::1]:8080"] {
            assert!(parse_server_url(text).is_ok(), "{text}");
        }
    }
}
