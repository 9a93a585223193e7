//! This machine's own kernel.

use std::process::Stdio;

use anyhow::{Context, Result};

use crate::{suite, tools};

/// Returns the reason why the tests can't run here, if any.
pub(super) fn find_lack() -> Result<Option<String>> {
    if !tools::is_root()? {
        return Ok(Some("it needs root".to_owned()));
    }
    // In the same sandbox as the suites.
    for (probe, lack) in [
        (":", "namespaces cannot be made"),
        ("ipvsadm -Ln", "it has no IPVS"),
        ("ip link add vipd-probe type dummy", "it has no dummy interfaces"),
    ] {
        let status = suite::sandbox_command()
            .args(["sh", "-c", probe])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .env("PATH", tools::search_path())
            .status()
            .context("cannot start setpriv")?;
        if !status.success() {
            return Ok(Some(lack.to_owned()));
        }
    }
    Ok(None)
}
