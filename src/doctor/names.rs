//! Checks of names: whether the name server answers, and whether the node's resolver asks it.

use std::net::IpAddr;

use super::diagnosis::Check;

/// The resolver of a node, as far as its `/etc/resolv.conf` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolver {
    /// The stub of systemd-resolved.
    Resolved,
    /// A program of this node: dnsmasq, unbound, BIND or another.
    Local,
    /// The name server of vipd.
    Ours,
    /// Servers elsewhere, which know nothing of this node.
    Elsewhere,
}

/// The facts about names on this node.
#[derive(Debug)]
pub struct NameFacts<'a> {
    /// The zone in which names are shown.
    pub zone: &'a str,
    /// The interface that holds the VIPs.
    pub interface: &'a str,
    /// The address of the name server.
    pub server: IpAddr,
    /// Whether that address is bound.
    pub is_bound: bool,
    /// The answer of the name server itself to the probe, or why there is none.
    pub asked: Result<(), String>,
    /// The answer of the system's resolver to the probe, or why there is none.
    pub looked_up: Result<(), String>,
    /// The resolver of this node.
    pub resolver: Resolver,
}

impl Resolver {
    /// Tells which resolver these name servers of `/etc/resolv.conf` are. `server` is vipd's own.
    #[must_use]
    pub fn from_servers(servers: &[IpAddr], server: IpAddr) -> Self {
        let stub: IpAddr = [127, 0, 0, 53].into();
        match servers {
            [first, ..] if *first == server => Self::Ours,
            servers if servers.contains(&stub) => Self::Resolved,
            [first, ..] if first.is_loopback() => Self::Local,
            _ => Self::Elsewhere,
        }
    }
}

/// Checks names: first whether they are answered, then whether anybody asks.
#[must_use]
pub fn check_names(facts: &NameFacts<'_>) -> Vec<Check> {
    let NameFacts { zone, server, is_bound, asked, looked_up, .. } = facts;
    if !is_bound {
        return vec![Check::ok(format!(
            "no VIP has a name: the name server's address {server} is bound with the first one"
        ))];
    }
    let mut checks = vec![match asked {
        Ok(()) => Check::ok(format!("the name server answers at {server}")),
        Err(why) => Check::error(
            format!("the name server doesn't answer at {server}: {why}"),
            "start it: systemctl enable --now vipd-dns.socket vipd-dns.service, or run `vipd dns`",
        ),
    }];
    checks.push(match looked_up {
        Ok(()) => Check::ok(format!("this node resolves names in {zone}")),
        Err(why) => {
            let text = format!("this node's resolver doesn't resolve names in {zone}: {why}");
            Check::warning(text, remedy(facts))
        }
    });
    checks
}

/// Says what to add to the resolver of the node.
fn remedy(facts: &NameFacts<'_>) -> String {
    let NameFacts { zone, interface, server, .. } = facts;
    match facts.resolver {
        Resolver::Resolved => format!(
            "tell systemd-resolved, again whenever {interface} was made anew: resolvectl dns \
             {interface} {server} && resolvectl domain {interface} '~{zone}' && resolvectl \
             default-route {interface} false"
        ),
        Resolver::Local => format!(
            "let the resolver on this node ask {server} for {zone}. dnsmasq: \
             server=/{zone}/{server} and rebind-domain-ok=/{zone}/. unbound: a forward-zone with \
             name: \"{zone}.\" and forward-addr: {server}, domain-insecure: \"{zone}\" and \
             do-not-query-localhost: no. BIND: zone \"{zone}\" {{ type forward; forward only; \
             forwarders {{ {server}; }}; }}; and validate-except {{ \"{zone}\"; }}"
        ),
        Resolver::Ours => "see the log of vipd-dns, and `vipd names`".to_owned(),
        Resolver::Elsewhere => format!(
            "make `nameserver {server}` the first line of /etc/resolv.conf and set [names] forward = \
             true, or run a resolver on this node that asks {server} for {zone}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::diagnosis::Level;
    use super::*;

    const SERVER: [u8; 4] = [198, 51, 100, 1];

    fn facts(resolver: Resolver) -> NameFacts<'static> {
        NameFacts {
            zone: "l4lb.thisdcos.directory",
            interface: "vipd0",
            server: SERVER.into(),
            is_bound: true,
            asked: Ok(()),
            looked_up: Err("no such host".to_owned()),
            resolver,
        }
    }

    #[test]
    fn each_resolver_is_told_from_the_others() {
        let of = |servers: &[[u8; 4]]| {
            let servers: Vec<IpAddr> = servers.iter().map(|each| (*each).into()).collect();
            Resolver::from_servers(&servers, SERVER.into())
        };
        assert_eq!(of(&[[127, 0, 0, 53]]), Resolver::Resolved);
        assert_eq!(of(&[[127, 0, 0, 1], [10, 0, 0, 53]]), Resolver::Local);
        assert_eq!(of(&[SERVER, [10, 0, 0, 53]]), Resolver::Ours);
        assert_eq!(of(&[[10, 0, 0, 53], SERVER]), Resolver::Elsewhere);
        assert_eq!(of(&[]), Resolver::Elsewhere);
    }

    #[test]
    fn a_resolver_that_does_not_ask_gets_its_lines() {
        for (resolver, line) in [
            (Resolver::Resolved, "resolvectl domain vipd0 '~l4lb.thisdcos.directory'"),
            (Resolver::Local, "server=/l4lb.thisdcos.directory/198.51.100.1"),
            (Resolver::Ours, "vipd names"),
            (Resolver::Elsewhere, "nameserver 198.51.100.1"),
        ] {
            let checks = check_names(&facts(resolver));
            assert_eq!(checks.iter().map(|each| each.level).max(), Some(Level::Warning));
            let remedy = checks[1].remedy.as_deref().unwrap();
            assert!(remedy.contains(line), "{remedy}");
        }
    }

    #[test]
    fn a_name_server_that_is_silent_is_an_error_and_one_that_nobody_needs_is_fine() {
        let silent = NameFacts { asked: Err("no answer".into()), ..facts(Resolver::Ours) };
        assert_eq!(check_names(&silent)[0].level, Level::Error);
        let unused = NameFacts { is_bound: false, ..silent };
        assert_eq!(check_names(&unused).iter().map(|each| each.level).max(), Some(Level::Ok));
        let good = NameFacts { looked_up: Ok(()), ..facts(Resolver::Resolved) };
        assert!(check_names(&good).iter().all(|each| each.level == Level::Ok));
    }
}
