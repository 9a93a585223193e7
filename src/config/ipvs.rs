//! `[ipvs]`: settings of the whole IPVS table.

use anyhow::{Result, ensure};
use serde::Deserialize;
use vip::Timeouts;

use super::key_error::KeyError;

/// A month, in seconds. The kernel counts in ticks of up to 1000 a second, in 32 bits.
const MAX_TIMEOUT: u32 = 31 * 24 * 3600;

/// The `[ipvs]` section of the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct IpvsSection {
    /// Seconds after which an idle TCP connection is forgotten.
    #[cfg_attr(test, schemars(range(min = 0, max = MAX_TIMEOUT)))]
    pub tcp_timeout: Option<u32>,
    /// Seconds after a FIN until a TCP connection is forgotten.
    #[cfg_attr(test, schemars(range(min = 0, max = MAX_TIMEOUT)))]
    pub tcp_fin_timeout: Option<u32>,
    /// Seconds after which an idle UDP flow is forgotten.
    #[cfg_attr(test, schemars(range(min = 0, max = MAX_TIMEOUT)))]
    pub udp_timeout: Option<u32>,
}

impl IpvsSection {
    /// Checks the values.
    ///
    /// # Errors
    /// When a timeout is longer than the kernel accepts.
    pub fn resolve(self) -> Result<Timeouts> {
        let check = |name: &'static str, seconds: Option<u32>| {
            let seconds = seconds.unwrap_or(0);
            ensure!(
                seconds <= MAX_TIMEOUT,
                KeyError::new(
                    "ipvs",
                    name,
                    format!(
                        "[ipvs] {name} is {seconds} seconds: use at most {MAX_TIMEOUT}, which is a \
                         month"
                    )
                )
            );
            Ok(seconds)
        };
        Ok(Timeouts {
            tcp: check("tcp-timeout", self.tcp_timeout)?,
            tcp_fin: check("tcp-fin-timeout", self.tcp_fin_timeout)?,
            udp: check("udp-timeout", self.udp_timeout)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_that_the_kernel_would_not_take_is_refused_by_name() {
        let section = IpvsSection { udp_timeout: Some(MAX_TIMEOUT + 1), ..IpvsSection::default() };
        assert!(section.resolve().unwrap_err().to_string().starts_with("[ipvs] udp-timeout"));
        let section = IpvsSection { tcp_timeout: Some(7200), ..IpvsSection::default() };
        assert_eq!(section.resolve().unwrap(), Timeouts { tcp: 7200, tcp_fin: 0, udp: 0 });
    }
}
