//! The table of a kernel in memory, and what its commands do. The order of checks is the kernel's.

use std::net::IpAddr;

use crate::convert::{self, NO_SCHEDULER};
use crate::wire::{IpvsAttribute, IpvsCmd, IpvsMessage, ServiceAttribute as A};
use crate::{
    Daemon, Destination, Info, Service, ServiceFlags, ServiceKey, Stats, Timeouts, Version, errno,
};

/// The schedulers of Linux 6.12.
const SCHEDULERS: [&str; 14] =
    ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos"];

/// The persistence engines of Linux 6.12.
const ENGINES: [&str; 1] = ["sip"];

/// The longest timeout in seconds that every kernel takes, whatever its ticks: those of a kernel with a
/// thousand a second.
const MAX_TIMEOUT: u32 = i32::MAX.unsigned_abs() / 1000;

const VERSION: Version = Version(0x01_02_01);
const CONNECTION_TABLE_SIZE: u32 = 4096;

/// A service with its real servers.
pub(super) struct Held {
    pub(super) service: Service,
    /// Newest first, as the kernel lists them.
    pub(super) destinations: Vec<Destination>,
    /// The connections and counters of deleted ones, which those that are added again go on with
    /// (`ip_vs_trash_get_dest`). The kernel forgets them after two minutes.
    pub(super) deleted: Vec<Destination>,
}

pub(super) struct Table {
    pub(super) schedulers: Vec<&'static str>,
    /// By bucket, and newest first in each.
    services: Vec<Held>,
    /// The deleted real servers of deleted services. Their connections stay, and their counters don't.
    orphans: Vec<(ServiceKey, Destination)>,
    timeouts: Timeouts,
    pub(super) daemons: Vec<Daemon>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            schedulers: SCHEDULERS.to_vec(),
            services: Vec::new(),
            orphans: Vec::new(),
            timeouts: Timeouts { tcp: 900, tcp_fin: 120, udp: 300 },
            daemons: Vec::new(),
        }
    }
}

/// The entries of the answer, or the errno of the refusal.
type Answer = Result<Vec<IpvsMessage>, i32>;

impl Table {
    /// Removes everything but the schedulers, whose modules are others.
    pub(super) fn reload(&mut self) {
        let schedulers = std::mem::take(&mut self.schedulers);
        *self = Self { schedulers, ..Self::default() };
    }

    pub(super) fn find_service(&mut self, key: &ServiceKey) -> Option<&mut Held> {
        self.services.iter_mut().find(|held| held.service.key == *key)
    }

    pub(super) fn carry_out(&mut self, message: &IpvsMessage, dump: bool) -> Answer {
        match (message.command, dump) {
            (IpvsCmd::GET_SERVICE, true) => Ok(self.services().map(IpvsMessage::from).collect()),
            (IpvsCmd::GET_SERVICE, false) => {
                let held = self.required_service(message)?;
                Ok(vec![IpvsMessage::from(&held.service)])
            }
            (IpvsCmd::GET_DEST, true) => Ok(self.list_destinations(message)),
            (IpvsCmd::GET_DAEMON, true) => Ok(self.daemons.iter().map(IpvsMessage::from).collect()),
            (IpvsCmd::GET_INFO, false) => {
                let info = Info { version: VERSION, connection_table_size: CONNECTION_TABLE_SIZE };
                Ok(vec![info.into()])
            }
            (IpvsCmd::GET_CONFIG, false) => Ok(vec![self.timeouts.into()]),
            (_, true) => Err(errno::EOPNOTSUPP),
            (_, false) => self.change(message).map(|()| Vec::new()),
        }
    }

    fn change(&mut self, message: &IpvsMessage) -> Result<(), i32> {
        match message.command {
            IpvsCmd::NEW_SERVICE => self.add_service(message),
            IpvsCmd::SET_SERVICE => self.set_service(message),
            IpvsCmd::DEL_SERVICE => {
                let key = self.required_service(message)?.service.key;
                self.delete_services(|held| held.service.key == key);
                Ok(())
            }
            IpvsCmd::NEW_DEST | IpvsCmd::SET_DEST | IpvsCmd::DEL_DEST => {
                let synchronised = !self.daemons.is_empty();
                self.required_service(message)?.change_destination(message, synchronised)
            }
            IpvsCmd::NEW_DAEMON => self.start_daemon(message),
            IpvsCmd::DEL_DAEMON => self.stop_daemon(message),
            IpvsCmd::SET_CONFIG => self.set_timeouts(message),
            IpvsCmd::ZERO => self.zero(message),
            IpvsCmd::FLUSH => {
                self.delete_services(|_| true);
                Ok(())
            }
            _ => Err(errno::EOPNOTSUPP),
        }
    }

    pub(super) fn has_mixed_families(&self) -> bool {
        self.services.iter().any(Held::has_mixed_families)
    }

    fn delete_services(&mut self, is_deleted: impl Fn(&Held) -> bool) {
        let (deleted, kept): (Vec<_>, _) =
            std::mem::take(&mut self.services).into_iter().partition(is_deleted);
        self.services = kept;
        for held in deleted {
            let servers = held.destinations.into_iter().chain(held.deleted);
            let without_counters = |it: Destination| Destination { stats: Stats::default(), ..it };
            self.orphans.extend(servers.map(|it| (held.service.key, without_counters(it))));
        }
    }

    fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.iter().map(|held| &held.service)
    }

    fn required_service(&mut self, message: &IpvsMessage) -> Result<&mut Held, i32> {
        let key = parse_key(service_attributes(message)?)?;
        self.find_service(&key).ok_or(errno::ESRCH)
    }

    /// Lists nothing for a service that is missing, as the kernel does.
    fn list_destinations(&mut self, message: &IpvsMessage) -> Vec<IpvsMessage> {
        let held = self.required_service(message);
        held.map_or_else(
            |_| Vec::new(),
            |held| held.destinations.iter().map(IpvsMessage::from).collect(),
        )
    }

    fn add_service(&mut self, message: &IpvsMessage) -> Result<(), i32> {
        let (key, flags) = self.begin_service(message)?;
        if self.find_service(&key).is_some() {
            return Err(errno::EEXIST);
        }
        let mut service = self.parse_service(message)?;
        service.settings.flags = flags.written_over(ServiceFlags::NONE);
        let before = |held: &Held| bucket(&held.service.key) < bucket(&key);
        let position = self.services.partition_point(before);
        let (own, others): (Vec<_>, _) =
            std::mem::take(&mut self.orphans).into_iter().partition(|(of, _)| *of == key);
        self.orphans = others;
        let deleted = own.into_iter().map(|(_, destination)| destination).collect();
        self.services.insert(position, Held { service, destinations: Vec::new(), deleted });
        Ok(())
    }

    fn set_service(&mut self, message: &IpvsMessage) -> Result<(), i32> {
        let (key, flags) = self.begin_service(message)?;
        if self.find_service(&key).is_none() {
            return Err(errno::ESRCH);
        }
        let settings = self.parse_service(message)?.settings;
        let held = self.find_service(&key).ok_or(errno::ESRCH)?;
        let before = held.service.settings.flags;
        held.service.settings = settings;
        held.service.settings.flags = flags.written_over(before);
        Ok(())
    }

    /// Parses the key and the flags, and checks that all settings are there.
    fn begin_service(&self, message: &IpvsMessage) -> Result<(ServiceKey, Flags), i32> {
        let attributes = service_attributes(message)?;
        let key = parse_key(attributes)?;
        let has = |wanted: fn(&A) -> bool| attributes.iter().any(wanted);
        let whole = has(|a| matches!(a, A::Scheduler(_)))
            && has(|a| matches!(a, A::Timeout(_)))
            && has(|a| matches!(a, A::Netmask(_)));
        let flags = attributes.iter().find_map(|attribute| match attribute {
            A::Flags { flags, mask } => Some(Flags { flags: *flags, mask: *mask }),
            _ => None,
        });
        flags.filter(|_| whole).map(|flags| (key, flags)).ok_or(errno::EINVAL)
    }

    /// Parses the settings: the scheduler and the engine are looked up before the rest is checked.
    fn parse_service(&self, message: &IpvsMessage) -> Result<Service, i32> {
        let attributes = service_attributes(message)?;
        let known = |attribute: &A| match attribute {
            A::Scheduler(name) => name == NO_SCHEDULER || self.schedulers.contains(&name.as_str()),
            A::PersistenceEngine(name) => ENGINES.contains(&name.as_str()),
            _ => true,
        };
        if !attributes.iter().all(known) {
            return Err(errno::ENOENT);
        }
        let service = Service::try_from(message).map_err(|_| errno::EINVAL)?;
        Ok(Service { stats: Stats::default(), ..service })
    }

    fn zero(&mut self, message: &IpvsMessage) -> Result<(), i32> {
        let one = match service_attributes(message) {
            Ok(attributes) => Some(parse_key(attributes)?),
            Err(_) => None,
        };
        let mut zeroed = self
            .services
            .iter_mut()
            .filter(|held| one.is_none_or(|key| held.service.key == key))
            .map(Held::zero);
        match one {
            Some(_) => zeroed.next().ok_or(errno::ESRCH),
            None => {
                zeroed.for_each(drop);
                Ok(())
            }
        }
    }

    /// Changes the timeouts that aren't 0, or none if one is too long.
    fn set_timeouts(&mut self, message: &IpvsMessage) -> Result<(), i32> {
        let wanted = Timeouts::try_from(message).map_err(|_| errno::EINVAL)?;
        if [wanted.tcp, wanted.tcp_fin, wanted.udp].iter().any(|timeout| *timeout > MAX_TIMEOUT) {
            return Err(errno::EINVAL);
        }
        let held = &mut self.timeouts;
        let pairs = [
            (wanted.tcp, &mut held.tcp),
            (wanted.tcp_fin, &mut held.tcp_fin),
            (wanted.udp, &mut held.udp),
        ];
        for (wanted, held) in pairs {
            if wanted != 0 {
                *held = wanted;
            }
        }
        Ok(())
    }
}

impl Held {
    fn zero(&mut self) {
        self.service.stats = Stats::default();
        for destination in &mut self.destinations {
            destination.stats = Stats::default();
        }
    }
}

/// Returns where the kernel keeps a service: in which of its two tables, and in which of 256 buckets
/// (`ip_vs_svc_hashkey`). The kernel mixes in an address of its memory too, so its order is another after
/// each start.
fn bucket(key: &ServiceKey) -> (bool, u8) {
    match key {
        ServiceKey::Fwmark { mark, .. } => (true, mark.get().to_be_bytes()[3]),
        ServiceKey::Address { protocol, address, port } => {
            let of_address = match address {
                IpAddr::V4(v4) => v4.octets()[3],
                IpAddr::V6(v6) => {
                    v6.octets().iter().skip(3).step_by(4).fold(0, |all, one| all ^ one)
                }
            };
            let [high, low] = port.to_be_bytes();
            (false, protocol.0.to_be_bytes()[1] ^ of_address ^ high ^ low)
        }
    }
}

/// Flags, and the mask of those to write.
struct Flags {
    flags: u32,
    mask: u32,
}

impl Flags {
    fn written_over(&self, before: ServiceFlags) -> ServiceFlags {
        ServiceFlags::from_bits((before.bits() & !self.mask) | (self.flags & self.mask))
    }
}

fn service_attributes(message: &IpvsMessage) -> Result<&[A], i32> {
    let found = message.attributes.iter().find_map(|attribute| match attribute {
        IpvsAttribute::Service(attributes) => Some(attributes.as_slice()),
        _ => None,
    });
    found.ok_or(errno::EINVAL)
}

fn parse_key(attributes: &[A]) -> Result<ServiceKey, i32> {
    convert::parse_key(attributes).map_err(|error| match error {
        crate::EntryError::Unknown { attribute: "IPVS_SVC_ATTR_AF", .. } => errno::EAFNOSUPPORT,
        _ => errno::EINVAL,
    })
}
