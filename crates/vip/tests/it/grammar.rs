//! The label grammar on everything that could be typed.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use proptest::prelude::*;
use vip::label::{Key, VipRef, classify_key, read_port};

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
        .prop_map(|address| address.to_canonical())
}

/// Text that is nearly a label's value.
fn nearly() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[0-9a-fA-F.:/\\[\\] x-]{0,40}",
        "[/a-z0-9._-]{0,20}:[0-9 +-]{0,7}"
    ]
}

proptest! {
    #[test]
    fn an_address_and_port_is_read_back(address in address(), port in 1..=u16::MAX) {
        let expected = Ok(VipRef::Address(address, NonZeroU16::new(port).unwrap()));
        prop_assert_eq!(SocketAddr::new(address, port).to_string().parse(), expected.clone());
        prop_assert_eq!(format!("{address}:{port}").parse(), expected);
    }

    #[test]
    fn nothing_that_is_typed_panics(key in any::<String>(), value in nearly()) {
        let _ = value.parse::<VipRef>();
        let _ = classify_key(&key, &value);
        let _ = read_port(&[("VIP_0", &value), (&key, &value)], &[(&key, &value)]);
    }

    #[test]
    fn digits_and_dots_are_an_address_or_an_error_and_never_a_name(
        left in "[0-9.]{1,20}", port in 1..=u16::MAX,
    ) {
        let read = format!("{left}:{port}").parse();
        prop_assert!(!matches!(read, Ok(VipRef::Named(..))), "{left}: {read:?}");
    }

    #[test]
    fn a_name_is_kept_as_written(name in "/?[a-z][a-z0-9._-]{0,10}(/[a-z]{1,5}){0,3}", port in 1..=u16::MAX) {
        match format!("{name}:{port}").parse() {
            Ok(VipRef::Named(read, read_port)) => {
                prop_assert_eq!((read.as_str(), read_port.get()), (name.as_str(), port));
            }
            other => prop_assert!(false, "{name}: {other:?}"),
        }
    }

    #[test]
    fn one_label_costs_another_nothing(value in nearly(), key in "[A-Za-z_0-9]{1,8}") {
        let labels = read_port(&[(&key, &value), ("VIP", "3.3.0.6:3306"), (&key, &value)], &[]);
        let good = labels.vip_labels.iter().any(|reading| {
            reading.key == "VIP" && reading.address().is_some_and(|(_, port)| port.get() == 3306)
        });
        prop_assert!(good);
    }

    #[test]
    fn numbered_keys_are_vips(number in any::<u64>()) {
        prop_assert_eq!(classify_key(&format!("VIP_{number}"), ""), Key::Vip);
        prop_assert_eq!(classify_key(&format!("vip_{number}"), ""), Key::Vip);
        prop_assert_ne!(classify_key(&format!("VIP{number}"), ""), Key::Vip);
    }
}
