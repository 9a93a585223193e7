//! Host names: `/etc/hosts`, then the name servers of `/etc/resolv.conf` in their order.
//!
//! Not by the C library: it loads the modules that `/etc/nsswitch.conf` names (`resolve`, `myhostname`,
//! `sss`), and a static program that loads those of another version of the C library crashes.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::parse_resolv_conf;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The time that a name server has for an answer. Another one may know it.
const EACH: Duration = Duration::from_millis(1500);

/// The number of times that all of them are asked.
const ROUNDS: usize = 2;

/// The longest time for all of it.
const WITHIN: Duration = Duration::from_secs(10);

/// The files by which names are looked up. One that can't be read is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolverFiles {
    /// `/etc/hosts`.
    pub hosts: Vec<u8>,
    /// `/etc/resolv.conf`.
    pub resolv_conf: Vec<u8>,
}

impl ResolverFiles {
    /// Reads this node's.
    #[must_use]
    pub fn read() -> Self {
        let read = |path| fs::read(path).unwrap_or_default();
        Self { hosts: read("/etc/hosts"), resolv_conf: read("/etc/resolv.conf") }
    }
}

/// Looks up a host name. Both files are read anew, since they may change. An address is its own answer.
///
/// # Errors
/// When the name has no address, or no name server answers within 10 seconds.
pub async fn look_up_host(name: &str) -> Result<Vec<IpAddr>, LookUpError> {
    look_up_host_by(name, &ResolverFiles::read()).await
}

/// Looks up a host name as [`look_up_host`] does, by other files.
///
/// # Errors
/// As [`look_up_host`].
pub async fn look_up_host_by(
    name: &str,
    files: &ResolverFiles,
) -> Result<Vec<IpAddr>, LookUpError> {
    let name = name.trim_end_matches('.');
    if let Ok(address) = name.parse() {
        return Ok(vec![address]);
    }
    // Whatever else is in the file, in whatever encoding.
    let listed = find_in_hosts(&String::from_utf8_lossy(&files.hosts), name);
    if !listed.is_empty() {
        return Ok(listed);
    }
    if name.eq_ignore_ascii_case("localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let refuse = |why: String| LookUpError { name: name.to_owned(), why };
    let (config, options) = parse_resolv_conf(&files.resolv_conf)
        .map_err(|_| refuse("/etc/resolv.conf names no name server that can be used".to_owned()))?;
    let asked = tokio::time::timeout(WITHIN, ask_servers(name, &config, &options)).await;
    match asked {
        Ok(answer) => answer.map_err(|error| refuse(error.to_string())),
        Err(_) => Err(refuse(format!("no name server answered within {} s", WITHIN.as_secs()))),
    }
}

/// Finds the addresses of a name in the text of `/etc/hosts`, in their order (hosts(5)).
fn find_in_hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let find = |line: &str| -> Option<IpAddr> {
        let (entry, _) = line.split_once('#').unwrap_or((line, ""));
        let mut words = entry.split_whitespace();
        let address = words.next()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then(|| address.parse().ok())?
    };
    let mut found = Vec::new();
    for address in text.lines().filter_map(find) {
        if !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

/// Asks one name server after another, until one knows whether the name has an address.
async fn ask_servers(
    name: &str,
    config: &ResolverConfig,
    options: &ResolverOpts,
) -> Result<Vec<IpAddr>, NetError> {
    let mut last = NetError::from("no name server answers");
    for server in (0..ROUNDS).flat_map(|_| config.name_servers()) {
        let one = ResolverConfig::from_parts(None, config.search().to_vec(), vec![server.clone()]);
        let mut builder = TokioResolver::builder_with_config(one, TokioRuntimeProvider::default());
        let chosen = builder.options_mut();
        (chosen.ndots, chosen.edns0) = (options.ndots, options.edns0);
        (chosen.timeout, chosen.attempts) = (options.timeout.min(EACH), 0);
        (chosen.cache_size, chosen.use_hosts_file) = (0, ResolveHosts::Never);
        chosen.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        match builder.build()?.lookup_ip(name).await {
            Ok(found) => return Ok(found.iter().collect()),
            Err(error) if error.is_no_records_found() => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A host name without an address.
#[derive(Debug, thiserror::Error)]
#[error("{name} can't be looked up: {why}")]
pub struct LookUpError {
    name: String,
    why: String,
}

/// Has reqwest look up names by [`look_up_host`].
#[derive(Debug)]
pub struct HostNames;

impl Resolve for HostNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = look_up_host(name.as_str()).await?;
            let addresses: Addrs = Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use hickory_resolver::config::NameServerConfig;
    use hickory_resolver::proto::rr;
    use tokio::net::UdpSocket;

    use super::*;

    /// The answers of name servers: with an address, or with a code of RFC 1035 (4.1.1).
    #[derive(Debug, Clone, Copy)]
    enum Says {
        Address([u8; 4]),
        Code(u8),
        Nothing,
    }

    /// Starts a name server on the loopback interface. It knows one name.
    async fn start_server(known: &'static str, says: Says) -> NameServerConfig {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut config = NameServerConfig::udp(IpAddr::from([127, 0, 0, 1]));
        config.connections[0].port = socket.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut asked = [0; 512];
            loop {
                let (length, from) = socket.recv_from(&mut asked).await.unwrap();
                let question = &asked[12..length];
                let end = question.iter().position(|byte| *byte == 0).unwrap();
                let mut labels = Vec::new();
                let mut rest = &question[..end];
                while let Some((length, after)) = rest.split_first() {
                    let (label, others) = after.split_at(usize::from(*length));
                    labels.push(String::from_utf8_lossy(label).into_owned());
                    rest = others;
                }
                let is_a = question[end + 1..end + 3] == [0, 1];
                let (code, address) = match says {
                    Says::Nothing => continue,
                    Says::Code(code) => (code, None),
                    Says::Address(_) if labels.join(".") != known => (3, None),
                    Says::Address(address) => (0, is_a.then_some(address)),
                };
                let mut answer = asked[..2].to_vec();
                answer.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(address.is_some())]);
                answer.extend([0, 0, 0, 0]);
                answer.extend(&question[..end + 5]);
                if let Some(address) = address {
                    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                    answer.extend(address);
                }
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        config
    }

    /// Asks servers that all know this name.
    async fn ask(servers: &[Says], known: &'static str, name: &str) -> Result<Vec<IpAddr>, String> {
        let mut configs = Vec::new();
        for says in servers {
            configs.push(start_server(known, *says).await);
        }
        let search = vec![rr::Name::from_ascii("corp.example.").unwrap()];
        let config = ResolverConfig::from_parts(None, search, configs);
        let asked = ask_servers(name, &config, &ResolverOpts::default()).await;
        asked.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn the_file_of_hosts_and_addresses_need_no_name_server() {
        let found = look_up_host("localhost").await.unwrap();
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
        assert_eq!(look_up_host("10.0.0.1").await.unwrap(), [IpAddr::from([10, 0, 0, 1])]);
        let error = look_up_host("no-such-host.invalid").await.unwrap_err().to_string();
        assert!(error.contains("no-such-host.invalid can't be looked up"), "{error}");
    }

    #[test]
    fn every_line_of_the_file_of_hosts_is_looked_at() {
        let text = "# 10.0.0.9 marathon\n10.0.0.1\tMarathon.example marathon # and so on\n\
                    fd01::1 marathon\n10.0.0.1 marathon\nwrong marathon\n10.0.0.2 marathons";
        let all = [IpAddr::from([10, 0, 0, 1]), "fd01::1".parse().unwrap()];
        assert_eq!(find_in_hosts(text, "marathon"), all);
        assert_eq!(find_in_hosts(text, "marathon.EXAMPLE"), all[..1]);
        assert_eq!(find_in_hosts(text, "and"), [] as [IpAddr; 0]);
    }

    #[tokio::test]
    async fn a_server_that_refuses_or_is_mute_leaves_it_to_the_next() {
        let address = [10, 0, 0, 7];
        let expected = Ok(vec![IpAddr::from(address)]);
        for first in [Says::Code(5), Says::Code(2), Says::Code(4), Says::Nothing] {
            let servers = [first, Says::Address(address)];
            let name = "marathon.example";
            assert_eq!(ask(&servers, name, name).await, expected, "{first:?}");
        }
    }

    #[tokio::test]
    async fn the_first_that_knows_decides_and_domains_are_searched() {
        let (first, other) = (Says::Address([10, 0, 0, 1]), Says::Address([10, 0, 0, 2]));
        let expected = Ok(vec![IpAddr::from([10, 0, 0, 1])]);
        assert_eq!(ask(&[first, other], "m.example", "m.example").await, expected);
        assert_eq!(ask(&[first], "marathon.corp.example", "marathon").await, expected);
        let missing = ask(&[Says::Code(3), other], "m.example", "m.example").await;
        assert!(missing.is_err(), "it doesn't exist: {missing:?}");
    }
}
