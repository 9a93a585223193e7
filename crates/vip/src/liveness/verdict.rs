//! Verdicts about hosts, and about single real servers.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The length of a host's silence. The order is that of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Silence {
    /// It stopped answering a moment ago: no new connections should go there.
    Suspected,
    /// It has not answered for 10 s, while this node heard others throughout: its connections will
    /// not come back.
    Dead,
}

/// The evidence of a verdict. When a host answers again, only the time says something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The time since the last sign of life of the host; when it answers again, how long that was.
    #[serde(rename = "silent_ms", with = "as_ms")]
    pub silent_for: Duration,
    /// The number of echo requests since then that stayed without a reply.
    pub echoes: u32,
    /// The number of TCP connections since then that were neither accepted nor refused.
    pub connects: u32,
    /// The number of other hosts that answer: the proof that this node itself is connected.
    pub others_answering: usize,
}

/// News about one host. Verdicts come in batches, since hosts of a rack die together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostVerdict {
    /// The address of a Mesos agent, or of a real server.
    pub host: IpAddr,
    /// How long it has been silent; `None` when it answers again, or is no longer watched. It holds
    /// until the next verdict about the host.
    pub silence: Option<Silence>,
    /// The reason.
    pub evidence: Evidence,
}

impl HostVerdict {
    /// Returns the verdict about a host whose real servers an earlier agent left out of use, until this one
    /// has heard of it.
    #[must_use]
    pub fn left_behind(host: IpAddr) -> Self {
        let silent_for = Duration::ZERO;
        let evidence = Evidence { silent_for, echoes: 0, connects: 0, others_answering: 0 };
        Self { host, silence: Some(Silence::Suspected), evidence }
    }

    /// Returns the verdict that takes this one back.
    #[must_use]
    pub fn taken_back(&self) -> Self {
        Self { silence: None, ..self.clone() }
    }
}

/// News about one real server that refuses clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerVerdict {
    /// The address and port.
    pub server: SocketAddr,
    /// Whether it refuses clients; false when that is taken back. It holds until the next verdict.
    pub is_refusing: bool,
    /// The number of refusals that count.
    pub refusals: u32,
    /// The time from the first of them to the last.
    #[serde(rename = "within_ms", with = "as_ms")]
    pub within: Duration,
}

impl ServerVerdict {
    /// Returns the verdict that takes one about this real server back.
    #[must_use]
    pub fn taken_back(server: SocketAddr) -> Self {
        Self { server, is_refusing: false, refusals: 0, within: Duration::ZERO }
    }
}

/// Writes what happened, such as `refused clients 5 times within 12 s, while its source is not heard`.
impl fmt::Display for ServerVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server: _, is_refusing, refusals, within } = self;
        if !is_refusing {
            return f.write_str("is tried again");
        }
        let within = within.as_secs();
        write!(
            f,
            "refused clients {refusals} times within {within} s, while its source is not heard"
        )
    }
}

/// Writes the time and, in parentheses, what stayed unanswered and who else answers.
impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { silent_for, echoes, connects, others_answering } = self;
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        write!(f, "silent for {:.2} s (", silent_for.as_secs_f64())?;
        write!(f, "{echoes} echo{}", if *echoes == 1 { "" } else { "es" })?;
        if *connects > 0 {
            write!(f, ", {connects} connect{}", plural((*connects).into()))?;
        }
        let (s, verb) = if *others_answering == 1 { ("", "answers") } else { ("s", "answer") };
        write!(f, "; {others_answering} other host{s} {verb})")
    }
}

/// Writes what happened, such as `host 10.0.0.7 answers again`.
impl fmt::Display for HostVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.silence {
            // Without an answer of another host nothing is said against one.
            Some(_) if self.evidence.others_answering == 0 => {
                write!(
                    f,
                    "host {} was out of use when this agent started, and isn't heard yet",
                    self.host
                )
            }
            Some(_) => write!(f, "host {} {}", self.host, self.evidence),
            None => {
                let silent_for = self.evidence.silent_for.as_secs_f64();
                write!(f, "host {} answers again, after {silent_for:.2} s", self.host)
            }
        }
    }
}

/// A time in JSON, in whole milliseconds.
mod as_ms {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(silence: Option<Silence>, connects: u32, others_answering: usize) -> String {
        let silent_for = Duration::from_millis(780);
        let evidence = Evidence { silent_for, echoes: 3, connects, others_answering };
        HostVerdict { host: [10, 0, 0, 7].into(), silence, evidence }.to_string()
    }

    #[test]
    fn a_verdict_is_told_with_its_evidence() {
        assert_eq!(
            verdict(Some(Silence::Suspected), 1, 41),
            "host 10.0.0.7 silent for 0.78 s (3 echoes, 1 connect; 41 other hosts answer)"
        );
        assert_eq!(
            verdict(Some(Silence::Dead), 0, 1),
            "host 10.0.0.7 silent for 0.78 s (3 echoes; 1 other host answers)"
        );
        assert_eq!(verdict(None, 0, 1), "host 10.0.0.7 answers again, after 0.78 s");
        assert!(Silence::Suspected < Silence::Dead);
    }
}
