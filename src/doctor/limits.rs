//! Tables that may fill up.

use node::inspect::Conntrack;
use vip::Observed;

use super::Check;

/// Checks the table of tracked connections, and IPVS's own with so many buckets.
#[must_use]
pub fn limits(
    conntrack: Option<Conntrack>,
    buckets: Option<u32>,
    observed: Option<&Observed>,
) -> Vec<Check> {
    let mut checks = vec![tracked(conntrack)];
    checks.extend(buckets.zip(observed).map(|(buckets, observed)| held(buckets, observed)));
    checks
}

fn tracked(conntrack: Option<Conntrack>) -> Check {
    let Some(Conntrack { count, max }) = conntrack else {
        return Check::warning(
            "nf_conntrack isn't loaded: IPVS traffic can't be translated without it",
            "run `vipd doctor --fix`, or `modprobe nf_conntrack` on the host",
        );
    };
    let text = format!("{count} of at most {max} tracked connections (nf_conntrack_max)");
    // Every connection to a VIP has an entry, and each dropped packet of a full table is a client
    // that waits for a second.
    let cure = || {
        let more = max.saturating_mul(4);
        format!("raise it: `sysctl -w net.netfilter.nf_conntrack_max={more}`")
    };
    match count.saturating_mul(100) {
        used if used >= max.saturating_mul(95) => Check::error(text, cure()),
        used if used >= max.saturating_mul(75) => Check::warning(text, cure()),
        _ => Check::ok(text),
    }
}

/// More connections than buckets fit; the kernel only takes longer to find them.
fn held(buckets: u32, observed: &Observed) -> Check {
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
                "each packet searches a long list: put `options ip_vs conn_tab_bits={bits}` into \
                 /etc/modprobe.d/vipd.conf and load ip_vs anew, with the next reboot at the latest"
            ),
        );
    }
    Check::ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_table_that_is_nearly_full_is_told_with_a_larger_size() {
        let level = |count| tracked(Some(Conntrack { count, max: 1000 })).level;
        assert_eq!(
            [level(0), level(749), level(750), level(949), level(950), level(1000)],
            [Level::Ok, Level::Ok, Level::Warning, Level::Warning, Level::Error, Level::Error]
        );
        let cure = tracked(Some(Conntrack { count: 1000, max: 1000 })).cure.unwrap();
        assert!(cure.contains("nf_conntrack_max=4000"), "{cure}");
        assert_eq!(tracked(None).level, Level::Warning);
    }
}
