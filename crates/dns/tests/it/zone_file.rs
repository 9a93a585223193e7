//! The zone file: what is written is read again, and what isn't whole is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dns::{Addresses, ZoneFile, ZoneFileError};
use proptest::prelude::*;

const FILE: &str = "\
vipd-zone 1
zone l4lb.thisdcos.directory
zone dclb.thisdcos.directory
hostzone agentip.dcos.thisdcos.directory
name mysql.marathon 11.91.210.154 fd01:c::7bbe:1700:724f:13a5
name v6.marathon fd01:c::1
name web.marathon pending
host app.marathon.agentip.dcos.thisdcos.directory 10.0.0.1 10.0.0.2 fd00::1
end 4
";

fn example() -> ZoneFile {
    let v6: Ipv6Addr = "fd01:c::7bbe:1700:724f:13a5".parse().unwrap();
    let mysql = Addresses { v4: Some(Ipv4Addr::new(11, 91, 210, 154)), v6: Some(v6) };
    let v6_only = Addresses { v4: None, v6: Some("fd01:c::1".parse().unwrap()) };
    let host: BTreeSet<IpAddr> =
        ["10.0.0.1", "10.0.0.2", "fd00::1"].map(|text| text.parse().unwrap()).into();
    ZoneFile {
        partial: false,
        zones: vec!["l4lb.thisdcos.directory".into(), "dclb.thisdcos.directory".into()],
        names: BTreeMap::from([
            ("mysql.marathon".into(), mysql),
            ("web.marathon".into(), Addresses::default()),
            ("v6.marathon".into(), v6_only),
        ]),
        host_zones: vec!["agentip.dcos.thisdcos.directory".into()],
        hosts: BTreeMap::from([("app.marathon.agentip.dcos.thisdcos.directory".into(), host)]),
    }
}

#[test]
fn a_file_is_one_sorted_line_per_name() {
    assert_eq!(example().render(), FILE);
    assert_eq!(ZoneFile::parse(FILE).unwrap(), example());
    assert_eq!(ZoneFile::parse("vipd-zone 1\nend 0\n").unwrap(), ZoneFile::default());
}

#[test]
fn lines_of_a_later_version_are_skipped() {
    let later = FILE.replace("hostzone", "ttl 5\nptr 10.0.0.1 app\n\nhostzone");
    assert_eq!(ZoneFile::parse(&later).unwrap(), example());
}

#[test]
fn a_file_that_was_cut_off_anywhere_is_refused() {
    for end in 0..FILE.len() {
        assert!(ZoneFile::parse(&FILE[..end]).is_err(), "{}", &FILE[..end]);
    }
    let one_less = FILE.replace("name web.marathon pending\n", "");
    assert_eq!(ZoneFile::parse(&one_less), Err(ZoneFileError::Truncated));
    assert_eq!(ZoneFile::parse(&FILE.replace("end 4", "end 40")), Err(ZoneFileError::Truncated));
    assert_eq!(ZoneFile::parse(&FILE.replace("end 4", "end all")), Err(ZoneFileError::Truncated));
    assert_eq!(ZoneFile::parse(&FILE.replace("zone 1", "zone 2")), Err(ZoneFileError::Header));
}

#[test]
fn a_line_that_cannot_be_read_is_named() {
    for (line, message) in [
        ("name web.marathon", "line 7: not the addresses of a name"),
        ("name web.marathon 1.2.3", "line 7: not the addresses of a name"),
        ("name web.marathon 1.2.3.4 1.2.3.4", "line 7: not the addresses of a name"),
        ("name web.marathon 1.2.3.4 pending", "line 7: not the addresses of a name"),
        ("name web.marathon pending 1.2.3.4", "line 7: not the addresses of a name"),
        ("name web.marathon pending pending", "line 7: not the addresses of a name"),
        ("name web..marathon pending", "line 7: not a domain name: a label is empty"),
        ("name mysql.marathon pending", "line 7: the name is there twice"),
        ("host web.marathon", "line 7: not the addresses of a name"),
        ("host web.marathon pending 1.2.3.4", "line 7: not the addresses of a name"),
        ("zone ", "line 7: not a domain name: a label is empty"),
        ("end 4", "line 8: a line after the end"),
    ] {
        let error = ZoneFile::parse(&FILE.replace("name web.marathon pending", line)).unwrap_err();
        assert_eq!(error.to_string(), message, "{line}");
    }
}

#[test]
fn a_file_beyond_the_cap_is_refused() {
    let long = format!("vipd-zone 1\n{}end 0\n", "x\n".repeat(caps::ZONE_FILE / 2));
    assert_eq!(ZoneFile::parse(&long), Err(ZoneFileError::TooLarge));
}

prop_compose! {
    fn a_name()(name in "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\\.[a-z0-9_]{1,12}){0,3}") -> String {
        name
    }
}

prop_compose! {
    fn some_addresses()(v4: Option<u32>, v6: Option<u128>) -> Addresses {
        Addresses { v4: v4.map(Ipv4Addr::from_bits), v6: v6.map(Ipv6Addr::from_bits) }
    }
}

prop_compose! {
    fn a_file()(
        zones in prop::collection::vec(a_name(), 0..3),
        names in prop::collection::btree_map(a_name(), some_addresses(), 0..20),
        host_zones in prop::collection::vec(a_name(), 0..3),
        partial in any::<bool>(),
        hosts in prop::collection::btree_map(
            a_name(),
            prop::collection::btree_set(any::<IpAddr>(), 0..4),
            0..5,
        ),
    ) -> ZoneFile {
        ZoneFile { zones, names, host_zones, hosts, partial }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(file in a_file()) {
        prop_assert_eq!(ZoneFile::parse(&file.render()), Ok(file));
    }

    #[test]
    fn no_text_breaks_the_parser(text in "(vipd-zone 1\n)?((name|host|zone|end|hostzone) [ -~]{0,30}\n){0,5}") {
        let _ = ZoneFile::parse(&text);
    }
}
