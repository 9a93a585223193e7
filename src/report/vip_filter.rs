//! The VIPs that `vipd status` is asked for. Pure.

use std::net::{IpAddr, SocketAddr};

use vip::VipState;
use vip::naming::VipName;

use super::names::ReportedLabel;
use super::vips::{TaskReport, VipReport};

/// The VIPs and refused labels to show. Without texts and states all of them.
#[derive(Debug, Clone, Default)]
pub struct VipFilter {
    texts: Vec<Text>,
    states: Vec<VipState>,
}

/// A text, and what it can be read as.
#[derive(Debug, Clone)]
struct Text {
    lower: String,
    ip: Option<IpAddr>,
    address: Option<SocketAddr>,
}

impl VipFilter {
    /// Creates a filter. A VIP is shown if it matches one of the texts, and is in one of the states.
    #[must_use]
    pub fn new(texts: &[String], states: &[VipState]) -> Self {
        let text = |text: &String| Text {
            lower: text.to_ascii_lowercase(),
            ip: text.parse().ok(),
            address: text.parse().ok(),
        };
        Self { texts: texts.iter().map(text).collect(), states: states.to_vec() }
    }

    /// Returns whether a VIP is shown.
    #[must_use]
    pub fn matches(&self, vip: &VipReport) -> bool {
        (self.states.is_empty() || self.states.contains(&vip.summary.state))
            && (self.texts.is_empty() || self.texts.iter().any(|text| text.matches(vip)))
    }

    /// Returns whether a refused label is shown. It makes no VIP, so it is in no state.
    #[must_use]
    pub fn matches_label(&self, label: &ReportedLabel) -> bool {
        self.states.is_empty()
            && (self.texts.is_empty() || self.texts.iter().any(|text| text.matches_label(label)))
    }
}

impl Text {
    /// Matches a VIP's or a real server's address as a whole; a part of a name, an app's or a task's id.
    fn matches(&self, vip: &VipReport) -> bool {
        let tasks = || vip.backend.iter().chain(&vip.left_out);
        if self.ip.is_some() || self.address.is_some() {
            let is_vip = vip.vip.parse().is_ok_and(|address| self.is_address(&address));
            return is_vip || tasks().filter_map(|task| task.server).any(|at| self.is_address(&at));
        }
        let is_part = |text: &str| text.to_ascii_lowercase().contains(&self.lower);
        let summary = &vip.summary;
        let names = summary.name.as_deref().into_iter().chain(summary.dns.as_deref());
        let apps = summary.apps.iter().map(|app| &**app);
        let ids = tasks().flat_map(TaskReport::ids);
        vip.full_name() == self.lower || names.chain(apps).chain(ids).any(is_part)
    }

    /// Matches a label's address as a whole; a part of its name or its app's id.
    fn matches_label(&self, label: &ReportedLabel) -> bool {
        if self.ip.is_some() || self.address.is_some() {
            return label.value.parse().is_ok_and(|address| self.is_address(&address));
        }
        let name = label.name.as_ref().map(VipName::as_str);
        let texts = [label.app.as_str(), &label.value].into_iter().chain(name);
        texts.map(str::to_ascii_lowercase).any(|text| text.contains(&self.lower))
    }

    fn is_address(&self, address: &SocketAddr) -> bool {
        self.address == Some(*address) || self.ip == Some(address.ip())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::vip_table::tests::vips;

    fn shown(texts: &[&str], states: &[VipState]) -> Vec<String> {
        let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
        let filter = VipFilter::new(&texts, states);
        let vips = vips().into_iter().filter(|vip| filter.matches(vip));
        vips.map(|vip| vip.summary.apps[0].to_string()).collect()
    }

    #[test]
    fn a_vip_is_found_by_its_address_name_app_server_and_state() {
        let none: [&str; 0] = [];
        assert_eq!(shown(&[], &[]), ["/shop/web", "/shop/checkout", "/mysql"]);
        for text in ["3.3.0.6", "3.3.0.6:3306", "3.3.0.6:3306/tcp", "mysql", "MySQL.marathon"] {
            assert_eq!(shown(&[text], &[]), ["/mysql"], "{text}");
        }
        assert_eq!(shown(&["/shop"], &[]), ["/shop/web", "/shop/checkout"]);
        assert_eq!(shown(&["10.0.0.1:31001"], &[]), ["/shop/web"]);
        assert_eq!(shown(&["10.0.0.1", "web.1"], &[]), ["/shop/web"]);
        assert_eq!(shown(&["3.3.0"], &[]), none, "a part of an address is none");
        assert_eq!(shown(&[], &[VipState::Refusing]), ["/mysql"]);
        assert_eq!(shown(&["/shop"], &[VipState::Refusing]), none);
    }
}
