//! Serialization of types as the text that they print and parse.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    ClientPrefix, DaemonRole, ForwardMethod, InterfaceName, PersistenceEngine, Protocol, Scheduler,
    ServiceFlags, ServiceKey, TunnelKind,
};

macro_rules! as_text {
    ($($type:ty),* $(,)?) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

as_text!(
    ClientPrefix,
    DaemonRole,
    ForwardMethod,
    InterfaceName,
    PersistenceEngine,
    Protocol,
    Scheduler,
    ServiceFlags,
    ServiceKey,
    TunnelKind,
);
