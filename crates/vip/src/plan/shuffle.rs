//! The order in which new real servers are added.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

use crate::Vip;

/// Shuffles new real servers of a service into an order that depends on the node and never changes:
/// a thousand nodes with `rr` would otherwise all start with the same server.
pub(super) fn shuffle_servers<T>(added: &mut [(SocketAddr, T)], vip: &Vip, node: &str) {
    let mut of_service = DefaultHasher::new();
    (node, vip).hash(&mut of_service);
    added.sort_by_cached_key(|(server, _)| {
        let mut hasher = of_service.clone();
        match server {
            SocketAddr::V4(v4) => {
                hasher.write_u64(u64::from(v4.ip().to_bits()) << 16 | u64::from(v4.port()));
            }
            SocketAddr::V6(_) => server.hash(&mut hasher),
        }
        hasher.finish()
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Protocol;
    use std::num::NonZeroU16;

    #[test]
    fn nodes_and_services_differ_and_each_is_constant() {
        let vip = |last| Vip {
            address: [3, 3, 0, last].into(),
            port: NonZeroU16::MIN,
            protocol: Protocol::Tcp,
        };
        let order = |last, node| {
            let server = |port: u16| (SocketAddr::from(([10, 0, 0, 1], 31000 + port)), ());
            let mut servers: Vec<_> = (0..20).map(server).collect();
            shuffle_servers(&mut servers, &vip(last), node);
            servers
        };
        assert_eq!(order(6, "node1"), order(6, "node1"));
        assert_ne!(order(6, "node1"), order(6, "node2"));
        assert_ne!(order(6, "node1"), order(7, "node1"));
    }
}
