//! The content of a Marathon's state file.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use marathon::Workload;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// The workloads of a Marathon and the addresses of their hosts, as the state file holds them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KeptWorkloads {
    /// The apps and pods.
    pub(crate) workloads: Vec<Arc<Workload>>,
    /// The addresses of each host whose name was resolved.
    pub(crate) hosts: BTreeMap<String, KeptAddresses>,
    /// The framework id of this Marathon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) framework: Option<Arc<str>>,
    /// The begin of the doubt about its answers, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) doubted_since: Option<Timestamp>,
    /// The framework's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) framework_name: Option<Arc<str>>,
}

/// The addresses of a host. In JSON they stand in an object `{"Ok": ...}`, since a look-up's
/// result was written there once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeptAddresses {
    Ok(Arc<[IpAddr]>),
}

impl From<Arc<[IpAddr]>> for KeptAddresses {
    fn from(addresses: Arc<[IpAddr]>) -> Self {
        Self::Ok(addresses)
    }
}

impl From<KeptAddresses> for Arc<[IpAddr]> {
    fn from(KeptAddresses::Ok(addresses): KeptAddresses) -> Self {
        addresses
    }
}
