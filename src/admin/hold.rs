//! The hold, kept in a file so that it survives a restart of the agent.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::agent::status::Hold;

fn hold_path(socket: &Path) -> PathBuf {
    socket.with_file_name("hold")
}

/// Reads the hold in force, from the file next to the socket.
///
/// # Errors
/// When the file can't be read. An agent must not start then: it may be held.
pub fn read_hold(socket: &Path) -> Result<Option<Hold>> {
    let path = hold_path(socket);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read the hold {}", path.display()));
        }
    };
    let unreadable =
        || format!("the hold {} is not valid: look at it, then remove it", path.display());
    serde_json::from_str(&text).map(Some).with_context(unreadable)
}

pub(super) fn write_hold(socket: &Path, hold: &Hold) -> io::Result<()> {
    let path = hold_path(socket);
    let temporary = path.with_extension("new");
    let mut file = fs::File::create(&temporary)?;
    file.write_all(&serde_json::to_vec(hold)?)?;
    file.sync_all()?;
    fs::rename(temporary, path)
}

pub(super) fn remove_hold(socket: &Path) -> io::Result<()> {
    match fs::remove_file(hold_path(socket)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_is_there_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent.sock");
        assert_eq!(read_hold(&socket).unwrap(), None);
        let hold = Hold { reason: "why".into(), since: "when".into() };
        write_hold(&socket, &hold).unwrap();
        assert_eq!(read_hold(&socket).unwrap(), Some(hold));
        remove_hold(&socket).unwrap();
        remove_hold(&socket).unwrap();
        assert_eq!(read_hold(&socket).unwrap(), None);
        fs::write(hold_path(&socket), "{").unwrap();
        assert!(read_hold(&socket).is_err());
    }
}
