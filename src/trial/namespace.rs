//! The network namespace of a container, and how names are read there.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use marathon::client::ResolverFiles;
use nix::sched::{CloneFlags, setns};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

/// The longest file of a resolver that is read.
const MAX_FILE: u64 = 1 << 20;

/// A network namespace, by the name that `ip netns` gave it, a process in it, or its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Namespace {
    /// In `/run/netns`.
    Named(String),
    /// That of a process.
    Process(u32),
    /// A file.
    Path(PathBuf),
}

impl Namespace {
    /// Reads a name, a process id or a path.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let path = Path::new(text);
        let below = |folder| path.strip_prefix(folder).ok().and_then(Path::to_str);
        let process = below("/proc").and_then(|rest| rest.strip_suffix("/ns/net"));
        let named = below("/run/netns").or_else(|| below("/var/run/netns"));
        match (text.parse(), process.map(str::parse), named) {
            (Ok(process), ..) | (_, Some(Ok(process)), _) => Self::Process(process),
            (.., Some(name)) => Self::Named(name.to_owned()),
            _ if text.contains('/') => Self::Path(path.to_owned()),
            _ => Self::Named(text.to_owned()),
        }
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::Named(name) => Path::new("/run/netns").join(name),
            Self::Process(process) => PathBuf::from(format!("/proc/{process}/ns/net")),
            Self::Path(path) => path.clone(),
        }
    }

    /// Moves this thread, and those that it starts from now on, into the namespace.
    ///
    /// # Errors
    /// When there is no such namespace, or this process may not enter it.
    pub fn enter(&self) -> Result<()> {
        let path = self.path();
        let enter =
            || -> io::Result<()> { Ok(setns(File::open(&path)?, CloneFlags::CLONE_NEWNET)?) };
        enter().with_context(|| format!("cannot enter the network namespace {}", path.display()))
    }

    /// Reads the files of its resolver. A note says where they can't be told.
    #[must_use]
    pub fn read_resolver_files(&self) -> (ResolverFiles, Option<String>) {
        match self {
            Self::Named(name) => {
                let folder = Path::new("/etc/netns").join(name);
                let read = |file: &str| {
                    let own = std::fs::read(folder.join(file));
                    own.or_else(|_| std::fs::read(Path::new("/etc").join(file))).unwrap_or_default()
                };
                let files =
                    ResolverFiles { hosts: read("hosts"), resolv_conf: read("resolv.conf") };
                let note = (!folder.join("resolv.conf").exists()).then(|| {
                    format!(
                        "{}/resolv.conf is missing: names are looked up as this node does; by the \
                         process id of a container its own file is read",
                        folder.display()
                    )
                });
                (files, note)
            }
            Self::Process(process) => {
                let read = |file| read_in_root(*process, file);
                match read("etc/resolv.conf") {
                    Ok(resolv_conf) => {
                        let hosts = read("etc/hosts").unwrap_or_default();
                        (ResolverFiles { hosts, resolv_conf }, None)
                    }
                    Err(error) => (
                        ResolverFiles::read(),
                        Some(format!(
                            "the resolv.conf of process {process} can't be read ({error}): names are \
                             looked up as this node does"
                        )),
                    ),
                }
            }
            Self::Path(path) => (
                ResolverFiles::read(),
                Some(format!(
                    "which resolv.conf belongs to {} can't be told: names are looked up as this node \
                     does",
                    path.display()
                )),
            ),
        }
    }
}

/// Reads a regular file as a process sees it. Links in a container lead to nothing outside of it.
fn read_in_root(process: u32, file: &str) -> io::Result<Vec<u8>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = format!("/proc/{process}/root");
    let root = rustix::fs::openat(CWD, root, flags, Mode::empty())?;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let place = rustix::fs::openat2(root, file, flags, Mode::empty(), ResolveFlags::IN_ROOT)?;
    read_regular(&File::from(place))
}

/// Reads the file of an `O_PATH` descriptor, if it is a regular one. Any other isn't opened: opening a
/// device may do something.
fn read_regular(place: &File) -> io::Result<Vec<u8>> {
    if !place.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let file = File::open(format!("/proc/self/fd/{}", place.as_raw_fd()))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_named_by_name_process_or_path() {
        for (text, expected) in [
            ("web", Namespace::Named("web".into())),
            ("/run/netns/web", Namespace::Named("web".into())),
            ("/var/run/netns/web", Namespace::Named("web".into())),
            ("4711", Namespace::Process(4711)),
            ("/proc/4711/ns/net", Namespace::Process(4711)),
            ("/run/docker/netns/1a2b", Namespace::Path("/run/docker/netns/1a2b".into())),
        ] {
            assert_eq!(Namespace::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn only_a_regular_file_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let read = |name| {
            let path = at(name).canonicalize().unwrap();
            let below_root = path.strip_prefix("/").unwrap().to_str().unwrap().to_owned();
            read_in_root(std::process::id(), &below_root)
        };
        std::fs::write(at("file"), "text").unwrap();
        assert_eq!(read("file").unwrap(), b"text");
        // To open a socket is an error of its own.
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        assert_eq!(read("socket").unwrap_err().to_string(), "it is no regular file");
    }

    #[test]
    fn a_process_has_its_own_files_and_a_missing_one_is_said() {
        let (files, note) = Namespace::Process(std::process::id()).read_resolver_files();
        assert_eq!((files, note), (ResolverFiles::read(), None));
        let (_, note) = Namespace::Process(u32::MAX).read_resolver_files();
        assert!(note.unwrap().contains("can't be read"));
        let error = Namespace::Named("none-such".into()).enter().unwrap_err();
        assert!(format!("{error:#}").contains("/run/netns/none-such"), "{error:#}");
    }
}
