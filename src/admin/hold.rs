//! The hold, kept in a file so that it survives a restart of the agent.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use node::folder::{Folder, split_path};

use crate::agent::status::Hold;

/// The largest hold that is read. A reason comes by HTTP, whose bodies are smaller.
const MAX_LEN: u64 = 4 << 20;

/// The name of the file.
const NAME: &str = "hold";

fn hold_path(socket: &Path) -> PathBuf {
    socket.with_file_name(NAME)
}

fn open_folder(socket: &Path) -> io::Result<Folder> {
    Folder::open(split_path(socket)?.0)
}

/// Reads the hold in force, from the file next to the socket.
///
/// # Errors
/// When the file can't be read. An agent must not start then: it may be held.
pub fn read_hold(socket: &Path) -> Result<Option<Hold>> {
    let path = hold_path(socket);
    let read = open_folder(socket).and_then(|folder| folder.read_file(OsStr::new(NAME), MAX_LEN));
    let json = match read {
        Ok(json) => json,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read the hold {}", path.display()));
        }
    };
    let unreadable =
        || format!("the hold {} is not valid: look at it, then remove it", path.display());
    serde_json::from_slice(&json).map(Some).with_context(unreadable)
}

/// Writes the hold next to the socket.
///
/// # Errors
/// When it can't be written. The hold from before, if there was one, is still there then.
pub fn write_hold(socket: &Path, hold: &Hold) -> io::Result<()> {
    let folder = Folder::create(split_path(socket)?.0, 0o755)?;
    let file = folder.create_new_file(OsStr::new(NAME), 0o600)?;
    file.file().write_all(&serde_json::to_vec(hold)?)?;
    file.file().sync_all()?;
    file.put_in_place(OsStr::new(NAME))
}

pub(super) fn remove_hold(socket: &Path) -> io::Result<()> {
    match open_folder(socket) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        folder => folder?.remove_file(OsStr::new(NAME)),
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
        std::fs::write(hold_path(&socket), "{").unwrap();
        assert!(read_hold(&socket).is_err());
        assert_eq!(read_hold(&folder.path().join("missing/agent.sock")).unwrap(), None);
    }

    #[test]
    fn a_link_is_no_hold_and_no_way_to_overwrite_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, victim) = (folder.path().join("agent.sock"), folder.path().join("victim"));
        let text = r#"{"reason":"secret","since":"when"}"#;
        std::fs::write(&victim, text).unwrap();
        for name in ["hold", "hold.new"] {
            std::os::unix::fs::symlink(&victim, folder.path().join(name)).unwrap();
        }
        assert!(read_hold(&socket).is_err());
        let hold = Hold { reason: "why".into(), since: "when".into() };
        assert!(write_hold(&socket, &hold).is_err());
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), text);
        std::fs::remove_file(hold_path(&socket)).unwrap();
        write_hold(&socket, &hold).unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), text);
    }
}
