//! The grammar of VIP and option labels, and reports on labels.

mod key;
mod options;
mod place;
mod read;
mod refusal;
mod report;
mod value;
mod value_error;

pub use key::{Key, classify_key, is_option_key};
pub use options::{
    DEFAULT_DRAIN, DEFAULT_SCHEDULER, OptionError, Options, Scheduling, is_valid_option,
};
pub use place::LabelPlace;
pub use read::{BadOption, PortLabels, VipLabel, read_port, stray_app_labels};
pub use refusal::{LabelRefusal, RefusalKind};
pub use report::{LabelReport, Verdict, changed_reports};
pub use value::{NameLabel, VipRef};
pub use value_error::{Ipv4Fault, ValueError};
