//! The numbers of commands.

use std::fmt;

/// A command of the IPVS family (`IPVS_CMD_*`), by its number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct IpvsCmd(pub u8);

impl IpvsCmd {
    /// Add a service; also the command of each entry of a dump of services.
    pub const NEW_SERVICE: Self = Self(1);
    /// Change a service.
    pub const SET_SERVICE: Self = Self(2);
    /// Delete a service and its real servers.
    pub const DEL_SERVICE: Self = Self(3);
    /// Read one service, or dump all.
    pub const GET_SERVICE: Self = Self(4);
    /// Add a real server; also the command of each entry of a dump of real servers.
    pub const NEW_DEST: Self = Self(5);
    /// Change a real server.
    pub const SET_DEST: Self = Self(6);
    /// Delete a real server.
    pub const DEL_DEST: Self = Self(7);
    /// Dump the real servers of one service.
    pub const GET_DEST: Self = Self(8);
    /// Start a synchronisation daemon; also the command of each entry of a dump of them.
    pub const NEW_DAEMON: Self = Self(9);
    /// Stop a synchronisation daemon.
    pub const DEL_DAEMON: Self = Self(10);
    /// Dump the synchronisation daemons.
    pub const GET_DAEMON: Self = Self(11);
    /// Set timeouts; also the answer to [`GET_CONFIG`](Self::GET_CONFIG).
    pub const SET_CONFIG: Self = Self(12);
    /// Read timeouts.
    pub const GET_CONFIG: Self = Self(13);
    /// The answer to [`GET_INFO`](Self::GET_INFO), never a request.
    pub const SET_INFO: Self = Self(14);
    /// Read the version and the size of the connection table.
    pub const GET_INFO: Self = Self(15);
    /// Zero the counters of one service, or of all.
    pub const ZERO: Self = Self(16);
    /// Delete every service of the network namespace.
    pub const FLUSH: Self = Self(17);

    /// The names of the known commands in the order of the kernel's enum, which starts at 1.
    const NAMES: [&str; 17] = [
        "NEW_SERVICE",
        "SET_SERVICE",
        "DEL_SERVICE",
        "GET_SERVICE",
        "NEW_DEST",
        "SET_DEST",
        "DEL_DEST",
        "GET_DEST",
        "NEW_DAEMON",
        "DEL_DAEMON",
        "GET_DAEMON",
        "SET_CONFIG",
        "GET_CONFIG",
        "SET_INFO",
        "GET_INFO",
        "ZERO",
        "FLUSH",
    ];
}

impl fmt::Debug for IpvsCmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = usize::from(self.0).checked_sub(1).and_then(|index| Self::NAMES.get(index));
        match name {
            Some(name) => write!(f, "IpvsCmd::{name}"),
            None => write!(f, "IpvsCmd({})", self.0),
        }
    }
}
