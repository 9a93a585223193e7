//! The kernel's table as text, `/proc/net/ip_vs`: of each real server its place, how it is reached,
//! its weight and its connections, in one pass over the whole table (`ip_vs_info_seq_show` of
//! `net/netfilter/ipvs/ip_vs_ctl.c`). A dump of the same takes three system calls for each service.
//!
//! It says nothing of thresholds, encapsulation and counters of real servers, and little of services.

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use nl_ipvs::{ForwardMethod, Protocol, ServiceKey, Tunnel};
use vip::{ObservedServer, Servers};

/// What it says of one real server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    address: SocketAddr,
    forward: ForwardMethod,
    weight: u32,
    active: u32,
    inactive: u32,
}

/// The real servers of each service; `None` of a service that isn't told clearly: that comes twice,
/// as it may while the table changes, or with a line that can't be read.
pub(super) type Text = BTreeMap<ServiceKey, Option<Vec<Line>>>;

/// Reads all of it. Lines are in the order of addresses.
pub(super) fn read(mut text: impl BufRead) -> io::Result<Text> {
    let mut services = Text::new();
    let (mut line, mut key, mut lines) = (String::new(), None, Some(Vec::new()));
    loop {
        line.clear();
        let is_end = text.read_line(&mut line)? == 0;
        match line.trim_start().strip_prefix("-> ") {
            Some(server) => match (&mut lines, server_of(server)) {
                (Some(lines), Some(server)) => lines.push(server),
                _ => lines = None,
            },
            None => {
                // Whatever else it is, it ends the service before.
                if let Some(key) = std::mem::replace(&mut key, service_of(&line)) {
                    let mut told = lines.take();
                    told.iter_mut().for_each(|lines| lines.sort_by_key(|line| line.address));
                    services.entry(key).and_modify(|twice| *twice = None).or_insert(told);
                }
                lines = Some(Vec::new());
            }
        }
        if is_end {
            return Ok(services);
        }
    }
}

/// `TCP  03030006:0CEA wlc persistent 300 FFFFFFFF`; `None` for a firewall mark and the head.
fn service_of(line: &str) -> Option<ServiceKey> {
    let mut fields = line.split_ascii_whitespace();
    let protocol = match fields.next()? {
        "TCP" => Protocol::TCP,
        "UDP" => Protocol::UDP,
        _ => return None,
    };
    let at = place(fields.next()?)?;
    Some(ServiceKey::Address { protocol, address: at.ip(), port: at.port() })
}

/// `0A4D000B:7918      Masq    1      0          0`.
fn server_of(line: &str) -> Option<Line> {
    let mut fields = line.split_ascii_whitespace();
    let address = place(fields.next()?)?;
    let forward = match fields.next()? {
        "Masq" => ForwardMethod::Masquerade,
        "Local" => ForwardMethod::Local,
        "Tunnel" => ForwardMethod::Tunnel,
        "Route" => ForwardMethod::Route,
        _ => return None,
    };
    let mut number = || fields.next().and_then(|text| u32::from_str(text).ok());
    Some(Line { address, forward, weight: number()?, active: number()?, inactive: number()? })
}

/// `0A4D000B:7918` or `[fd01:0000:0000:0000:0000:0000:0000:0001]:7918`.
fn place(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.rsplit_once(':')?;
    let address: IpAddr = match address.strip_prefix('[') {
        Some(v6) => Ipv6Addr::from_str(v6.strip_suffix(']')?).ok()?.into(),
        None if address.len() == 8 => Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?).into(),
        None => return None,
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}

/// Whether the text tells just these real servers. Of one with what the text can't tell, thresholds
/// or an encapsulation, it never does.
pub(super) fn tells(lines: &[Line], servers: &Servers) -> bool {
    let told = |(line, (at, held)): (&Line, (&SocketAddr, &ObservedServer))| {
        line.address == *at && is_told(line, held)
    };
    lines.len() == servers.len() && lines.iter().zip(servers).all(told)
}

fn is_told(line: &Line, held: &ObservedServer) -> bool {
    let settings = &held.settings;
    let plain = (settings.upper_threshold, settings.lower_threshold) == (0, 0)
        && settings.tunnel == Tunnel::default();
    plain
        && (line.forward, line.weight) == (settings.forward, settings.weight)
        && (line.active, line.inactive) == (held.active, held.inactive)
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

    fn lines(text: &str) -> Text {
        read(format!("{HEAD}{text}").as_bytes()).unwrap()
    }

    #[test]
    fn services_and_their_real_servers_are_read() {
        let text = lines(
            "UDP  03030006:0035 rr ops \n\
             TCP  [fd01:0000:0000:0000:0000:0000:0000:0001]:0050 wlc \n  \
             -> [fd02:0000:0000:0000:0000:0000:0000:0002]:1F90      Masq    1      0          0         \n\
             FWM  00000007 rr \n  -> 0A000009:0050      Masq    1      0          0         \n\
             TCP  03030006:0CEA wlc persistent 300 FFFFFFFF\n  \
             -> 0A4D000B:7918      Route   7      2          1         \n  \
             -> 0A4D000A:7918      Masq    0      0          0         \n",
        );
        assert_eq!(text.len(), 3);
        assert_eq!(text[&ServiceKey::udp("3.3.0.6:53".parse().unwrap())], Some(vec![]));
        let v6 = text[&key("[fd01::1]:80")].as_ref().unwrap();
        assert_eq!(v6[0].address, "[fd02::2]:8080".parse().unwrap());
        let v4 = text[&key("3.3.0.6:3306")].as_ref().unwrap();
        assert_eq!((v4[0].address, v4[0].weight), ("10.77.0.10:31000".parse().unwrap(), 0));
        let line = Line {
            address: "10.77.0.11:31000".parse().unwrap(),
            forward: ForwardMethod::Route,
            weight: 7,
            active: 2,
            inactive: 1,
        };
        assert_eq!(v4[1], line);
    }

    #[test]
    fn what_is_not_told_clearly_is_not_told() {
        let twice =
            lines("TCP  03030006:0CEA wlc \nTCP  03030006:0CEB wlc \nTCP  03030006:0CEA wlc \n");
        assert_eq!(twice[&key("3.3.0.6:3306")], None);
        assert_eq!(twice[&key("3.3.0.6:3307")], Some(vec![]));
        let odd =
            lines("TCP  03030006:0CEA wlc \n  -> 0A4D000B:7918      Magic   1      0          0\n");
        assert_eq!(odd[&key("3.3.0.6:3306")], None);
        assert_eq!(lines("").len(), 0);
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
                let settings = DestinationSettings {
                    forward,
                    upper_threshold: upper,
                    ..DestinationSettings::masquerade(weight)
                };
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
        /// A dump of what the text tells of would say nothing else.
        #[test]
        fn the_text_tells_servers_that_are_the_same_and_no_others(one in servers(), other in servers()) {
            let text = lines(&written(&one));
            let told = text[&key("3.3.0.6:3306")].as_ref().unwrap();
            let plain = one.values().all(|held| held.settings.upper_threshold == 0);
            prop_assert_eq!(tells(told, &one), plain);
            if tells(told, &other) {
                prop_assert_eq!(&one, &other);
            }
        }

        #[test]
        fn any_text_is_survived(text in "[A-Z0-9 :>\\-\\[\\]\n]{0,200}") {
            let _ = lines(&text);
        }
    }
}
