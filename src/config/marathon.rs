//! `[[marathon]]`: where a Marathon is, and how it is spoken to.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use marathon::client::{BasicAuth, Url};
use serde::Deserialize;

/// One `[[marathon]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MarathonFile {
    /// Its servers' URLs, tried in order; a path prefix is kept.
    pub urls: Vec<String>,
    /// Basic auth: the user.
    pub user: Option<String>,
    /// Basic auth: a file with the password.
    pub password_file: Option<PathBuf>,
}

/// One Marathon, ready to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marathon {
    /// Its servers' URLs.
    pub urls: Vec<Url>,
    /// User and password.
    pub auth: Option<BasicAuth>,
}

impl MarathonFile {
    /// Reads the secrets.
    ///
    /// # Errors
    /// When there is a user without a password file, or the file can't be read.
    pub fn resolve(&self) -> Result<Marathon> {
        let auth = match (&self.user, &self.password_file) {
            (None, None) => None,
            (Some(user), Some(path)) => {
                let password = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read password-file {}", path.display()))?;
                let password = password.trim_end_matches(['\r', '\n']).into();
                Some(BasicAuth { user: user.clone(), password })
            }
            _ => bail!("[[marathon]] needs both user and password-file, or neither"),
        };
        Ok(Marathon { urls: parse_urls(self.urls.iter().map(String::as_str))?, auth })
    }
}

/// Parses URLs. An error doesn't repeat the text, since that may hold a password.
///
/// # Errors
/// When one is not a URL, or holds a user or a password.
pub fn parse_urls<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Vec<Url>> {
    let parse = |(number, text)| {
        let number = number + 1;
        let url = Url::parse(text).with_context(|| {
            format!("Marathon URL number {number} is none: write it as http://m1.example:8080")
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            bail!(
                "Marathon URL number {number} holds a user or a password, which others can see: \
                 put them in the configuration, as user and password-file of [[marathon]]"
            );
        }
        Ok(url)
    };
    texts.into_iter().enumerate().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_without_a_password_is_refused() {
        let marathon = MarathonFile { user: Some("vipd".into()), ..MarathonFile::default() };
        assert!(marathon.resolve().is_err());
    }
}
