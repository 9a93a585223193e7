//! The stream between a relay and the agents behind it.
//!
//! A relay reads Marathon as an agent does, and passes on what it believes. Its stream is a list of
//! server-sent events, each with one [`Record`] as JSON:
//!
//! | record | meaning |
//! |---|---|
//! | `hello` | the first one: the schema, and the relay's [`Epoch`] |
//! | `workload` | an app or pod, as the relay believes it to be; in `specs`, each earlier definition that its instances run by, once: they name it by its version, as `Unknown` |
//! | `complete` | the end of the snapshot: an app or pod that it lacks doesn't exist |
//! | `removed` | an app or pod is gone |
//! | `event` | an event of Marathon's, passed on as it came: bad news, and announcements of changes |
//! | `whole-begins`, `whole-ends` | the changes between them come from one read of everything |
//! | `heartbeat` | the relay's word on Marathon, every 2 s |
//! | `accepted` | somebody accepted a loss at the relay |
//!
//! The first records after `hello` are a snapshot, ended by `complete`; or, if the receiver has told
//! its [`Position`] and the relay remembers what came since, those alone. Records that a receiver
//! doesn't know are skipped, and so are fields: both sides may be of different releases.
//!
//! [`Feed`] is the sender's half: it numbers records, encodes each of them once for all receivers,
//! and answers what a new receiver has to get. [`Mirror`] is the receiver's half: it applies records
//! and says what has changed. Neither does I/O, and neither believes or doubts anything: that is up
//! to the agent, which judges what comes from a relay as what comes from Marathon.

mod announced;
mod error;
mod feed;
mod mirror;
mod published;
mod record;
mod segment;
mod specs;
mod status;
mod workloads;

pub use error::StreamError;
pub use feed::{Feed, Start};
pub use mirror::{Change, Mirror, Parsed};
pub use published::{Published, Scope};
pub use record::{Epoch, Hello, Position, Record, SCHEMA};
pub use segment::{GZIP_HEADER, Segment};
pub use status::{MarathonStatus, UNHEARD_MS, UNREAD_MS};
