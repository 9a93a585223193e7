//! Keys of labels: VIP labels, misspelt ones and others.

use super::VipRef;

/// The classification of a label by its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A VIP label: `VIP`, `vip`, `VIP_<n>` or `vip_<n>`. The number has no meaning.
    Vip,
    /// A misspelt VIP label: `VIP0`, `Vip_0`, `VIP-1`, `vip_port0`. Reported, never obeyed.
    Lookalike,
    /// Any other label.
    Other,
}

/// Classifies a label. The value helps to recognise a misspelt key.
#[must_use]
pub fn classify_key(key: &str, value: &str) -> Key {
    if let Some("VIP" | "vip") = key.get(..3) {
        let rest = &key[3..];
        let numbered = rest
            .strip_prefix('_')
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()));
        if rest.is_empty() || numbered {
            return Key::Vip;
        }
    }
    let trimmed = key.trim_start();
    match trimmed.get(..3) {
        Some(start) if start.eq_ignore_ascii_case("vip") => {
            // `VIPER` is another word; `VIPDB`, which DC/OS obeyed, is recognised by its value.
            let word = trimmed[3..].starts_with(|c: char| c.is_ascii_alphabetic());
            if !word || value.trim().parse::<VipRef>().is_ok() || value.contains("://") {
                Key::Lookalike
            } else {
                Key::Other
            }
        }
        _ => Key::Other,
    }
}

/// Tells whether a label is an option, or looks like one. Others never change the options of a port.
#[must_use]
pub fn is_option_key(key: &str) -> bool {
    key.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("IPVS_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_four_documented_forms_are_vips() {
        for key in ["VIP", "vip", "VIP_0", "VIP_7", "vip_0", "VIP_12", "VIP_007"] {
            assert_eq!(classify_key(key, ""), Key::Vip, "{key}");
        }
    }

    #[test]
    fn what_resembles_a_vip_key_is_reported_not_obeyed() {
        for key in [
            "VIP0", "vip1", "Vip_0", "vIP", "VIP_", "VIP_a", "VIP-0", "VIP_0 ", " VIP_0", "VIP_-1",
            "VIP.0", "VIP_0_1",
        ] {
            assert_eq!(classify_key(key, ""), Key::Lookalike, "{key:?}");
        }
        assert_eq!(classify_key("VIPDB", "3.3.0.6:3306"), Key::Lookalike);
        assert_eq!(classify_key("vip_port0", "tcp://1.2.3.4:5000"), Key::Lookalike);
        assert_eq!(classify_key("vipport0", "udp://1.2.3.4:5000"), Key::Lookalike);
    }

    #[test]
    fn other_words_are_left_alone() {
        for key in ["", "VI", "VIPER", "viper_0", "HAPROXY_0_VHOST", "MY_VIP_0", "IPVS_WEIGHT"] {
            assert_eq!(classify_key(key, "snake"), Key::Other, "{key:?}");
        }
        assert_eq!(classify_key("Ümläut", "x:80"), Key::Other);
    }
}
