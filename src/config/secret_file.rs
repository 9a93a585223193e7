//! Files with secrets, certificates and keys.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use marathon::client::Secret;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::key_error::KeyError;

/// Upper limit for the files named in the configuration. No key or certificate is larger.
const MAX_FILE: u64 = 1 << 20;

/// What a path begins with that names a credential of the systemd unit: `$CREDENTIALS_DIRECTORY` in
/// systemd.exec(5).
const CREDENTIAL: &str = "credential:";

/// Where the credentials of the packaged unit are, for commands beside the agent.
const UNIT_CREDENTIALS: &str = "/run/credentials/vipd.service";

/// Reads a file with one line, which a key names.
fn read_line(table: &'static str, key: &'static str, path: &Path) -> Result<String> {
    let text = String::from_utf8(read_file(table, key, path)?)
        .map_err(|_| KeyError::new(table, key, format!("{key} {} is not text", path.display())))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Reads a file with one line, which a key names. An empty one is refused.
pub(super) fn read_full_line(
    table: &'static str,
    key: &'static str,
    path: &Path,
) -> Result<String> {
    let line = read_line(table, key, path)?;
    if line.is_empty() {
        bail!(KeyError::new(table, key, format!("{key} {} is empty", path.display())));
    }
    Ok(line)
}

/// Reads a token, as agents send it to relays: what can't be in a header is refused, and so is what would
/// be another token at the other end.
pub(super) fn read_token(table: &'static str, key: &'static str, path: &Path) -> Result<Secret> {
    let token = read_full_line(table, key, path)?;
    let refuse = |why: &str| {
        Err(KeyError::new(table, key, format!("{key} {} {why}", path.display())).into())
    };
    if token.len() > caps::RELAY_TOKEN {
        return refuse(&format!(
            "is longer than {} bytes, which no header holds",
            caps::RELAY_TOKEN
        ));
    }
    let is_printable = token.chars().all(|c| c == ' ' || c.is_ascii_graphic());
    if !is_printable || token.trim() != token {
        return refuse(
            "is no token: write one line of printable ASCII characters, without blanks at its ends",
        );
    }
    Ok(token.into())
}

/// Reads a file with certificates.
pub(super) fn read_certificates(
    table: &'static str,
    key: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>> {
    parse_certificates(table, key, path, &read_file(table, key, path)?)
}

/// Reads a file with certificates, and returns its text.
pub(super) fn read_certificate_text(
    table: &'static str,
    key: &'static str,
    path: &Path,
) -> Result<Vec<u8>> {
    let pem = read_file(table, key, path)?;
    parse_certificates(table, key, path, &pem)?;
    Ok(pem)
}

fn parse_certificates(
    table: &'static str,
    key: &'static str,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.ok().filter(|all| !all.is_empty());
    all.with_context(|| {
        KeyError::new(table, key, format!("{key} {} has no certificate as PEM", path.display()))
    })
}

/// Reads a file with a private key.
pub(super) fn read_private_key(
    table: &'static str,
    key: &'static str,
    path: &Path,
) -> Result<PrivateKeyDer<'static>> {
    parse_private_key(table, key, path, &read_file(table, key, path)?)
}

/// Reads a file with a private key, and returns its text.
pub(super) fn read_private_key_text(
    table: &'static str,
    key: &'static str,
    path: &Path,
) -> Result<Vec<u8>> {
    let pem = read_file(table, key, path)?;
    parse_private_key(table, key, path, &pem)?;
    Ok(pem)
}

fn parse_private_key(
    table: &'static str,
    key: &'static str,
    path: &Path,
    pem: &[u8],
) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        let why = format!("{key} {} is no private key as PEM", path.display());
        KeyError::new(table, key, why).into()
    })
}

/// Returns the name of a credential that this process can't have, and the unit may: a command beside the
/// agent, while that doesn't run.
pub(super) fn find_absent_credential(path: &Path) -> Option<&str> {
    let name = path.to_str()?.strip_prefix(CREDENTIAL)?;
    let place = locate_file("", "", path).ok()?;
    let is_absent = unit_folder().is_none() && matches!(place.try_exists(), Ok(false));
    is_absent.then_some(name)
}

/// Returns the folder of the credentials of the unit that this process is in.
fn unit_folder() -> Option<PathBuf> {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty());
    folder.map(PathBuf::from)
}

/// Returns the path of a file that the configuration names.
pub(super) fn locate_file(table: &'static str, key: &'static str, path: &Path) -> Result<PathBuf> {
    let Some(name) = path.to_str().and_then(|path| path.strip_prefix(CREDENTIAL)) else {
        return Ok(path.to_owned());
    };
    if matches!(name, "" | "." | "..") || name.contains('/') {
        let why = format!("{key} {} names no credential: write {CREDENTIAL}NAME", path.display());
        bail!(KeyError::new(table, key, why));
    }
    Ok(unit_folder().unwrap_or_else(|| UNIT_CREDENTIALS.into()).join(name))
}

/// Reads the file that a key names.
pub(super) fn read_file(table: &'static str, key: &'static str, path: &Path) -> Result<Vec<u8>> {
    let path = &locate_file(table, key, path)?;
    let error = |text| KeyError::new(table, key, text);
    let unreadable = || error(format!("cannot read {key} {}", path.display()));
    let mut file = node::folder::open_regular_file(path).with_context(unreadable)?;
    let mut text = Vec::new();
    let read = file.by_ref().take(MAX_FILE + 1).read_to_end(&mut text);
    read.with_context(unreadable)?;
    if text.len() as u64 > MAX_FILE {
        bail!(error(format!(
            "{key} {} is larger than 1 MiB: is it the right file?",
            path.display()
        )));
    }
    Ok(text)
}
