//! `[ipvs]`: settings of the whole table.

use anyhow::{Result, ensure};
use serde::Deserialize;
use vip::Timeouts;

/// A month. The kernel counts in ticks of up to 1000 a second, in 32 bits.
const LONGEST: u32 = 31 * 24 * 3600;

/// `[ipvs]`. What isn't set, or 0, stays as it is in the kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct IpvsFile {
    /// Seconds without a packet after which an established TCP connection is forgotten.
    pub tcp_timeout: u32,
    /// Seconds after a FIN until a TCP connection is forgotten.
    pub tcp_fin_timeout: u32,
    /// Seconds without a packet after which UDP between two ports is forgotten.
    pub udp_timeout: u32,
}

impl IpvsFile {
    /// Checks them.
    ///
    /// # Errors
    /// When one is longer than the kernel takes.
    pub fn resolve(self) -> Result<Timeouts> {
        for (name, seconds) in [
            ("tcp-timeout", self.tcp_timeout),
            ("tcp-fin-timeout", self.tcp_fin_timeout),
            ("udp-timeout", self.udp_timeout),
        ] {
            ensure!(
                seconds <= LONGEST,
                "[ipvs] {name} is {seconds} seconds: the longest that makes sense is a month, \
                 {LONGEST}"
            );
        }
        Ok(Timeouts { tcp: self.tcp_timeout, tcp_fin: self.tcp_fin_timeout, udp: self.udp_timeout })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_that_the_kernel_would_not_take_is_refused_by_name() {
        let file = IpvsFile { udp_timeout: LONGEST + 1, ..IpvsFile::default() };
        assert!(file.resolve().unwrap_err().to_string().starts_with("[ipvs] udp-timeout"));
        let file = IpvsFile { tcp_timeout: 7200, ..IpvsFile::default() };
        assert_eq!(file.resolve().unwrap(), Timeouts { tcp: 7200, tcp_fin: 0, udp: 0 });
    }
}
