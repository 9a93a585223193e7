//! URLs and credentials of requests, apart from any connection.

use reqwest::Url;

use super::config::{Auth, BasicAuth, ClientConfig, ConfigError};
use super::error::RedirectError;
use crate::{Kind, VersionKey, WorkloadKey};

/// Every app with its tasks, and with its readiness while it is deployed. Counts and deployments
/// are always embedded (`InfoEmbedResolver.scala`).
pub(crate) const APPS: &str = "/v2/apps?embed=apps.tasks&embed=apps.readiness";

/// Every pod with its instances.
pub(crate) const PODS: &str = "/v2/pods/::status";

/// The event stream.
pub(crate) const EVENTS: &str = "/v2/events";

/// The server's version and configuration.
pub(crate) const INFO: &str = "/v2/info";

/// One configured URL of Marathon, with its credentials.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    /// The URL without user, query and fragment.
    url: Url,
    auth: Option<Auth>,
}

impl Base {
    /// Checks the configured URLs and returns them in order.
    pub(crate) fn from_config(config: &ClientConfig) -> Result<Vec<Self>, ConfigError> {
        if config.urls.is_empty() {
            return Err(ConfigError::NoUrl);
        }
        config.urls.iter().map(|url| Self::new(url.clone(), config.auth.as_ref())).collect()
    }

    fn new(mut url: Url, auth: Option<&Auth>) -> Result<Self, ConfigError> {
        let own = (!url.username().is_empty() || url.password().is_some()).then(|| {
            let password = percent_decode(url.password().unwrap_or_default()).into();
            Auth::Basic(BasicAuth { user: percent_decode(url.username()), password })
        });
        remove_user(&mut url);
        let reason = if !matches!(url.scheme(), "http" | "https") {
            "only http and https are spoken"
        } else if url.query().is_some() || url.fragment().is_some() {
            "it has a query or a fragment; leave off what follows ? or #"
        } else {
            return Ok(Self { url, auth: own.or_else(|| auth.cloned()) });
        };
        Err(ConfigError::BadUrl { url: url.into(), reason })
    }

    /// Returns the URL of a resource of Marathon's. `path` begins with `/v2` and is appended to
    /// the prefix of the configured URL: `/service/marathon/v2/apps`.
    pub(crate) fn url_of(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
        let prefixed = format!("{}{path}", self.url.path().trim_end_matches('/'));
        url.set_path(&prefixed);
        url.set_query(query);
        url
    }

    fn is_origin_of(&self, url: &Url) -> bool {
        self.url.origin() == url.origin()
    }
}

/// Returns the credentials for a URL; none unless its server is one of those configured.
pub(crate) fn auth_for<'a>(bases: &'a [Base], url: &Url) -> Option<&'a Auth> {
    bases.iter().find(|base| base.is_origin_of(url))?.auth.as_ref()
}

/// Converts an id to a part of a path. None for an id that Marathon doesn't allow, which could lead
/// to another resource.
fn path_segment(id: &str) -> Option<&str> {
    let id = id.trim_start_matches('/');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte);
    let dots = id.split('/').any(|segment| segment.is_empty() || segment == "." || segment == "..");
    (!dots && id.bytes().all(plain)).then_some(id)
}

/// Returns the path of one app or pod with its instances. `embed` only names what the answer for an
/// app has in any case, its tasks and its readiness (`AppsResource.scala`).
pub(crate) fn workload_path(key: &WorkloadKey) -> Option<String> {
    let id = path_segment(&key.id)?;
    Some(match key.kind {
        Kind::App => format!("/v2/apps/{id}?embed=app.tasks&embed=app.readiness"),
        Kind::Pod => format!("/v2/pods/{id}::status"),
    })
}

/// Returns the path of a version record.
pub(crate) fn version_path(key: &VersionKey) -> Option<String> {
    let id = path_segment(&key.id)?;
    let version = key.version;
    Some(match key.kind {
        Kind::App => format!("/v2/apps/{id}/versions/{version:.3}"),
        Kind::Pod => format!("/v2/pods/{id}::versions/{version:.3}"),
    })
}

/// Resolves the target of a redirect, if it may be followed.
pub(crate) fn resolve_redirect(from: &Url, location: Option<&str>) -> Result<Url, RedirectError> {
    let location = location.ok_or(RedirectError::NoLocation)?;
    let mut to = from.join(location).map_err(|_| RedirectError::NoUrl)?;
    match (from.scheme(), to.scheme()) {
        ("https", "http") => Err(RedirectError::Unencrypted),
        (_, "http" | "https") => {
            remove_user(&mut to);
            Ok(to)
        }
        _ => Err(RedirectError::OtherScheme),
    }
}

fn remove_user(url: &mut Url) {
    // An error means that a URL of this scheme can't have a user.
    let _ = url.set_username("");
    let _ = url.set_password(None);
}

/// Decodes `%40` and the like.
fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = (first == b'%').then(|| after.get(..2)).flatten();
        let byte = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        match byte.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(url: &str) -> Base {
        Base::new(url.parse().unwrap(), None).unwrap()
    }

    #[test]
    fn a_path_prefix_stays_before_marathons_own_paths() {
        for (configured, expected) in [
            ("http://m:8080", "http://m:8080/v2/pods/::status"),
            ("http://m:8080/", "http://m:8080/v2/pods/::status"),
            ("https://m/service/marathon", "https://m/service/marathon/v2/pods/::status"),
            ("https://m/service/marathon/", "https://m/service/marathon/v2/pods/::status"),
        ] {
            assert_eq!(base(configured).url_of(PODS).as_str(), expected);
        }
        let apps = "http://m:8080/x/v2/apps?embed=apps.tasks&embed=apps.readiness";
        assert_eq!(base("http://m:8080/x").url_of(APPS).as_str(), apps);
    }

    #[test]
    fn a_user_in_the_url_is_taken_out_of_it_and_goes_before_the_general_one() {
        let basic = |user: &str, password: &str| {
            Auth::Basic(BasicAuth { user: user.into(), password: password.into() })
        };
        let general = basic("g", "h");
        let own = Base::new("http://u:p%40ss@m/".parse().unwrap(), Some(&general)).unwrap();
        assert_eq!(own.url.as_str(), "http://m/");
        assert_eq!(own.auth, Some(basic("u", "p@ss")));
        let none = Base::new("http://m/".parse().unwrap(), Some(&general)).unwrap();
        assert_eq!(none.auth, Some(general));
    }

    #[test]
    fn credentials_go_to_the_configured_servers_only() {
        let bases = [base("http://u:p@a:8080/x"), base("https://v:q@b")];
        let user = |url: &str| match auth_for(&bases, &url.parse().unwrap())? {
            Auth::Basic(auth) => Some(&*auth.user),
            Auth::Account(_) => None,
        };
        assert_eq!(user("http://a:8080/v2/apps"), Some("u"));
        assert_eq!(user("https://b:443/v2/apps"), Some("v"));
        for other in ["http://a/", "https://a:8080/", "http://b/", "http://c:8080/"] {
            assert_eq!(user(other), None, "{other}");
        }
    }

    #[test]
    fn a_version_is_named_with_milliseconds_and_a_strange_id_is_not_asked_for() {
        let path = |kind, id: &str| {
            let version = "2017-02-03T23:06:03.94Z".parse().unwrap();
            version_path(&VersionKey { kind, id: id.into(), version })
        };
        let app = "/v2/apps/g/db/versions/2017-02-03T23:06:03.940Z";
        assert_eq!(path(Kind::App, "/g/db").as_deref(), Some(app));
        let pod = "/v2/pods/db::versions/2017-02-03T23:06:03.940Z";
        assert_eq!(path(Kind::Pod, "/db").as_deref(), Some(pod));
        let app = WorkloadKey { kind: Kind::App, id: "/../v2/leader".into() };
        assert_eq!(workload_path(&app), None);
        for id in ["/", "/../x", "/a/./b", "/a//b", "/a?b", "/a#b", "/a%2e", "/a b", "/ä"] {
            assert_eq!(path(Kind::App, id), None, "{id}");
        }
    }

    #[test]
    fn a_redirect_never_leads_from_https_to_http() {
        let to = |from: &str, location| resolve_redirect(&from.parse().unwrap(), location);
        assert_eq!(to("http://a/x", Some("/y")).unwrap().as_str(), "http://a/y");
        assert_eq!(to("http://a/", Some("https://b/")).unwrap().as_str(), "https://b/");
        assert_eq!(to("http://a/", Some("http://u:p@b/")).unwrap().as_str(), "http://b/");
        assert_eq!(to("https://a/", Some("//b/z")).unwrap().as_str(), "https://b/z");
        assert!(to("https://a/", Some("http://a/")).is_err());
        assert!(to("http://a/", Some("ftp://a/")).is_err());
        assert!(to("http://a/", Some("http://")).is_err());
        assert!(to("http://a/", None).is_err());
    }

    #[test]
    fn only_urls_of_web_servers_are_taken() {
        for url in ["ftp://m/", "file:///etc/passwd", "http://m/?a", "http://m/#b", "unix:/run/x"] {
            assert!(Base::new(url.parse().unwrap(), None).is_err(), "{url}");
        }
        let error = Base::new("ftp://u:secret@m/".parse().unwrap(), None).unwrap_err();
        assert!(!error.to_string().contains("secret"));
        assert!(matches!(Base::from_config(&ClientConfig::new(vec![])), Err(ConfigError::NoUrl)));
    }

    #[test]
    fn a_password_never_shows_up() {
        let mut config = ClientConfig::new(vec![]);
        let password = "hunter2".into();
        config.auth = Some(Auth::Basic(BasicAuth { user: "u".into(), password }));
        let shown = format!("{config:?}");
        assert!(shown.contains("***") && !shown.contains("hunter2"));
    }
}
