//! `[relay]`: a relay, which reads Marathon for many agents.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Error, Result, bail};
use marathon::client::{Identity, Secret};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use serde::Deserialize;

use super::key_error::{KeyError, both, split_error};
use super::marathon::Relays;
#[cfg(test)]
use super::reference::LISTENER;
use super::secret_file::{self, find_absent_credential, read_certificates, read_private_key};

/// The `[relay]` section of the file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RelaySection {
    /// Address on which `vipd relay` listens for agents. Off the loopback interface it needs
    /// `token-file` or `client-ca-file`.
    #[cfg_attr(test, schemars(regex(pattern = LISTENER)))]
    pub listen: SocketAddr,
    /// File with the token that agents must have.
    pub token_file: Option<PathBuf>,
    /// File with the relay's certificate chain, as PEM: then it speaks TLS.
    pub cert_file: Option<PathBuf>,
    /// File with the private key of that certificate, as PEM.
    pub key_file: Option<PathBuf>,
    /// File with CA certificates, as PEM: agents must have a certificate of one of these.
    pub client_ca_file: Option<PathBuf>,
    /// Number of relays of this Marathon, which share its load.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub relays: u32,
    /// Most connections at the same time, at most 16384.
    #[cfg_attr(test, schemars(range(min = 1, max = caps::RELAY_CLIENTS)))]
    pub max_clients: usize,
    /// Most connections from one address, and snapshots that it gets within 5 s. Of IPv6, a /64
    /// counts as one address.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub clients_per_address: usize,
}

impl Default for RelaySection {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9615)),
            token_file: None,
            cert_file: None,
            key_file: None,
            client_ca_file: None,
            relays: 3,
            max_clients: caps::RELAY_CLIENTS,
            clients_per_address: 16,
        }
    }
}

/// Settings of a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelaySettings {
    /// The address on which it listens.
    pub listen: SocketAddr,
    /// The token that agents must have.
    pub token: Option<Secret>,
    /// Its certificate and key, and the CAs of its agents.
    pub tls: Option<RelayTls>,
    /// Number of relays of this Marathon.
    pub relays: u32,
    /// Most connections at the same time.
    pub max_clients: usize,
    /// Most connections from one address.
    pub clients_per_address: usize,
}

/// The server's side of TLS.
#[derive(Clone)]
pub struct RelayTls(Arc<ServerConfig>);

impl PartialEq for RelayTls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for RelayTls {}

impl fmt::Debug for RelayTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelayTls(***)")
    }
}

impl From<RelayTls> for tokio_rustls::TlsAcceptor {
    fn from(RelayTls(config): RelayTls) -> Self {
        config.into()
    }
}

impl RelaySection {
    /// Checks the values, without reading a file.
    ///
    /// # Errors
    /// When others could read the stream without a right, or a value is impossible.
    pub fn check(&self) -> Result<()> {
        let Self { listen, relays, max_clients, clients_per_address, .. } = *self;
        if listen.port() == 0 {
            let why = format!("[relay] listen is {listen}: use a port from 1 to 65535");
            bail!(key_error("listen", why));
        }
        if !listen.ip().is_loopback() && self.token_file.is_none() && self.client_ca_file.is_none()
        {
            bail!(key_error(
                "listen",
                format!(
                    "[relay] listen is {listen}, where anybody could read what runs in this cluster: \
                     set token-file, or client-ca-file with cert-file and key-file"
                )
            ));
        }
        if relays == 0 {
            bail!(key_error("relays", "[relay] relays is 0: give the number of relays, such as 3"));
        }
        let most = caps::RELAY_CLIENTS;
        if !(1..=most).contains(&max_clients) {
            let limits = if max_clients == 0 { "at least 1" } else { &format!("at most {most}") };
            let why = format!("[relay] max-clients is {max_clients}: use {limits}");
            bail!(key_error("max-clients", why));
        }
        if clients_per_address == 0 {
            let why = "[relay] clients-per-address is 0: use at least 1";
            bail!(key_error("clients-per-address", why));
        }
        self.find_key_pair().map(drop)
    }

    /// Finds what is wrong with its files, except credentials that only the unit has.
    #[must_use]
    pub fn check_files(&self) -> Vec<Error> {
        let mut rest = self.clone();
        let is_absent = |path: &Option<PathBuf>| {
            path.as_deref().is_some_and(|path| find_absent_credential(path).is_some())
        };
        if is_absent(&rest.token_file) {
            rest.token_file = None;
        }
        if [&rest.cert_file, &rest.key_file, &rest.client_ca_file].into_iter().any(is_absent) {
            (rest.cert_file, rest.key_file, rest.client_ca_file) = (None, None, None);
        }
        both(rest.read_token(), rest.read_tls()).err().map(split_error).unwrap_or_default()
    }

    /// Lists the credentials that only the unit has.
    pub fn absent_credentials(&self) -> impl Iterator<Item = &str> {
        let files = [&self.token_file, &self.cert_file, &self.key_file, &self.client_ca_file];
        files.into_iter().flatten().filter_map(|path| find_absent_credential(path))
    }

    /// Returns the paths of the certificate and of its key, with which it speaks TLS.
    fn find_key_pair(&self) -> Result<Option<(&Path, &Path)>> {
        match (&self.cert_file, &self.key_file, &self.client_ca_file) {
            (Some(cert), Some(key), _) => Ok(Some((cert, key))),
            (None, None, None) => Ok(None),
            (None, None, Some(_)) => bail!(key_error(
                "client-ca-file",
                "[relay] client-ca-file needs TLS: set cert-file and key-file too"
            )),
            (cert, ..) => bail!(key_error(
                if cert.is_some() { "cert-file" } else { "key-file" },
                "[relay] needs both cert-file and key-file, or neither"
            )),
        }
    }

    /// Checks the values, and reads the files with secrets.
    ///
    /// # Errors
    /// As [`RelaySection::check`], and when a file can't be read.
    pub fn resolve(&self) -> Result<RelaySettings> {
        self.check()?;
        let Self { listen, relays, max_clients, clients_per_address, .. } = *self;
        let (token, tls) = both(self.read_token(), self.read_tls())?;
        Ok(RelaySettings { listen, token, tls, relays, max_clients, clients_per_address })
    }

    /// Returns how a program on this node asks the relay: with what its files say, as far as they can be
    /// read. `followed` are the relays of this node's agent, whose authority may be the relay's too.
    #[must_use]
    pub fn to_client(&self, followed: &[Relays]) -> Relays {
        let ip = match self.listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let at = SocketAddr::new(ip, self.listen.port());
        let scheme = if self.cert_file.is_some() { "https" } else { "http" };
        let read = |key, path: &Option<PathBuf>| {
            path.as_deref().and_then(|path| secret_file::read_file("relay", key, path).ok())
        };
        let own = read("cert-file", &self.cert_file).zip(read("key-file", &self.key_file));
        let client_ca = read("client-ca-file", &self.client_ca_file);
        // Whoever is let in by a certificate may have the relay's own one.
        let own = own.filter(|_| client_ca.is_some());
        let identity = own.map(|(chain, key)| Identity::new(&chain, &key));
        let agents = || followed.iter().find_map(|relays| relays.identity.clone());
        let authorities = followed.iter().find_map(|relays| relays.ca.clone());
        Relays {
            urls: format!("{scheme}://{at}").parse().into_iter().collect(),
            token: self.read_token().ok().flatten(),
            ca: authorities.or(client_ca),
            identity: agents().or(identity),
        }
    }

    fn read_token(&self) -> Result<Option<Secret>> {
        let path = self.token_file.as_deref();
        path.map(|path| secret_file::read_token("relay", "token-file", path)).transpose()
    }

    fn read_tls(&self) -> Result<Option<RelayTls>> {
        let Some((cert, key)) = self.find_key_pair()? else { return Ok(None) };
        let own = both(
            read_certificates("relay", "cert-file", cert),
            read_private_key("relay", "key-file", key),
        );
        let client_ca = self.client_ca_file.as_deref();
        let authorities =
            client_ca.map(|path| read_certificates("relay", "client-ca-file", path)).transpose();
        let ((chain, key), authorities) = both(own, authorities)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .context("TLS can't be set up")?;
        let builder = match authorities {
            None => builder.with_no_client_auth(),
            Some(authorities) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(authorities);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                let unusable = || key_error("client-ca-file", "client-ca-file can't be used");
                let verifier = verifier.build().with_context(unusable)?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(chain, key).with_context(|| {
            key_error("cert-file", "[relay] cert-file and key-file don't belong together")
        })?;
        // All agents of a relay that has gone come at once: a resumed session costs a fraction.
        config.ticketer = aws_lc_rs::Ticketer::new().context("TLS can't be set up")?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Some(RelayTls(config.into())))
    }
}

fn key_error(key: &'static str, text: impl Into<String>) -> KeyError {
    KeyError::new("relay", key, text)
}
