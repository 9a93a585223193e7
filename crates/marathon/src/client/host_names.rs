//! Host names: `/etc/hosts`, then DNS as `/etc/resolv.conf` says.
//!
//! Not by the C library: it loads the modules that `/etc/nsswitch.conf` names (`resolve`, `myhostname`,
//! `sss`), and a static program that loads those of another version of the C library crashes.

use std::net::{IpAddr, SocketAddr};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Looks up a host name. Both files are read anew, since a node's name servers may change. An address is
/// its own answer.
///
/// # Errors
/// When the name has no address, or no name server answers within the times of `/etc/resolv.conf`.
pub async fn look_up_host(name: &str) -> Result<Vec<IpAddr>, LookUpError> {
    let mut builder = TokioResolver::builder_tokio().unwrap_or_else(|_| {
        // Without name servers `/etc/hosts` is left, as in a bare container.
        let nobody = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
        TokioResolver::builder_with_config(nobody, TokioRuntimeProvider::default())
    });
    let options = builder.options_mut();
    options.cache_size = 0;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    let refuse = |why| LookUpError { name: name.to_owned(), why };
    let found = builder.build().map_err(refuse)?.lookup_ip(name).await.map_err(refuse)?;
    Ok(found.iter().collect())
}

/// A host name without an address.
#[derive(Debug, thiserror::Error)]
#[error("{name} can't be looked up: {why}")]
pub struct LookUpError {
    name: String,
    why: NetError,
}

/// Has reqwest look up names by [`look_up_host`].
#[derive(Debug)]
pub struct HostNames;

impl Resolve for HostNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = look_up_host(name.as_str()).await?;
            let addresses: Addrs = Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_file_of_hosts_and_addresses_need_no_name_server() {
        let found = look_up_host("localhost").await.unwrap();
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
        assert_eq!(look_up_host("10.0.0.1").await.unwrap(), [IpAddr::from([10, 0, 0, 1])]);
        let error = look_up_host("no-such-host.invalid").await.unwrap_err().to_string();
        assert!(error.contains("no-such-host.invalid"), "{error}");
    }
}
