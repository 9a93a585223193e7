//! Named VIPs: from a label such as `/mysql:3306` to the name `mysql.marathon` and an address.
//!
//! The rules are those of DC/OS (dcos-net), so that a name has the address that it had there: how a
//! label is written as a name (`mangle.rs`), and which address its hash gives (`range.rs`). Which
//! address it has in the end, and for how long, says the address book (`book.rs`).

mod book;
mod claim;
mod facts;
mod families;
mod mangle;
mod name;
mod names;
mod phash2;
mod range;
mod settings;
mod tasks;

pub use book::KEPT;
pub(crate) use book::{AddressBook, Changes, Rules};
pub(crate) use claim::Move;
pub use claim::NamedClaim;
pub use facts::{Choice, NAME_STATES, NameFacts, PinRefusal};
pub use families::{Families, Pins};
pub use mangle::mangle;
pub use name::{NameError, VipName};
pub use names::Names;
pub(crate) use names::named;
pub use phash2::phash2;
pub use range::{NameRange, RangeError};
pub use settings::{DEFAULT_ZONE, NameSettings, ZoneError, check_zone};
pub use tasks::{DEFAULT_TASK_ZONE, RunningTask, TaskNetwork, TaskRecord, name_tasks, task_zones};
