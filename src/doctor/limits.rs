//! Checks of kernel tables that may fill up.

use node::inspect::Conntrack;
use vip::Observed;

use super::diagnosis::Check;

/// Checks the conntrack table, and the IPVS connection table with its number of buckets.
#[must_use]
pub fn check_limits(
    conntrack: Option<Conntrack>,
    buckets: Option<u32>,
    observed: Option<&Observed>,
) -> Vec<Check> {
    let mut checks = vec![check_conntrack(conntrack)];
    checks.extend(
        buckets.zip(observed).map(|(buckets, observed)| check_connections(buckets, observed)),
    );
    checks
}

fn check_conntrack(conntrack: Option<Conntrack>) -> Check {
    let Some(Conntrack { count, max }) = conntrack else {
        return Check::warning(
            "nf_conntrack isn't loaded: without it the addresses of IPVS traffic can't be translated",
            "run `vipd doctor --fix`, or `modprobe nf_conntrack` on the host",
        );
    };
    let text = format!("{count} of {max} conntrack entries in use (nf_conntrack_max)");
    // Every connection to a VIP takes an entry. When the table is full the kernel drops SYNs, and a
    // client retries only after a second.
    let remedy = || {
        let more = max.saturating_mul(4);
        format!("raise it: `sysctl -w net.netfilter.nf_conntrack_max={more}`")
    };
    match count.saturating_mul(100) {
        used if used >= max.saturating_mul(95) => Check::error(text, remedy()),
        used if used >= max.saturating_mul(75) => Check::warning(text, remedy()),
        _ => Check::ok(text),
    }
}

/// Checks the length of the hash chains. The IPVS connection table may hold more connections than it
/// has buckets, at the price of slower lookups.
fn check_connections(buckets: u32, observed: &Observed) -> Check {
    let servers = observed.our_services().flat_map(|(_, service)| service.servers.values());
    let connections: u64 =
        servers.map(|server| u64::from(server.active) + u64::from(server.inactive)).sum();
    let text = format!("{connections} IPVS connections in a table of {buckets} buckets");
    if connections > 4 * u64::from(buckets) {
        let bits = connections.max(1).ilog2() + 1;
        let bits = bits.clamp(8, 20);
        return Check::warning(
            text,
            format!(
                "each packet searches a long hash chain: put `options ip_vs conn_tab_bits={bits}` \
                 into /etc/modprobe.d/vipd.conf and reload ip_vs, or reboot"
            ),
        );
    }
    Check::ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::diagnosis::Level;
    use super::*;

    #[test]
    fn a_nearly_full_table_is_reported_with_a_larger_size() {
        let level = |count| check_conntrack(Some(Conntrack { count, max: 1000 })).level;
        assert_eq!(
            [level(0), level(749), level(750), level(949), level(950), level(1000)],
            [Level::Ok, Level::Ok, Level::Warning, Level::Warning, Level::Error, Level::Error]
        );
        let remedy = check_conntrack(Some(Conntrack { count: 1000, max: 1000 })).remedy.unwrap();
        assert!(remedy.contains("nf_conntrack_max=4000"), "{remedy}");
        assert_eq!(check_conntrack(None).level, Level::Warning);
    }
}
