use std::fmt;
use std::time::Duration;

use reqwest::Url;

/// How one Marathon is read.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Where it is: its leader and standbys, or what stands before them. Tried in this order. A
    /// path is kept as a prefix. User and password in a URL are used for that server only.
    pub urls: Vec<Url>,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long one request may take as a whole.
    pub read_timeout: Duration,
    /// How long a request may go without a byte. A standby gives up on its leader after 10 s.
    pub idle_timeout: Duration,
    /// How long an answer may be, in bytes after decompression.
    pub max_body: usize,
    /// The `User-Agent` of every request.
    pub user_agent: String,
    /// For the URLs that have no user of their own.
    pub auth: Option<Auth>,
    /// Certificates of authorities to trust beside the system's, as PEM.
    pub ca: Option<Vec<u8>>,
    /// Who to be in TLS: a certificate chain and its key, as PEM.
    pub identity: Option<Identity>,
    /// A proxy for all requests. The environment's are never used: an agent must not begin to
    /// depend on one by accident.
    pub proxy: Option<Url>,
}

impl ClientConfig {
    /// For these URLs, with the usual limits: 3 s, 60 s and 30 s, 256 MiB.
    #[must_use]
    pub fn new(urls: Vec<Url>) -> Self {
        Self {
            urls,
            connect_timeout: Duration::from_secs(3),
            read_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(30),
            max_body: 256 << 20,
            user_agent: concat!("vipd/", env!("CARGO_PKG_VERSION")).to_owned(),
            auth: None,
            ca: None,
            identity: None,
            proxy: None,
        }
    }
}

/// Who to be at Marathon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// A user.
    Basic(BasicAuth),
    /// A service account of DC/OS, which logs in for a token.
    Account(Account),
}

/// A service account of DC/OS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub uid: String,
    /// Its RSA key, as PEM.
    pub private_key: Secret,
    /// Where it logs in.
    pub login_endpoint: Url,
}

/// A certificate chain and its private key, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity(Vec<u8>);

impl Identity {
    /// From the texts of both.
    #[must_use]
    pub fn new(certificate: &[u8], key: &[u8]) -> Self {
        Self([certificate, b"\n", key].concat())
    }

    pub(super) fn pem(&self) -> &[u8] {
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

/// A text that never shows up in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
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
    /// There is nothing to read from.
    #[error("no URL of Marathon is given; give one, as http://marathon.example:8080")]
    NoUrl,
    /// A URL that isn't one of a web server.
    #[error("the Marathon URL {url} is not usable: {reason}")]
    BadUrl {
        /// The URL, without its password.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The CA file.
    #[error("the CA certificates can't be used: {0}; give them as PEM")]
    BadCa(String),
    /// There is none on this machine and none is given, and a URL is one of HTTPS.
    #[error(
        "this machine has no CA certificates, and HTTPS needs them: install Debian's \
         ca-certificates, in a container mount /etc/ssl/certs, or name the authority's with ca-file"
    )]
    NoCa,
    /// The client's certificate or key.
    #[error("the client certificate and key can't be used; give both as PEM, the key as PKCS#8")]
    BadIdentity,
    /// The key of a service account.
    #[error("the private key of service account {0} can't be used; give an RSA key as PEM")]
    BadKey(String),
    /// The user agent holds a control character, or TLS doesn't work on this machine.
    #[error("the HTTP client could not be set up: {0}")]
    Setup(String),
}
