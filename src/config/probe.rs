//! `[probe]`: how this node finds out that hosts of real servers are silent.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use vip::liveness::INTERVAL;

use super::key_error::KeyError;
#[cfg(test)]
use super::reference::DURATION;

/// The `[probe]` section of the file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProbeSection {
    /// What is done about hosts that fall silent, as after a power failure. `act`: send their real
    /// servers no new connections. `observe`: only tell. `off`: probe nothing.
    #[cfg_attr(test, schemars(with = "String", extend("enum" = ["act", "observe", "off"])))]
    pub mode: ProbeMode,
    /// Time between two echoes to a host that this node sends connections to, 100ms to 10s. A host is
    /// suspected after three to four times as long.
    #[cfg_attr(test, schemars(regex(pattern = DURATION)))]
    pub interval: String,
}

/// The action against silent hosts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbeMode {
    /// Their real servers get no new connections.
    #[default]
    Act,
    /// They are shown.
    Observe,
    /// Nothing is probed.
    Off,
}

/// How hosts are probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeSettings {
    /// The action against silent hosts.
    pub mode: ProbeMode,
    /// The time between two echoes.
    pub interval: Duration,
}

impl Default for ProbeSection {
    fn default() -> Self {
        let interval = humantime::format_duration(INTERVAL).to_string();
        Self { mode: ProbeMode::default(), interval }
    }
}

impl Default for ProbeSettings {
    fn default() -> Self {
        Self { mode: ProbeMode::default(), interval: INTERVAL }
    }
}

impl ProbeSection {
    /// Checks the values.
    ///
    /// # Errors
    /// When `interval` is no time, or out of range.
    pub fn resolve(self) -> Result<ProbeSettings> {
        let Self { mode, interval } = self;
        let range = Duration::from_millis(100)..=Duration::from_secs(10);
        let parsed = humantime::parse_duration(&interval).ok();
        let interval = parsed.filter(|time| range.contains(time)).with_context(|| {
            let limits = "use a time of 100ms to 10s, such as \"250ms\"";
            KeyError::new(
                "probe",
                "interval",
                format!("[probe] interval is {interval:?}: {limits}"),
            )
        })?;
        Ok(ProbeSettings { mode, interval })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_a_time_with_its_unit() {
        let resolve = |interval: &str| {
            ProbeSection { interval: interval.to_owned(), ..Default::default() }.resolve()
        };
        assert_eq!(ProbeSection::default().resolve().unwrap(), ProbeSettings::default());
        for (text, milliseconds) in [("100ms", 100), ("1s", 1000), ("10s", 10_000)] {
            let interval = Duration::from_millis(milliseconds);
            assert_eq!(resolve(text).unwrap().interval, interval, "{text}");
        }
        for text in ["", "250", "99ms", "11s", "soon"] {
            let error = resolve(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("[probe] interval is {text:?}")), "{error}");
        }
    }
}
