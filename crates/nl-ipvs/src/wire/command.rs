//! The numbers of commands.

/// A command of the IPVS family (`IPVS_CMD_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IpvsCmd {
    /// Add a service; also the command of each entry of a dump of services.
    NewService,
    /// Change a service.
    SetService,
    /// Delete a service and its real servers.
    DelService,
    /// Read one service, or dump all.
    GetService,
    /// Add a real server; also the command of each entry of a dump of real servers.
    NewDest,
    /// Change a real server.
    SetDest,
    /// Delete a real server.
    DelDest,
    /// Dump the real servers of one service.
    GetDest,
    /// Start a synchronisation daemon; also the command of each entry of a dump of them.
    NewDaemon,
    /// Stop a synchronisation daemon.
    DelDaemon,
    /// Dump the synchronisation daemons.
    GetDaemon,
    /// Set timeouts; also the answer to [`GetConfig`](Self::GetConfig).
    SetConfig,
    /// Read timeouts.
    GetConfig,
    /// The answer to [`GetInfo`](Self::GetInfo), never a request.
    SetInfo,
    /// Read the version and the size of the connection table.
    GetInfo,
    /// Zero the counters of one service, or of all.
    Zero,
    /// Delete every service of the network namespace.
    Flush,
    /// One that this crate doesn't know.
    Other(u8),
}

/// The known commands in the order of the kernel's enum, which starts at 1.
const NAMED: [IpvsCmd; 17] = [
    IpvsCmd::NewService,
    IpvsCmd::SetService,
    IpvsCmd::DelService,
    IpvsCmd::GetService,
    IpvsCmd::NewDest,
    IpvsCmd::SetDest,
    IpvsCmd::DelDest,
    IpvsCmd::GetDest,
    IpvsCmd::NewDaemon,
    IpvsCmd::DelDaemon,
    IpvsCmd::GetDaemon,
    IpvsCmd::SetConfig,
    IpvsCmd::GetConfig,
    IpvsCmd::SetInfo,
    IpvsCmd::GetInfo,
    IpvsCmd::Zero,
    IpvsCmd::Flush,
];

impl From<u8> for IpvsCmd {
    fn from(number: u8) -> Self {
        usize::from(number)
            .checked_sub(1)
            .and_then(|index| NAMED.get(index))
            .copied()
            .unwrap_or(Self::Other(number))
    }
}

impl From<IpvsCmd> for u8 {
    fn from(command: IpvsCmd) -> Self {
        match command {
            IpvsCmd::Other(number) => number,
            named => (1..).zip(NAMED).find(|(_, known)| *known == named).map_or(0, |(n, _)| n),
        }
    }
}
