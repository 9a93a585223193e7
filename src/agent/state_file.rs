//! The state files: what is known of each source, kept for a node that starts while the source
//! doesn't answer.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use node::folder::Folder;
use serde::Serialize;
use vip::SourceId;

/// The first word of a file, with the version of its format.
const MAGIC: &str = "vipd-known-1";

/// The file of the names. No source's file has this ending.
const NAMES: &str = "vips.names";

/// The file of the addresses that serve.
const SERVED: &str = "vips.served";

/// The largest file that is read. The state of no cluster comes near it.
const MAX_FILE: u64 = 512 << 20;

/// The longest first line.
const MAX_HEADER: usize = 128;

/// A directory with one file for each source.
///
/// A file is one line, `vipd-known-1 LENGTH CRC32`, and JSON of that length. It is replaced as a
/// whole or not at all.
#[derive(Debug)]
pub struct StateFiles {
    folder: PathBuf,
    /// The number of saves that began.
    begun: AtomicU64,
    /// The number of the save that each file is of: saves of one file may overtake each other.
    in_place: Mutex<BTreeMap<OsString, u64>>,
}

/// The reason why a state file can't be written or used.
#[derive(Debug, thiserror::Error)]
pub enum StateFileError {
    /// The file or its directory can't be read or written.
    #[error("cannot read or write {path}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The error of the file system.
        source: io::Error,
    },
    /// The file is not a state file, is of another version, cut off or changed.
    #[error("{path} is damaged or of another version; it is ignored and written anew")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The damage.
        source: Damage,
    },
}

/// Damage of a state file.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// No line end where the first line should end.
    #[error("no first line")]
    NoHeader,
    /// A first line that is not UTF-8.
    #[error("the first line is not text")]
    BinaryHeader,
    /// A first line of another version.
    #[error("the first line is not vipd's")]
    OtherHeader,
    /// A length that differs from the first line.
    #[error("cut off, or longer than it should be")]
    Length,
    /// A checksum that differs from the first line.
    #[error("wrong checksum")]
    Checksum,
    /// JSON of another shape.
    #[error("unexpected JSON")]
    Json(#[source] serde_json::Error),
}

impl StateFiles {
    /// Uses a directory, which is created by the first save.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, begun: AtomicU64::new(0), in_place: Mutex::default() }
    }

    /// Replaces the state file of a source.
    ///
    /// # Errors
    /// When the directory or a file in it can't be written. The file from before is still there
    /// then.
    pub fn save_state(
        &self,
        source: &SourceId,
        state: &impl Serialize,
    ) -> Result<(), StateFileError> {
        self.save_file(&file_name(source), state)
    }

    /// Replaces the file of the names and their addresses.
    ///
    /// # Errors
    /// As [`StateFiles::save_state`].
    pub fn save_names(&self, names: &impl Serialize) -> Result<(), StateFileError> {
        self.save_file(OsStr::new(NAMES), names)
    }

    /// Replaces the file of the addresses that serve.
    ///
    /// # Errors
    /// As [`StateFiles::save_state`].
    pub fn save_served(&self, served: &BTreeSet<IpAddr>) -> Result<(), StateFileError> {
        self.save_file(OsStr::new(SERVED), served)
    }

    /// Reads the addresses that serve; none if there is no file.
    ///
    /// # Errors
    /// As [`StateFiles::load_state`].
    pub fn load_served(&self) -> Result<BTreeSet<IpAddr>, StateFileError> {
        let served = self.load_file(OsStr::new(SERVED), |json| serde_json::from_slice(json))?;
        Ok(served.unwrap_or_default())
    }

    /// Removes what writers left that were killed.
    ///
    /// # Errors
    /// When the directory is there and can't be read.
    pub fn remove_leftovers(&self) -> io::Result<()> {
        match Folder::open(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            folder => folder?.remove_leftovers(&[]),
        }
    }

    fn save_file(&self, name: &OsStr, state: &impl Serialize) -> Result<(), StateFileError> {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let write = || -> io::Result<()> {
            let folder = Folder::create(&self.folder, 0o700)?;
            let new = folder.create_new_file(name, 0o600)?;
            write_state(new.file(), state)?;
            new.file().sync_all()?;
            let mut in_place = self.in_place.lock().unwrap_or_else(PoisonError::into_inner);
            if in_place.get(name).is_none_or(|other| *other < number) {
                new.put_in_place(name)?;
                in_place.insert(name.to_owned(), number);
            }
            drop(in_place);
            folder.sync()
        };
        write().map_err(|source| StateFileError::Io { path: self.folder.join(name), source })
    }

    /// Reads the state file of a source, if there is one, and parses its JSON.
    ///
    /// # Errors
    /// When the file can't be read, or is not what was written.
    pub fn load_state<T>(
        &self,
        id: &SourceId,
        parse: impl FnOnce(&[u8]) -> serde_json::Result<T>,
    ) -> Result<Option<T>, StateFileError> {
        self.load_file(&file_name(id), parse)
    }

    /// Reads the file of the names, if there is one, and parses its JSON.
    ///
    /// # Errors
    /// As [`StateFiles::load_state`].
    pub fn load_names<T>(
        &self,
        parse: impl FnOnce(&[u8]) -> serde_json::Result<T>,
    ) -> Result<Option<T>, StateFileError> {
        self.load_file(OsStr::new(NAMES), parse)
    }

    fn load_file<T>(
        &self,
        name: &OsStr,
        parse: impl FnOnce(&[u8]) -> serde_json::Result<T>,
    ) -> Result<Option<T>, StateFileError> {
        let path = self.folder.join(name);
        let read = Folder::open(&self.folder).and_then(|folder| folder.read_file(name, MAX_FILE));
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StateFileError::Io { path, source }),
        };
        let parsed = check_header(&bytes).and_then(|json| parse(json).map_err(Damage::Json));
        parsed.map(Some).map_err(|source| StateFileError::Damaged { path, source })
    }
}

/// Returns the name of a source's file. Characters that could lead elsewhere are written as hex codes,
/// so that no two sources share a name.
fn file_name(source: &SourceId) -> OsString {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let source = source.as_str();
    let name = source.bytes().map(|byte| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("_{byte:02x}"),
    });
    let name: String = name.collect();
    // A file's name has 255 bytes at most.
    let name = match name.get(..180) {
        Some(start) => format!("{start}_{:08x}", crc32fast::hash(source.as_bytes())),
        None => name,
    };
    format!("{name}.known").into()
}

fn write_state(mut file: &File, state: &impl Serialize) -> io::Result<()> {
    // The state is large and never held in memory as a whole: the first line is written again once
    // length and checksum are known.
    write_header(file, 0, 0)?;
    let mut body = ChecksumWriter::new(BufWriter::new(file));
    serde_json::to_writer(&mut body, state)?;
    body.flush()?;
    let (length, sum) = (body.length, body.sum.finalize());
    file.rewind()?;
    write_header(file, length, sum)
}

/// Writes the first line, which has the same length for all numbers.
fn write_header(mut file: impl Write, length: u64, sum: u32) -> io::Result<()> {
    writeln!(file, "{MAGIC} {length:012} {sum:08x}")
}

/// A writer that counts and sums up what is written.
struct ChecksumWriter<W> {
    inner: W,
    length: u64,
    sum: crc32fast::Hasher,
}

impl<W> ChecksumWriter<W> {
    fn new(inner: W) -> Self {
        Self { inner, length: 0, sum: crc32fast::Hasher::new() }
    }
}

impl<W: Write> Write for ChecksumWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sum.update(&bytes[..written]);
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Checks the first line against the rest of the file, and returns the rest.
pub(crate) fn check_header(bytes: &[u8]) -> Result<&[u8], Damage> {
    let end = bytes.iter().take(MAX_HEADER).position(|byte| *byte == b'\n');
    let (header, rest) = bytes.split_at(end.ok_or(Damage::NoHeader)?);
    let header = std::str::from_utf8(header).map_err(|_| Damage::BinaryHeader)?;
    let body = &rest[1..];
    let mut words = header.split(' ');
    if words.next() != Some(MAGIC) {
        return Err(Damage::OtherHeader);
    }
    if words.next().and_then(|length| length.parse().ok()) != Some(body.len()) {
        return Err(Damage::Length);
    }
    let sum = words.next().and_then(|sum| u32::from_str_radix(sum, 16).ok());
    match sum == Some(crc32fast::hash(body)) {
        true => Ok(body),
        false => Err(Damage::Checksum),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The bytes of a first line.
    const HEADER: usize = 34;

    fn saved(text: &str) -> Vec<String> {
        vec![text.to_owned()]
    }

    fn load_state(store: &StateFiles, source: &str) -> Result<Option<Vec<String>>, StateFileError> {
        store.load_state(&source.into(), |json| serde_json::from_slice(json))
    }

    fn save_state(store: &StateFiles, source: &str, text: &str) {
        store.save_state(&source.into(), &saved(text)).unwrap();
    }

    fn path_of(store: &StateFiles, source: &str) -> PathBuf {
        store.folder.join(file_name(&source.into()))
    }

    fn store() -> (tempfile::TempDir, StateFiles) {
        let folder = tempfile::tempdir().unwrap();
        let store = StateFiles::new(folder.path().join("a/b"));
        (folder, store)
    }

    #[test]
    fn what_was_saved_last_is_loaded() {
        let (_folder, store) = store();
        assert_eq!(load_state(&store, "m").unwrap(), None);
        for text in ["one", "two"] {
            save_state(&store, "m", text);
            assert_eq!(load_state(&store, "m").unwrap(), Some(saved(text)));
        }
    }

    #[test]
    fn whatever_happened_to_the_file_it_is_whole_or_of_no_use() {
        let (_folder, store) = store();
        save_state(&store, "m", "one");
        let path = path_of(&store, "m");
        let whole = fs::read(&path).unwrap();
        let is_damaged = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let loaded = load_state(&store, "m");
            matches!(loaded, Err(StateFileError::Damaged { .. }))
        };
        for length in 0..whole.len() {
            assert!(is_damaged(&whole[..length]), "cut off after {length}");
        }
        for place in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[place] ^= 0x10;
            let same_sum = flipped[..HEADER].eq_ignore_ascii_case(&whole[..HEADER]);
            assert!(is_damaged(&flipped) || same_sum, "flipped at {place}");
        }
        assert!(is_damaged(&[whole.as_slice(), b" "].concat()));
        let other = String::from_utf8(whole.clone()).unwrap().replace("known-1", "known-2");
        assert!(is_damaged(other.as_bytes()));
        assert!(is_damaged(&vec![b'x'; 1 << 20]));
        save_state(&store, "m", "anew");
        assert_eq!(load_state(&store, "m").unwrap(), Some(saved("anew")));
    }

    #[test]
    fn a_writer_that_was_killed_leaves_what_was_there_before() {
        let (_folder, store) = store();
        save_state(&store, "m", "one");
        fs::write(path_of(&store, "m").with_extension("new"), "vipd-known-1 99").unwrap();
        assert_eq!(load_state(&store, "m").unwrap(), Some(saved("one")));
        save_state(&store, "m", "two");
        assert_eq!(load_state(&store, "m").unwrap(), Some(saved("two")));
    }

    /// Of saves at the same time, the one that began last is in place in the end, and whole.
    #[test]
    fn saves_at_the_same_time_share_no_file_and_the_last_one_stays() {
        struct Slow<'a>(&'a std::sync::Barrier);
        impl Serialize for Slow<'_> {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                // Until the other one has saved.
                self.0.wait();
                self.0.wait();
                vec!["old"].serialize(to)
            }
        }
        let (_folder, store) = store();
        let barrier = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| store.save_state(&"m".into(), &Slow(&barrier)).unwrap());
            barrier.wait();
            save_state(&store, "m", "new");
            barrier.wait();
        });
        assert_eq!(load_state(&store, "m").unwrap(), Some(saved("new")));
        assert_eq!(fs::read_dir(&store.folder).unwrap().count(), 1);
    }

    #[test]
    fn a_link_of_another_user_is_not_followed() {
        let (folder, store) = store();
        save_state(&store, "m", "one");
        let victim = folder.path().join("victim");
        fs::rename(path_of(&store, "m"), &victim).unwrap();
        std::os::unix::fs::symlink(&victim, path_of(&store, "m")).unwrap();
        std::os::unix::fs::symlink(&victim, path_of(&store, "m").with_extension("new")).unwrap();
        assert!(load_state(&store, "m").is_err());
        let before = fs::read(&victim).unwrap();
        assert!(store.save_state(&"m".into(), &saved("two")).is_err());
        assert_eq!(fs::read(&victim).unwrap(), before);
    }

    #[test]
    fn every_source_has_a_file_of_its_own_in_the_folder() {
        let (_folder, store) = store();
        let long = "x".repeat(500);
        let names =
            ["", "../x", "a/b", "a_2fb", "http://m1:8080,http://m2:8080", &long, &long[1..]];
        for name in names {
            save_state(&store, name, name);
            assert_eq!(path_of(&store, name).parent(), Some(store.folder.as_path()), "{name}");
        }
        for name in names {
            assert_eq!(load_state(&store, name).unwrap(), Some(saved(name)));
        }
        assert_eq!(fs::read_dir(&store.folder).unwrap().count(), names.len());
    }

    #[test]
    fn only_its_owner_may_read_it_and_a_place_that_cannot_be_written_is_told() {
        use std::os::unix::fs::PermissionsExt;
        let (folder, store) = store();
        save_state(&store, "m", "one");
        let mode = fs::metadata(path_of(&store, "m")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error =
            StateFiles::new(file.clone()).save_state(&"m".into(), &saved("one")).unwrap_err();
        assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
    }
}
