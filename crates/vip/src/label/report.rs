//! Reports on labels: the place of each, and whether it is obeyed.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use super::{LabelPlace, LabelRefusal, RefusalKind};
use crate::naming::VipName;
use crate::{AppId, SourceId, Vip};

/// A report on one label. Every VIP label has one, and every option that was not obeyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelReport {
    /// The source of the app, where there are several: their apps may have one id.
    pub source: Option<SourceId>,
    /// The place of the label.
    pub place: LabelPlace,
    /// The VIP that it names; there is a report for each protocol of the port.
    pub vip: Option<Vip>,
    /// The name of the VIP.
    pub name: Option<VipName>,
    /// The verdict on the label.
    pub verdict: Verdict,
}

/// The verdict on a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Obeyed.
    Obeyed,
    /// Obeyed, with a note for its owner.
    Noted(String),
    /// Not obeyed. Boxed, as few labels are refused and each has a report.
    Refused(Box<LabelRefusal>),
}

impl Verdict {
    /// Builds the verdict on a label that is not obeyed.
    #[must_use]
    pub fn refused(why: impl Into<LabelRefusal>) -> Self {
        Self::Refused(Box::new(why.into()))
    }

    /// Returns the kind of refusal; `None` for a label that is obeyed.
    #[must_use]
    pub fn refusal_kind(&self) -> Option<RefusalKind> {
        match self {
            Self::Obeyed | Self::Noted(_) => None,
            Self::Refused(why) => Some(why.kind()),
        }
    }

    /// Tells whether the label is obeyed.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Obeyed | Self::Noted(_))
    }

    /// Returns the note or the reason for the owner.
    #[must_use]
    pub fn reason(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Obeyed => None,
            Self::Noted(reason) => Some(reason.into()),
            Self::Refused(why) => Some(why.to_string().into()),
        }
    }

    /// Returns one word for people and machines: `ok`, `note`, `refused`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Obeyed => "ok",
            Self::Noted(_) => "note",
            Self::Refused(_) => "refused",
        }
    }
}

/// Returns the reports that differ from those before: new refusals and notes, and labels that are
/// obeyed now but weren't.
#[must_use]
pub fn changed_reports(before: &[LabelReport], after: &[LabelReport]) -> Vec<LabelReport> {
    // Most changes are of tasks, not of labels.
    if before == after {
        return Vec::new();
    }
    let mut known = HashMap::new();
    for report in before {
        known.entry(identity(report)).or_insert(&report.verdict);
    }
    let is_new = |report: &&LabelReport| match known.get(&identity(report)) {
        Some(verdict) => **verdict != report.verdict,
        None => report.verdict != Verdict::Obeyed,
    };
    after.iter().filter(is_new).cloned().collect()
}

/// The label of a report, without its path in the document: that may change without a change of the
/// label.
type Identity<'a> =
    (Option<&'a SourceId>, &'a AppId, Option<usize>, &'a str, usize, &'a str, Option<Vip>);

fn identity(report: &LabelReport) -> Identity<'_> {
    let LabelPlace { app, port, path: _, key, occurrence, value } = &report.place;
    (report.source.as_ref(), app, *port, key, *occurrence, value, report.vip)
}

/// Writes `/mysql VIP_0="256.1.1.1:80": reason`.
impl fmt::Display for LabelReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LabelPlace { app, port, key, value, .. } = &self.place;
        let cut = |text| caps::cut_text(text, caps::SHOWN_VALUE);
        let (key, value) = (cut(key), cut(value));
        write!(f, "{app} ")?;
        if let Some(source) = &self.source {
            write!(f, "of {source} ")?;
        }
        if let Some(port) = port {
            write!(f, "port {port} ")?;
        }
        write!(f, "{key}={value:?}: {}", self.verdict.reason().unwrap_or("ok".into()))
    }
}
