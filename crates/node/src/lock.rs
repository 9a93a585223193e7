//! The lock that keeps two writers of a node's IPVS table apart.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use crate::folder::{Access, FileId, Folder, explain_denied_root, split_path};

/// The longest content of a lock file: a process id and a line end.
const MAX_LEN: u64 = 32;

/// The mode of a lock file. Whoever can open it can take the lock.
const MODE: u32 = 0o600;

/// The lock of the single writer of this node's IPVS table.
///
/// Held as long as the value lives. The kernel releases it when the process ends in whatever way.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
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
    /// The file is not a lock file: it has another content.
    #[error("{path} is not a lock file of vipd, and stays as it is: name another one")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The lock file can't be created, opened or written, or is not what vipd created.
    #[error("can't lock {path} ({})", describe_cure(path))]
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

/// Says what lets vipd write the lock file.
fn describe_cure(path: &Path) -> String {
    let folder = path.parent().unwrap_or(path);
    explain_denied_root(folder)
        .or_else(|| explain_denied_root(path))
        .unwrap_or_else(|| "run vipd as root, or name a lock file that it may write".to_owned())
}

impl Lock {
    /// The lock file's default path.
    pub const DEFAULT_PATH: &str = "/run/vipd/lock";

    /// Takes the lock without waiting, and writes this process's id into the file, if there is space.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process has it, [`LockError::Foreign`] when the file is
    /// another one, [`LockError::Io`] when the file or its directory can't be created.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let io = |error| LockError::Io { path: path.to_owned(), error };
        for _ in 0..100 {
            let lock = Self { file: open_file(path).map_err(io)?, path: path.to_owned() };
            match lock.file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(LockError::Held { path: lock.path, pid: read_pid(&lock.file) });
                }
                Err(TryLockError::Error(error)) => return Err(io(error)),
            }
            // Whoever removed or replaced it meanwhile would lock another file.
            if !lock.is_in_place() {
                continue;
            }
            if !is_lock_file(&lock.file).map_err(io)? {
                return Err(LockError::Foreign { path: lock.path });
            }
            lock.write_pid();
            return Ok(lock);
        }
        Err(io(io::ErrorKind::ResourceBusy.into()))
    }

    /// Takes over the lock that [`Lock::hand_over`] left to this process; else takes it.
    ///
    /// # Errors
    /// As [`Lock::take`].
    pub fn take_over(path: &Path) -> Result<Self, LockError> {
        match Self::find_handed_over(path) {
            Some(lock) => Ok(lock),
            None => Self::take(path),
        }
    }

    /// Leaves the lock to the program that this process executes next: as standard input, the only
    /// open file that a program can be given to own without unsafe code. There is no moment at which
    /// nobody holds it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn hand_over(&self) -> io::Result<()> {
        Ok(rustix::stdio::dup2_stdin(&self.file)?)
    }

    /// Returns the lock if standard input is the lock file, opened by who holds it. The lock belongs to
    /// the open file, and isn't had by opening the file again.
    fn find_handed_over(path: &Path) -> Option<Self> {
        let file = File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
        let lock = Self { file, path: path.to_owned() };
        if !lock.is_in_place() || lock.file.try_lock().is_err() {
            return None;
        }
        // Else the lock would outlive this value.
        rustix::stdio::dup2_stdin(File::open("/dev/null").ok()?).ok()?;
        Some(lock)
    }

    /// Returns whether the lock file is still the one at its path. If not, another process may hold a
    /// lock too.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.compare_place().is_ok_and(|same| same)
    }

    /// Returns whether another file, or none, is at its path for certain: not knowing isn't losing.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        match self.compare_place() {
            Ok(same) => !same,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Returns whether the file at the lock's path is the one that is held.
    fn compare_place(&self) -> io::Result<bool> {
        let own = FileId::of_file(&self.file)?;
        let (folder, name) = split_path(&self.path)?;
        Ok(Folder::open(folder)?.identify(name)? == own)
    }

    /// Finds the process that holds the lock, without taking it. `None`: nobody does, as far as
    /// this process can see.
    #[must_use]
    pub fn find_holder(path: &Path) -> Option<u32> {
        let (folder, name) = split_path(path).ok()?;
        let file = Folder::open(folder).ok()?.open_file(name, Access::Read).ok()?;
        let (pid, id) = (read_pid(&file)?, FileId::of_file(&file).ok()?);
        let locks = fs::read_to_string("/proc/locks").ok()?;
        has_lock(&locks, pid, id.inode()).then_some(pid)
    }

    /// Writes this process's id, for people. Without it the lock holds all the same: the file system may
    /// be full.
    fn write_pid(&self) {
        let mut file = &self.file;
        let _ = file.set_len(0);
        let _ = file.rewind().and_then(|()| writeln!(file, "{}", std::process::id()));
    }
}

/// Opens the file without changing it: the holder's process id must stay readable.
fn open_file(path: &Path) -> io::Result<File> {
    let (folder, name) = split_path(path)?;
    Folder::create(folder, 0o755)?.open_or_create(name, MODE)
}

/// Returns whether a file has the content of a lock file: nothing, or a process id.
fn is_lock_file(file: &File) -> io::Result<bool> {
    let mut bytes = Vec::new();
    file.take(MAX_LEN + 1).read_to_end(&mut bytes)?;
    let is_pid = bytes.iter().all(|byte| byte.is_ascii_digit() || *byte == b'\n');
    Ok(bytes.len() as u64 <= MAX_LEN && is_pid)
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

fn read_pid(file: &File) -> Option<u32> {
    let mut text = String::new();
    file.take(MAX_LEN).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, chown, symlink};

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
        fs::write(&path, "4294967295\n").unwrap();
        let _held = Lock::take(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
    }

    #[test]
    fn a_file_of_something_else_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let long = "1".repeat(33);
        for content in ["important\n", "4294967295 and more than a pid\n", &long] {
            fs::write(&path, content).unwrap();
            assert!(matches!(Lock::take(&path), Err(LockError::Foreign { .. })), "{content}");
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
    }

    #[test]
    fn a_link_is_neither_followed_nor_given_away_nor_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, run) = (folder.path().join("victim"), folder.path().join("run"));
        fs::write(&victim, "1234\n").unwrap();
        fs::create_dir(&run).unwrap();
        let owner = victim.metadata().unwrap().uid();
        let _ = chown(&run, Some(65534), Some(65534));
        symlink(&victim, run.join("lock")).unwrap();
        let error = Lock::take(&run.join("lock")).unwrap_err();
        assert!(matches!(error, LockError::Io { .. }), "{error}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "1234\n");
        assert_eq!(victim.metadata().unwrap().uid(), owner);
        assert_eq!(Lock::find_holder(&run.join("lock")), None);
    }

    #[test]
    fn a_lock_whose_file_was_removed_or_replaced_knows_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/lock");
        let held = Lock::take(&path).unwrap();
        assert!(held.is_in_place());
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        assert!(!held.is_in_place());
        let other = Lock::take(&path).unwrap();
        assert!(!held.is_in_place() && other.is_in_place());
    }

    #[test]
    fn a_full_file_system_keeps_nobody_from_locking() {
        // Every write to this device fails with ENOSPC.
        let file = fs::OpenOptions::new().read(true).write(true).open("/dev/full").unwrap();
        Lock { file, path: "/dev/full".into() }.write_pid();
    }

    #[test]
    fn a_file_that_root_makes_belongs_to_the_owner_of_its_folder() {
        const NOBODY: u32 = 65534;
        let folder = tempfile::tempdir().unwrap();
        if chown(folder.path(), Some(NOBODY), Some(NOBODY)).is_err() {
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
