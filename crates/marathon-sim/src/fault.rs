//! Fault injection: the faults, where they occur, and how often.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A fault of Marathon, or of a proxy before it. In JSON it is `{"fault": "late", "ms": 500}`, with
/// these names in kebab case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum Fault {
    /// An event is never sent.
    Lost,
    /// An event is sent this much later; others may overtake it.
    Late {
        /// The delay in milliseconds.
        ms: u64,
    },
    /// An event is sent twice.
    Doubled,
    /// An event is sent after the next one.
    Reordered,
    /// A stream is answered with 200 and ends at once, as by a Marathon that is not ready to lead.
    Closed,
    /// A stream goes silent, without events, heartbeats or an end. It stays silent when the fault
    /// is cleared; new streams work.
    HalfOpen,
    /// Reads show the cluster as it was this long ago, but not from before the fault began.
    Lag {
        /// The lag in milliseconds.
        ms: u64,
    },
    /// An answer takes this much longer.
    Stall {
        /// The delay in milliseconds.
        ms: u64,
    },
    /// An answer is 200 with an empty body.
    Empty,
    /// The list of apps is `{"apps":[]}`.
    NoApps,
    /// Reads show nothing and another framework id, as by a Marathon with an empty ZooKeeper. Tasks
    /// run on.
    Wiped,
    /// A read of apps fails with 500, as if asking for health took too long.
    HealthAsk,
    /// The body of an answer, as sent (with gzip if requested), ends in the middle, without
    /// `Content-Length`.
    Truncated,
    /// An answer is a 502 of a proxy, in HTML.
    BadGateway,
    /// An answer is a 503, in HTML.
    Unavailable,
}

/// A fault with its limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The fault.
    #[serde(flatten)]
    pub fault: Fault,
    /// For faults of events: the type of events. For faults of answers: the start of the path;
    /// without it everything but `/v2/events`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<String>,
    /// Number of times that it occurs; without it until it is cleared. Ignored for faults that last
    /// (half-open, lag).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

impl Fault {
    /// Makes a rule for this fault, everywhere and until it is cleared.
    pub fn always(self) -> Rule {
        Rule { fault: self, only: None, times: None }
    }

    /// Makes a rule for this fault that applies `times` times.
    pub fn times(self, times: u32) -> Rule {
        Rule { times: Some(times), ..self.always() }
    }

    fn is_of_events(self) -> bool {
        matches!(self, Self::Lost | Self::Late { .. } | Self::Doubled | Self::Reordered)
    }

    fn is_of_answers(self) -> bool {
        let lasts = matches!(self, Self::Closed | Self::HalfOpen | Self::Lag { .. });
        !lasts && !self.is_of_events()
    }
}

impl Rule {
    /// Limits the rule to one type of events, or to paths with this start.
    #[must_use]
    pub fn limited_to(self, subject: &str) -> Self {
        Self { only: Some(subject.to_owned()), ..self }
    }
}

/// The enabled faults, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<Rule>>);

/// Limit of rules.
const MOST_RULES: usize = 1000;

impl Faults {
    fn lock_rules(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enables a fault. False: there are too many.
    pub(crate) fn add_rule(&self, rule: Rule) -> bool {
        let mut rules = self.lock_rules();
        let fits = rules.len() < MOST_RULES;
        if fits {
            rules.push(rule);
        }
        fits
    }

    pub(crate) fn clear_rules(&self) {
        self.lock_rules().clear();
    }

    pub(crate) fn list_rules(&self) -> Vec<Rule> {
        self.lock_rules().clone()
    }

    /// Takes the fault of an event of this type.
    pub(crate) fn of_event(&self, kind: &str) -> Option<Fault> {
        self.take_matching(|rule| {
            rule.fault.is_of_events() && rule.only.as_deref().is_none_or(|only| only == kind)
        })
    }

    /// Takes the fault of an answer.
    pub(crate) fn of_answer(&self, method: &str, path: &str) -> Option<Fault> {
        self.take_matching(|rule| {
            let reaches = match rule.fault {
                Fault::NoApps => method == "GET" && path == "/v2/apps",
                Fault::Wiped => method == "GET" && path.starts_with("/v2/"),
                Fault::HealthAsk => method == "GET" && path.starts_with("/v2/apps"),
                _ => true,
            };
            let chosen = match &rule.only {
                Some(only) => path.starts_with(only.as_str()),
                None => path != "/v2/events",
            };
            rule.fault.is_of_answers() && reaches && chosen
        })
    }

    /// Tells whether a new stream is to be closed at once.
    pub(crate) fn closes_stream(&self) -> bool {
        self.take_matching(|rule| rule.fault == Fault::Closed).is_some()
    }

    pub(crate) fn half_open(&self) -> bool {
        self.lock_rules().iter().any(|rule| rule.fault == Fault::HalfOpen)
    }

    pub(crate) fn read_lag(&self) -> Option<Duration> {
        self.lock_rules().iter().find_map(|rule| match rule.fault {
            Fault::Lag { ms } => Some(Duration::from_millis(ms)),
            _ => None,
        })
    }

    /// Returns the first matching fault and counts it.
    fn take_matching(&self, fits: impl Fn(&Rule) -> bool) -> Option<Fault> {
        let mut rules = self.lock_rules();
        let at = rules.iter().position(|rule| rule.times != Some(0) && fits(rule))?;
        let rule = &mut rules[at];
        let fault = rule.fault;
        if let Some(times) = &mut rule.times {
            *times -= 1;
            if *times == 0 {
                rules.remove(at);
            }
        }
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_happens_as_often_as_it_was_told_to_and_only_where() {
        let faults = Faults::default();
        faults.add_rule(Fault::Lost.times(2).limited_to("status_update_event"));
        assert_eq!(faults.of_event("deployment_info"), None);
        assert_eq!(faults.of_event("status_update_event"), Some(Fault::Lost));
        assert_eq!(faults.of_answer("GET", "status_update_event"), None);
        assert_eq!(faults.of_event("status_update_event"), Some(Fault::Lost));
        assert_eq!(faults.of_event("status_update_event"), None);
        assert_eq!(faults.list_rules(), []);
    }

    #[test]
    fn the_stream_is_hit_by_an_answers_fault_only_if_it_is_named() {
        let faults = Faults::default();
        faults.add_rule(Fault::BadGateway.always());
        assert_eq!(faults.of_answer("GET", "/v2/events"), None);
        assert_eq!(faults.of_answer("GET", "/ping"), Some(Fault::BadGateway));
        faults.add_rule(Fault::Unavailable.always().limited_to("/v2/events"));
        assert_eq!(faults.of_answer("GET", "/v2/events"), Some(Fault::Unavailable));
        faults.clear_rules();
        faults.add_rule(Fault::NoApps.always());
        assert_eq!(faults.of_answer("GET", "/v2/apps/db"), None);
        assert_eq!(faults.of_answer("POST", "/v2/apps"), None);
        assert_eq!(faults.of_answer("GET", "/v2/apps"), Some(Fault::NoApps));
    }

    #[test]
    fn a_rule_is_written_as_one_flat_object() {
        let text = r#"{"fault":"late","ms":500,"only":"status_update_event","times":2}"#;
        let rule: Rule = serde_json::from_str(text).unwrap();
        assert_eq!(rule, Fault::Late { ms: 500 }.times(2).limited_to("status_update_event"));
        let back = serde_json::to_value(&rule).unwrap();
        assert_eq!(back, serde_json::from_str::<serde_json::Value>(text).unwrap());
        assert!(serde_json::from_str::<Rule>(r#"{"fault":"gremlins"}"#).is_err());
    }
}
