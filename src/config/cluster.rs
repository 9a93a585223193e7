//! `[cluster]`: addresses of the cluster's servers that neither Marathon nor Mesos tells.

use std::net::IpAddr;

use anyhow::{Context, Result};
use ipnet::IpNet;
use serde::Deserialize;

use super::key_error::KeyError;

/// The `[cluster]` section of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ClusterSection {
    /// Addresses and prefixes of the cluster's servers: nodes, Mesos masters, Marathon, ZooKeeper. No
    /// VIP may be one of them. Those that Marathon names are known without this.
    pub addresses: Vec<String>,
}

impl ClusterSection {
    /// Parses the addresses and prefixes.
    ///
    /// # Errors
    /// When one is neither.
    pub fn resolve(&self) -> Result<Vec<IpNet>> {
        let parse = |text: &String| {
            let address =
                text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse::<IpNet>());
            address.with_context(|| {
                let why = format!(
                    "[cluster] addresses: {text:?} is neither an address nor a prefix: write \
                     10.0.0.7 or 10.0.0.0/24"
                );
                KeyError::new("cluster", "addresses", why)
            })
        };
        self.addresses.iter().map(parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_prefix_of_itself() {
        let resolve = |texts: &[&str]| {
            let addresses = texts.iter().map(|text| (*text).to_owned()).collect();
            ClusterSection { addresses }.resolve()
        };
        let parsed = resolve(&["10.0.0.7", "10.1.0.0/16", "fd00::7"]).unwrap();
        let texts: Vec<_> = parsed.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["10.0.0.7/32", "10.1.0.0/16", "fd00::7/128"]);
        let error = resolve(&["master1"]).unwrap_err().to_string();
        assert!(error.contains("\"master1\" is neither an address nor a prefix"), "{error}");
    }
}
