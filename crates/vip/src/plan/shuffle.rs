use std::hash::{DefaultHasher, Hash, Hasher};

use super::Op;

/// The operations in an order that depends on the node, the same every time: a thousand nodes
/// with `rr` would otherwise all start with the same real server.
pub(super) fn shuffled(mut added: Vec<Op>, node: &str) -> Vec<Op> {
    added.sort_by_cached_key(|op| match op {
        Op::AddServer { vip, server, .. } => {
            let mut hasher = DefaultHasher::new();
            (node, vip, server).hash(&mut hasher);
            hasher.finish()
        }
        _ => 0,
    });
    added
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Protocol, Vip};
    use nl_ipvs::DestinationSettings;
    use std::num::NonZeroU16;

    #[test]
    fn nodes_differ_and_each_is_constant() {
        let vip =
            Vip { address: [3, 3, 0, 6].into(), port: NonZeroU16::MIN, protocol: Protocol::Tcp };
        let servers: Vec<_> = (0..20)
            .map(|port| Op::AddServer {
                vip,
                server: ([10, 0, 0, 1], 31000 + port).into(),
                settings: DestinationSettings::masquerade(1),
            })
            .collect();
        let order = |node| shuffled(servers.clone(), node);
        assert_eq!(order("node1"), order("node1"));
        assert_ne!(order("node1"), order("node2"));
    }
}
