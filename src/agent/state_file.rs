//! What is known, kept on disk: for a node that starts while Marathon doesn't answer.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use marathon::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The first word of a file, with the version of what follows.
const MAGIC: &str = "vipd-known-1";

/// No picture of a cluster is larger.
const MAX_FILE: u64 = 512 << 20;

/// The longest first line.
const MAX_HEADER: usize = 128;

/// What was known, and when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved<T> {
    /// When it was read.
    pub read_at: Timestamp,
    /// What was known.
    pub what: T,
}

/// A folder with one file for each source.
///
/// A file is one line, `vipd-known-1 LENGTH CRC32`, and JSON of that length. It is replaced as a
/// whole or not at all.
#[derive(Debug, Clone)]
pub struct StateFiles {
    folder: PathBuf,
}

/// Why something can't be kept, or is of no use.
#[derive(Debug, thiserror::Error)]
pub enum StateFileError {
    /// The disk.
    #[error("{path}: {error}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
    /// The file is not one of ours, of another version, cut off or changed.
    #[error("{path} is damaged or of another version ({reason}); it is left out and written anew")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl StateFiles {
    /// In this folder, which is made when something is saved.
    #[must_use]
    pub fn open(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Keeps what is known of a source, in the place of what was kept before.
    ///
    /// # Errors
    /// When the folder or a file in it can't be written. What was kept before is still there.
    pub fn save<T: Serialize>(&self, source: &str, saved: &Saved<T>) -> Result<(), StateFileError> {
        let path = self.path(source);
        let io = |error| StateFileError::Io { path: path.clone(), error };
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(io)?;
        let temporary = path.with_extension("new");
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)?;
            // What is large is never held whole: its first line is written again when it is known.
            write_header(&mut file, 0, 0)?;
            let mut body = Summed::of(BufWriter::new(file));
            serde_json::to_writer(&mut body, saved)?;
            let Summed { inner, length, sum } = body;
            let mut file = inner.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.rewind()?;
            write_header(&mut file, length, sum.finalize())?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(io)
    }

    /// What was kept of a source, if anything.
    ///
    /// # Errors
    /// When there is something that can't be read, or is not what was written.
    pub fn load<T: DeserializeOwned>(
        &self,
        source: &str,
    ) -> Result<Option<Saved<T>>, StateFileError> {
        let path = self.path(source);
        let bytes = match read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StateFileError::Io { path, error }),
        };
        let damaged = |reason: &str| StateFileError::Damaged { path, reason: reason.to_owned() };
        match body(&bytes) {
            Ok(body) => serde_json::from_slice(body)
                .map(Some)
                .map_err(|_| damaged("its JSON is not what is written there")),
            Err(reason) => Err(damaged(reason)),
        }
    }

    /// A name that no other source has, and that leads nowhere else: what isn't plain is written
    /// as its bytes.
    fn path(&self, source: &str) -> PathBuf {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
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
        self.folder.join(format!("{name}.known"))
    }
}

/// As long, whatever the numbers are.
fn write_header(mut file: impl Write, length: u64, sum: u32) -> io::Result<()> {
    writeln!(file, "{MAGIC} {length:012} {sum:08x}")
}

/// What is written, with its length and checksum so far.
struct Summed<W> {
    inner: W,
    length: u64,
    sum: crc32fast::Hasher,
}

impl<W> Summed<W> {
    fn of(inner: W) -> Self {
        Self { inner, length: 0, sum: crc32fast::Hasher::new() }
    }
}

impl<W: Write> Write for Summed<W> {
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

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn body(bytes: &[u8]) -> Result<&[u8], &'static str> {
    let end = bytes.iter().take(MAX_HEADER).position(|byte| *byte == b'\n');
    let (header, rest) = bytes.split_at(end.ok_or("it has no first line")?);
    let header = std::str::from_utf8(header).map_err(|_| "its first line is not text")?;
    let body = &rest[1..];
    let mut words = header.split(' ');
    if words.next() != Some(MAGIC) {
        return Err("its first line is not ours");
    }
    if words.next().and_then(|length| length.parse().ok()) != Some(body.len()) {
        return Err("it is cut off, or longer than it should be");
    }
    let sum = words.next().and_then(|sum| u32::from_str_radix(sum, 16).ok());
    match sum == Some(crc32fast::hash(body)) {
        true => Ok(body),
        false => Err("its checksum is wrong"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Known = Saved<Vec<String>>;

    /// The bytes of a first line.
    const HEADER: usize = 34;

    fn saved(text: &str) -> Known {
        let read_at = "2026-11-23T04:05:06Z".parse().unwrap();
        Saved { read_at, what: vec![text.to_owned()] }
    }

    fn store() -> (tempfile::TempDir, StateFiles) {
        let folder = tempfile::tempdir().unwrap();
        let store = StateFiles::open(folder.path().join("a/b"));
        (folder, store)
    }

    #[test]
    fn what_was_saved_last_is_loaded() {
        let (_folder, store) = store();
        assert_eq!(store.load::<Vec<String>>("m").unwrap(), None);
        for text in ["one", "two"] {
            store.save("m", &saved(text)).unwrap();
            assert_eq!(store.load("m").unwrap(), Some(saved(text)));
        }
    }

    #[test]
    fn whatever_happened_to_the_file_it_is_whole_or_of_no_use() {
        let (_folder, store) = store();
        store.save("m", &saved("one")).unwrap();
        let path = store.path("m");
        let whole = fs::read(&path).unwrap();
        let is_damaged = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let loaded = store.load::<Vec<String>>("m");
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
        store.save("m", &saved("anew")).unwrap();
        assert_eq!(store.load("m").unwrap(), Some(saved("anew")));
    }

    #[test]
    fn a_writer_that_was_killed_leaves_what_was_there_before() {
        let (_folder, store) = store();
        store.save("m", &saved("one")).unwrap();
        fs::write(store.path("m").with_extension("new"), "vipd-known-1 99").unwrap();
        assert_eq!(store.load("m").unwrap(), Some(saved("one")));
        store.save("m", &saved("two")).unwrap();
        assert_eq!(store.load("m").unwrap(), Some(saved("two")));
    }

    #[test]
    fn every_source_has_a_file_of_its_own_in_the_folder() {
        let (_folder, store) = store();
        let long = "x".repeat(500);
        let names =
            ["", "../x", "a/b", "a_2fb", "http://m1:8080,http://m2:8080", &long, &long[1..]];
        for name in names {
            store.save(name, &saved(name)).unwrap();
            assert_eq!(store.path(name).parent(), Some(store.folder.as_path()), "{name}");
        }
        for name in names {
            assert_eq!(store.load(name).unwrap(), Some(saved(name)));
        }
        assert_eq!(fs::read_dir(&store.folder).unwrap().count(), names.len());
    }

    #[test]
    fn only_its_owner_may_read_it_and_a_place_that_cannot_be_written_is_told() {
        use std::os::unix::fs::PermissionsExt;
        let (folder, store) = store();
        store.save("m", &saved("one")).unwrap();
        let mode = fs::metadata(store.path("m")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = StateFiles::open(file.clone()).save("m", &saved("one")).unwrap_err();
        assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
    }
}
