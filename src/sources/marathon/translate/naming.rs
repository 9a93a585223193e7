//! What the names of VIPs and tasks depend on beside labels.

use vip::label::{LabelRefusal, NameLabel};
use vip::naming::{NameError, VipName};

/// What the names of VIPs and tasks depend on beside labels.
#[derive(Debug, Clone, Copy, Default)]
pub struct Naming<'a> {
    /// The name of the framework; `None` while Marathon hasn't told it.
    pub framework: Option<&'a str>,
    /// The length of the longest zone.
    pub zone_len: usize,
    /// The zone of the names of tasks; `None` if they are not wanted.
    pub task_zone: Option<&'a str>,
}

impl Naming<'_> {
    /// Makes the name of a label.
    ///
    /// # Errors
    /// When the framework isn't known, or the label gives no DNS name.
    pub(super) fn name_of(&self, label: &NameLabel) -> Result<VipName, LabelRefusal> {
        let Some(framework) = self.framework else {
            // Whatever else is wrong with the label is known already.
            VipName::new(label.as_str(), "marathon", self.zone_len)?;
            return Err(LabelRefusal::NoFramework(format!(
                "{label} has no DNS name yet: Marathon has not told the name of its framework \
                 (/v2/info); set [[marathon]] framework if it never does"
            )));
        };
        VipName::new(label.as_str(), framework, self.zone_len)
            .map_err(|error: NameError| error.into())
    }
}
