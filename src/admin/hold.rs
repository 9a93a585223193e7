//! The hold, kept in a file so that it survives a restart of the agent.
//!
//! The file lies next to the socket, where it ends with the kernel's table when the node restarts. If
//! that directory was removed, only systemd may be able to make it anew, before it starts the agent
//! again. Until then the hold waits in the directory of the state files.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use node::folder::{Folder, split_path};

use crate::agent::status::Hold;
use crate::config::AgentSettings;

/// The largest hold that is read. A reason comes by HTTP, whose bodies are smaller.
const MAX_LEN: u64 = 4 << 20;

/// The name of the file.
const NAME: &str = "hold";

/// The places where a hold is kept.
#[derive(Debug, Clone)]
pub struct HoldFiles {
    /// The directory of the socket.
    runtime: PathBuf,
    /// The directory of the state files.
    state: PathBuf,
}

impl HoldFiles {
    /// Uses the directories of an agent.
    #[must_use]
    pub fn new(agent: &AgentSettings) -> Self {
        let socket = agent.socket.as_path();
        let runtime = split_path(socket).map_or(socket, |(folder, _)| folder).to_owned();
        Self { runtime, state: agent.state.clone() }
    }

    /// Reads the hold in force.
    ///
    /// # Errors
    /// When a file can't be read. An agent must not start then: it may be held.
    pub fn read(&self) -> Result<Option<Hold>> {
        match read_file(&self.runtime)? {
            Some(hold) => Ok(Some(hold)),
            None => read_file(&self.state),
        }
    }

    /// Reads the hold in force when the agent starts. One that waited for the socket's directory goes
    /// there, if it can.
    ///
    /// # Errors
    /// As [`HoldFiles::read`].
    pub fn restore(&self) -> Result<Option<Hold>> {
        let hold = self.read()?;
        if let Some(hold) = &hold
            && read_file(&self.state)?.is_some()
            && let Err(error) = self.write(hold)
        {
            tracing::warn!("the hold can't be moved to {}: {error}", self.runtime.display());
        }
        Ok(hold)
    }

    /// Writes the hold.
    ///
    /// # Errors
    /// When it can't be written. The hold from before, if there was one, is still there then.
    pub fn write(&self, hold: &Hold) -> io::Result<()> {
        write_file(&self.runtime, 0o755, hold)?;
        if let Err(error) = remove_file(&self.state) {
            // The one next to the socket counts.
            tracing::warn!("the hold in {} can't be removed: {error}", self.state.display());
        }
        Ok(())
    }

    /// Writes the hold for the next start of the agent, where the socket's directory can't be written.
    ///
    /// # Errors
    /// When it can't be written there either.
    pub fn set_aside(&self, hold: &Hold) -> io::Result<()> {
        write_file(&self.state, 0o700, hold)
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        remove_file(&self.runtime)?;
        remove_file(&self.state)
    }
}

/// Writes the path of the file next to the socket.
impl std::fmt::Display for HoldFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.runtime.join(NAME).display().fmt(f)
    }
}

fn read_file(folder: &Path) -> Result<Option<Hold>> {
    let path = folder.join(NAME);
    let read = Folder::open(folder).and_then(|folder| folder.read_file(OsStr::new(NAME), MAX_LEN));
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

fn write_file(folder: &Path, mode: u32, hold: &Hold) -> io::Result<()> {
    let folder = Folder::create(folder, mode)?;
    let file = folder.create_new_file(OsStr::new(NAME), 0o600)?;
    file.file().write_all(&serde_json::to_vec(hold)?)?;
    file.file().sync_all()?;
    file.put_in_place(OsStr::new(NAME))
}

/// Removes the file, if there is one: on a disk that is read-only not even a missing one can be removed.
fn remove_file(folder: &Path) -> io::Result<()> {
    if matches!(read_file(folder), Ok(None)) {
        return Ok(());
    }
    match Folder::open(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        folder => folder?.remove_file(OsStr::new(NAME)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::AgentSection;

    fn files(folder: &Path) -> HoldFiles {
        let settings = AgentSettings {
            socket: folder.join("run/agent.sock"),
            state: folder.join("state"),
            ..AgentSection::default().resolve().unwrap()
        };
        HoldFiles::new(&settings)
    }

    fn hold() -> Hold {
        Hold { reason: "why".into(), since: "when".into() }
    }

    #[test]
    fn a_hold_is_there_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        assert_eq!(files.read().unwrap(), None);
        files.write(&hold()).unwrap();
        assert_eq!(files.read().unwrap(), Some(hold()));
        files.remove().unwrap();
        files.remove().unwrap();
        assert_eq!(files.read().unwrap(), None);
        fs::write(folder.path().join("run/hold"), "{").unwrap();
        assert!(files.read().is_err());
    }

    #[test]
    fn a_hold_that_was_set_aside_goes_back_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let (files, path) = (files(folder.path()), |name: &str| folder.path().join(name));
        files.set_aside(&hold()).unwrap();
        assert_eq!(files.read().unwrap(), Some(hold()));
        assert_eq!(files.restore().unwrap(), Some(hold()));
        assert!(path("run/hold").exists() && !path("state/hold").exists());
        files.set_aside(&hold()).unwrap();
        files.remove().unwrap();
        assert_eq!(files.restore().unwrap(), None);
    }

    #[test]
    fn a_link_is_no_hold_and_no_way_to_overwrite_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let (files, victim) = (files(folder.path()), folder.path().join("victim"));
        let text = r#"{"reason":"secret","since":"when"}"#;
        fs::write(&victim, text).unwrap();
        fs::create_dir(folder.path().join("run")).unwrap();
        for name in ["run/hold", "run/hold.new"] {
            std::os::unix::fs::symlink(&victim, folder.path().join(name)).unwrap();
        }
        assert!(files.read().is_err());
        assert!(files.write(&hold()).is_err());
        assert_eq!(fs::read_to_string(&victim).unwrap(), text);
        fs::remove_file(folder.path().join("run/hold")).unwrap();
        files.write(&hold()).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), text);
    }
}
