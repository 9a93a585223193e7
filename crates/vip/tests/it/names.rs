//! Names and their addresses, against the values that DC/OS's rules give.

use std::net::IpAddr;

use nl_ipvs::Family;
use vip::naming::{NameRange, VipName, mangle, phash2};

use crate::name_vectors::ROWS;

#[test]
fn every_name_and_hash_is_that_of_dc_os() {
    for (label, framework, name, hash, _) in ROWS {
        let mangled = format!("{}.{}", mangle(label), mangle(framework));
        assert_eq!(mangled, *name, "{label} of {framework}");
        assert_eq!(phash2(name.as_bytes()), *hash, "{name}");
    }
}

#[test]
fn every_name_has_the_address_that_it_had_in_dc_os() {
    let range = NameRange::default();
    for (label, framework, name, _, [v4, v6]) in ROWS {
        // Names that DNS can't carry had an address there, and none here.
        let Ok(made) = VipName::new(label, framework, 0) else {
            assert!(name.split('.').any(str::is_empty), "{label}");
            continue;
        };
        assert_eq!(made.as_str(), *name);
        let base = |family| range.base_address(&made, family);
        assert_eq!(base(Family::Inet), Some(v4.parse::<IpAddr>().unwrap()), "{name}");
        assert_eq!(base(Family::Inet6), Some(v6.parse::<IpAddr>().unwrap()), "{name}");
    }
}
