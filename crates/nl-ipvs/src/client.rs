//! The blocking client of the IPVS table.

use std::borrow::Borrow;

use netlink_packet_core::{DecodeError, NetlinkMessage};
use netlink_packet_generic::{GenlFamily, GenlMessage};
use netlink_sys::protocols::NETLINK_GENERIC;

use crate::pipeline::{Entries, Outcomes};
use crate::wire::{IpvsCmd, IpvsMessage};
use crate::{
    Command, Daemon, DaemonRole, Destination, Dump, EntryError, Error, Info, KernelError, Pipeline,
    Request, Service, ServiceKey, Timeouts, errno, family,
};

type Framed = GenlMessage<IpvsMessage>;
type Question = NetlinkMessage<Framed>;

/// The answer to one request: the messages, or the kernel's refusal.
type Answer = Result<Vec<Result<IpvsMessage, EntryError>>, KernelError>;

/// A client of the IPVS table, in the network namespace of the thread that opened it.
///
/// Every call blocks until the kernel has carried it out. All calls, reads too, need
/// `CAP_NET_ADMIN` in the initial user namespace.
#[derive(Debug)]
pub struct Ipvs {
    pipeline: Pipeline,
    family: u16,
}

impl Ipvs {
    /// Opens a socket and looks up the netlink family. The lookup makes the kernel load `ip_vs` if
    /// it can.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the kernel has no IPVS.
    pub fn open() -> Result<Self, Error> {
        let mut pipeline = Pipeline::open(NETLINK_GENERIC)?;
        let family = family::resolve_family(&mut pipeline, IpvsMessage::family_name())?;
        Ok(Self { pipeline, family })
    }

    /// Reads the version and the size of the connection table.
    ///
    /// # Errors
    /// When the kernel refuses or its answer can't be parsed. All reading calls fail for these
    /// reasons.
    pub fn info(&mut self) -> Result<Info, Error> {
        let answer = self.get_message(&IpvsMessage::bare(IpvsCmd::GetInfo))?;
        let message = first_message(answer, "read the version of IPVS")?;
        Ok(Info::try_from(&message)?)
    }

    /// Reads the timeouts of connections.
    ///
    /// # Errors
    /// As with [`info`](Self::info).
    pub fn timeouts(&mut self) -> Result<Timeouts, Error> {
        let answer = self.get_message(&IpvsMessage::bare(IpvsCmd::GetConfig))?;
        let message = first_message(answer, "read the timeouts of IPVS")?;
        Ok(Timeouts::try_from(&message)?)
    }

    /// Lists every service, whoever made it.
    ///
    /// # Errors
    /// As with [`info`](Self::info), but an entry that can't be parsed is part of the result.
    pub fn services(&mut self) -> Result<Dump<Service>, Error> {
        let answer = self.dump_entries(&IpvsMessage::get_service(None), Service::from_entry)?;
        let services = refusal_as_error(answer, "list the services")?;
        Ok(Dump::collect(services, |service| service.key))
    }

    /// Reads one service, if it exists.
    ///
    /// # Errors
    /// As with [`info`](Self::info).
    pub fn service(&mut self, key: &ServiceKey) -> Result<Option<Service>, Error> {
        let answer = self.get_message(&IpvsMessage::get_service(Some(key)))?;
        if matches!(&answer, Err(refusal) if refusal.errno() == errno::ESRCH) {
            return Ok(None);
        }
        let message = first_message(answer, "read a service")?;
        Ok(Some(Service::try_from(&message)?))
    }

    /// Lists the real servers of one service. The list is empty for a missing service too: the
    /// kernel makes no difference.
    ///
    /// # Errors
    /// As with [`services`](Self::services).
    pub fn destinations(&mut self, key: &ServiceKey) -> Result<Dump<Destination>, Error> {
        let servers = self.destinations_with(key, |destination| destination)?;
        Ok(Dump::collect(servers, |destination| destination.address))
    }

    /// Lists the real servers of one service, each converted by `take` as it comes. If the table
    /// changes meanwhile an address may come twice; the last one counts.
    ///
    /// # Errors
    /// As with [`services`](Self::services).
    pub fn destinations_with<T>(
        &mut self,
        key: &ServiceKey,
        take: impl Fn(Destination) -> T,
    ) -> Result<Vec<Result<T, EntryError>>, Error> {
        let read = |entry: &[u8]| Destination::from_entry(entry, key.family()).map(&take);
        let answer = self.dump_entries(&IpvsMessage::get_destinations(key), read)?;
        refusal_as_error(answer, "list the real servers of a service")
    }

    /// Lists the running synchronisation daemons.
    ///
    /// # Errors
    /// As with [`services`](Self::services).
    pub fn daemons(&mut self) -> Result<Dump<Daemon>, Error> {
        let answer = self.ask_kernel(&IpvsMessage::bare(IpvsCmd::GetDaemon), Pipeline::dump)?;
        let messages = refusal_as_error(answer, "list the synchronisation daemons")?;
        let daemons = messages.into_iter().map(|message| Daemon::try_from(&message?));
        Ok(Dump::collect(daemons, |daemon| daemon.role))
    }

    /// Sets timeouts. A timeout of 0 stays unchanged.
    ///
    /// # Errors
    /// When the kernel refuses. All single changes fail for this reason.
    pub fn set_timeouts(&mut self, timeouts: Timeouts) -> Result<(), Error> {
        self.change_one(Command::SetTimeouts(timeouts), "set the timeouts of IPVS")
    }

    /// Zeroes the counters of one service and its real servers, or all counters.
    ///
    /// # Errors
    /// As with [`set_timeouts`](Self::set_timeouts).
    pub fn zero(&mut self, key: Option<ServiceKey>) -> Result<(), Error> {
        self.change_one(Command::Zero(key), "zero counters")
    }

    /// Deletes every service of the network namespace, whoever made it.
    ///
    /// # Errors
    /// As with [`set_timeouts`](Self::set_timeouts).
    pub fn flush(&mut self) -> Result<(), Error> {
        self.change_one(Command::Flush, "delete all services")
    }

    /// Starts a synchronisation daemon.
    ///
    /// # Errors
    /// As with [`set_timeouts`](Self::set_timeouts).
    pub fn start_daemon(&mut self, daemon: Daemon) -> Result<(), Error> {
        self.change_one(Command::StartDaemon(daemon), "start a synchronisation daemon")
    }

    /// Stops a synchronisation daemon.
    ///
    /// # Errors
    /// As with [`set_timeouts`](Self::set_timeouts).
    pub fn stop_daemon(&mut self, role: DaemonRole) -> Result<(), Error> {
        self.change_one(Command::StopDaemon(role), "stop a synchronisation daemon")
    }

    /// Carries out all commands in order. One that fails doesn't stop those after it.
    ///
    /// # Errors
    /// When the outcome of some commands is unknown: read the table again. A refused command is no
    /// error here but an outcome.
    pub fn batch<C: Borrow<Command>>(
        &mut self,
        commands: impl IntoIterator<Item = C> + Clone,
    ) -> Result<Outcomes, Error> {
        let outcomes = self.send_commands(commands.clone())?;
        // If the family has another number now, nothing was carried out: send everything again.
        let nothing_done = outcomes.iter().all(|o| o.as_ref().is_err_and(maybe_stale));
        if nothing_done && !outcomes.is_empty() && self.family_moved()? {
            return self.send_commands(commands);
        }
        Ok(outcomes)
    }

    fn send_commands<C: Borrow<Command>>(
        &mut self,
        commands: impl IntoIterator<Item = C>,
    ) -> Result<Outcomes, Error> {
        let family = self.family;
        let request = |command| NetlinkMessage::from(Request::new(command, family));
        self.pipeline.batch(commands.into_iter().map(request))
    }

    fn change_one(&mut self, command: Command, doing: &'static str) -> Result<(), Error> {
        let outcomes = self.batch([command])?;
        let outcome = outcomes.into_iter().collect::<Result<(), KernelError>>();
        outcome.map_err(|source| Error::Refused { doing, source })
    }

    fn get_message(&mut self, message: &IpvsMessage) -> Result<Answer, Error> {
        self.ask_kernel(message, Pipeline::get)
    }

    /// Dumps entries and parses each as it comes.
    fn dump_entries<T>(
        &mut self,
        message: &IpvsMessage,
        read: impl Fn(&[u8]) -> T,
    ) -> Result<Result<Vec<T>, KernelError>, Error> {
        let dump = |pipeline: &mut Pipeline, family| {
            pipeline.dump_as(&framed_request(message.clone(), family), |_, entry| read(entry))
        };
        let mut answer = dump(&mut self.pipeline, self.family)?;
        if answer.as_ref().is_err_and(maybe_stale) && self.family_moved()? {
            answer = dump(&mut self.pipeline, self.family)?;
        }
        Ok(answer)
    }

    fn ask_kernel(
        &mut self,
        message: &IpvsMessage,
        ask: impl Fn(&mut Pipeline, &Question) -> Result<Result<Entries<Framed>, KernelError>, Error>,
    ) -> Result<Answer, Error> {
        let mut answer = ask(&mut self.pipeline, &framed_request(message.clone(), self.family))?;
        if answer.as_ref().is_err_and(maybe_stale) && self.family_moved()? {
            answer = ask(&mut self.pipeline, &framed_request(message.clone(), self.family))?;
        }
        Ok(answer.map(|entries| entries.into_iter().map(unframe_entry).collect()))
    }

    /// Looks the family up again. Returns true if its number has changed, since `ip_vs` was
    /// reloaded.
    fn family_moved(&mut self) -> Result<bool, Error> {
        let before = self.family;
        self.family = family::resolve_family(&mut self.pipeline, IpvsMessage::family_name())?;
        Ok(self.family != before)
    }
}

fn framed_request(message: IpvsMessage, family: u16) -> Question {
    let mut message = GenlMessage::from_payload(message);
    message.set_resolved_family_id(family);
    NetlinkMessage::from(message)
}

/// Returns true for the kernel's answers to the number of no family or of another one. Missing
/// entries have the same errnos.
fn maybe_stale(refusal: &KernelError) -> bool {
    matches!(refusal.errno(), errno::ENOENT | errno::EOPNOTSUPP)
}

fn unframe_entry(entry: Result<Framed, DecodeError>) -> Result<IpvsMessage, EntryError> {
    match entry {
        Ok(message) => Ok(message.payload),
        Err(error) => Err(EntryError::Malformed(error.to_string())),
    }
}

fn refusal_as_error<T>(answer: Result<T, KernelError>, doing: &'static str) -> Result<T, Error> {
    answer.map_err(|source| Error::Refused { doing, source })
}

fn first_message(answer: Answer, doing: &'static str) -> Result<IpvsMessage, Error> {
    let message = refusal_as_error(answer, doing)?.into_iter().next();
    Ok(message.unwrap_or(Err(EntryError::Missing("the message itself")))?)
}
