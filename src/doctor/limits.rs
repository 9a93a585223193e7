//! Checks of kernel tables that may fill up, and of the time for which they hold idle connections.

use node::inspect::Conntrack;
use vip::{Observed, Timeouts};

use super::diagnosis::Check;

/// Checks the conntrack table, the IPVS connection table with its number of buckets, and its timeout
/// against the `keepalive` of idle sockets, in seconds.
#[must_use]
pub fn check_limits(
    conntrack: Option<Conntrack>,
    buckets: Option<u32>,
    keepalive: Option<u32>,
    observed: Option<&Observed>,
) -> Vec<Check> {
    let mut checks = vec![check_conntrack(conntrack)];
    checks.extend(
        keepalive
            .zip(observed)
            .map(|(keepalive, observed)| check_idle_connections(keepalive, observed.timeouts.tcp)),
    );
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

/// The idle times, in seconds, after which connection tracking forgets a flow.
#[derive(Debug, Clone, Copy, Default)]
pub struct TrackingTimeouts {
    /// `nf_conntrack_udp_timeout`, for a flow without answers.
    pub udp: Option<u32>,
    /// `nf_conntrack_udp_timeout_stream`, for one with answers.
    pub udp_stream: Option<u32>,
    /// `nf_conntrack_tcp_timeout_established`.
    pub tcp: Option<u32>,
}

/// Checks that connection tracking, which translates the addresses, forgets no flow before the IPVS
/// timeout that is configured; 0 is not configured.
#[must_use]
pub fn check_tracking(configured: Timeouts, tracking: TrackingTimeouts) -> Vec<Check> {
    let pairs = [
        ("udp-timeout", configured.udp, "nf_conntrack_udp_timeout", tracking.udp),
        ("udp-timeout", configured.udp, "nf_conntrack_udp_timeout_stream", tracking.udp_stream),
        ("tcp-timeout", configured.tcp, "nf_conntrack_tcp_timeout_established", tracking.tcp),
    ];
    let shorter = pairs.into_iter().filter_map(|(key, wanted, sysctl, held)| {
        let held = held.filter(|held| *held < wanted)?;
        Some(Check::warning(
            format!(
                "[ipvs] {key} is {wanted} s, and connection tracking forgets a flow after {held} s"
            ),
            format!(
                "a client that is silent for longer may get another real server, or none: \
                 `sysctl -w net.netfilter.{sysctl}={wanted}`"
            ),
        ))
    });
    shorter.collect()
}

/// Compares the time after which IPVS forgets an idle connection with the one after which a socket
/// with keepalives sends the first. Who sends on a forgotten connection is reset; who only waits for
/// an answer is never told.
fn check_idle_connections(keepalive: u32, timeout: u32) -> Check {
    let text = format!(
        "IPVS forgets a TCP connection after {timeout} s without a packet, and sockets with keepalives \
         send one after {keepalive} s (net.ipv4.tcp_keepalive_time)"
    );
    if timeout > keepalive {
        return Check::ok(text);
    }
    let sooner = (timeout / 3).max(1);
    Check::warning(
        text,
        format!(
            "a client that waits for a long answer may wait for ever: set [ipvs] tcp-timeout above \
             {keepalive}, or `sysctl -w net.ipv4.tcp_keepalive_time={sooner}` on nodes and in \
             containers, and enable keepalives in clients (docs/faq.md)"
        ),
    )
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
    fn a_timeout_that_ends_before_the_first_keepalive_is_a_warning() {
        let level = |keepalive, timeout| check_idle_connections(keepalive, timeout).level;
        assert_eq!(level(7200, 900), Level::Warning);
        assert_eq!(level(900, 900), Level::Warning);
        assert_eq!(level(300, 900), Level::Ok);
        let remedy = check_idle_connections(7200, 900).remedy.unwrap();
        assert!(remedy.contains("above 7200") && remedy.contains("tcp_keepalive_time=300"));
    }

    #[test]
    fn a_flow_that_is_forgotten_before_the_configured_timeout_is_a_warning() {
        let tracking =
            TrackingTimeouts { udp: Some(30), udp_stream: Some(120), tcp: Some(432_000) };
        let count = |udp, tcp| check_tracking(Timeouts { tcp, tcp_fin: 0, udp }, tracking).len();
        assert_eq!([count(0, 0), count(30, 7200), count(60, 0), count(300, 500_000)], [0, 0, 1, 3]);
        let checks = check_tracking(Timeouts { tcp: 0, tcp_fin: 0, udp: 300 }, tracking);
        let remedy = checks[0].remedy.as_ref().unwrap();
        assert!(remedy.contains("net.netfilter.nf_conntrack_udp_timeout=300"), "{remedy}");
    }

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
