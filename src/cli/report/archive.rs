//! A tar archive, compressed with gzip: as much of the format of POSIX (ustar) as files without
//! directories need.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

/// The size of a block of the archive.
const BLOCK: usize = 512;

/// An archive that is written file by file.
pub(super) struct Archive<W: Write> {
    out: GzEncoder<W>,
    /// Seconds since 1970, for every file.
    modified: u64,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(out: W, modified: u64) -> Self {
        Self { out: GzEncoder::new(out, Compression::default()), modified }
    }

    /// Adds a file. Its name has at most 100 bytes.
    pub(super) fn add_file(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.out.write_all(&header(name, content.len(), self.modified)?)?;
        self.out.write_all(content)?;
        let rest = content.len().next_multiple_of(BLOCK) - content.len();
        self.out.write_all(&[0; BLOCK][..rest])
    }

    /// Writes the end, which is two empty blocks.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.finish()
    }
}

/// Builds the header of a file that only its owner may read.
fn header(name: &str, length: usize, modified: u64) -> io::Result<[u8; BLOCK]> {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &str| {
        let field = block.get_mut(at..at + text.len());
        field.map(|field| field.copy_from_slice(text.as_bytes()))
    };
    if name.is_empty() || name.len() > 100 {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    put(0, name);
    put(100, "0000600\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{length:011o}\0"));
    put(136, &format!("{modified:011o}\0"));
    // The checksum counts its own field as blanks.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(block)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn tar_reads_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar.gz");
        let mut archive = Archive::new(std::fs::File::create(&path).unwrap(), 1_700_000_000);
        let long = vec![b'x'; 3 * BLOCK];
        archive.add_file("top/empty", b"").unwrap();
        archive.add_file("top/short", b"some text\n").unwrap();
        archive.add_file("top/long", &long).unwrap();
        assert!(archive.add_file(&"n".repeat(101), b"").is_err());
        archive.finish().unwrap();
        let read = |args: &[&str]| {
            let tar = Command::new("tar").args(args).args(["-f"]).arg(&path).output().unwrap();
            assert!(tar.status.success() && tar.stderr.is_empty(), "{tar:?}");
            tar.stdout
        };
        assert_eq!(read(&["-tz"]), b"top/empty\ntop/short\ntop/long\n");
        let all = [b"some text\n".as_slice(), &long].concat();
        assert_eq!(read(&["-xzO"]), all);
    }
}
