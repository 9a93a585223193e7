//! systemd-resolved, over D-Bus: which names it asks the name server of vipd for.
//!
//! The calls are those of `resolvectl dns`, `domain`, `default-route`, `llmnr`, `mdns`, `dnssec` and
//! `revert` (org.freedesktop.resolve1(5)). Every call needs a tokio runtime with time and I/O.

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::try_join5;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::AddressFamily;
use serde::Serialize;
use tokio::time::timeout;
use zbus::as_variant::Deserialize as As;
use zbus::connection::Builder;
use zbus::fdo::Error as BusError;
use zbus::message::{Body, Message, Type as MessageType};
use zbus::{Connection, DynamicType, MatchRule, MessageStream, ObjectPath};

use crate::error_chain;

/// The name that systemd-resolved has on the bus.
const SERVICE: &str = "org.freedesktop.resolve1";

/// The object of systemd-resolved itself. Those of links are below it.
const MANAGER_PATH: &str = "/org/freedesktop/resolve1";

/// The interface of that object.
const MANAGER: &str = "org.freedesktop.resolve1.Manager";

/// The interface of the object of a link.
const LINK: &str = "org.freedesktop.resolve1.Link";

/// The error of systemd-resolved for a link that is gone.
const NO_SUCH_LINK: &str = "org.freedesktop.resolve1.NoSuchLink";

/// The beginning of errors of systemd, which the bus asks to start systemd-resolved: there is no such
/// unit, or it is masked.
const OF_SYSTEMD: &str = "org.freedesktop.systemd1.";

/// The longest time for an answer, and for a connection.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The port of name servers.
const PORT: u16 = 53;

/// The name servers of a link, and the zones for which they are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkDns {
    /// The addresses of the name servers, which must be addresses of the link itself.
    pub servers: Vec<SocketAddr>,
    /// The zones, without a final dot.
    pub zones: Vec<String>,
}

/// Why systemd-resolved did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ResolvedError {
    /// There is no system bus, as in a container.
    #[error(
        "there is no D-Bus at /run/dbus/system_bus_socket; a container needs that socket of the host \
         mounted there"
    )]
    NoBus(#[source] zbus::Error),
    /// systemd-resolved doesn't run.
    #[error("systemd-resolved doesn't run: systemctl enable --now systemd-resolved")]
    NotRunning(#[source] zbus::Error),
    /// polkit lets this user not do it.
    #[error(
        "systemd-resolved refuses it to this user: polkit must be installed, and its rule \
         /usr/share/polkit-1/rules.d/vipd.rules, which comes with vipd's package"
    )]
    Refused(#[source] zbus::Error),
    /// The interface doesn't exist.
    #[error("there is no such interface")]
    NoSuchLink,
    /// The bus accepts connections or messages and doesn't answer, or systemd-resolved doesn't.
    #[error("D-Bus or systemd-resolved doesn't answer")]
    Silent,
    /// Another error, as systemd-resolved or the bus says it.
    #[error("systemd-resolved can't be asked: {}", error_chain(.0))]
    Other(#[source] zbus::Error),
}

/// A connection to systemd-resolved.
pub struct Resolved {
    connection: Connection,
    /// The signals that the service has another owner: it started or ended.
    owners: MessageStream,
}

impl fmt::Debug for Resolved {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Resolved").finish_non_exhaustive()
    }
}

impl From<zbus::Error> for ResolvedError {
    fn from(error: zbus::Error) -> Self {
        match &error {
            zbus::Error::MethodError(name, ..) if name.as_str() == NO_SUCH_LINK => Self::NoSuchLink,
            zbus::Error::MethodError(name, ..) if name.starts_with(OF_SYSTEMD) => {
                Self::NotRunning(error)
            }
            zbus::Error::FDO(bus) => match &**bus {
                BusError::ServiceUnknown(_)
                | BusError::NameHasNoOwner(_)
                | BusError::SpawnServiceNotFound(_)
                | BusError::SpawnServiceNotValid(_)
                | BusError::SpawnPermissionsInvalid(_)
                | BusError::SpawnFailed(_)
                | BusError::SpawnExecFailed(_)
                | BusError::SpawnChildExited(_) => Self::NotRunning(error),
                BusError::AccessDenied(_) | BusError::InteractiveAuthorizationRequired(_) => {
                    Self::Refused(error)
                }
                _ => Self::Other(error),
            },
            _ => Self::Other(error),
        }
    }
}

impl Resolved {
    /// Connects to the system bus. systemd-resolved need not run yet.
    ///
    /// # Errors
    /// [`ResolvedError::NoBus`] if there is no bus, others if it doesn't answer.
    pub async fn connect() -> Result<Self, ResolvedError> {
        in_time(Self::connect_to(Builder::system())).await
    }

    async fn connect_to(bus: Builder<'_>) -> Result<Self, ResolvedError> {
        let connection = bus.build().await.map_err(ResolvedError::NoBus)?;
        let rule = MatchRule::builder()
            .msg_type(MessageType::Signal)
            .sender("org.freedesktop.DBus")
            .interface("org.freedesktop.DBus")
            .member("NameOwnerChanged")
            .arg(0, SERVICE)
            .build()?;
        let owners = MessageStream::for_match_rule(rule, &connection, None).await?;
        Ok(Self { connection, owners })
    }

    /// Has systemd-resolved ask the servers of a link for names in the zones, and for no others.
    ///
    /// # Errors
    /// When the link is gone, systemd-resolved doesn't run, or refuses it.
    pub async fn set_link(&self, index: u32, dns: &LinkDns) -> Result<(), ResolvedError> {
        let index = link_number(index)?;
        let servers: Vec<_> = dns.servers.iter().map(to_wire).collect();
        let zones: Vec<_> = dns.zones.iter().map(|zone| (zone.as_str(), true)).collect();
        // The servers last: with servers and without zones, the link would be asked for all names.
        try_join5(
            self.call("SetLinkDefaultRoute", &(index, false)),
            self.call("SetLinkDomains", &(index, zones)),
            self.call("SetLinkLLMNR", &(index, "no")),
            self.call("SetLinkMulticastDNS", &(index, "no")),
            self.call("SetLinkDNSSEC", &(index, "no")),
        )
        .await?;
        self.call("SetLinkDNSEx", &(index, servers)).await
    }

    /// Undoes [`Resolved::set_link`].
    ///
    /// # Errors
    /// When systemd-resolved doesn't run, or refuses it. A link that is gone has no settings.
    pub async fn revert_link(&self, index: u32) -> Result<(), ResolvedError> {
        match self.call("RevertLink", &(link_number(index)?,)).await {
            Err(ResolvedError::NoSuchLink) => Ok(()),
            done => done,
        }
    }

    /// Reads the servers of a link and the zones for which alone they are asked.
    ///
    /// # Errors
    /// When the link is gone, or systemd-resolved doesn't run.
    pub async fn read_link(&self, index: u32) -> Result<LinkDns, ResolvedError> {
        let body = &(link_number(index)?,);
        let link = self.ask(MANAGER_PATH, MANAGER, "GetLink", body).await?.body();
        let link: ObjectPath<'_> = link.deserialize()?;
        let servers = self.read_property(&link, "DNSEx").await?;
        let servers: As<'_, Vec<WireServer>> = servers.deserialize()?;
        let zones = self.read_property(&link, "Domains").await?;
        let zones: As<'_, Vec<(String, bool)>> = zones.deserialize()?;
        let only = zones.0.into_iter().filter(|(_, routes_only)| *routes_only);
        Ok(LinkDns {
            servers: servers.0.iter().filter_map(from_wire).collect(),
            zones: only.map(|(zone, _)| zone).collect(),
        })
    }

    /// Waits until systemd-resolved has started anew. `None` when the bus has ended.
    pub async fn wait_for_restart(&mut self) -> Option<()> {
        loop {
            let signal = self.owners.next().await?.ok()?;
            let body = signal.body();
            let (_, _, owner): (&str, &str, &str) = body.deserialize().ok()?;
            if !owner.is_empty() {
                return Some(());
            }
        }
    }

    /// Calls a method of systemd-resolved that answers nothing.
    async fn call<B>(&self, method: &str, body: &B) -> Result<(), ResolvedError>
    where
        B: Serialize + DynamicType + Sync,
    {
        self.ask(MANAGER_PATH, MANAGER, method, body).await.map(drop)
    }

    async fn read_property(
        &self,
        link: &ObjectPath<'_>,
        property: &str,
    ) -> Result<Body, ResolvedError> {
        let get = "org.freedesktop.DBus.Properties";
        Ok(self.ask(link.as_str(), get, "Get", &(LINK, property)).await?.body())
    }

    async fn ask<B>(
        &self,
        path: &str,
        interface: &str,
        method: &str,
        body: &B,
    ) -> Result<Message, ResolvedError>
    where
        B: Serialize + DynamicType + Sync,
    {
        let connection = &self.connection;
        let answer = connection.call_method(Some(SERVICE), path, Some(interface), method, body);
        in_time(async { Ok(answer.await?) }).await
    }
}

/// Waits no longer than [`ANSWER_WITHIN`]. zbus limits neither connecting nor sending.
async fn in_time<T>(
    answer: impl Future<Output = Result<T, ResolvedError>>,
) -> Result<T, ResolvedError> {
    timeout(ANSWER_WITHIN, answer).await.unwrap_or(Err(ResolvedError::Silent))
}

/// The index of an interface of this network namespace; `None` if it doesn't exist.
#[must_use]
pub fn find_link(interface: &str) -> Option<u32> {
    if_nametoindex(interface).ok()
}

/// A name server on the wire: its family, address, port (0: the usual one) and its name in TLS.
type WireServer = (i32, Vec<u8>, u16, String);

fn to_wire(server: &SocketAddr) -> WireServer {
    let (family, address) = match server.ip() {
        IpAddr::V4(v4) => (AddressFamily::Inet, v4.octets().to_vec()),
        IpAddr::V6(v6) => (AddressFamily::Inet6, v6.octets().to_vec()),
    };
    let port = if server.port() == PORT { 0 } else { server.port() };
    (family as i32, address, port, String::new())
}

fn from_wire((_, address, port, _): &WireServer) -> Option<SocketAddr> {
    let address: IpAddr = match address.len() {
        4 => <[u8; 4]>::try_from(address.as_slice()).map(Ipv4Addr::from).ok()?.into(),
        _ => <[u8; 16]>::try_from(address.as_slice()).map(Ipv6Addr::from).ok()?.into(),
    };
    let port = if *port == 0 { PORT } else { *port };
    Some(SocketAddr::new(address, port))
}

/// Indexes are `int` on this interface, as everywhere in the kernel's.
fn link_number(index: u32) -> Result<i32, ResolvedError> {
    i32::try_from(index).map_err(|_| ResolvedError::NoSuchLink)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_the_same_on_the_way_back() {
        for server in ["198.51.100.1:53", "198.51.100.1:5353", "[fd01:d::c633:6401]:53"] {
            let server: SocketAddr = server.parse().unwrap();
            assert_eq!(from_wire(&to_wire(&server)), Some(server));
        }
        assert_eq!(to_wire(&([198, 51, 100, 1], 53).into()).2, 0);
        assert_eq!(from_wire(&(2, vec![1, 2, 3], 53, String::new())), None);
    }

    #[test]
    fn each_error_says_what_to_do() {
        let told = |error: BusError| ResolvedError::from(zbus::Error::from(error)).to_string();
        for absence in [
            BusError::ServiceUnknown("no".into()),
            BusError::SpawnPermissionsInvalid("the helper that starts it".into()),
        ] {
            let absent = told(absence);
            assert!(absent.contains("systemctl enable --now systemd-resolved"), "{absent}");
        }
        for refusal in [
            BusError::AccessDenied("no".into()),
            BusError::InteractiveAuthorizationRequired("no".into()),
        ] {
            let refused = told(refusal);
            assert!(refused.contains("/usr/share/polkit-1/rules.d/vipd.rules"), "{refused}");
        }
        let call = Message::method_call("/", "GetLink").build(&()).unwrap();
        for name in ["NoSuchUnit", "UnitMasked"] {
            let name = format!("{OF_SYSTEMD}{name}");
            let error = Message::error(&call.header(), name).build(&"no unit").unwrap();
            let absent = ResolvedError::from(zbus::Error::from(error));
            assert!(matches!(absent, ResolvedError::NotRunning(_)), "{absent}");
        }
        let other = told(BusError::LimitsExceeded("too many".into()));
        assert!(other.contains("too many"), "{other}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_bus_that_hangs_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bus");
        let _silent = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let bus = Builder::address(format!("unix:path={}", path.display()).as_str());
        let connected = timeout(ANSWER_WITHIN * 2, in_time(Resolved::connect_to(bus))).await;
        assert!(matches!(connected, Ok(Err(ResolvedError::Silent))), "{connected:?}");
    }
}
