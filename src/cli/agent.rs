//! The agent that a command asks, and missing rights.

use anyhow::Error;
use clap::Args;
use marathon::client::Url;
use node::KernelError;

use super::output;
use super::unquoted::Unquoted;
use crate::admin::client::{AgentClient, NoAgent};
use crate::config::{self, AgentSettings, Config, parse_server_url};

/// The agent to ask.
#[derive(Debug, Args)]
pub(super) struct AgentAddress {
    /// Ask the agent at this URL, such as `http://node7:9614`, which may be on another node
    ///
    /// Nothing else is read then. Without it, the agent of this node is asked on its socket; and by
    /// those who may not use the socket, over HTTP at the address of `[agent] listen`.
    #[arg(long, value_name = "URL", value_parser = Unquoted(parse_server_url))]
    url: Option<Url>,
}

impl AgentAddress {
    /// Returns whether a flag names an agent, which may be on another node.
    pub(super) fn is_named(&self) -> bool {
        self.url.is_some()
    }

    /// Finds the agent that is named, or the one of this node.
    pub(super) fn find(&self, config: &Config) -> Result<AgentClient, NoAgent> {
        match &self.url {
            Some(url) => Ok(AgentClient::at_url(url.as_str())),
            None => find_agent(config),
        }
    }
}

/// Finds the agent of this node, to read. Who may not use its socket asks over HTTP.
pub(super) fn find_agent(config: &Config) -> Result<AgentClient, NoAgent> {
    let agent = reach_agent(&config.agent)?;
    if !agent.is_on_socket() {
        let (socket, place) = (config.agent.socket.display(), agent.place());
        output::print_note(&format!("permission denied on {socket}: asked {place} instead"));
    }
    Ok(agent)
}

/// Finds the agent as [`find_agent`] does, and says nothing.
pub(super) fn reach_agent(agent: &AgentSettings) -> Result<AgentClient, NoAgent> {
    match AgentClient::connect(&agent.socket) {
        Err(NoAgent::Denied { socket, .. }) => {
            AgentClient::connect_tcp(agent.listen).map_err(|error| error.beside_denied(socket))
        }
        found => found,
    }
}

/// Takes no agent for none, and fails where one may run that can't be asked.
pub(super) fn if_any(found: Result<AgentClient, NoAgent>) -> Result<Option<AgentClient>, NoAgent> {
    match found {
        Ok(agent) => Ok(Some(agent)),
        Err(NoAgent::Nobody(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns whether a right is missing.
pub(super) fn is_denied(error: &Error) -> bool {
    let is_kernels = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref().is_some_and(KernelError::is_denied)
    };
    config::is_denied(error) || error.chain().any(is_kernels)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn a_missing_right_is_found_behind_what_was_done() {
        let error = |kind: ErrorKind| Error::new(std::io::Error::from(kind)).context("read a file");
        assert!(is_denied(&error(ErrorKind::PermissionDenied)));
        assert!(!is_denied(&error(ErrorKind::NotFound)));
        let cause = std::io::Error::from(ErrorKind::PermissionDenied);
        assert!(is_denied(&KernelError::File { path: "/proc/x".into(), error: cause }.into()));
    }
}
