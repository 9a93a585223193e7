//! The IPVS table as `/proc/net/ip_vs` shows it, which is read fast enough to measure times. (vipd
//! itself uses that file only to confirm what it knows.)

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};

/// Size of a page of the kernel, in bytes.
const PAGE: usize = 4096;

/// Maximum length of a service with its real servers in the demo, in bytes.
const LONGEST: usize = 1024;

/// The weights of a VIP's real servers, by `address:port`.
pub(super) type Servers = BTreeMap<String, u32>;

/// The IPVS table of one node.
#[derive(Debug)]
pub(super) struct Table(File);

impl Table {
    /// Opens the table of a process's network namespace.
    pub(super) fn seen_by(process: u32) -> Result<Self> {
        let path = format!("/proc/{process}/net/ip_vs");
        Ok(Self(File::open(&path).with_context(|| format!("cannot open {path}"))?))
    }

    /// Returns the real servers of a TCP service.
    ///
    /// A single read returns at most a page. A second one would skip services: the kernel's
    /// position in the file counts the services of all network namespaces.
    pub(super) fn read_servers(&mut self, vip: &str) -> Result<Servers> {
        let mut page = [0; PAGE];
        self.0.rewind()?;
        let length = self.0.read(&mut page).context("cannot read /proc/net/ip_vs")?;
        ensure!(length < PAGE - LONGEST, "/proc/net/ip_vs is too long for a single read");
        Ok(servers(&String::from_utf8_lossy(&page[..length]), vip))
    }
}

fn servers(text: &str, vip: &str) -> Servers {
    let mut within = false;
    let mut found = Servers::new();
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["->", server, _, weight, ..] if within => {
                found.extend(parse_socket(server).zip(weight.parse().ok()));
            }
            ["->", ..] => {}
            [protocol, at, ..] => {
                within = *protocol == "TCP" && parse_socket(at).as_deref() == Some(vip);
            }
            _ => within = false,
        }
    }
    found
}

/// Parses the kernel's hexadecimal form: `0A4D000B:7918` is `10.77.0.11:31000`.
fn parse_socket(hex: &str) -> Option<String> {
    let (address, port) = hex.split_once(':')?;
    let address = std::net::Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?);
    Some(format!("{address}:{}", u16::from_str_radix(port, 16).ok()?))
}

/// Waits until every table has such real servers, and returns when each did.
pub(super) fn await_tables(
    tables: &mut [Table],
    vip: &str,
    pause: Duration,
    is_so: impl Fn(&Servers) -> bool,
) -> Result<Vec<SystemTime>> {
    const PATIENCE: Duration = Duration::from_secs(60);
    let begun = Instant::now();
    let mut seen = vec![None; tables.len()];
    while seen.iter().any(Option::is_none) {
        if begun.elapsed() >= PATIENCE {
            let held: Result<Vec<_>> =
                tables.iter_mut().map(|table| table.read_servers(vip)).collect();
            bail!(
                "waited {PATIENCE:?} in vain for the kernels' tables; the real servers of {vip} are {:?}",
                held?
            );
        }
        for (table, seen) in tables.iter_mut().zip(&mut seen) {
            if seen.is_none() && is_so(&table.read_servers(vip)?) {
                *seen = Some(SystemTime::now());
            }
        }
        std::thread::sleep(pause);
    }
    Ok(seen.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_servers_of_one_service_are_read() {
        let text = "IP Virtual Server version 1.2.1 (size=4096)\n\
            Prot LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n\
            TCP  03030006:0CEA wlc  flag-3\n  -> 0A4D000B:7918      Masq    1      0          0\n\
            TCP  03030007:0050 wlc  flag-3\n  -> 0A4D000C:7919      Masq    0      0          0\n";
        let one = |server: &str, weight| Servers::from([(server.to_owned(), weight)]);
        assert_eq!(servers(text, "3.3.0.6:3306"), one("10.77.0.11:31000", 1));
        assert_eq!(servers(text, "3.3.0.7:80"), one("10.77.0.12:31001", 0));
        assert_eq!(servers(text, "3.3.0.8:80"), Servers::new());
    }
}
