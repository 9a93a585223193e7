//! The lock that keeps two writers of a node's IPVS table apart.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

/// The lock of the single writer of this node's IPVS table.
///
/// Held as long as the value lives. The kernel releases it when the process ends in whatever way.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// A failure to take the lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error(
        "{path} is locked by {}: only one vipd may write a node's table at a time, so stop that \
         one first", describe_holder(.pid.as_ref())
    )]
    Held {
        /// The lock file.
        path: PathBuf,
        /// The process that holds it, if it wrote its id.
        pid: Option<u32>,
    },
    /// The lock file can't be created, opened or written.
    #[error("can't lock {path} (run vipd as root, or name a lock file that it may write)")]
    Io {
        /// The lock file.
        path: PathBuf,
        /// The cause.
        #[source]
        error: io::Error,
    },
}

fn describe_holder(pid: Option<&u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

impl Lock {
    /// The lock file's default path.
    pub const DEFAULT_PATH: &str = "/run/vipd/lock";

    /// Takes the lock without waiting, and writes this process's id into the file.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process has it, [`LockError::Io`] when the file or its
    /// directory can't be created.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let io = |error| LockError::Io { path: path.to_owned(), error };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(io)?;
        }
        // Don't truncate on opening: the holder's process id must stay readable.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io)?;
        give_to_owner_of_folder(&file, path);
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held { path: path.to_owned(), pid: read_pid(&file) });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        file.set_len(0).map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Self { _file: file })
    }

    /// Finds the process that holds the lock, without taking it. `None`: nobody does, as far as
    /// this process can see.
    #[must_use]
    pub fn find_holder(path: &Path) -> Option<u32> {
        let file = File::open(path).ok()?;
        let (pid, inode) = (read_pid(&file)?, file.metadata().ok()?.ino());
        let locks = fs::read_to_string("/proc/locks").ok()?;
        has_lock(&locks, pid, inode).then_some(pid)
    }
}

/// Searches `/proc/locks` for a line like `1: FLOCK  ADVISORY  WRITE 1234 00:1a:5678 0 EOF`.
/// Devices aren't compared: an overlay file system has several numbers for one.
fn has_lock(locks: &str, pid: u32, inode: u64) -> bool {
    let (pid, inode) = (pid.to_string(), format!(":{inode}"));
    locks.lines().any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        matches!(fields[..], [_, "FLOCK", _, _, of, place, ..] if of == pid && place.ends_with(&inode))
    })
}

/// Gives the lock file to the owner of its directory. The agent may run as a user of its own, and
/// a file that root created there (`sudo vipd apply`) must not keep it out. Only root can give a
/// file away, and nobody else needs to.
fn give_to_owner_of_folder(file: &File, path: &Path) {
    let folder = path.parent().and_then(|folder| folder.metadata().ok());
    let Some((folder, own)) = folder.zip(file.metadata().ok()) else { return };
    if own.uid() != folder.uid() {
        let _ = fchown(file, Some(folder.uid()), Some(folder.gid()));
    }
}

fn read_pid(file: &File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_told_who_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/vipd/lock");
        let held = Lock::take(&path).unwrap();
        let error = Lock::take(&path).unwrap_err();
        assert!(
            matches!(error, LockError::Held { pid: Some(pid), .. } if pid == std::process::id())
        );
        assert!(error.to_string().contains(&format!("process {}", std::process::id())));
        assert_eq!(Lock::find_holder(&path), Some(std::process::id()));
        drop(held);
        assert_eq!(Lock::find_holder(&path), None);
        Lock::take(&path).unwrap();
    }

    #[test]
    fn a_file_left_by_the_dead_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        fs::write(&path, "4294967295 and more than a pid\n").unwrap();
        let _held = Lock::take(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
    }

    #[test]
    fn a_file_that_root_makes_belongs_to_the_owner_of_its_folder() {
        const NOBODY: u32 = 65534;
        let folder = tempfile::tempdir().unwrap();
        if std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).is_err() {
            eprintln!("not root: a file can't be given away, and need not be");
            return;
        }
        let path = folder.path().join("lock");
        drop(Lock::take(&path).unwrap());
        let metadata = path.metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (NOBODY, NOBODY));
    }

    #[test]
    fn a_place_that_cannot_be_written_is_an_error_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let error = Lock::take(folder.path()).unwrap_err();
        assert!(matches!(&error, LockError::Io { path, .. } if path == folder.path()));
    }
}
