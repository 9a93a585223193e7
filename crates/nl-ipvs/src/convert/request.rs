//! Requests that read.

use super::service;
use crate::ServiceKey;
use crate::wire::{IpvsAttribute, IpvsCmd, IpvsMessage};

impl IpvsMessage {
    /// Asks for one service, or for all of them when sent as a dump without a key.
    #[must_use]
    pub fn get_service(key: Option<&ServiceKey>) -> Self {
        let attributes =
            key.map(|key| IpvsAttribute::Service(service::key_attributes(key))).into_iter();
        Self { command: IpvsCmd::GET_SERVICE, attributes: attributes.collect() }
    }

    /// Asks for the real servers of a service; to be sent as a dump.
    #[must_use]
    pub fn get_destinations(key: &ServiceKey) -> Self {
        Self {
            command: IpvsCmd::GET_DEST,
            attributes: vec![IpvsAttribute::Service(service::key_attributes(key))],
        }
    }

    /// A request without attributes: `GET_INFO`, `GET_CONFIG`, a dump of daemons, `FLUSH`.
    #[must_use]
    pub fn bare(command: IpvsCmd) -> Self {
        Self { command, attributes: Vec::new() }
    }
}
