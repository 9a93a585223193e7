//! Reports on labels: where each stands, and whether it is obeyed.

use std::borrow::Cow;
use std::fmt;

use super::{LabelPlace, LabelRefusal, RefusalKind};
use crate::Vip;

/// What became of one label: every VIP label found has one, and every other label of ours that
/// was not obeyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelReport {
    /// Where the label stands.
    pub place: LabelPlace,
    /// The VIP it gives, once for each protocol of the port.
    pub vip: Option<Vip>,
    /// What became of it.
    pub verdict: Verdict,
}

/// What became of a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Obeyed.
    Obeyed,
    /// Obeyed, with something its owner should know.
    Noted(String),
    /// A named VIP: read, not served yet.
    Named(String),
    /// Not obeyed. Boxed, as few labels are refused and each has a report.
    Refused(Box<LabelRefusal>),
}

impl Verdict {
    /// The verdict on a label that is not obeyed for this reason.
    #[must_use]
    pub fn refused(why: impl Into<LabelRefusal>) -> Self {
        Self::Refused(Box::new(why.into()))
    }

    /// The kind of refusal; `None` for a label that is obeyed.
    #[must_use]
    pub fn refusal_kind(&self) -> Option<RefusalKind> {
        match self {
            Self::Obeyed | Self::Noted(_) => None,
            Self::Named(_) => Some(RefusalKind::Name),
            Self::Refused(why) => Some(why.kind()),
        }
    }

    /// Whether the label does what it says.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Obeyed | Self::Noted(_))
    }

    /// What its owner should know.
    #[must_use]
    pub fn reason(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Obeyed => None,
            Self::Noted(reason) | Self::Named(reason) => Some(reason.into()),
            Self::Refused(why) => Some(why.to_string().into()),
        }
    }

    /// One word for people and machines: `ok`, `note`, `named`, `refused`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Obeyed => "ok",
            Self::Noted(_) => "note",
            Self::Named(_) => "named",
            Self::Refused(_) => "refused",
        }
    }
}

/// What became of labels that wasn't known `before`: refusals and notes that are new, and labels
/// that are obeyed though they weren't.
#[must_use]
pub fn changed_reports(before: &[LabelReport], after: &[LabelReport]) -> Vec<LabelReport> {
    // Where the document has it says nothing about the label.
    let same = |a: &LabelReport, b: &LabelReport| {
        let place = |report: &LabelReport| (report.place.port, report.place.occurrence, report.vip);
        let text = |report: &LabelReport| {
            (report.place.app.clone(), report.place.key.clone(), report.place.value.clone())
        };
        place(a) == place(b) && text(a) == text(b)
    };
    let is_new = |report: &&LabelReport| match before.iter().find(|old| same(old, report)) {
        Some(old) => old.verdict != report.verdict,
        None => report.verdict != Verdict::Obeyed,
    };
    after.iter().filter(is_new).cloned().collect()
}

/// `/mysql VIP_0="256.1.1.1:80": why`.
impl fmt::Display for LabelReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LabelPlace { app, port, key, value, .. } = &self.place;
        write!(f, "{app} ")?;
        if let Some(port) = port {
            write!(f, "port {port} ")?;
        }
        write!(f, "{key}={value:?}: {}", self.verdict.reason().unwrap_or("ok".into()))
    }
}
