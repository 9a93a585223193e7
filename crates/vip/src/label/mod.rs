//! The grammar of VIP labels: which keys are VIPs, what a value may say.

mod key;
mod options;
mod read;
mod refusal;
mod value;

pub use key::{Key, classify};
pub use options::{DEFAULT_DRAIN, OptionError, Options, Scheduling};
pub use read::{BadOption, PortLabels, Reading, read_port, stray_app_labels};
pub use refusal::{LabelRefusal, RefusalKind};
pub use value::{ValueError, VipName, VipRef};
