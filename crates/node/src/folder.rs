//! Files in directories that another user may write.
//!
//! `/run/vipd` belongs to the agent's user, and root opens files in it: with `vipd apply`, with
//! `vipd cleanup`, when the package is removed. Whoever may write a directory can put a symbolic link,
//! a FIFO or a hard link in place of a file. A [`Folder`] is held open, its files are opened relative
//! to it, and nothing is changed before the open file is known to be a regular one of the right owner.

mod entry;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

pub use entry::{FileId, SocketFile};

/// A directory that is held open.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    owner: Owner,
}

/// The owner of a file.
#[derive(Debug, Clone, Copy)]
struct Owner {
    uid: u32,
    gid: u32,
}

/// The rights that a file is opened with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read it.
    Read,
    /// Read and write it, but leave its content until something is written.
    ReadWrite,
}

impl Folder {
    /// Opens a directory. A symbolic link on the way is followed only if it and the directory that it
    /// lies in belong to root or to this process's user.
    ///
    /// # Errors
    /// When it doesn't exist, is no directory, or a link on the way is another user's.
    pub fn open(path: &Path) -> io::Result<Self> {
        walk(path, None)
    }

    /// Opens a directory as [`Folder::open`] does. Creates what is missing of it, with this mode.
    ///
    /// # Errors
    /// As [`Folder::open`], or when a directory can't be created.
    pub fn create(path: &Path, mode: u32) -> io::Result<Self> {
        walk(path, Some(Mode::from_raw_mode(mode)))
    }

    /// Opens a file that exists. Doesn't wait for the other end of a FIFO.
    ///
    /// # Errors
    /// When it isn't a regular file with one name that belongs to root, to this process's user or to
    /// the directory's owner.
    pub fn open_file(&self, name: &OsStr, access: Access) -> io::Result<File> {
        let (file, stat) = self.open_unchecked(name, access)?;
        self.check_file(&stat)?;
        Ok(file)
    }

    /// Opens whatever has this name, without following it or waiting for it.
    fn open_unchecked(&self, name: &OsStr, access: Access) -> io::Result<(File, Stat)> {
        let access = match access {
            Access::Read => OFlags::RDONLY,
            Access::ReadWrite => OFlags::RDWR,
        };
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.fd, name, flags, Mode::empty());
        let fd = opened.map_err(|error| match error {
            Errno::LOOP => refusal("is a symbolic link, where vipd expects a file of its own"),
            // A socket, or a FIFO that nobody reads.
            Errno::NXIO => refusal("is not a regular file"),
            error => error.into(),
        })?;
        let stat = rustix::fs::fstat(&fd)?;
        Ok((File::from(fd), stat))
    }

    /// Opens a file to read and write it. Creates it if it is missing, with this mode; then, if root
    /// does so, it belongs to the directory's owner: the agent may run as a user of its own, and a
    /// file that root creates must not keep it out.
    ///
    /// # Errors
    /// As [`Folder::open_file`], or when it can't be created.
    pub fn open_or_create(&self, name: &OsStr, mode: u32) -> io::Result<File> {
        // It may come and go between the two ways of opening it.
        for _ in 0..100 {
            match self.open_file(name, Access::ReadWrite) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                opened => return opened,
            }
            match self.create_file(name, mode) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                created => return created,
            }
        }
        Err(io::Error::from(ErrorKind::ResourceBusy))
    }

    /// Reads a whole file, as [`Folder::open_file`] opens it.
    ///
    /// # Errors
    /// When it can't be opened or read, or is larger than `limit` bytes.
    pub fn read_file(&self, name: &OsStr, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open_file(name, Access::Read)?.take(limit + 1).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > limit {
            true => Err(ErrorKind::FileTooLarge.into()),
            false => Ok(bytes),
        }
    }

    /// Writes a new file under a name that nobody else has, for [`NewFile::put_in_place`].
    ///
    /// # Errors
    /// When it can't be created.
    pub fn create_new_file(&self, name: &OsStr, mode: u32) -> io::Result<NewFile<'_>> {
        for _ in 0..100 {
            let mut temporary = name.to_owned();
            temporary.push(format!(".{:016x}{NEW}", RandomState::new().build_hasher().finish()));
            match self.create_file(&temporary, mode) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(file) => {
                    let (folder, name) = (self, temporary.into());
                    return Ok(NewFile { folder, name, file });
                }
            }
        }
        Err(io::Error::from(ErrorKind::ResourceBusy))
    }

    /// Removes the new files for these names that writers left which were killed; with none, for all
    /// names. Only the single writer of the files may do that.
    ///
    /// # Errors
    /// When the directory can't be read.
    pub fn remove_leftovers(&self, of: &[&str]) -> io::Result<()> {
        for entry in rustix::fs::Dir::new(self.open_to_read()?)? {
            let name = entry?.file_name().to_owned();
            let text = name.to_string_lossy();
            let is_one =
                |of: &&str| text.strip_prefix(of).is_some_and(|rest| rest.starts_with('.'));
            if is_leftover(&text) && (of.is_empty() || of.iter().any(is_one)) {
                let _ = rustix::fs::unlinkat(&self.fd, name, AtFlags::empty());
            }
        }
        Ok(())
    }

    /// Removes a file, or a link itself.
    ///
    /// # Errors
    /// When it can't be removed; a file that doesn't exist is none.
    pub fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the identity of what has this name, without following a link.
    ///
    /// # Errors
    /// When there is nothing.
    pub fn identify(&self, name: &OsStr) -> io::Result<FileId> {
        let stat = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(FileId::of(&stat))
    }

    /// Finds the socket of this name. `None`: there is nothing of this name.
    ///
    /// # Errors
    /// When it is anything but a socket.
    pub fn find_socket(&self, name: &OsStr) -> io::Result<Option<SocketFile>> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened?,
        };
        let stat = rustix::fs::fstat(&fd)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Socket => Ok(Some(SocketFile { fd, id: FileId::of(&stat) })),
            kind => Err(refusal(&format!("is {}, not a socket", describe(kind)))),
        }
    }

    /// Writes the directory to the disk.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(self.open_to_read()?)?)
    }

    /// Opens the directory anew: the open one serves only to look up names in it.
    fn open_to_read(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.fd, ".", flags, Mode::empty())?)
    }

    fn create_file(&self, name: &OsStr, mode: u32) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(mode);
        let file = File::from(rustix::fs::openat(&self.fd, name, flags | OFlags::CLOEXEC, mode)?);
        // Only root can give a file away, and nobody else needs to.
        if rustix::process::geteuid().is_root() && self.owner.uid != 0 {
            let _ = std::os::unix::fs::fchown(&file, Some(self.owner.uid), Some(self.owner.gid));
        }
        Ok(file)
    }

    fn check_file(&self, stat: &Stat) -> io::Result<()> {
        check_kind(stat)?;
        if !is_trusted(stat.st_uid) && stat.st_uid != self.owner.uid {
            return Err(refusal(&format!(
                "belongs to user {}, and its directory to user {}",
                stat.st_uid, self.owner.uid
            )));
        }
        Ok(())
    }

    fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        let stat = rustix::fs::fstat(&fd)?;
        Ok(Self { fd, owner: Owner { uid: stat.st_uid, gid: stat.st_gid } })
    }

    /// Tells whether the directory belongs to this process's user.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.owner.uid == rustix::process::geteuid().as_raw()
    }

    /// Opens a directory in this one.
    fn open_inside(&self, name: &OsStr) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let follow = self.may_follow(name);
        let flags = if follow { flags } else { flags | OFlags::NOFOLLOW };
        match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            // The kernel's answer to a link that isn't followed, and to a file.
            Err(Errno::NOTDIR | Errno::LOOP) if !follow => Err(refusal(&format!(
                "has {} on the way, which is a link of another user or not a directory",
                name.display()
            ))),
            opened => Self::from_fd(opened?),
        }
    }

    /// Returns whether a link of this name may be followed: nobody but root and this process's user
    /// can have put it there.
    fn may_follow(&self, name: &OsStr) -> bool {
        let stat = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW);
        is_trusted(self.owner.uid) && stat.is_ok_and(|stat| is_trusted(stat.st_uid))
    }
}

/// Checks that a file is a regular one with one name.
fn check_kind(stat: &Stat) -> io::Result<()> {
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind != FileType::RegularFile {
        return Err(refusal(&format!("is {}, not a regular file", describe(kind))));
    }
    // A hard link to a file of root's can be made by anybody where fs.protected_hardlinks is 0.
    if stat.st_nlink > 1 {
        return Err(refusal("has several names (hard links)"));
    }
    Ok(())
}

/// The end of the names of new files.
const NEW: &str = ".new";

/// A file that isn't in its place yet. Removed if it never gets there.
#[derive(Debug)]
pub struct NewFile<'a> {
    folder: &'a Folder,
    /// Its name for now. `None`: it is in its place.
    name: Option<OsString>,
    file: File,
}

impl NewFile<'_> {
    /// Returns the open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives it its name, in place of a regular file that has it or of nothing.
    ///
    /// # Errors
    /// When something else has the name, or the disk fails.
    pub fn put_in_place(mut self, name: &OsStr) -> io::Result<()> {
        let folder = self.folder;
        match rustix::fs::statat(&folder.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            stat => folder.check_file(&stat?)?,
        }
        if let Some(temporary) = &self.name {
            rustix::fs::renameat(&folder.fd, temporary, &folder.fd, name)?;
        }
        self.name = None;
        Ok(())
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let _ = self.folder.remove_file(name);
        }
    }
}

/// Splits the path of a file into that of its directory and its name.
///
/// # Errors
/// When it has no name, as `/` or `..`.
pub fn split_path(path: &Path) -> io::Result<(&Path, &OsStr)> {
    let name = path.file_name().ok_or_else(|| refusal("is not the path of a file"))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    Ok((folder.unwrap_or(Path::new(".")), name))
}

/// Opens a file that a person or the configuration names, to read it. Where only root and this
/// process's user may put something it may be anything, such as a link or a pipe; elsewhere it is a
/// regular file with one name, of any owner: a password that only the agent's user may read is also
/// what root's commands read.
///
/// # Errors
/// When it can't be opened, or is anything else.
pub fn open_named_file(path: &Path) -> io::Result<File> {
    open_named(path, OFlags::empty())
}

/// Opens a file as [`open_named_file`] does, and only a regular one, however it is reached. Doesn't wait
/// for the other end of a FIFO, and what it opens can be read without waiting for anybody.
///
/// # Errors
/// When it can't be opened, or is anything else.
pub fn open_regular_file(path: &Path) -> io::Result<File> {
    let file = open_named(path, OFlags::NONBLOCK | OFlags::NOCTTY)?;
    match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
        FileType::RegularFile => Ok(file),
        kind => Err(refusal(&format!("is {}, not a regular file", describe(kind)))),
    }
}

fn open_named(path: &Path, flags: OFlags) -> io::Result<File> {
    let (folder, name) = split_path(path)?;
    let folder = Folder::open(folder)?;
    if folder.may_follow(name) {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | flags;
        return Ok(rustix::fs::openat(&folder.fd, name, flags, Mode::empty())?.into());
    }
    let (file, stat) = folder.open_unchecked(name, Access::Read)?;
    check_kind(&stat)?;
    Ok(file)
}

/// Opens a directory one part after the other.
fn walk(path: &Path, create: Option<Mode>) -> io::Result<Folder> {
    let start = if path.has_root() { "/" } else { "." };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut folder = Folder::from_fd(rustix::fs::openat(CWD, start, flags, Mode::empty())?)?;
    for part in path.components() {
        let name = match part {
            Component::Normal(_) | Component::ParentDir => part.as_os_str(),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => continue,
        };
        folder = match (folder.open_inside(name), create) {
            (Err(error), Some(mode)) if error.kind() == ErrorKind::NotFound => {
                match rustix::fs::mkdirat(&folder.fd, name, mode) {
                    Ok(()) | Err(Errno::EXIST) => folder.open_inside(name)?,
                    Err(error) => return Err(error.into()),
                }
            }
            (opened, _) => opened?,
        };
    }
    Ok(folder)
}

/// Explains why root may not write a path: the file or directory, or what lies directly in it, belongs to
/// another user, and this process lacks `CAP_DAC_OVERRIDE`, as in a container. None: that isn't why.
#[must_use]
pub fn explain_denied_root(path: &Path) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let inside = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let foreign = [path.to_owned()].into_iter().chain(inside).find_map(|path| {
        let about = fs::symlink_metadata(&path).ok()?;
        let wanted = match about.file_type() {
            kind if kind.is_dir() => rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
            kind if kind.is_file() => rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK,
            _ => return None,
        };
        let denied = rustix::fs::accessat(CWD, &path, wanted, AtFlags::EACCESS);
        (about.uid() != 0 && denied == Err(Errno::ACCESS)).then_some((path, about))
    });
    let (foreign, about) = foreign?;
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
    Some(format!(
        "{} belongs to user {} with mode {:04o}, and root may not write it without CAP_DAC_OVERRIDE, as \
         in a container: `chown -R root: {}`",
        foreign.display(),
        about.uid(),
        about.mode() & 0o7777,
        folder.display()
    ))
}

/// Returns whether a user can harm this process only by what it may do anyway.
fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

/// Returns whether this is the name of a new file, and of no other's.
fn is_leftover(name: &str) -> bool {
    let number = name.strip_suffix(NEW).and_then(|rest| rest.rsplit_once('.'));
    number.is_some_and(|(_, hex)| hex.len() == 16 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn describe(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        _ => "a device",
    }
}

fn refusal(text: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, text.to_owned())
}

#[cfg(test)]
mod tests;
