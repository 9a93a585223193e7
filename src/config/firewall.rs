//! `[firewall]`: the node's own.

use anyhow::{Result, bail};
use serde::Deserialize;
use vip::Policy;
use vip::firewall::LetIn;

/// `[firewall]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FirewallFile {
    /// What is done about chains that drop traffic to VIPs. `off`, the default: `vipd doctor` and the
    /// agent say so. `insert`: rules are put at their heads that let in the prefixes of `[vip]
    /// allow`.
    #[cfg_attr(test, schemars(with = "String"))]
    pub allow: LetIn,
}

impl FirewallFile {
    /// Checks it. What `flag` says counts more.
    ///
    /// # Errors
    /// When rules are to be inserted and nothing says for which VIPs.
    pub fn resolve(self, flag: Option<LetIn>, policy: &Policy) -> Result<LetIn> {
        let allow = flag.unwrap_or(self.allow);
        if allow == LetIn::Insert && policy.allow.is_empty() {
            bail!(
                "[firewall] allow = \"insert\" lets in the prefixes of [vip] allow, and there are \
                 none: set `allow` of [vip], or --vip-allow"
            );
        }
        Ok(allow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_inserted_for_prefixes_that_are_named_only() {
        let file = FirewallFile { allow: LetIn::Insert };
        assert!(file.resolve(None, &Policy::default()).is_err());
        assert_eq!(file.resolve(Some(LetIn::Off), &Policy::default()).unwrap(), LetIn::Off);
        let policy = Policy { allow: vec!["3.0.0.0/8".parse().unwrap()], ..Policy::default() };
        assert_eq!(file.resolve(None, &policy).unwrap(), LetIn::Insert);
    }
}
