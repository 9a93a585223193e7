//! The blocking client of the IPVS table.

use std::borrow::Borrow;
use std::net::SocketAddr;

use nl_pipeline::{Entry, Outcomes, Pipeline, Transport};

use crate::direct::CommandRequest;
use crate::wire::{Framed, IPVS_GENL_NAME, IpvsAttribute, IpvsCmd, IpvsMessage, ServiceAttribute};
use crate::{
    BatchError, Command, Daemon, DaemonRole, Destination, DestinationSettings, Dump, EntryError,
    Error, Info, KernelError, Scheduler, Service, ServiceFlags, ServiceKey, ServiceSettings,
    Timeouts, errno,
};

/// The answer to one request: what was read, or the kernel's refusal.
type Answer<T> = Result<Vec<T>, KernelError>;

/// A client of the IPVS table, in the network namespace in which it was opened.
///
/// Every call blocks until the kernel has carried it out. All calls, reads too, need
/// `CAP_NET_ADMIN` in the initial user namespace.
///
/// There is a call for each change, such as [`add_service`](Self::add_service), and
/// [`batch`](Self::batch) for many.
#[derive(Debug)]
pub struct Ipvs {
    pipeline: Pipeline,
    family: u16,
}

/// Opening.
impl Ipvs {
    /// Opens a socket in the network namespace of this thread and looks up the netlink family. The
    /// lookup makes the kernel load `ip_vs` if it can: Linux since 5.16, with `modprobe` and the
    /// module at hand. On an older kernel load it first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the kernel has no IPVS.
    #[cfg(feature = "socket")]
    pub fn open() -> Result<Self, Error> {
        Self::open_with(&crate::SocketOptions::new())
    }

    /// Opens a socket with other options: how long it waits, and in which network namespace it is.
    ///
    /// # Errors
    /// As with [`open`](Self::open).
    #[cfg(feature = "socket")]
    pub fn open_with(options: &crate::SocketOptions) -> Result<Self, Error> {
        Self::with_pipeline(options.open(nl_pipeline::Protocol::GENERIC)?)
    }

    /// Makes a client over another transport than a netlink socket, such as a kernel that a test
    /// plays.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when that kernel has no IPVS.
    pub fn with_transport(transport: impl Transport + 'static) -> Result<Self, Error> {
        Self::with_pipeline(Pipeline::with_transport(transport))
    }

    #[cfg(feature = "fake")]
    pub(crate) fn with_family(transport: impl Transport + 'static, family: u16) -> Self {
        Self { pipeline: Pipeline::with_transport(transport), family }
    }

    fn with_pipeline(mut pipeline: Pipeline) -> Result<Self, Error> {
        let family = find_family(&mut pipeline)?;
        Ok(Self { pipeline, family })
    }
}

/// Reading.
impl Ipvs {
    /// Reads the version and the size of the connection table.
    ///
    /// # Errors
    /// When the kernel refuses or its answer can't be parsed. All reading calls fail for these
    /// reasons.
    pub fn info(&mut self) -> Result<Info, Error> {
        let answer = self.get_message(&IpvsMessage::bare(IpvsCmd::GET_INFO))?;
        let message = first_message(answer, "read the version of IPVS")?;
        Ok(Info::try_from(&message)?)
    }

    /// Reads the timeouts of connections.
    ///
    /// # Errors
    /// As with [`info`](Self::info).
    pub fn timeouts(&mut self) -> Result<Timeouts, Error> {
        let answer = self.get_message(&IpvsMessage::bare(IpvsCmd::GET_CONFIG))?;
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

    /// Lists the real servers of one service, if it exists.
    ///
    /// # Errors
    /// As with [`services`](Self::services).
    pub fn destinations(&mut self, key: &ServiceKey) -> Result<Option<Dump<Destination>>, Error> {
        let servers = self.destinations_with(key, |destination| destination)?;
        Ok(servers.map(|servers| Dump::collect(servers, |destination| destination.address)))
    }

    /// Lists the real servers of one service, if it exists, each converted by `take` as it comes. If
    /// the table changes meanwhile an address may come twice; the last one counts.
    ///
    /// # Errors
    /// As with [`services`](Self::services).
    pub fn destinations_with<T>(
        &mut self,
        key: &ServiceKey,
        take: impl Fn(Destination) -> T,
    ) -> Result<Option<Vec<Result<T, EntryError>>>, Error> {
        let read = |entry: &[u8]| Destination::from_entry(entry, key.family()).map(&take);
        let answer = self.dump_entries(&IpvsMessage::get_destinations(key), read)?;
        let servers = refusal_as_error(answer, "list the real servers of a service")?;
        // The kernel answers nothing for a service that is missing too.
        if servers.is_empty() && self.service(key)?.is_none() {
            return Ok(None);
        }
        Ok(Some(servers))
    }

    /// Lists the running synchronisation daemons.
    ///
    /// # Errors
    /// As with [`services`](Self::services).
    pub fn daemons(&mut self) -> Result<Dump<Daemon>, Error> {
        let read = |entry: &[u8]| Daemon::try_from(&IpvsMessage::parse(entry)?);
        let answer = self.dump_entries(&IpvsMessage::bare(IpvsCmd::GET_DAEMON), read)?;
        let daemons = refusal_as_error(answer, "list the synchronisation daemons")?;
        Ok(Dump::collect(daemons, |daemon| daemon.role))
    }

    /// Asks the kernel whether it has a scheduler, loading its module if it can; `None` if the answer
    /// doesn't tell, as without IPv6.
    ///
    /// # Errors
    /// When no answer came, or the kernel refuses to answer (`EPERM`).
    pub fn has_scheduler(&mut self, scheduler: &Scheduler) -> Result<Option<bool>, Error> {
        let Err(refusal) = self.get_message(&impossible_service(*scheduler))? else {
            return Ok(None);
        };
        match refusal.errno() {
            errno::EINVAL => Ok(Some(true)),
            errno::ENOENT => Ok(Some(false)),
            errno::EPERM => refusal_as_error(Err(refusal), "look up a scheduler"),
            _ => Ok(None),
        }
    }
}

/// Changes, one for each call. They fail when the kernel refuses: the error has its answer.
impl Ipvs {
    /// Adds a service.
    ///
    /// # Errors
    /// When the kernel refuses: with `EEXIST` if the service exists, with `ENOENT` if the kernel lacks
    /// the scheduler.
    pub fn add_service(&mut self, key: ServiceKey, settings: ServiceSettings) -> Result<(), Error> {
        self.apply(&Command::AddService { key, settings })
    }

    /// Changes a service: all settings replace the old ones. To keep some flags, send
    /// [`Command::SetService`] with a mask.
    ///
    /// A change of the scheduler refuses new connections for a moment, so don't send a service that
    /// is right already.
    ///
    /// # Errors
    /// When the kernel refuses: with `ESRCH` if the service doesn't exist.
    pub fn set_service(&mut self, key: ServiceKey, settings: ServiceSettings) -> Result<(), Error> {
        self.apply(&Command::SetService { key, settings, flags_mask: ServiceFlags::ALL })
    }

    /// Deletes a service and its real servers.
    ///
    /// # Errors
    /// When the kernel refuses: with `ESRCH` if the service doesn't exist.
    pub fn delete_service(&mut self, key: ServiceKey) -> Result<(), Error> {
        self.apply(&Command::DeleteService { key })
    }

    /// Adds a real server.
    ///
    /// # Errors
    /// When the kernel refuses: with `ESRCH` without the service, with `EEXIST` if the real server
    /// exists.
    pub fn add_destination(
        &mut self,
        service: ServiceKey,
        address: SocketAddr,
        settings: DestinationSettings,
    ) -> Result<(), Error> {
        self.apply(&Command::AddDestination { service, address, settings })
    }

    /// Changes a real server.
    ///
    /// # Errors
    /// When the kernel refuses: with `ESRCH` without the service, with `ENOENT` without the real
    /// server.
    pub fn set_destination(
        &mut self,
        service: ServiceKey,
        address: SocketAddr,
        settings: DestinationSettings,
    ) -> Result<(), Error> {
        self.apply(&Command::SetDestination { service, address, settings })
    }

    /// Deletes a real server. For two minutes the kernel remembers it: added again, it goes on with its
    /// connections and counters.
    ///
    /// # Errors
    /// As with [`set_destination`](Self::set_destination).
    pub fn delete_destination(
        &mut self,
        service: ServiceKey,
        address: SocketAddr,
    ) -> Result<(), Error> {
        self.apply(&Command::DeleteDestination { service, address })
    }

    /// Sets timeouts. A timeout of 0 stays unchanged.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_timeouts(&mut self, timeouts: Timeouts) -> Result<(), Error> {
        self.apply(&Command::SetTimeouts(timeouts))
    }

    /// Zeroes the counters of one service and its real servers, or all counters.
    ///
    /// # Errors
    /// When the kernel refuses: with `ESRCH` if the service doesn't exist.
    pub fn zero(&mut self, key: Option<ServiceKey>) -> Result<(), Error> {
        self.apply(&Command::Zero(key))
    }

    /// Deletes every service of the network namespace, whoever made it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.apply(&Command::Flush)
    }

    /// Starts a synchronisation daemon.
    ///
    /// # Errors
    /// When the kernel refuses: with `EEXIST` if one of the same role runs.
    pub fn start_daemon(&mut self, daemon: Daemon) -> Result<(), Error> {
        self.apply(&Command::StartDaemon(daemon))
    }

    /// Stops a synchronisation daemon.
    ///
    /// # Errors
    /// When the kernel refuses: with `ESRCH` if none of the role runs.
    pub fn stop_daemon(&mut self, role: DaemonRole) -> Result<(), Error> {
        self.apply(&Command::StopDaemon(role))
    }

    /// Carries out one command.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn apply(&mut self, command: &Command) -> Result<(), Error> {
        let outcomes = self.batch([command])?;
        let outcome = outcomes.into_iter().collect::<Result<(), KernelError>>();
        outcome.map_err(|refusal| command.refusal_error(refusal))
    }

    /// Carries out all commands in order, many with one system call. One that fails doesn't stop
    /// those after it.
    ///
    /// # Errors
    /// When the outcome of some commands is unknown: the error has those that are known, for the
    /// rest read the table again. A refused command is no error here but an outcome:
    /// [`Command::refusal_error`] makes one of it.
    pub fn batch<C: Borrow<Command>>(
        &mut self,
        commands: impl IntoIterator<Item = C> + Clone,
    ) -> Result<Outcomes, BatchError> {
        let outcomes = self.send_commands(commands.clone())?;
        // If the family has another number now, nothing was carried out: send everything again.
        let nothing_done = outcomes.iter().all(|o| o.as_ref().is_err_and(maybe_stale));
        if outcomes.is_empty() || !nothing_done {
            return Ok(outcomes);
        }
        match self.family_moved() {
            Ok(false) => Ok(outcomes),
            Ok(true) => self.send_commands(commands),
            Err(error) => Err(BatchError::new(outcomes.into_iter().map(Some).collect(), error)),
        }
    }
}

impl Ipvs {
    fn send_commands<C: Borrow<Command>>(
        &mut self,
        commands: impl IntoIterator<Item = C>,
    ) -> Result<Outcomes, BatchError> {
        let family = self.family;
        let requests = commands.into_iter().map(|command| CommandRequest { command, family });
        self.pipeline.batch(requests).map_err(|failed| failed.map(Error::Netlink))
    }

    fn get_message(
        &mut self,
        message: &IpvsMessage,
    ) -> Result<Answer<Result<IpvsMessage, EntryError>>, Error> {
        self.ask_kernel(message, |pipeline, request| {
            pipeline.get(request, |entry| IpvsMessage::parse(entry.payload))
        })
    }

    /// Dumps entries and parses each as it comes.
    fn dump_entries<T>(
        &mut self,
        message: &IpvsMessage,
        read: impl Fn(&[u8]) -> T,
    ) -> Result<Answer<T>, Error> {
        self.ask_kernel(message, |pipeline, request| {
            pipeline.dump(request, |entry: Entry<'_>| read(entry.payload))
        })
    }

    /// Sends a message, again if the family has another number now.
    fn ask_kernel<T>(
        &mut self,
        message: &IpvsMessage,
        ask: impl Fn(&mut Pipeline, &Framed<'_>) -> Result<Answer<T>, nl_pipeline::Error>,
    ) -> Result<Answer<T>, Error> {
        let mut answer = ask(&mut self.pipeline, &Framed { message, family: self.family })?;
        if answer.as_ref().is_err_and(maybe_stale) && self.family_moved()? {
            answer = ask(&mut self.pipeline, &Framed { message, family: self.family })?;
        }
        Ok(answer)
    }

    /// Looks the family up again. Returns true if its number has changed, since `ip_vs` was
    /// reloaded.
    fn family_moved(&mut self) -> Result<bool, Error> {
        let before = self.family;
        self.family = find_family(&mut self.pipeline)?;
        Ok(self.family != before)
    }
}

fn find_family(pipeline: &mut Pipeline) -> Result<u16, Error> {
    pipeline.find_family(IPVS_GENL_NAME)?.ok_or(Error::Unavailable)
}

/// Makes a request for a service that the kernel always refuses, but not before it has looked up the
/// scheduler.
///
/// `ip_vs_add_service` looks up the scheduler, loading its module if needed, before it checks the
/// prefix length for persistent clients. 0 is invalid for an IPv6 service. The address is of the
/// discard-only block (RFC 6666), the port that of the discard service (RFC 863).
fn impossible_service(scheduler: Scheduler) -> IpvsMessage {
    let key = ServiceKey::tcp(([0x100, 0, 0, 0, 0, 0, 0, 0x7670], 9).into());
    let settings = ServiceSettings::new(scheduler);
    let mut message = IpvsMessage::from(&Command::AddService { key, settings });
    for attribute in &mut message.attributes {
        if let IpvsAttribute::Service(attributes) = attribute {
            for attribute in attributes {
                if let ServiceAttribute::Netmask(bits) = attribute {
                    *bits = [0; 4];
                }
            }
        }
    }
    message
}

/// Returns true for the kernel's answers to the number of no family or of another one. Missing
/// entries have the same errnos.
fn maybe_stale(refusal: &KernelError) -> bool {
    matches!(refusal.errno(), errno::ENOENT | errno::EOPNOTSUPP)
}

fn refusal_as_error<T>(answer: Result<T, KernelError>, doing: &'static str) -> Result<T, Error> {
    answer.map_err(|source| {
        let hint = (source.errno() == errno::EPERM).then_some(crate::command::NEEDS_RIGHTS);
        Error::Refused { doing, hint, source }
    })
}

fn first_message(
    answer: Answer<Result<IpvsMessage, EntryError>>,
    doing: &'static str,
) -> Result<IpvsMessage, Error> {
    let message = refusal_as_error(answer, doing)?.into_iter().next();
    Ok(message.unwrap_or(Err(EntryError::Missing("the message itself")))?)
}
