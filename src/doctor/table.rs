//! Checks of the IPVS table: virtual services of other programs on this node.

use node::LinkFacts;
use vip::Observed;

use super::diagnosis::Check;

/// Number of foreign services that are listed by name.
const MAX_LISTED: usize = 5;

/// Interfaces by which other users of IPVS are recognized.
const KNOWN_USERS: [(&str, &str); 3] = [
    (
        "kube-ipvs0",
        "kube-proxy (its interface kube-ipvs0 exists), which removes services that aren't its own: \
         run it with --ipvs-exclude-cidrs",
    ),
    ("kube-dummy-if", "kube-router (its interface kube-dummy-if exists)"),
    ("minuteman", "dcos-net (its interface minuteman exists); `vipd adopt` takes a service over"),
];

/// Checks for virtual services that vipd didn't create.
#[must_use]
pub fn check_table(observed: &Observed, links: &[LinkFacts]) -> Vec<Check> {
    let ours = observed.our_services().count();
    let foreign: Vec<_> = observed.unmarked_services().map(|(key, _)| key.to_string()).collect();
    let own = match ours {
        1 => "1 virtual service of vipd".to_owned(),
        _ => format!("{ours} virtual services of vipd"),
    };
    if foreign.is_empty() {
        return vec![Check::ok(format!("{own}, none of other programs"))];
    }
    let more = foreign.len().saturating_sub(MAX_LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let named = foreign[..foreign.len().min(MAX_LISTED)].join(", ");
    let user =
        KNOWN_USERS.iter().find(|(interface, _)| links.iter().any(|link| link.name == *interface));
    let user = user.map_or("keepalived, or somebody by hand", |(_, name)| name);
    let count = foreign.len();
    vec![Check::warning(
        format!("{own}, and {count} of other programs: {named}{more}"),
        format!("vipd leaves them alone: nothing to do if you know them; probably {user}"),
    )]
}

#[cfg(test)]
mod tests {
    use super::super::diagnosis::Level;
    use super::*;

    #[test]
    fn an_empty_table_is_fine() {
        let checks = check_table(&Observed::default(), &[]);
        assert_eq!(checks, [Check::ok("0 virtual services of vipd, none of other programs")]);
        assert_eq!(checks[0].level, Level::Ok);
    }
}
