//! The zone file, read whenever it changes.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::RwLock;
use std::thread;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::reload::LoadedFile;
use crate::zone::{OwnZones, Zone};
use crate::zone_file::ZoneFileError;

/// The pause between attempts at a file that this process may not read, and their number. systemd creates
/// the directory of a service as root's, and gives it to the service's user a moment later.
const DENIED_RETRY: (Duration, usize) = (Duration::from_millis(100), 20);

/// Room for a burst of announcements.
const BUFFER: usize = 4096;

/// Announced when the watched directory isn't there any more.
const GONE: ReadFlags =
    ReadFlags::DELETE_SELF.union(ReadFlags::MOVE_SELF).union(ReadFlags::IGNORED);

/// A zone file that is watched, without polling. Its directory may come and go.
#[derive(Debug)]
pub struct ZoneWatch {
    path: PathBuf,
    loaded: LoadedFile,
    inotify: OwnedFd,
}

/// The reason why a zone file can't be used.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    /// The file can't be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Its contents are of no use.
    #[error(transparent)]
    Invalid(#[from] ZoneFileError),
}

impl ReadError {
    /// True if this process may not read the file, or not search its directory.
    fn is_denied(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// Opens the file itself: whoever can write its directory must not have another one read by a link in its
/// place, nor this process wait for good at a pipe.
fn open_zone_file(path: &Path) -> io::Result<File> {
    // Not `File::open`, which follows links and waits at a pipe.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| {
        let link = || io::Error::other("a symbolic link, not a regular file");
        if errno == Errno::LOOP { link() } else { errno.into() }
    })?);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("not a regular file")),
    }
}

impl ZoneWatch {
    /// Begins to watch the file at `path`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn open(path: PathBuf, own: OwnZones) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC)?;
        Ok(Self { path, loaded: LoadedFile::new(own), inotify })
    }

    /// Reads the file, if there is one, and reports what came of it. Without one, or with one that
    /// can't be used, names answer as before.
    ///
    /// A file that this process may not read is reported only by [`Self::follow_changes`], which waits
    /// until that has lasted.
    pub fn load_zone(&mut self, zone: &RwLock<Zone>) {
        match self.try_load(zone) {
            Err(error) if error.is_denied() => tracing::debug!("{}: {error}", self.path.display()),
            loaded => self.report(&loaded),
        }
    }

    /// Reads the file as [`Self::load_zone`] does. One that this process may not read is read again for a
    /// while, and then reported.
    fn load_settled_zone(&mut self, zone: &RwLock<Zone>) {
        let (interval, times) = DENIED_RETRY;
        let mut loaded = self.try_load(zone);
        for _ in 0..times {
            if !loaded.as_ref().is_err_and(ReadError::is_denied) {
                break;
            }
            thread::sleep(interval);
            loaded = self.try_load(zone);
        }
        self.report(&loaded);
    }

    fn report(&self, loaded: &Result<Option<usize>, ReadError>) {
        match loaded {
            Ok(Some(records)) => tracing::debug!("answers for {records} names"),
            Ok(None) => tracing::debug!("there is no zone file at {}", self.path.display()),
            Err(error) => tracing::warn!(
                "{} can't be used, names answer as before: {error}",
                self.path.display()
            ),
        }
    }

    fn try_load(&mut self, zone: &RwLock<Zone>) -> Result<Option<usize>, ReadError> {
        let file = match open_zone_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut text = String::new();
        let limit = u64::try_from(caps::ZONE_FILE).unwrap_or(u64::MAX) + 1;
        file.take(limit).read_to_string(&mut text)?;
        self.loaded.replace_zone(text, zone).map(Some).map_err(Into::into)
    }

    /// Reads the file whenever it changes, for ever.
    ///
    /// # Errors
    /// When the kernel doesn't announce changes.
    pub fn follow_changes(mut self, zone: &RwLock<Zone>) -> io::Result<()> {
        loop {
            // The directory, or the nearest one above it that exists. A nearer one may have appeared
            // before the watch, which would not be announced.
            let mut watched = self.watch_directory()?;
            loop {
                let again = self.watch_directory()?;
                if again == watched {
                    break;
                }
                watched = again;
            }
            // What came between the last reading and the watch was not announced.
            self.load_settled_zone(zone);
            while self.wait_for_change(&watched)? {
                self.load_settled_zone(zone);
            }
        }
    }

    /// Watches the directory of the file, or the nearest one above it that exists, and returns the
    /// name of what is to appear in it.
    fn watch_directory(&self) -> io::Result<PathBuf> {
        let flags = WatchFlags::MOVED_TO
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::CREATE
            // The directory may become readable only after it was created.
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        let mut expected = self.path.as_path();
        for directory in self.path.ancestors().skip(1) {
            let directory_or_here =
                if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
            match inotify::add_watch(&self.inotify, directory_or_here, flags) {
                Ok(_) => return Ok(expected.to_owned()),
                Err(Errno::NOENT | Errno::ACCESS) => expected = directory,
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// Waits until `expected` appeared. Returns false when the directory is gone or another one,
    /// nearer to the file, is there to be watched.
    fn wait_for_change(&self, expected: &Path) -> io::Result<bool> {
        let is_file = expected == self.path;
        let name = expected.file_name().unwrap_or_default();
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        let (mut has_appeared, mut is_gone) = (false, false);
        // What was read at once is also handled at once: the file is read after all of it.
        while !(has_appeared || is_gone) || !reader.is_buffer_empty() {
            let event = match reader.next() {
                Err(Errno::INTR) => continue,
                event => event?,
            };
            let (flags, found) = (event.events(), event.file_name());
            let is_named = found.is_some_and(|found| OsStr::from_bytes(found.to_bytes()) == name);
            // A file that was only created is not written yet.
            let is_written = !(is_file && flags.contains(ReadFlags::CREATE));
            has_appeared |= is_named && is_written || flags.contains(ReadFlags::QUEUE_OVERFLOW);
            is_gone |= flags.intersects(GONE);
        }
        Ok(is_file && !is_gone)
    }
}
