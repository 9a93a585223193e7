//! The name servers that other names are asked of.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// The port of name servers.
const PORT: u16 = 53;

/// How many servers are used, as many as the C library does.
const MAX_SERVERS: usize = 3;

/// The shortest time between two looks at the file.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// The files with the node's name servers. systemd-resolved writes those it asks itself into the
/// first; where it runs, the second names only systemd-resolved, which may ask us.
const FILES: [&str; 2] = ["/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"];

/// Where the name servers are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamSource {
    /// Configured servers.
    Fixed(Vec<SocketAddr>),
    /// The first of these files that exists, in the form of `resolv.conf`.
    Files(Vec<PathBuf>),
}

impl UpstreamSource {
    /// Returns the files of the node's own resolver.
    #[must_use]
    pub fn of_node() -> Self {
        Self::Files(FILES.map(PathBuf::from).to_vec())
    }
}

/// The current list of name servers.
#[derive(Debug)]
pub(crate) struct Upstreams {
    source: UpstreamSource,
    /// Our own addresses: we don't ask ourselves.
    own: Vec<SocketAddr>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    looked: Option<Instant>,
    version: Option<(PathBuf, SystemTime)>,
    servers: Vec<SocketAddr>,
}

impl Upstreams {
    pub(crate) fn new(source: UpstreamSource, own: Vec<SocketAddr>) -> Self {
        let upstreams = Self { source, own, state: Mutex::default() };
        if let UpstreamSource::Fixed(servers) = &upstreams.source {
            let servers = upstreams.leave_out_own(servers.clone());
            upstreams.state.lock().unwrap_or_else(PoisonError::into_inner).servers = servers;
        }
        upstreams
    }

    /// Lists the servers, the preferred one first. Reads the file again if it changed.
    pub(crate) fn list_servers(&self) -> Vec<SocketAddr> {
        self.list_servers_at(Instant::now())
    }

    fn list_servers_at(&self, now: Instant) -> Vec<SocketAddr> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let UpstreamSource::Files(files) = &self.source
            && state.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= LOOK_PAUSE)
        {
            state.looked = Some(now);
            let version = find_version(files);
            if version != state.version || version.is_none() {
                let read = version.as_ref().and_then(|(path, _)| fs::read_to_string(path).ok());
                let servers = parse_resolv_conf(&read.unwrap_or_default());
                state.servers = self.leave_out_own(servers);
                state.version = version;
            }
        }
        state.servers.clone()
    }

    /// Puts a server that gave no answer behind the others.
    pub(crate) fn demote_server(&self, server: SocketAddr) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.servers.first() == Some(&server) {
            state.servers.rotate_left(1);
        }
    }

    fn leave_out_own(&self, mut servers: Vec<SocketAddr>) -> Vec<SocketAddr> {
        servers.retain(|server| !self.own.contains(server));
        servers.truncate(MAX_SERVERS);
        if servers.is_empty() {
            tracing::warn!(
                "no name server to forward to: the node's own list is empty or names only this \
                 one; other names than those of VIPs fail until --upstream or the list is changed"
            );
        } else {
            let list: Vec<_> = servers.iter().map(SocketAddr::to_string).collect();
            tracing::info!("forwards other names to {}", list.join(", "));
        }
        servers
    }
}

fn find_version(files: &[PathBuf]) -> Option<(PathBuf, SystemTime)> {
    let modified = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
    files.iter().find_map(|path| Some((path.clone(), modified(path)?)))
}

/// Parses the lines `nameserver`. Addresses of a link, such as `fe80::1%eth0`, are skipped.
fn parse_resolv_conf(text: &str) -> Vec<SocketAddr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let is_server = words.next() == Some("nameserver");
        let address: IpAddr = words.next().filter(|_| is_server)?.parse().ok()?;
        Some(SocketAddr::new(address, PORT))
    });
    servers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_servers_of_a_file_are_found_but_not_ourselves() {
        let text = "# nameserver 1.1.1.1\nsearch x\nnameserver 198.51.100.1\n nameserver\t10.0.0.2 \
                    # office\nnameserver fe80::1%eth0\nnameserver\nnameserver fd00::53\n";
        let own: SocketAddr = ([198, 51, 100, 1], 53).into();
        let upstreams = Upstreams::new(UpstreamSource::Fixed(Vec::new()), vec![own]);
        let found = upstreams.leave_out_own(parse_resolv_conf(text));
        let found: Vec<_> = found.iter().map(SocketAddr::to_string).collect();
        assert_eq!(found, ["10.0.0.2:53", "[fd00::53]:53"]);
    }

    #[test]
    fn the_list_is_read_again_when_the_file_changes() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let files = ["systemd.conf", "resolv.conf"].map(|name| folder.path().join(name));
        let write = |file: &PathBuf, text: &str, second: u64| {
            fs::write(file, text)?;
            let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            fs::File::options().write(true).open(file)?.set_modified(modified)
        };
        let upstreams = Upstreams::new(UpstreamSource::Files(files.to_vec()), Vec::new());
        let start = Instant::now();
        let list = |second| {
            let listed = upstreams.list_servers_at(start + Duration::from_secs(second));
            listed.iter().map(|server| server.ip().to_string()).collect::<Vec<_>>()
        };
        assert!(list(0).is_empty());
        write(&files[1], "nameserver 10.0.0.1\nnameserver 10.0.0.2\n", 1)?;
        assert!(list(0).is_empty(), "not looked at again yet");
        assert_eq!(list(1), ["10.0.0.1", "10.0.0.2"]);
        upstreams.demote_server(([10, 0, 0, 1], PORT).into());
        assert_eq!(list(2), ["10.0.0.2", "10.0.0.1"]);
        write(&files[1], "nameserver 10.0.0.3\n", 2)?;
        assert_eq!(list(3), ["10.0.0.3"]);
        write(&files[0], "nameserver 10.0.0.4\n", 2)?;
        assert_eq!(list(4), ["10.0.0.4"], "the file of systemd-resolved comes first");
        Ok(())
    }
}
