//! A hold outlives the agent: what was frozen at night doesn't thaw because something restarted.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::agent::status::Hold;

fn path(socket: &Path) -> PathBuf {
    socket.with_file_name("hold")
}

/// The hold that is in force, beside this socket.
///
/// # Errors
/// When there is one that can't be read. Whether it is in force can't be told then, so an agent had
/// better not begin.
pub fn read_hold(socket: &Path) -> Result<Option<Hold>> {
    let path = path(socket);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read the hold {}", path.display()));
        }
    };
    let unreadable = || format!("the hold {} is unreadable: look at it, remove it", path.display());
    serde_json::from_str(&text).map(Some).with_context(unreadable)
}

pub(super) fn write(socket: &Path, hold: &Hold) -> io::Result<()> {
    let path = path(socket);
    let temporary = path.with_extension("new");
    let mut file = fs::File::create(&temporary)?;
    file.write_all(&serde_json::to_vec(hold)?)?;
    file.sync_all()?;
    fs::rename(temporary, path)
}

pub(super) fn remove(socket: &Path) -> io::Result<()> {
    match fs::remove_file(path(socket)) {
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
        write(&socket, &hold).unwrap();
        assert_eq!(read_hold(&socket).unwrap(), Some(hold));
        remove(&socket).unwrap();
        remove(&socket).unwrap();
        assert_eq!(read_hold(&socket).unwrap(), None);
        fs::write(path(&socket), "{").unwrap();
        assert!(read_hold(&socket).is_err());
    }
}
