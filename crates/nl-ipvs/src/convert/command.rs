//! The request messages of commands.

use super::service::EVERY_FLAG;
use super::{destination, service};
use crate::wire::{IpvsAttribute, IpvsCmd, IpvsMessage};
use crate::{Command, DestinationSettings, ServiceKey, ServiceSettings};

/// Makes the request that carries the command out.
impl From<&Command> for IpvsMessage {
    fn from(command: &Command) -> Self {
        match command {
            Command::AddService { key, settings } => {
                settings_request(IpvsCmd::NEW_SERVICE, key, settings, EVERY_FLAG)
            }
            Command::SetService { key, settings, flags_mask } => {
                settings_request(IpvsCmd::SET_SERVICE, key, settings, flags_mask.bits())
            }
            Command::DeleteService { key } => service_request(IpvsCmd::DEL_SERVICE, key),
            Command::AddDestination { service, address, settings } => {
                destination_request(IpvsCmd::NEW_DEST, service, *address, Some(settings))
            }
            Command::SetDestination { service, address, settings } => {
                destination_request(IpvsCmd::SET_DEST, service, *address, Some(settings))
            }
            Command::DeleteDestination { service, address } => {
                destination_request(IpvsCmd::DEL_DEST, service, *address, None)
            }
            Command::Zero(Some(key)) => service_request(IpvsCmd::ZERO, key),
            Command::Zero(None) => Self::bare(IpvsCmd::ZERO),
            Command::Flush => Self::bare(IpvsCmd::FLUSH),
            Command::SetTimeouts(timeouts) => (*timeouts).into(),
            Command::StartDaemon(daemon) => daemon.into(),
            Command::StopDaemon(role) => Self {
                command: IpvsCmd::DEL_DAEMON,
                attributes: vec![IpvsAttribute::Daemon(vec![super::daemon::state_attribute(
                    *role,
                )])],
            },
        }
    }
}

fn service_request(command: IpvsCmd, key: &ServiceKey) -> IpvsMessage {
    let attributes = vec![IpvsAttribute::Service(service::key_attributes(key))];
    IpvsMessage { command, attributes }
}

fn settings_request(
    command: IpvsCmd,
    key: &ServiceKey,
    settings: &ServiceSettings,
    mask: u32,
) -> IpvsMessage {
    let mut attributes = service::key_attributes(key);
    attributes.extend(service::settings_attributes(key.family(), settings, mask));
    IpvsMessage { command, attributes: vec![IpvsAttribute::Service(attributes)] }
}

fn destination_request(
    command: IpvsCmd,
    service: &ServiceKey,
    address: std::net::SocketAddr,
    settings: Option<&DestinationSettings>,
) -> IpvsMessage {
    let mut attributes = destination::key_attributes(address);
    attributes.extend(settings.into_iter().flat_map(destination::settings_attributes));
    IpvsMessage {
        command,
        attributes: vec![
            IpvsAttribute::Service(service::key_attributes(service)),
            IpvsAttribute::Destination(attributes),
        ],
    }
}
