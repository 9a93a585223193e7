//! The request messages of commands.

use super::{destination, service};
use crate::wire::{IpvsAttribute, IpvsCmd, IpvsMessage};
use crate::{Command, DestinationSettings, ServiceFlags, ServiceKey, ServiceSettings};

/// Makes the request that carries the command out.
impl From<&Command> for IpvsMessage {
    fn from(command: &Command) -> Self {
        match command {
            Command::AddService { key, settings } => {
                let every_flag = ServiceFlags(u32::MAX);
                settings_request(IpvsCmd::NewService, key, settings, every_flag)
            }
            Command::SetService { key, settings, flags_mask } => {
                settings_request(IpvsCmd::SetService, key, settings, *flags_mask)
            }
            Command::DeleteService { key } => service_request(IpvsCmd::DelService, key),
            Command::AddDestination { service, address, settings } => {
                destination_request(IpvsCmd::NewDest, service, *address, Some(settings))
            }
            Command::SetDestination { service, address, settings } => {
                destination_request(IpvsCmd::SetDest, service, *address, Some(settings))
            }
            Command::DeleteDestination { service, address } => {
                destination_request(IpvsCmd::DelDest, service, *address, None)
            }
            Command::Zero(Some(key)) => service_request(IpvsCmd::Zero, key),
            Command::Zero(None) => Self::bare(IpvsCmd::Zero),
            Command::Flush => Self::bare(IpvsCmd::Flush),
            Command::SetTimeouts(timeouts) => (*timeouts).into(),
            Command::StartDaemon(daemon) => daemon.into(),
            Command::StopDaemon(role) => Self {
                command: IpvsCmd::DelDaemon,
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
    mask: ServiceFlags,
) -> IpvsMessage {
    // With the flag HASHED, the kernel takes a new service to be in its table already, and never
    // inserts it.
    let flags = settings.flags.settable();
    let mut attributes = service::key_attributes(key);
    attributes.extend(service::settings_attributes(key.family(), settings, flags, mask));
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
