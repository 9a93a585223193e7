//! The name servers of the nodes.

use std::process::{Child, Stdio};

use anyhow::{Context, Result};

use super::show::{At, print_prompt, shell_command};
use super::topology::node_dir;

/// A running name server, which ends with the demo.
#[derive(Debug)]
pub(super) struct NameServer(Child);

impl NameServer {
    /// Starts the name server of a node.
    pub(super) fn start(node: &'static str) -> Result<Self> {
        let at = At::Host(node);
        // Real nodes have a /run of their own; these share one.
        let line = format!("vipd dns --zone-file {}/zone", node_dir(node));
        print_prompt(at, &format!("{line} &"));
        let child = shell_command(at, &format!("exec {line}"))
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start `{line}`"))?;
        Ok(Self(child))
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        // Fails if it has ended already, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
