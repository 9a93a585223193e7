//! Configuration of a client: URLs, limits, credentials and certificates.

use std::fmt;
use std::time::Duration;

use reqwest::Url;

use super::error::Cause;
use super::jwt::KeyError;

/// Settings of a client of one Marathon.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// The URLs of its leader and standbys, or of the proxies before them. Tried in this order. A
    /// path is kept as a prefix. User and password in a URL are used for that server only.
    pub urls: Vec<Url>,
    /// Timeout of a connection.
    pub connect_timeout: Duration,
    /// Timeout of one request as a whole.
    pub read_timeout: Duration,
    /// Longest time without a byte of an answer. A standby gives up on its leader after 10 s.
    pub idle_timeout: Duration,
    /// Longest answer, in bytes after decompression.
    pub max_body: usize,
    /// The `User-Agent` of every request.
    pub user_agent: String,
    /// Credentials for the URLs that have no user of their own.
    pub auth: Option<Auth>,
    /// Certificates of authorities to trust in addition to the system's, as PEM.
    pub ca: Option<Vec<u8>>,
    /// The client certificate for TLS.
    pub identity: Option<Identity>,
    /// A proxy for all requests. Those of the environment are ignored: an agent must not come to
    /// depend on one by accident.
    pub proxy: Option<Url>,
}

impl ClientConfig {
    /// Creates settings for these URLs with the default limits: 3 s, 60 s and 30 s, and
    /// [`caps::ANSWER`].
    #[must_use]
    pub fn new(urls: Vec<Url>) -> Self {
        Self {
            urls,
            connect_timeout: Duration::from_secs(3),
            read_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(30),
            max_body: caps::ANSWER,
            user_agent: concat!("vipd/", env!("CARGO_PKG_VERSION")).to_owned(),
            auth: None,
            ca: None,
            identity: None,
            proxy: None,
        }
    }
}

/// Credentials for Marathon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// A user and password.
    Basic(BasicAuth),
    /// A service account of DC/OS, which logs in for a token.
    Account(Account),
}

/// A service account of DC/OS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The name of the account.
    pub uid: String,
    /// The RSA key, as PEM.
    pub private_key: Secret,
    /// The URL of the login.
    pub login_endpoint: Url,
}

/// A certificate chain and its private key, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity(Vec<u8>);

impl Identity {
    /// Joins the PEM texts of both.
    #[must_use]
    pub fn new(certificate: &[u8], key: &[u8]) -> Self {
        Self([certificate, b"\n", key].concat())
    }

    pub(super) fn as_pem(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A user of Marathon's `--http_credentials`, or of a proxy before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasicAuth {
    /// The user name.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// A text that `Debug` hides, so that it never appears in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Returns the text.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for Secret {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Why no client can be made.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No URL.
    #[error("no URL of Marathon is given; give one, as http://marathon.example:8080")]
    NoUrl,
    /// A URL that isn't that of a web server.
    #[error("the Marathon URL {url} is not usable: {reason}")]
    BadUrl {
        /// The URL, without its password.
        url: String,
        /// Why it can't be used.
        reason: &'static str,
    },
    /// CA certificates that can't be parsed.
    #[error("the CA certificates can't be used; give them as PEM")]
    BadCa(#[source] Cause),
    /// CA certificates that are configured, and none is there.
    #[error("there is no CA certificate in the file; give them as PEM")]
    EmptyCa,
    /// A URL is HTTPS, this machine has no CA certificates, and none is configured.
    #[error(
        "this machine has no CA certificates, and HTTPS needs them: install Debian's \
         ca-certificates, in a container mount /etc/ssl/certs, or name the authority's with ca-file"
    )]
    NoCa,
    /// A client certificate or key that can't be parsed.
    #[error("the client certificate and key can't be used; give both as PEM, the key as PKCS#8")]
    BadIdentity,
    /// A key of a service account that can't be parsed.
    #[error("the private key of service account {uid} can't be used; give an RSA key as PEM")]
    BadKey {
        /// The name of the account.
        uid: String,
        /// Why it can't be used.
        #[source]
        error: KeyError,
    },
    /// The user agent holds a control character, or TLS doesn't work on this machine.
    #[error("the HTTP client could not be set up")]
    Setup(#[source] Cause),
}
