//! The configuration in force as JSON, with its secrets left out.

use marathon::client::Auth;
use serde_json::{Value, json};
use vip::naming::NameSettings;

use super::{Config, Marathon, Names, RelaySection};

impl Config {
    /// Returns the configuration in force for `/v1/config`, with these Marathons. Of a secret it
    /// only says that there is one.
    #[must_use]
    pub fn redacted_json(&self, marathons: &[Marathon]) -> Value {
        let agent = &self.agent;
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "marathon": marathons.iter().map(Marathon::redacted_json).collect::<Vec<_>>(),
            "node": {
                "name": self.node_name,
                "interface": self.interface,
                "address": self.node_address,
                "lock": self.lock,
                "strict-arp": self.strict_arp,
                "ipv6-forwarding": self.ipv6_forwarding == Some(true),
                "masquerade": self.modes.masquerade.to_string(),
                "guard": self.modes.guard.to_string(),
                "local-servers": self.policy.local_servers,
            },
            "agent": {
                "state": agent.state,
                "socket": agent.socket,
                "listen": agent.listen,
                "sync-period": agent.sync_period.as_secs(),
                "linger": agent.linger.as_secs(),
                "agents": agent.agents,
                "doubt": humantime::format_duration(agent.doubt).to_string(),
            },
            "ipvs": {
                "tcp-timeout": self.timeouts.tcp,
                "tcp-fin-timeout": self.timeouts.tcp_fin,
                "udp-timeout": self.timeouts.udp,
            },
            "names": self.names.redacted_json(),
            "vip": self.policy,
            "log": { "level": self.log_level },
            "firewall": { "allow": self.firewall },
            "relay": self.relay.redacted_json(),
            "cluster": { "addresses": self.policy.cluster },
            "probe": {
                "mode": self.probe.mode,
                "interval": humantime::format_duration(self.probe.interval).to_string(),
            },
        })
    }
}

impl RelaySection {
    fn redacted_json(&self) -> Value {
        let Self { listen, token_file, cert_file, key_file, client_ca_file, .. } = self;
        json!({
            "listen": listen,
            "token-file": token_file,
            "cert-file": cert_file,
            "key-file": key_file,
            "client-ca-file": client_ca_file,
            "relays": self.relays,
            "max-clients": self.max_clients,
            "clients-per-address": self.clients_per_address,
        })
    }
}

impl Names {
    fn redacted_json(&self) -> Value {
        let Self { vips, task_zone, listen, clients, forward, upstreams, resolver } = self;
        let vips = vips.as_ref();
        json!({
            "enabled": vips.is_some(),
            "range": vips.map(|vips| vips.range.prefixes().collect::<Vec<_>>()).unwrap_or_default(),
            "zones": vips.map(NameSettings::zones).unwrap_or_default(),
            "tasks": task_zone.is_some(),
            "task-zone": task_zone,
            "listen": listen,
            "clients": clients,
            "forward": forward,
            "upstreams": upstreams,
            "resolver": resolver,
        })
    }
}

impl Marathon {
    fn redacted_json(&self) -> Value {
        let access = &self.access;
        json!({
            "name": self.name,
            "urls": self.urls.iter().map(marathon::client::Url::as_str).collect::<Vec<_>>(),
            "auth": match access.auth {
                None => "none",
                Some(Auth::Basic(_)) => "basic",
                Some(Auth::Account(_)) => "service-account",
            },
            "own-ca": access.ca.is_some(),
            "client-certificate": access.identity.is_some(),
            "proxy": access.proxy.is_some(),
            "relay": self.relays.urls.iter().map(marathon::client::Url::as_str).collect::<Vec<_>>(),
        })
    }
}
