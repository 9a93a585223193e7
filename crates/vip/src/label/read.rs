//! Parsing of all labels of a port.

use std::collections::HashMap;
use std::num::NonZeroU16;

use super::{Key, OptionError, Options, ValueError, VipRef, classify_key};

/// The parsed labels of one port, with the options of its app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortLabels {
    /// The VIP labels of the port and those that resemble one, in the order written.
    pub vip_labels: Vec<VipLabel>,
    /// The options in force.
    pub options: Options,
    /// Options that were not obeyed.
    pub bad_options: Vec<BadOption>,
}

/// An option that was not obeyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadOption {
    /// The label's key.
    pub key: String,
    /// The label's value.
    pub value: String,
    /// Whether it stands on the port, not on the app.
    pub on_port: bool,
    /// The reason.
    pub error: OptionError,
}

/// A parsed VIP label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VipLabel {
    /// The label's key.
    pub key: String,
    /// The number of labels with the same key before it in the same object. Marathon keeps only the
    /// last of equal keys.
    pub occurrence: usize,
    /// The label's value.
    pub value: String,
    /// The parsed value; `None` if the key only resembles that of a VIP label.
    pub meaning: Option<Result<VipRef, ValueError>>,
}

impl VipLabel {
    /// Tells whether the label means a VIP.
    #[must_use]
    pub fn is_vip(&self) -> bool {
        matches!(self.meaning, Some(Ok(_)))
    }

    /// Returns the address and port, if the label names one.
    #[must_use]
    pub fn address(&self) -> Option<(std::net::IpAddr, NonZeroU16)> {
        match self.meaning {
            Some(Ok(VipRef::Address(address, port))) => Some((address, port)),
            _ => None,
        }
    }
}

/// Reads the labels of one port. Options on the port override those on the app.
///
/// Both are ordered lists of pairs, not maps: two equal keys are two labels.
#[must_use]
pub fn read_port(port: &[(&str, &str)], app: &[(&str, &str)]) -> PortLabels {
    let mut options = Options::default();
    let mut bad_options = Vec::new();
    let on_app = app.iter().map(|pair| (pair, false));
    for ((key, value), on_port) in on_app.chain(port.iter().map(|pair| (pair, true))) {
        if let Err(error) = options.apply_label(key, value) {
            bad_options.push(BadOption {
                key: (*key).into(),
                value: (*value).into(),
                on_port,
                error,
            });
        }
    }
    if let Err(error) = options.drop_unused_flags() {
        let flags = |labels: &[(&str, &str)]| {
            labels
                .iter()
                .rev()
                .find(|(key, _)| *key == "IPVS_FLAGS")
                .map(|(_, value)| (*value).into())
        };
        let on_port = flags(port).is_some();
        let value = flags(port).or_else(|| flags(app)).unwrap_or_default();
        bad_options.push(BadOption { key: "IPVS_FLAGS".into(), value, on_port, error });
    }
    PortLabels { vip_labels: read_vip_labels(port), options, bad_options }
}

fn read_vip_labels(port: &[(&str, &str)]) -> Vec<VipLabel> {
    let mut vip_labels: Vec<VipLabel> = Vec::new();
    let mut occurrences: HashMap<&str, usize> = HashMap::new();
    for &(key, value) in port {
        let meaning = match classify_key(key, value) {
            Key::Vip => Some(value.parse()),
            Key::Lookalike => None,
            Key::Other => continue,
        };
        let next = occurrences.entry(key).or_default();
        let occurrence = std::mem::replace(next, *next + 1);
        let meaning = match vip_labels.len() {
            0..caps::PORT_VIPS => meaning,
            _ => Some(Err(ValueError::TooMany)),
        };
        vip_labels.push(VipLabel { key: key.into(), occurrence, value: value.into(), meaning });
    }
    vip_labels
}

/// Finds VIP labels, and those that resemble one, among an app's own labels: they belong on a port.
pub fn stray_app_labels<'a>(
    app: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    app.into_iter().filter(|(key, value)| classify_key(key, value) != Key::Other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_key_twice_is_two_labels() {
        let labels = read_port(&[("VIP_0", "3.3.0.6:3306"), ("VIP_0", "4.4.0.7:3306")], &[]);
        let found: Vec<_> = labels
            .vip_labels
            .iter()
            .map(|r| (r.occurrence, r.address().unwrap().0.to_string()))
            .collect();
        assert_eq!(found, [(0, "3.3.0.6".to_owned()), (1, "4.4.0.7".to_owned())]);
    }

    #[test]
    fn options_on_the_port_beat_the_apps() {
        let labels = read_port(
            &[("IPVS_WEIGHT", "7"), ("VIP_0", "3.3.0.6:1")],
            &[("IPVS_WEIGHT", "3"), ("IPVS_DRAIN", "5s")],
        );
        assert_eq!((labels.options.weight, labels.options.drain.as_secs()), (7, 5));
    }

    #[test]
    fn one_bad_label_costs_the_others_nothing() {
        let labels = read_port(
            &[
                ("VIP_0", "256.1.1.1:80"),
                ("IPVS_WEIGHT", "many"),
                ("VIP_1", "3.3.0.6:80"),
                ("Vip_2", "x"),
            ],
            &[("IPVS_SCHEDULER", "dh")],
        );
        assert_eq!(labels.vip_labels.iter().filter_map(VipLabel::address).count(), 1);
        assert_eq!(labels.vip_labels[2].meaning, None);
        assert_eq!(labels.options, Options::default());
        assert_eq!(labels.bad_options.len(), 2);
    }

    #[test]
    fn vip_labels_on_the_app_itself_are_strays() {
        let strays: Vec<_> = stray_app_labels([
            ("VIP_0", "3.3.0.6:80"),
            ("owner", "x"),
            ("vip_port0", "tcp://1.2.3.4:5"),
        ])
        .collect();
        assert_eq!(strays.len(), 2);
    }
}
