//! Options of a port: the `IPVS_*` labels, their defaults and the settings that follow from them.

use std::time::Duration;

use nl_ipvs::{Scheduler, ServiceFlags, ServiceSettings};

use super::key::is_option_key;
use super::value::parse_address;
use crate::naming::Pins;
use crate::ownership::MARK;

/// The scheduler without `IPVS_SCHEDULER`.
pub const DEFAULT_SCHEDULER: Scheduling = Scheduling::Wlc;

/// The longest time that a real server drains without `IPVS_DRAIN`. docs/labels.md and
/// docs/agent.md state it: `cargo test --test docs` compares them.
pub const DEFAULT_DRAIN: Duration = Duration::from_secs(120);

/// The options of a port, from its `IPVS_*` labels and those of its app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// `IPVS_SCHEDULER`.
    pub scheduler: Scheduling,
    /// `IPVS_FLAGS`: the scheduler hashes the client's port as well as its address.
    pub hash_port: bool,
    /// `IPVS_PERSISTENCE` in seconds.
    pub persistence: Option<u32>,
    /// `IPVS_FAIL_OPEN`: with no healthy server, unhealthy ones keep their weight.
    pub fail_open: bool,
    /// `IPVS_DRAIN`.
    pub drain: Duration,
    /// `IPVS_WEIGHT` of this app's real servers, 0..=65535.
    pub weight: u32,
    /// `IPVS_ADDRESS`: the addresses of named VIPs.
    pub pins: Pins,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            scheduler: DEFAULT_SCHEDULER,
            hash_port: false,
            persistence: None,
            fail_open: true,
            drain: DEFAULT_DRAIN,
            weight: 1,
            pins: Pins::default(),
        }
    }
}

/// An IPVS scheduler that a label may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the kernel's")]
pub enum Scheduling {
    Rr,
    Wrr,
    Lc,
    Wlc,
    Sh,
    Sed,
    Nq,
    Mh,
    Fo,
    Ovf,
    Twos,
}

impl Scheduling {
    /// Every scheduler.
    pub const ALL: [Self; 11] = [
        Self::Rr,
        Self::Wrr,
        Self::Lc,
        Self::Wlc,
        Self::Sh,
        Self::Sed,
        Self::Nq,
        Self::Mh,
        Self::Fo,
        Self::Ovf,
        Self::Twos,
    ];

    /// Returns the kernel's name of the scheduler.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rr => "rr",
            Self::Wrr => "wrr",
            Self::Lc => "lc",
            Self::Wlc => "wlc",
            Self::Sh => "sh",
            Self::Sed => "sed",
            Self::Nq => "nq",
            Self::Mh => "mh",
            Self::Fo => "fo",
            Self::Ovf => "ovf",
            Self::Twos => "twos",
        }
    }

    /// Finds a scheduler by its name.
    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheduler| scheduler.name() == name)
    }

    /// Lists all names: `rr, wrr, ... or twos`.
    fn list_names() -> String {
        let [names @ .., last] = Self::ALL.map(Self::name);
        format!("{} or {last}", names.join(", "))
    }

    /// Tells whether the scheduler hashes the client's address. Such a scheduler keeps a table of
    /// real servers in which one of weight 0 still owns its slots.
    fn hashes_the_client(self) -> bool {
        matches!(self, Self::Sh | Self::Mh)
    }
}

/// The reason why an option was not obeyed. The default, or the app's value, is in force instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// A scheduler that hashes the destination.
    #[error(
        "scheduler {0:?} hashes the destination address, which for a VIP is always the same: \
         every client would get one server; for stickiness use sh or mh"
    )]
    HashesDestination(String),
    /// An unknown scheduler.
    #[error("scheduler {0:?} is unknown: use {names}", names = Scheduling::list_names())]
    Scheduler(String),
    /// An unknown flag.
    #[error("flag {0:?} is unknown: use sh-port or mh-port")]
    Flag(String),
    /// A flag of another scheduler.
    #[error("flag {0} needs scheduler {1}, not {2}")]
    FlagOfAnotherScheduler(&'static str, &'static str, &'static str),
    /// A value that is not a weight.
    #[error("weight {0:?} is not a number from 0 to 65535")]
    Weight(String),
    /// A value that is not a persistence timeout. 31 days is the kernel's own limit.
    #[error("persistence {0:?} is not a number of seconds from 1 to 2678400")]
    Persistence(String),
    /// A value that is not a duration.
    #[error("drain time {0:?} is not a duration of at most 1 day, such as 90s or 5m")]
    Drain(String),
    /// A value that is not an address, or two of different families.
    #[error(
        "{0:?} is not the address of a name: write an IPv4 address, an IPv6 address, or both with a \
         comma, without a port"
    )]
    Address(String),
    /// A value that is not a boolean.
    #[error("{0:?} is neither true nor false")]
    Bool(String),
    /// An unknown option.
    #[error(
        "there is no such option: known are IPVS_SCHEDULER, IPVS_FLAGS, IPVS_WEIGHT, \
         IPVS_PERSISTENCE, IPVS_DRAIN, IPVS_FAIL_OPEN and IPVS_ADDRESS"
    )]
    Unknown,
}

/// The longest persistence. The kernel refuses more (`IP_VS_MAX_TIMEOUT` is slightly larger).
const MAX_PERSISTENCE: u32 = 31 * 24 * 3600;
const MAX_DRAIN: Duration = Duration::from_secs(24 * 3600);

/// Tells whether a label is an option with a valid value.
#[must_use]
pub fn is_valid_option(key: &str, value: &str) -> bool {
    Options::default().apply_label(key, value) == Ok(true)
}

impl Options {
    /// Applies one label. Returns `Ok(false)` if it is no option.
    pub(super) fn apply_label(&mut self, key: &str, value: &str) -> Result<bool, OptionError> {
        let Some(option) = key.strip_prefix("IPVS_") else {
            return if is_option_key(key) { Err(OptionError::Unknown) } else { Ok(false) };
        };
        let text = value.trim();
        match option {
            "SCHEDULER" => self.scheduler = parse_scheduler(text)?,
            "FLAGS" => self.hash_port = parse_flags(text)?,
            "WEIGHT" => {
                let weight = text.parse::<u16>().map_err(|_| OptionError::Weight(text.into()))?;
                self.weight = weight.into();
            }
            "PERSISTENCE" => {
                let seconds = text.parse().ok().filter(|s| (1..=MAX_PERSISTENCE).contains(s));
                self.persistence =
                    Some(seconds.ok_or_else(|| OptionError::Persistence(text.into()))?);
            }
            "DRAIN" => self.drain = parse_drain(text)?,
            "ADDRESS" => self.pins = parse_pins(text)?,
            "FAIL_OPEN" => {
                self.fail_open = text.parse().map_err(|_| OptionError::Bool(text.into()))?;
            }
            _ => return Err(OptionError::Unknown),
        }
        Ok(true)
    }

    /// Drops a flag that the scheduler doesn't have, and reports it.
    pub(super) fn drop_unused_flags(&mut self) -> Result<(), OptionError> {
        if self.hash_port && !self.scheduler.hashes_the_client() {
            self.hash_port = false;
            return Err(OptionError::FlagOfAnotherScheduler(
                "sh-port/mh-port",
                "sh or mh",
                self.scheduler.name(),
            ));
        }
        Ok(())
    }

    /// Returns the settings of the virtual service, including our mark.
    #[must_use]
    pub fn service_settings(&self) -> ServiceSettings {
        let scheduler = Scheduler::new(self.scheduler.name()).ok();
        let mut flags = MARK;
        if self.scheduler.hashes_the_client() {
            // The fallback flag: without it the clients of a weight-0 server are refused.
            flags |= ServiceFlags::SCHED_1;
        }
        if self.hash_port {
            flags |= ServiceFlags::SCHED_2;
        }
        if self.persistence.is_some() {
            flags |= ServiceFlags::PERSISTENT;
        }
        let mut settings = ServiceSettings::without_scheduler().with_flags(flags);
        settings.scheduler = scheduler;
        settings.timeout = self.persistence.unwrap_or(0);
        settings
    }

    /// Derives options from the settings of a virtual service. Settings that no option has are
    /// ignored.
    pub(crate) fn from_settings(settings: &ServiceSettings) -> Self {
        let name = settings.scheduler.as_ref().map_or("", Scheduler::as_str);
        let known = Scheduling::from_name(name);
        let scheduler = known.unwrap_or(DEFAULT_SCHEDULER);
        let persistent = settings.flags.contains(ServiceFlags::PERSISTENT);
        let hash_port =
            scheduler.hashes_the_client() && settings.flags.contains(ServiceFlags::SCHED_2);
        let persistence = persistent.then_some(settings.timeout);
        Self { scheduler, hash_port, persistence, ..Self::default() }
    }

    /// Tells whether both ask for the same virtual service: the weight belongs to the real servers,
    /// and the address to the name.
    #[must_use]
    pub fn same_service(&self, other: &Self) -> bool {
        let service = |of: &Self| Self { weight: 0, pins: Pins::default(), ..of.clone() };
        service(self) == service(other)
    }
}

fn parse_pins(text: &str) -> Result<Pins, OptionError> {
    let mut pins = Pins::default();
    for address in text.split(',').map(str::trim) {
        let address = parse_address(address).filter(|address| pins.add(*address));
        address.ok_or_else(|| OptionError::Address(text.into()))?;
    }
    Ok(pins)
}

fn parse_scheduler(text: &str) -> Result<Scheduling, OptionError> {
    if let Some(scheduler) = Scheduling::from_name(text) {
        return Ok(scheduler);
    }
    match text {
        "dh" | "lblc" | "lblcr" => Err(OptionError::HashesDestination(text.into())),
        _ => Err(OptionError::Scheduler(text.into())),
    }
}

fn parse_flags(text: &str) -> Result<bool, OptionError> {
    let mut hash_port = false;
    for flag in text.split(',').map(str::trim).filter(|flag| !flag.is_empty()) {
        match flag {
            "sh-port" | "mh-port" => hash_port = true,
            // Always set for schedulers that have it.
            "sh-fallback" | "mh-fallback" => {}
            _ => return Err(OptionError::Flag(flag.into())),
        }
    }
    Ok(hash_port)
}

fn parse_drain(text: &str) -> Result<Duration, OptionError> {
    let seconds = text.parse().ok().map(Duration::from_secs);
    seconds
        .or_else(|| humantime::parse_duration(text).ok())
        .filter(|drain| *drain <= MAX_DRAIN)
        .ok_or_else(|| OptionError::Drain(text.into()))
}

#[cfg(test)]
mod tests {
    use nl_ipvs::ClientPrefix;

    use super::*;

    fn obey(key: &str, value: &str) -> Result<Options, OptionError> {
        let mut options = Options::default();
        options.apply_label(key, value).map(|_| options)
    }

    fn pins(v4: &str, v6: Option<&str>) -> Pins {
        Pins { v4: v4.parse().ok(), v6: v6.map(|v6| v6.parse().unwrap()) }
    }

    #[test]
    fn a_services_options_can_be_told_from_its_settings() {
        for scheduler in Scheduling::ALL {
            for persistence in [None, Some(300)] {
                let hash_port = scheduler.hashes_the_client();
                let options = Options { scheduler, hash_port, persistence, ..Options::default() };
                let settings = options.service_settings();
                assert_eq!(Options::from_settings(&settings), options);
            }
        }
    }

    #[test]
    fn every_option_is_read() {
        let default = Options::default();
        for (key, value, expected) in [
            ("IPVS_SCHEDULER", "rr", Options { scheduler: Scheduling::Rr, ..default.clone() }),
            ("IPVS_SCHEDULER", " mh ", Options { scheduler: Scheduling::Mh, ..default.clone() }),
            ("IPVS_FLAGS", "mh-port", Options { hash_port: true, ..default.clone() }),
            ("IPVS_FLAGS", "sh-fallback, sh-port", Options { hash_port: true, ..default.clone() }),
            ("IPVS_WEIGHT", "0", Options { weight: 0, ..default.clone() }),
            ("IPVS_WEIGHT", "65535", Options { weight: 65535, ..default.clone() }),
            ("IPVS_PERSISTENCE", "300", Options { persistence: Some(300), ..default.clone() }),
            ("IPVS_DRAIN", "45", Options { drain: Duration::from_secs(45), ..default.clone() }),
            ("IPVS_DRAIN", "5m", Options { drain: Duration::from_secs(300), ..default.clone() }),
            ("IPVS_DRAIN", "0s", Options { drain: Duration::ZERO, ..default.clone() }),
            ("IPVS_FAIL_OPEN", "false", Options { fail_open: false, ..default.clone() }),
            (
                "IPVS_ADDRESS",
                "11.1.2.3",
                Options { pins: pins("11.1.2.3", None), ..default.clone() },
            ),
            (
                "IPVS_ADDRESS",
                "[fd01:c::5], 11.1.2.3",
                Options { pins: pins("11.1.2.3", Some("fd01:c::5")), ..default.clone() },
            ),
        ] {
            assert_eq!(obey(key, value), Ok(expected), "{key}={value}");
        }
    }

    #[test]
    fn bad_options_are_refused_with_their_reason() {
        for (key, value) in [
            ("IPVS_SCHEDULER", ""),
            ("IPVS_SCHEDULER", "WLC"),
            ("IPVS_SCHEDULER", "dh"),
            ("IPVS_SCHEDULER", "lblcr"),
            ("IPVS_FLAGS", "ops"),
            ("IPVS_WEIGHT", "-1"),
            ("IPVS_WEIGHT", "65536"),
            ("IPVS_WEIGHT", "1.5"),
            ("IPVS_PERSISTENCE", "0"),
            ("IPVS_PERSISTENCE", "2678401"),
            ("IPVS_DRAIN", "soon"),
            ("IPVS_DRAIN", "9999999999999999999999"),
            ("IPVS_FAIL_OPEN", "yes"),
            ("IPVS_ADDRESS", ""),
            ("IPVS_ADDRESS", "11.1.2.3:80"),
            ("IPVS_ADDRESS", "11.1.2.3,11.1.2.4"),
            ("IPVS_ADDRESS", "mysql"),
            ("ipvs_scheduler", "rr"),
            ("Ipvs_Weight", "2"),
            ("IPVS_SHEDULER", "rr"),
        ] {
            assert!(obey(key, value).is_err(), "{key}={value}");
        }
    }

    #[test]
    fn hashing_schedulers_always_fall_back() {
        for name in ["sh", "mh"] {
            let options = obey("IPVS_SCHEDULER", name).unwrap();
            assert!(options.service_settings().flags.contains(ServiceFlags::SCHED_1));
        }
        let wlc = Options::default().service_settings();
        assert_eq!((wlc.flags, wlc.client_prefix), (MARK, ClientPrefix::WHOLE));
    }

    #[test]
    fn a_port_flag_without_a_hashing_scheduler_is_dropped_and_reported() {
        let mut options = Options { hash_port: true, ..Options::default() };
        assert!(options.drop_unused_flags().is_err());
        assert_eq!(options, Options::default());
    }
}
