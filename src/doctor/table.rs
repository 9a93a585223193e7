//! Who else uses IPVS on this node.

use node::LinkFacts;
use vip::Observed;

use super::Check;

/// As many of somebody else's services are named.
const NAMED: usize = 5;

/// Interfaces that tell who makes virtual services.
const SIGNS: [(&str, &str); 3] = [
    (
        "kube-ipvs0",
        "kube-proxy (it has the interface kube-ipvs0), which removes what isn't its own: give it --ipvs-exclude-cidrs",
    ),
    ("kube-dummy-if", "kube-router (it has the interface kube-dummy-if)"),
    ("minuteman", "dcos-net (it has the interface minuteman); `vipd adopt` takes a service over"),
];

/// Checks the virtual services that aren't vipd's.
#[must_use]
pub fn table(observed: &Observed, links: &[LinkFacts]) -> Vec<Check> {
    let ours = observed.our_services().count();
    let others: Vec<_> = observed.unmarked_services().map(|(key, _)| key.to_string()).collect();
    let own = match ours {
        1 => "1 virtual service of vipd's".to_owned(),
        _ => format!("{ours} virtual services of vipd's"),
    };
    if others.is_empty() {
        return vec![Check::ok(format!("{own}, none of anybody else's"))];
    }
    let more = others.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let named = others[..others.len().min(NAMED)].join(", ");
    let sign = SIGNS.iter().find(|(interface, _)| links.iter().any(|link| link.name == *interface));
    let who = sign.map_or("keepalived, or somebody by hand", |(_, who)| who);
    let count = others.len();
    vec![Check::warning(
        format!("{own}, and {count} of somebody else's: {named}{more}"),
        format!("nothing to do if you know them, vipd leaves them alone; it may be {who}"),
    )]
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn an_empty_table_is_fine() {
        let checks = table(&Observed::default(), &[]);
        assert_eq!(checks, [Check::ok("0 virtual services of vipd's, none of anybody else's")]);
        assert_eq!(checks[0].level, Level::Ok);
    }
}
