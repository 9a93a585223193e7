//! Named VIPs: from a label such as `/mysql:3306` to the name `mysql.marathon` and an address.
//!
//! The rules are those of DC/OS (dcos-net), so that a name has the address that it had there: how a
//! label is written as a name (`mangle.rs`), and which address its hash gives (`range.rs`).

mod mangle;
mod name;
mod phash2;
mod range;
mod settings;

pub use mangle::mangle;
pub use name::{NameError, VipName};
pub use phash2::phash2;
pub use range::{NameRange, RangeError};
pub use settings::{DEFAULT_ZONE, NameSettings, ZoneError};
