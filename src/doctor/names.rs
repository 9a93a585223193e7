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
    /// What systemd-resolved asks on the interface, or why it can't be asked. `None` unless the agent
    /// is to have it ask.
    pub resolved: Option<Result<ResolvedState, String>>,
}

/// What systemd-resolved asks on the interface that holds the VIPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolvedState {
    /// The name server, for all zones.
    Asks,
    /// Not, or for other zones.
    AsksNot,
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
    checks.extend(facts.resolved.as_ref().map(|resolved| check_resolved(facts, resolved)));
    checks.push(match looked_up {
        Ok(()) => Check::ok(format!("this node resolves names in {zone}")),
        Err(why) => {
            let text = format!("this node's resolver doesn't resolve names in {zone}: {why}");
            Check::warning(text, remedy(facts))
        }
    });
    checks
}

/// Checks what the agent told systemd-resolved.
fn check_resolved(facts: &NameFacts<'_>, resolved: &Result<ResolvedState, String>) -> Check {
    let NameFacts { zone, interface, server, .. } = facts;
    match resolved {
        Ok(ResolvedState::Asks) => {
            Check::ok(format!("systemd-resolved asks {server} for {zone} ({interface})"))
        }
        Ok(ResolvedState::AsksNot) => Check::warning(
            format!("systemd-resolved doesn't ask {server} for {zone} yet ({interface})"),
            "the agent tells it when it runs: `vipd status` shows what prevents it",
        ),
        Err(why) => Check::warning(
            format!("[names] resolver is \"resolved\", but {why}"),
            "do that, or remove the line and use another resolver: `vipd doctor` prints its lines",
        ),
    }
}

/// Says what to add to the resolver of the node.
fn remedy(facts: &NameFacts<'_>) -> String {
    let NameFacts { zone, interface, server, .. } = facts;
    if facts.resolved.is_some() {
        return match facts.resolver {
            Resolver::Resolved => "see `vipd status` and `resolvectl status`".to_owned(),
            _ => "let programs ask systemd-resolved: ln -sf \
                  /run/systemd/resolve/stub-resolv.conf /etc/resolv.conf"
                .to_owned(),
        };
    }
    match facts.resolver {
        Resolver::Resolved => format!(
            "set resolver = \"resolved\" below [names] in /etc/vipd/vipd.toml: the agent tells \
             systemd-resolved then. By hand, again whenever {interface} was made anew: resolvectl \
             dns {interface} {server} && resolvectl domain {interface} '~{zone}' && resolvectl \
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
            resolved: None,
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
            (Resolver::Resolved, "set resolver = \"resolved\" below [names]"),
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
    fn what_the_agent_told_systemd_resolved_is_checked() {
        let with = |resolver, resolved| {
            check_names(&NameFacts { resolved: Some(resolved), ..facts(resolver) })
        };
        let good = with(Resolver::Resolved, Ok(ResolvedState::Asks));
        assert_eq!((good.len(), good[1].level), (3, Level::Ok));
        assert!(good[1].text.contains("asks 198.51.100.1 for l4lb"), "{good:?}");
        for bad in [Ok(ResolvedState::AsksNot), Err("there is no D-Bus".to_owned())] {
            let checks = with(Resolver::Resolved, bad);
            assert_eq!(checks[1].level, Level::Warning, "{checks:?}");
        }
        // The one line that is missing when nothing asks systemd-resolved.
        let unasked = with(Resolver::Elsewhere, Ok(ResolvedState::Asks));
        let remedy = unasked[2].remedy.as_deref().unwrap();
        assert!(remedy.ends_with("stub-resolv.conf /etc/resolv.conf"), "{remedy}");
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
