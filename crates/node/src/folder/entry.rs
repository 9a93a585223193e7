//! What lies in a directory: the identity of a file, and a socket.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::Stat;

/// The identity of a file: the numbers of its device and of its inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    inode: u64,
}

/// A socket that lies in a directory, whether or not anybody listens.
#[derive(Debug)]
pub struct SocketFile {
    pub(super) fd: OwnedFd,
    pub(super) id: FileId,
}

impl FileId {
    /// Returns the identity of an open file.
    ///
    /// # Errors
    /// When the kernel can't tell.
    pub fn of_file(file: impl AsFd) -> io::Result<Self> {
        Ok(Self::of(&rustix::fs::fstat(file)?))
    }

    pub(super) fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }

    /// Returns the number of the inode.
    #[must_use]
    pub fn inode(self) -> u64 {
        self.inode
    }
}

impl SocketFile {
    /// Returns its identity.
    #[must_use]
    pub fn id(&self) -> FileId {
        self.id
    }

    /// Returns a path to connect to. It leads to this very socket as long as the value lives, whatever
    /// is put in its place.
    #[must_use]
    pub fn connect_path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.fd.as_raw_fd()).into()
    }
}
