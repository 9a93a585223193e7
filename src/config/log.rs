//! `[log]`: what the agent and the name server log.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The `[log]` section of the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LogSection {
    /// Level of the log of `vipd run` and `vipd dns`: `error`, `warn`, `info`, `debug` or `trace`. The
    /// flag `--log` takes precedence. A reload of the agent changes it.
    #[cfg_attr(test, schemars(with = "String", extend("enum" = ["error", "warn", "info", "debug", "trace"])))]
    pub level: LogLevel,
}

/// A level of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Errors only.
    Error,
    /// Warnings as well.
    Warn,
    /// Each change as well.
    #[default]
    Info,
    /// Details as well.
    Debug,
    /// Everything.
    Trace,
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        })
    }
}
