//! Records, and their form on the wire.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use marathon::events::Event;
use marathon::{Kind, Spec, Workload, WorkloadKey};
use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::specs::{put_back_specs, take_out_specs};
use crate::status::MarathonStatus;

/// The version of the records. It grows when an older receiver could misunderstand one; records and
/// fields that an older receiver may skip leave it as it is. A new variant within a record, such as a
/// state of tasks, a health or a kind of event, can't be skipped: there is no variant that is safe to
/// take it for, so it ends the stream of an older receiver, and needs a new version.
pub const SCHEMA: u32 = 1;

/// One run of one relay. The numbers of its records mean nothing in another epoch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Epoch(Arc<str>);

impl Epoch {
    /// Longest epoch, in bytes.
    const MAX: usize = 128;

    /// Makes the epoch of a relay that was started then; `start` differs from run to run.
    #[must_use]
    pub fn new(relay: &str, start: u64) -> Self {
        let relay: String = relay.chars().filter(|c| is_plain(*c)).take(Self::MAX / 2).collect();
        Self(format!("{relay}-{start:x}").into())
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.".contains(c)
}

/// An epoch comes back to its relay in a header, so no other text may be one.
impl TryFrom<String> for Epoch {
    type Error = PositionError;

    fn try_from(text: String) -> Result<Self, PositionError> {
        let is_epoch = !text.is_empty() && text.len() <= Self::MAX && text.chars().all(is_plain);
        is_epoch.then(|| Self(text.into())).ok_or(PositionError)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in the stream of a relay: the last record that a receiver has. Formats as `EPOCH:NUMBER`,
/// which is the `id` of each server-sent event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The epoch of the number.
    pub epoch: Epoch,
    /// The number of the record.
    pub number: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.number)
    }
}

/// The error of a text that is no [`Position`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a position in a relay's stream is EPOCH:NUMBER, with a short and plain epoch")]
pub struct PositionError;

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let (epoch, number) = text.rsplit_once(':').ok_or(PositionError)?;
        let number = number.parse().map_err(|_| PositionError)?;
        Ok(Self { epoch: epoch.to_owned().try_into()?, number })
    }
}

/// One record of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The first record.
    Hello(Hello),
    /// An app or pod.
    Workload(Arc<Workload>),
    /// An app or pod is gone.
    Removed(WorkloadKey),
    /// An event of Marathon's.
    Event(Event),
    /// The snapshot ends, with the relay's word on Marathon.
    Complete(MarathonStatus),
    /// The relay's word on Marathon.
    Heartbeat(MarathonStatus),
    /// The changes up to [`Record::WholeEnds`] come from one read of everything: they are to be judged
    /// together.
    WholeBegins,
    /// The changes of one read of everything end.
    WholeEnds,
    /// Somebody accepted a loss at the relay.
    Accepted,
}

/// The content of `hello`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`SCHEMA`] of the relay.
    pub schema: u32,
    /// The relay's epoch.
    pub epoch: Epoch,
    /// The records that follow are those after the receiver's position, and not a snapshot.
    #[serde(default)]
    pub resumed: bool,
}

/// The content of `removed`.
#[derive(Serialize, Deserialize)]
struct Removed<'a> {
    kind: Kind,
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
}

/// The `data` of a server-sent event.
#[derive(Serialize)]
struct Data<B> {
    number: u64,
    /// The earlier definitions that the instances of a workload run by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    specs: Vec<Arc<Spec>>,
    body: B,
}

/// The same, as it is received.
#[derive(Deserialize)]
struct Received<B> {
    number: u64,
    body: B,
}

/// The same of a workload.
#[derive(Deserialize)]
struct ReceivedWorkload {
    number: u64,
    #[serde(default)]
    specs: Option<Vec<Arc<Spec>>>,
    body: Workload,
}

/// Reads the `data` of a server-sent event in one pass: a snapshot is long.
fn read<'a, B: Deserialize<'a>>(
    data: &'a str,
    convert: impl FnOnce(B) -> Record,
) -> serde_json::Result<(u64, Record)> {
    let Received { number, body } = serde_json::from_str(data)?;
    Ok((number, convert(body)))
}

impl Record {
    /// Returns the name of the record, which is the `event` of the server-sent event.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Workload(_) => "workload",
            Self::Removed(_) => "removed",
            Self::Event(_) => "event",
            Self::Complete(_) => "complete",
            Self::Heartbeat(_) => "heartbeat",
            Self::WholeBegins => "whole-begins",
            Self::WholeEnds => "whole-ends",
            Self::Accepted => "accepted",
        }
    }

    /// Writes the record as a server-sent event.
    pub(crate) fn to_sse(&self, epoch: &Epoch, number: u64) -> String {
        let data = match self {
            Self::Hello(body) => to_json(number, body),
            Self::Workload(workload) => match take_out_specs(workload) {
                Some((body, specs)) => with_specs(number, specs, body),
                None => to_json(number, workload),
            },
            Self::Removed(WorkloadKey { kind, id }) => {
                to_json(number, Removed { kind: *kind, id: (&**id).into() })
            }
            Self::Event(body) => to_json(number, body),
            Self::Heartbeat(body) | Self::Complete(body) => to_json(number, body),
            Self::WholeBegins | Self::WholeEnds | Self::Accepted => to_json(number, ()),
        };
        format!("event: {}\nid: {epoch}:{number}\ndata: {data}\n\n", self.name())
    }

    /// Parses the `event` and the `data` of a server-sent event. None: a record of a later release.
    ///
    /// # Errors
    /// When the data is not that of such a record.
    pub(crate) fn parse(name: &str, data: &str) -> serde_json::Result<Option<(u64, Self)>> {
        let read_nothing = |record| read::<IgnoredAny>(data, |_| record);
        let read = match name {
            "hello" => read(data, Self::Hello)?,
            "workload" => {
                let ReceivedWorkload { number, specs, mut body } = serde_json::from_str(data)?;
                if let Some(specs) = specs {
                    put_back_specs(&mut body, specs);
                }
                (number, Self::Workload(body.into()))
            }
            "removed" => read(data, |Removed { kind, id }| {
                Self::Removed(WorkloadKey { kind, id: (&*id).into() })
            })?,
            "event" => {
                let Received::<Event> { number, body } = serde_json::from_str(data)?;
                if body.exceeds_caps() {
                    return Err(serde_json::Error::custom("no event of Marathon's is that large"));
                }
                (number, Self::Event(body))
            }
            "complete" => read(data, |status: MarathonStatus| Self::Complete(status.cut()))?,
            "heartbeat" => read(data, |status: MarathonStatus| Self::Heartbeat(status.cut()))?,
            "whole-begins" => read_nothing(Self::WholeBegins)?,
            "whole-ends" => read_nothing(Self::WholeEnds)?,
            "accepted" => read_nothing(Self::Accepted)?,
            _ => {
                let Received::<IgnoredAny> { .. } = serde_json::from_str(data)?;
                return Ok(None);
            }
        };
        Ok(Some(read))
    }
}

/// Writes the data of a record. Maps of these types have texts as keys, so nothing can fail; an empty
/// object would be refused by the receiver.
fn to_json(number: u64, body: impl Serialize) -> String {
    with_specs(number, Vec::new(), body)
}

fn with_specs(number: u64, specs: Vec<Arc<Spec>>, body: impl Serialize) -> String {
    serde_json::to_string(&Data { number, specs, body }).unwrap_or_else(|_| "{}".to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use marathon::{Document, InstanceSpec, Records};

    use super::*;

    /// A big app in the midst of an upgrade.
    #[test]
    fn an_earlier_definition_is_written_once_and_shared_by_who_reads_it() {
        let mut app = app_with_tasks(100);
        let older: Arc<Spec> = Spec {
            version: Some("2026-01-01T00:00:00Z".parse().unwrap()),
            labels: [("VIP_0".to_owned(), "x".repeat(2000))].into_iter().collect(),
            ..Spec::clone(&app.spec)
        }
        .into();
        for instance in &mut app.instances[..80] {
            instance.spec = InstanceSpec::Older(Arc::clone(&older));
        }
        let app = Arc::new(app);
        let text = Record::Workload(Arc::clone(&app)).to_sse(&Epoch::new("a", 1), 7);
        assert!(text.len() < 60_000, "{} bytes", text.len());
        let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
        let Some((7, Record::Workload(read))) = Record::parse("workload", data).unwrap() else {
            panic!("{data}");
        };
        assert_eq!(read, app);
        let specs: BTreeSet<_> = read.instances[..80]
            .iter()
            .map(|instance| match &instance.spec {
                InstanceSpec::Older(spec) => Arc::as_ptr(spec),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(specs.len(), 1, "they share it");
    }

    fn app_with_tasks(count: usize) -> Workload {
        let tasks: Vec<_> = (0..count)
            .map(|task| format!(r#"{{"id":"web.{task}","state":"TASK_RUNNING","ports":[31000]}}"#))
            .collect();
        let json = format!(
            r#"{{"id":"/web","portDefinitions":[{{"port":0}}],"tasks":[{}]}}"#,
            tasks.join(",")
        );
        let snapshot = Document::parse(json.as_bytes()).unwrap().to_snapshot(&Records::default());
        Workload::clone(&snapshot.workloads[0])
    }

    #[test]
    fn a_position_is_what_it_formats_as() {
        let position = Position { epoch: Epoch::new("relay:1 b", 0x1f), number: 12 };
        assert_eq!(position.to_string(), "relay1b-1f:12");
        assert_eq!(position.to_string().parse(), Ok(position));
        for bad in ["", "12", ":12", "e:", "e:x", "e:-1", "e:99999999999999999999", "a b:1"] {
            assert_eq!(bad.parse::<Position>(), Err(PositionError), "{bad}");
        }
    }

    /// No request with it could be made: the agent would reach no relay any more.
    #[test]
    fn an_epoch_that_no_header_can_have_is_refused() {
        let hello = |epoch: &str| {
            let body = serde_json::json!({ "schema": 1, "epoch": epoch });
            Record::parse("hello", &serde_json::json!({ "number": 0, "body": body }).to_string())
        };
        assert!(hello(&Epoch::new("relay-1.example", u64::MAX).to_string()).is_ok());
        let long = "e".repeat(Epoch::MAX + 1);
        for bad in ["", "a\nb", "a\u{0}", "a b", "a:b", "ä", &long] {
            assert!(hello(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn records_and_fields_of_a_later_release_are_skipped() {
        assert_eq!(Record::parse("poem", r#"{"number": 1, "body": [1]}"#).unwrap(), None);
        let more = r#"{"number": 3, "body": {"silent_ms": 5, "mood": {}}, "more": 1}"#;
        let status = MarathonStatus { silent_ms: Some(5), ..MarathonStatus::default() };
        let parsed = Record::parse("heartbeat", more).unwrap();
        assert_eq!(parsed, Some((3, Record::Heartbeat(status))));
        for bad in ["", "{}", "[]", r#"{"number": -1, "body": {}}"#, r#"{"number": 1}"#] {
            assert!(Record::parse("heartbeat", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_event_is_no_larger_than_one_of_marathons_can_be() {
        let event = |id: &str, count: usize| {
            let touched = serde_json::json!({ "kind": "App", "id": id });
            let change = serde_json::json!({ "touched": vec![touched; count] });
            let body = serde_json::json!({ "at": null, "change": change });
            Record::parse("event", &serde_json::json!({ "number": 1, "body": body }).to_string())
        };
        let longest = "x".repeat(caps::TEXT);
        assert!(event(&format!("/{longest}"), 100).is_ok());
        assert!(event(&format!("/{longest}{longest}"), 1).is_err());
        assert!(event("/a", caps::WORKLOADS + 1).is_err());
    }
}
