//! `[firewall]`: rules that vipd adds to the node's own firewall.

use anyhow::{Result, bail};
use serde::Deserialize;
use vip::Policy;
use vip::firewall::LetIn;

use super::key_error::KeyError;

/// The `[firewall]` section of the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FirewallSection {
    /// Handling of chains that drop traffic to VIPs. `off`: only report them, in `vipd doctor`, the
    /// log and `/readyz`. `insert`: put accept rules for the prefixes of `[vip] allow` at the head
    /// of these chains.
    #[cfg_attr(test, schemars(with = "String", extend("enum" = ["off", "insert"])))]
    pub allow: LetIn,
}

impl FirewallSection {
    /// Checks the values. `flag`, if set, takes precedence over the file.
    ///
    /// # Errors
    /// When rules are to be inserted and no prefixes are allowed.
    pub fn resolve(self, flag: Option<LetIn>, policy: &Policy) -> Result<LetIn> {
        let allow = flag.unwrap_or(self.allow);
        if allow == LetIn::Insert && policy.allow.is_empty() {
            bail!(KeyError::new(
                "firewall",
                "allow",
                "[firewall] allow = \"insert\" accepts traffic to the prefixes of [vip] allow, and \
                 that list is empty: set [vip] allow, or --vip-allow",
            ));
        }
        Ok(allow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_inserted_for_named_prefixes_only() {
        let section = FirewallSection { allow: LetIn::Insert };
        assert!(section.resolve(None, &Policy::default()).is_err());
        assert_eq!(section.resolve(Some(LetIn::Off), &Policy::default()).unwrap(), LetIn::Off);
        let policy = Policy { allow: vec!["3.0.0.0/8".parse().unwrap()], ..Policy::default() };
        assert_eq!(section.resolve(None, &policy).unwrap(), LetIn::Insert);
    }
}
