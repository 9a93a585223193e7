//! The IPVS table as text, `/proc/net/ip_vs`: address, forwarding method, weight and connections of
//! each real server, in one pass over the whole table (`ip_vs_info_seq_show` of
//! `net/netfilter/ipvs/ip_vs_ctl.c`). A dump over netlink takes three system calls for each service.
//!
//! The text lacks thresholds, encapsulation and counters of real servers, and most of a service.
//! Where other network namespaces have services, some of ours are missing: a read returns a page,
//! and the next page begins too far on, because the kernel counts their services when it writes the
//! page and skips them when it looks for the place to go on.

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use nl_ipvs::{DestinationSettings, ForwardMethod, Protocol, ServiceKey, Tunnel};
use vip::{ObservedServer, ObservedService, Servers};

/// The line of one real server.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ServerLine {
    address: SocketAddr,
    forward: ForwardMethod,
    weight: u32,
    active: u32,
    inactive: u32,
}

/// The real servers of services that are as they were known, with the connections that the text
/// shows. `None` for a service that differs, or isn't shown clearly: twice, as may happen while the
/// table changes, or with a line that can't be parsed.
pub(super) type Confirmed = BTreeMap<ServiceKey, Option<Servers>>;

/// Reads the whole text and confirms the real servers that are as they are known.
///
/// # Errors
/// When the text can't be read, or isn't UTF-8.
pub fn confirm_servers(
    mut text: impl BufRead,
    known: &BTreeMap<ServiceKey, ObservedService>,
) -> io::Result<BTreeMap<ServiceKey, Option<Servers>>> {
    let mut found = Confirmed::new();
    let (mut line, mut key, mut lines, mut clear) = (String::new(), None, Vec::new(), true);
    loop {
        line.clear();
        let is_end = text.read_line(&mut line)? == 0;
        match line.trim_start().strip_prefix("-> ").map(parse_server) {
            Some(Some(server)) => lines.push(server),
            Some(None) => clear = false,
            None => {
                // Any other line ends the service before it.
                if let Some(key) = std::mem::replace(&mut key, parse_service(&line)) {
                    let known = known.get(&key).filter(|_| clear);
                    let servers =
                        known.and_then(|known| confirm_service(&mut lines, &known.servers));
                    found.entry(key).and_modify(|twice| *twice = None).or_insert(servers);
                }
                lines.clear();
                clear = true;
            }
        }
        if is_end {
            return Ok(found);
        }
    }
}

/// Parses `TCP  03030006:0CEA wlc persistent 300 FFFFFFFF`; `None` for a firewall mark and the
/// heading.
fn parse_service(line: &str) -> Option<ServiceKey> {
    let mut fields = line.split_ascii_whitespace();
    let protocol = match fields.next()? {
        "TCP" => Protocol::TCP,
        "UDP" => Protocol::UDP,
        _ => return None,
    };
    let at = parse_endpoint(fields.next()?)?;
    Some(ServiceKey::Address { protocol, address: at.ip(), port: at.port() })
}

/// Parses `0A4D000B:7918      Masq    1      0          0`.
fn parse_server(line: &str) -> Option<ServerLine> {
    let mut fields = line.split_ascii_whitespace();
    let address = parse_endpoint(fields.next()?)?;
    let forward = match fields.next()? {
        "Masq" => ForwardMethod::Masquerade,
        "Local" => ForwardMethod::Local,
        "Tunnel" => ForwardMethod::Tunnel,
        "Route" => ForwardMethod::Route,
        _ => return None,
    };
    let mut number = || fields.next().and_then(|text| u32::from_str(text).ok());
    Some(ServerLine { address, forward, weight: number()?, active: number()?, inactive: number()? })
}

/// Parses `0A4D000B:7918` or `[fd01:0000:0000:0000:0000:0000:0000:0001]:7918`.
fn parse_endpoint(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.rsplit_once(':')?;
    let address: IpAddr = match address.strip_prefix('[') {
        Some(v6) => Ipv6Addr::from_str(v6.strip_suffix(']')?).ok()?.into(),
        None if address.len() == 8 => Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?).into(),
        None => return None,
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}

/// Returns the known real servers with the connections of the text, if it shows exactly these. One
/// with thresholds or an encapsulation, which the text lacks, is never confirmed.
fn confirm_service(lines: &mut [ServerLine], known: &Servers) -> Option<Servers> {
    // The kernel lists the newest first.
    lines.sort_by_key(|line| line.address);
    let same = |(line, (at, held)): (&ServerLine, (&SocketAddr, &ObservedServer))| {
        line.address == *at && shows_settings(line, &held.settings)
    };
    if lines.len() != known.len() || !lines.iter().zip(known).all(same) {
        return None;
    }
    let mut servers = known.clone();
    let connections = |line: &ServerLine| (line.active, line.inactive);
    let same = |(line, held): (&ServerLine, &ObservedServer)| {
        connections(line) == (held.active, held.inactive)
    };
    if !lines.iter().zip(known.values()).all(same) {
        for (line, held) in lines.iter().zip(servers.values_mut()) {
            (held.active, held.inactive) = connections(line);
        }
    }
    Some(servers)
}

fn shows_settings(line: &ServerLine, settings: &DestinationSettings) -> bool {
    let plain = (settings.upper_threshold, settings.lower_threshold) == (0, 0)
        && settings.tunnel == Tunnel::default();
    plain && (line.forward, line.weight) == (settings.forward, settings.weight)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use nl_ipvs::DestinationSettings;
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "IP Virtual Server version 1.2.1 (size=4096)\n\
        Prot LocalAddress:Port Scheduler Flags\n  \
        -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n";

    fn key(text: &str) -> ServiceKey {
        ServiceKey::tcp(text.parse().unwrap())
    }

    fn held(weight: u32, forward: ForwardMethod, (active, inactive): (u32, u32)) -> ObservedServer {
        let settings = DestinationSettings::new(forward, weight);
        ObservedServer { settings, active, inactive, stats: None }
    }

    /// What the text confirms of services with these real servers.
    fn read(text: &str, known: &[(ServiceKey, Servers)]) -> Confirmed {
        let settings = vip::label::Options::default().service_settings();
        let service = |servers: &Servers| {
            let (settings, servers) = (settings.clone(), servers.clone());
            ObservedService { settings, servers, stats: Default::default() }
        };
        let known = known.iter().map(|(key, servers)| (*key, service(servers))).collect();
        confirm_servers(format!("{HEAD}{text}").as_bytes(), &known).unwrap()
    }

    fn servers_of<const N: usize>(servers: [(&str, ObservedServer); N]) -> Servers {
        servers.into_iter().map(|(at, held)| (at.parse().unwrap(), held)).collect()
    }

    #[test]
    fn services_and_their_real_servers_are_read() {
        use ForwardMethod::{Masquerade, Route};
        let (dns, v6) = (ServiceKey::udp("3.3.0.6:53".parse().unwrap()), key("[fd01::1]:80"));
        let mysql = key("3.3.0.6:3306");
        let of_mysql = servers_of([
            ("10.77.0.10:31000", held(0, Masquerade, (0, 0))),
            ("10.77.0.11:31000", held(7, Route, (2, 1))),
        ]);
        let known = [
            (dns, Servers::default()),
            (v6, servers_of([("[fd02::2]:8080", held(1, Masquerade, (0, 0)))])),
            (mysql, of_mysql),
        ];
        let text = "UDP  03030006:0035 rr ops \n\
             TCP  [fd01:0000:0000:0000:0000:0000:0000:0001]:0050 wlc \n  \
             -> [fd02:0000:0000:0000:0000:0000:0000:0002]:1F90      Masq    1      0          0         \n\
             FWM  00000007 rr \n  -> 0A000009:0050      Masq    1      0          0         \n\
             TCP  03030006:0CEA wlc persistent 300 FFFFFFFF\n  \
             -> 0A4D000B:7918      Route   7      2          1         \n  \
             -> 0A4D000A:7918      Masq    0      0          0         \n";
        let found = read(text, &known);
        assert_eq!(found.len(), 3);
        for (key, servers) in known {
            assert_eq!(found[&key], Some(servers), "{key}");
        }
        assert_eq!(read(text, &[])[&mysql], None, "nothing is known of it");
    }

    #[test]
    fn what_is_not_told_clearly_is_not_told() {
        let (one, two) = (key("3.3.0.6:3306"), key("3.3.0.6:3307"));
        let known = [(one, Servers::default()), (two, Servers::default())];
        let twice = "TCP  03030006:0CEA wlc \nTCP  03030006:0CEB wlc \nTCP  03030006:0CEA wlc \n";
        assert_eq!(read(twice, &known), [(one, None), (two, Some(Servers::default()))].into());
        let odd = "TCP  03030006:0CEA wlc \n  -> 0A4D000B:7918      Magic   1      0          0\n";
        assert_eq!(read(odd, &known)[&one], None);
        assert_eq!(read("", &known), Confirmed::new());
    }

    #[test]
    fn connections_are_the_texts_and_the_rest_stays_in_its_memory() {
        let settled =
            servers_of([("10.77.0.10:31000", held(1, ForwardMethod::Masquerade, (2, 3)))]);
        let busy = |active| {
            let text = format!("TCP  03030006:0CEA wlc \n  -> 0A4D000A:7918 Masq 1 {active} 3\n");
            let at = key("3.3.0.6:3306");
            read(&text, &[(at, settled.clone())]).remove(&at).flatten().unwrap()
        };
        assert!(std::ptr::eq(&*busy(2), &*settled));
        let other = servers_of([("10.77.0.10:31000", held(1, ForwardMethod::Masquerade, (9, 3)))]);
        assert_eq!(busy(9), other);
    }

    fn server() -> impl Strategy<Value = ObservedServer> {
        let forward = prop_oneof![
            Just(ForwardMethod::Masquerade),
            Just(ForwardMethod::Local),
            Just(ForwardMethod::Tunnel),
            Just(ForwardMethod::Route)
        ];
        (forward, 0..3_u32, 0..3_u32, 0..3_u32, 0..2_u32).prop_map(
            |(forward, weight, active, inactive, upper)| {
                let settings = DestinationSettings::new(forward, weight).with_thresholds(upper, 0);
                ObservedServer { settings, active, inactive, stats: None }
            },
        )
    }

    fn servers() -> impl Strategy<Value = Servers> {
        let address = (any::<bool>(), 1..4_u8, 1..3_u16).prop_map(|(v6, host, port)| match v6 {
            false => SocketAddr::from(([10, 0, 0, host], port)),
            true => SocketAddr::from(([0xfd, 0, 0, 0, 0, 0, 0, host.into()], port)),
        });
        prop::collection::btree_map(address, server(), 0..5)
            .prop_map(|all| all.into_iter().collect())
    }

    /// As the kernel writes it, the newest first.
    fn written(servers: &Servers) -> String {
        let mut text = String::from("TCP  03030006:0CEA wlc \n");
        for (at, held) in servers.iter().rev() {
            let name = match held.settings.forward {
                ForwardMethod::Masquerade => "Masq",
                ForwardMethod::Local => "Local",
                ForwardMethod::Tunnel => "Tunnel",
                _ => "Route",
            };
            let place = match at.ip() {
                IpAddr::V4(v4) => format!("{:08X}", v4.to_bits()),
                IpAddr::V6(v6) => {
                    let groups = v6.segments().map(|group| format!("{group:04x}"));
                    format!("[{}]", groups.join(":"))
                }
            };
            let (weight, active, inactive) = (held.settings.weight, held.active, held.inactive);
            let _ = writeln!(
                text,
                "  -> {place}:{:04X}      {name:7} {weight:<6} {active:<10} {inactive:<10}",
                at.port()
            );
        }
        text
    }

    proptest! {
        /// A dump of what the text confirms would say nothing else.
        #[test]
        fn the_text_tells_servers_that_are_the_same_and_no_others(
            one in servers(), other in servers(),
        ) {
            let at = key("3.3.0.6:3306");
            let confirmed = |known: &Servers| {
                read(&written(&one), &[(at, known.clone())]).remove(&at).flatten()
            };
            let plain = one.values().all(|held| held.settings.upper_threshold == 0);
            prop_assert_eq!(confirmed(&one), plain.then(|| one.clone()));
            if let Some(told) = confirmed(&other).filter(|_| plain) {
                prop_assert_eq!(&told, &one);
            }
        }

        #[test]
        fn any_text_is_survived(text in "[A-Z0-9 :>\\-\\[\\]\n]{0,200}") {
            let _ = read(&text, &[]);
        }
    }
}
