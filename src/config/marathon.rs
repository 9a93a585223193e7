//! `[[marathon]]`: the URLs of a Marathon, and the credentials for it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use marathon::client::{Account, Auth, BasicAuth, ClientConfig, Identity, Secret, Url};
use serde::Deserialize;

use super::key_error::{KeyError, both};
use super::secret_file;
use super::server_url::{ServerUrlError, parse_server_url};

/// A `[[marathon]]` section of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(extend("required" = ["urls"])))]
pub struct MarathonSection {
    /// Name in reports, the log and metrics. Unless set, its URLs.
    pub name: Option<String>,
    /// URLs of its servers, tried in order. A path prefix is kept.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub urls: Vec<String>,
    /// User for basic authentication.
    pub user: Option<String>,
    /// File with that user, in place of `user`.
    pub user_file: Option<PathBuf>,
    /// File with the password for basic authentication. This and the other files may be credentials
    /// of the systemd unit (`LoadCredential=`): `credential:NAME`.
    pub password_file: Option<PathBuf>,
    /// File with the secret of a DC/OS service account, as JSON.
    pub service_account_file: Option<PathBuf>,
    /// File with CA certificates to trust in addition to the system's, as PEM.
    pub ca_file: Option<PathBuf>,
    /// File with the client's certificate chain, as PEM.
    pub client_cert_file: Option<PathBuf>,
    /// File with the private key of that certificate, as PEM.
    pub client_key_file: Option<PathBuf>,
    /// Name under which it is registered with Mesos, the second part of the names of its VIPs, as in
    /// `mysql.marathon`. Unless set, Marathon tells it.
    pub framework: Option<String>,
    /// URLs of relays, `vipd relay`: the agent follows one of them, and reads Marathon itself only while
    /// none answers.
    pub relay: Vec<String>,
    /// File with the token that the relays want.
    pub relay_token_file: Option<PathBuf>,
    /// File with CA certificates for the relays, as PEM, to trust in addition to the system's.
    pub relay_ca_file: Option<PathBuf>,
    /// File with the client's certificate chain for the relays, as PEM.
    pub relay_cert_file: Option<PathBuf>,
    /// File with the private key of that certificate, as PEM.
    pub relay_key_file: Option<PathBuf>,
    /// Proxy for all requests to this Marathon. The proxy variables of the environment are ignored.
    pub proxy: Option<String>,
}

/// One Marathon, with the secrets that its client needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marathon {
    /// Name in reports.
    pub name: String,
    /// URLs of its servers.
    pub urls: Vec<Url>,
    /// Credentials, trusted CAs and proxy.
    pub access: Access,
    /// Its framework's name, if that is set.
    pub framework: Option<Arc<str>>,
    /// The relays through which it is read.
    pub relays: Relays,
}

/// The relays of one Marathon, and how they are reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Relays {
    /// The URLs; none: Marathon is read directly.
    pub urls: Vec<Url>,
    /// The token that they want.
    pub token: Option<Secret>,
    /// CA certificates, as PEM.
    pub ca: Option<Vec<u8>>,
    /// The client's certificate and key.
    pub identity: Option<Identity>,
}

/// Credentials, trusted CAs and proxy for one Marathon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// A user with a password, or a service account.
    pub auth: Option<Auth>,
    /// CA certificates, as PEM.
    pub ca: Option<Vec<u8>>,
    /// The client's certificate and key.
    pub identity: Option<Identity>,
    /// A proxy.
    pub proxy: Option<Url>,
}

/// The secret of a service account, as DC/OS writes it.
#[derive(Deserialize)]
struct ServiceAccount {
    uid: String,
    private_key: String,
    login_endpoint: String,
    scheme: Option<String>,
}

impl Marathon {
    /// Creates a Marathon that is named after its URLs.
    #[must_use]
    pub fn new(urls: Vec<Url>, access: Access) -> Self {
        let names: Vec<_> = urls.iter().map(|url| url.as_str().trim_end_matches('/')).collect();
        Self { name: names.join(","), urls, access, framework: None, relays: Relays::default() }
    }

    /// Returns the names of the servers that requests go to: its own, a proxy, and that of the login.
    #[must_use]
    pub fn server_names(&self) -> BTreeSet<String> {
        let login = match &self.access.auth {
            Some(Auth::Account(account)) => Some(&account.login_endpoint),
            _ => None,
        };
        let urls = self.urls.iter().chain(&self.access.proxy).chain(login).chain(&self.relays.urls);
        let hosts = urls.filter_map(Url::host_str);
        hosts.map(str::to_owned).collect()
    }

    /// Returns the settings of its HTTP client.
    #[must_use]
    pub fn client_config(&self) -> ClientConfig {
        let Access { auth, ca, identity, proxy } = self.access.clone();
        ClientConfig { auth, ca, identity, proxy, ..ClientConfig::new(self.urls.clone()) }
    }
}

/// Whether the files with secrets are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// They are read.
    Read,
    /// They are read, except credentials that only the unit has: to check a file.
    ReadPresent,
    /// They are not: for commands that ask no Marathon.
    Skip,
}

impl MarathonSection {
    /// Checks the values, and reads the files with secrets.
    ///
    /// # Errors
    /// When one of two keys that need each other is missing, or a file can't be read.
    pub fn resolve(&self, secrets: Secrets) -> Result<Marathon> {
        if secrets == Secrets::ReadPresent {
            return self.without_absent_credentials().resolve(Secrets::Read);
        }
        let access = self.read_access(secrets)?;
        let relays = self.resolve_relays(secrets)?;
        // The last: without its URLs, the rest of the section can't be judged.
        let urls = parse_urls(self.urls.iter().map(String::as_str))
            .context(key_error("urls", "[[marathon]] urls"))?;
        if urls.is_empty() {
            bail!(key_error("urls", "[[marathon]] needs urls: one for each of its servers"));
        }
        let unnamed = Marathon::new(urls, access);
        let framework = self.framework.as_deref().map(Arc::from);
        let name = self.name.clone().unwrap_or(unnamed.name);
        Ok(Marathon { name, framework, relays, ..unnamed })
    }

    /// Lists the credentials that only the unit has.
    pub fn absent_credentials(&self) -> impl Iterator<Item = &str> {
        let files = [
            &self.user_file,
            &self.password_file,
            &self.service_account_file,
            &self.ca_file,
            &self.client_cert_file,
            &self.client_key_file,
            &self.relay_token_file,
            &self.relay_ca_file,
            &self.relay_cert_file,
            &self.relay_key_file,
        ];
        let named = files.into_iter().flatten();
        named.filter_map(|path| secret_file::find_absent_credential(path))
    }

    /// Leaves out the keys that need a credential which only the unit has.
    fn without_absent_credentials(&self) -> Self {
        let is_absent = |path: &PathBuf| secret_file::find_absent_credential(path).is_some();
        let clear = |keys: &mut [&mut Option<PathBuf>]| {
            let is_found = keys.iter().any(|key| key.as_ref().is_some_and(is_absent));
            if is_found {
                keys.iter_mut().for_each(|key| **key = None);
            }
            is_found
        };
        let mut rest = self.clone();
        if clear(&mut [&mut rest.user_file, &mut rest.password_file]) {
            rest.user = None;
        }
        clear(&mut [&mut rest.service_account_file]);
        clear(&mut [&mut rest.ca_file]);
        clear(&mut [&mut rest.client_cert_file, &mut rest.client_key_file]);
        clear(&mut [&mut rest.relay_token_file]);
        clear(&mut [&mut rest.relay_ca_file]);
        clear(&mut [&mut rest.relay_cert_file, &mut rest.relay_key_file]);
        rest
    }

    fn resolve_relays(&self, secrets: Secrets) -> Result<Relays> {
        let urls = parse_relays(self.relay.iter().map(String::as_str))
            .context(key_error("relay", "[[marathon]] relay"));
        if self.relay.is_empty() || secrets == Secrets::Skip {
            return Ok(Relays { urls: urls?, ..Relays::default() });
        }
        let token = self.relay_token_file.as_deref();
        let token = token.map(|path| secret_file::read_token("marathon", "relay-token-file", path));
        let ca = read_authorities("relay-ca-file", self.relay_ca_file.as_deref());
        let identity = read_identity(
            ("relay-cert-file", self.relay_cert_file.as_deref()),
            ("relay-key-file", self.relay_key_file.as_deref()),
        );
        let ((urls, token), (ca, identity)) =
            both(both(urls, token.transpose()), both(ca, identity))?;
        Ok(Relays { urls, token, ca, identity })
    }

    /// Reads the files with secrets and certificates that are named.
    ///
    /// # Errors
    /// When one of two keys that need each other is missing, or a file can't be read.
    pub fn read_access(&self, secrets: Secrets) -> Result<Access> {
        match secrets {
            Secrets::Read => {}
            Secrets::ReadPresent => {
                return self.without_absent_credentials().read_access(Secrets::Read);
            }
            Secrets::Skip => return Ok(Access::default()),
        }
        Ok(Access {
            auth: self.read_auth()?,
            ca: read_authorities("ca-file", self.ca_file.as_deref())?,
            identity: read_identity(
                ("client-cert-file", self.client_cert_file.as_deref()),
                ("client-key-file", self.client_key_file.as_deref()),
            )?,
            proxy: self.proxy.as_deref().map(parse_proxy).transpose()?,
        })
    }

    fn read_auth(&self) -> Result<Option<Auth>> {
        let has_user = self.user.is_some() || self.user_file.is_some();
        match (has_user, &self.password_file, &self.service_account_file) {
            (false, None, None) => Ok(None),
            (true, Some(path), None) => {
                let (user, password) = both(self.read_user(), read_line("password-file", path))?;
                Ok(Some(Auth::Basic(BasicAuth { user, password: password.into() })))
            }
            (false, None, Some(path)) => read_service_account(path).map(Some),
            (_, _, Some(_)) => bail!(key_error(
                "service-account-file",
                "[[marathon]] has both a user and a service account: leave out the user and \
                 password-file, or service-account-file",
            )),
            (..) => bail!(key_error(
                match (has_user, &self.user) {
                    (false, _) => "password-file",
                    (true, Some(_)) => "user",
                    (true, None) => "user-file",
                },
                "[[marathon]] needs both user (or user-file) and password-file, or neither",
            )),
        }
    }

    fn read_user(&self) -> Result<String> {
        match (&self.user, &self.user_file) {
            (Some(_), Some(_)) => bail!(key_error(
                "user-file",
                "[[marathon]] has both user and user-file: leave out one",
            )),
            (None, Some(path)) => read_line("user-file", path),
            (user, None) => match user.as_deref().unwrap_or_default() {
                "" => bail!(key_error(
                    "user",
                    "[[marathon]] user is empty: name one, or leave it out"
                )),
                user => Ok(user.to_owned()),
            },
        }
    }
}

/// Reads the certificates to trust, which a key names.
fn read_authorities(key: &'static str, path: Option<&Path>) -> Result<Option<Vec<u8>>> {
    path.map(|path| secret_file::read_certificate_text("marathon", key, path)).transpose()
}

/// Reads a client's certificate and its private key, each named by a key.
fn read_identity(
    certificate: (&'static str, Option<&Path>),
    private: (&'static str, Option<&Path>),
) -> Result<Option<Identity>> {
    let ((certificate_key, certificate), (private_key, private)) = (certificate, private);
    match (certificate, private) {
        (None, None) => Ok(None),
        (Some(certificate), Some(private)) => {
            let (certificate, private) = both(
                secret_file::read_certificate_text("marathon", certificate_key, certificate),
                secret_file::read_private_key_text("marathon", private_key, private),
            )?;
            Ok(Some(Identity::new(&certificate, &private)))
        }
        (certificate, _) => bail!(key_error(
            if certificate.is_some() { certificate_key } else { private_key },
            format!("[[marathon]] needs both {certificate_key} and {private_key}, or neither"),
        )),
    }
}

fn key_error(key: &'static str, text: impl Into<String>) -> KeyError {
    KeyError::new("marathon", key, text)
}

fn read_service_account(path: &Path) -> Result<Auth> {
    let text = read_file("service-account-file", path)?;
    let what = || format!("service-account-file {}", path.display());
    let account_error = |why: String| key_error("service-account-file", why);
    // serde_json's own text may quote a value, and so the key: only the place is reported.
    let secret: ServiceAccount = serde_json::from_slice(&text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        account_error(format!(
            "{} is not the secret of a service account, line {line}, column {column}: it is JSON \
             with uid, private_key and login_endpoint",
            what()
        ))
    })?;
    if secret.scheme.as_deref().is_some_and(|scheme| scheme != "RS256") {
        bail!(account_error(format!(
            "{} has a scheme other than RS256, the only one supported",
            what()
        )));
    }
    let login_endpoint = Url::parse(&secret.login_endpoint).ok();
    let login_endpoint = login_endpoint.filter(|url| matches!(url.scheme(), "http" | "https"));
    let login_endpoint = login_endpoint.with_context(|| {
        account_error(format!("the login_endpoint in {} is not an HTTP URL", what()))
    })?;
    Ok(Auth::Account(Account {
        uid: secret.uid,
        private_key: secret.private_key.into(),
        login_endpoint,
    }))
}

fn read_file(key: &'static str, path: &Path) -> Result<Vec<u8>> {
    secret_file::read_file("marathon", key, path)
}

fn read_line(key: &'static str, path: &Path) -> Result<String> {
    secret_file::read_full_line("marathon", key, path)
}

/// Parses the URL of a proxy. The error doesn't quote it, since it may hold a password.
fn parse_proxy(text: &str) -> Result<Url> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.context(key_error(
        "proxy",
        "the proxy of [[marathon]] is not a URL: write it as http://proxy.example:3128",
    ))
}

/// The servers that a list of URLs names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    Marathon,
    Relay,
}

/// Parses the URLs of a Marathon. The error doesn't quote the text, since it may hold a password.
///
/// # Errors
/// When one is not a URL, or contains a user or a password.
pub fn parse_urls<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Vec<Url>> {
    parse_urls_of(Server::Marathon, texts)
}

fn parse_urls_of<'a>(server: Server, texts: impl IntoIterator<Item = &'a str>) -> Result<Vec<Url>> {
    let (name, example, secrets) = match server {
        Server::Marathon => {
            ("Marathon", "http://m1.example:8080", "user and password-file of [[marathon]]")
        }
        Server::Relay => ("relay", "http://r1.example:9615", "relay-token-file of [[marathon]]"),
    };
    let parse = |(number, text)| {
        parse_server_url(text).map_err(|error| {
            let advice = match error {
                ServerUrlError::Malformed | ServerUrlError::NotOfServer => {
                    format!(": write it as {example}")
                }
                ServerUrlError::HasSecret => {
                    format!(": put them in the configuration, as {secrets}")
                }
                ServerUrlError::HasQuery => String::new(),
            };
            anyhow!("{name} URL number {} {error}{advice}", number + 1)
        })
    };
    texts.into_iter().enumerate().map(parse).collect()
}

/// Parses the URLs of relays.
fn parse_relays<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Vec<Url>> {
    let urls = parse_urls_of(Server::Relay, texts)?;
    let is_again = |(number, url)| urls[..number].contains(url).then_some(number + 1);
    if let Some(number) = urls.iter().enumerate().find_map(is_again) {
        bail!("relay URL number {number} is there twice: one relay is no help to itself");
    }
    Ok(urls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_vip_may_be_where_requests_go() {
        let proxied = MarathonSection {
            urls: vec!["http://m1:8080".into(), "http://[fd00::1]:8080".into()],
            proxy: Some("http://proxy:3128".into()),
            ..MarathonSection::default()
        };
        let mut marathon = proxied.resolve(Secrets::Read).unwrap();
        marathon.access.auth = Some(Auth::Account(Account {
            uid: "u".into(),
            private_key: "".into(),
            login_endpoint: Url::parse("https://login.example/auth").unwrap(),
        }));
        let names: Vec<_> = marathon.server_names().into_iter().collect();
        assert_eq!(names, ["[fd00::1]", "login.example", "m1", "proxy"]);
    }

    #[test]
    fn a_user_without_a_password_is_refused() {
        let marathon = MarathonSection { user: Some("vipd".into()), ..MarathonSection::default() };
        assert!(marathon.resolve(Secrets::Read).is_err());
    }

    #[test]
    fn a_relays_url_is_refused_with_what_a_relay_takes() {
        let refusal = |texts: &[&str]| parse_relays(texts.iter().copied()).unwrap_err().to_string();
        let secret = refusal(&["http://r1:9615", "http://u:hunter2@r2:9615"]);
        assert!(secret.starts_with("relay URL number 2 contains a user or a password"), "{secret}");
        assert!(secret.ends_with("relay-token-file of [[marathon]]"), "{secret}");
        assert!(!secret.contains("hunter2"), "{secret}");
        let twice = refusal(&["http://r1:9615", "http://r2:9615", "HTTP://R1:9615/"]);
        assert!(twice.starts_with("relay URL number 3 is there twice"), "{twice}");
        assert!(parse_relays(["http://r1:9615", "http://r1:9616"]).is_ok());
    }

    #[test]
    fn a_user_may_be_in_a_file_and_a_credential_is_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let [user, password] = ["user", "password"].map(|name| {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("the {name}\n")).unwrap();
            path
        });
        let section = MarathonSection {
            user_file: Some(user),
            password_file: Some(password),
            ..MarathonSection::default()
        };
        let Some(Auth::Basic(read)) = section.read_access(Secrets::Read).unwrap().auth else {
            panic!()
        };
        assert_eq!((read.user.as_str(), read.password.reveal()), ("the user", "the password"));
        let twice = MarathonSection { user: Some("u".into()), ..section };
        assert!(twice.read_access(Secrets::Read).unwrap_err().to_string().contains("user-file"));
        for path in ["credential:", "credential:..", "credential:../a", "credential:/a"] {
            assert!(
                secret_file::locate_file("marathon", "ca-file", Path::new(path)).is_err(),
                "{path}"
            );
        }
        assert_eq!(
            secret_file::locate_file("marathon", "ca-file", Path::new("a/b")).unwrap(),
            Path::new("a/b")
        );
    }

    #[test]
    fn a_marathon_without_a_name_is_named_after_its_urls() {
        let mut file = MarathonSection {
            urls: vec!["http://m1:8080/".into(), "http://m2:8080/x/".into()],
            ..MarathonSection::default()
        };
        assert_eq!(file.resolve(Secrets::Read).unwrap().name, "http://m1:8080,http://m2:8080/x");
        file.name = Some("main".into());
        assert_eq!(file.resolve(Secrets::Read).unwrap().name, "main");
    }

    #[test]
    fn a_service_account_is_read_from_its_file_and_no_error_repeats_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("account.json");
        let file = MarathonSection {
            urls: vec!["http://m1:8080".into()],
            service_account_file: Some(path.clone()),
            ..MarathonSection::default()
        };
        let account = r#"{"uid": "vipd", "private_key": "hunter2", "scheme": "RS256",
            "login_endpoint": "https://m/acs/api/v1/auth/login"}"#;
        std::fs::write(&path, account).unwrap();
        let Some(Auth::Account(read)) = file.resolve(Secrets::Read).unwrap().access.auth else {
            panic!()
        };
        assert_eq!((read.uid.as_str(), read.private_key.reveal()), ("vipd", "hunter2"));
        assert!(!format!("{read:?}").contains("hunter2"));
        for bad in [
            account.replace("RS256", "HS256"),
            account.replace("https:", "ftp:"),
            account.replace("login_endpoint", "login"),
            "hunter2".to_owned(),
            r#"{"uid": 1, "private_key": "hunter2"}"#.to_owned(),
        ] {
            std::fs::write(&path, &bad).unwrap();
            let error = format!("{:#}", file.resolve(Secrets::Read).unwrap_err());
            assert!(error.contains("account.json") && !error.contains("hunter2"), "{error}");
        }
        let both = MarathonSection { user: Some("u".into()), ..file };
        assert!(both.resolve(Secrets::Read).is_err());
    }

    #[test]
    fn a_certificate_needs_its_key_and_a_file_that_cannot_be_read_is_named() {
        let half =
            MarathonSection { client_key_file: Some("k".into()), ..MarathonSection::default() };
        assert!(half.resolve(Secrets::Read).unwrap_err().to_string().contains("client-cert-file"));
        let gone =
            MarathonSection { ca_file: Some("/none/ca.pem".into()), ..MarathonSection::default() };
        assert!(
            gone.resolve(Secrets::Read).unwrap_err().to_string().contains("ca-file /none/ca.pem")
        );
        let proxy =
            MarathonSection { proxy: Some("u:hunter2@p".into()), ..MarathonSection::default() };
        assert!(!format!("{:#}", proxy.resolve(Secrets::Read).unwrap_err()).contains("hunter2"));
    }
}
