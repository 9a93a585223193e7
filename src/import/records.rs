//! The list of all DNS records that a DC/OS node has, `/v1/records` of dcos-net.

use std::fmt;
use std::net::IpAddr;

use anyhow::{Result, anyhow};
use serde::Deserialize;
use serde::de::{Deserializer as _, Error as _, SeqAccess, Visitor};
use vip::naming::NameSettings;

use super::elsewhere::Elsewhere;

/// A record, `record_to_term/1` of `dcos_rest_dns_handler.erl`, or an entry of the other list,
/// `vip_to_json_term/1` of `dcos_rest_vips_handler.erl`.
#[derive(Debug, Deserialize)]
struct Record {
    name: Option<String>,
    /// An address; of an SRV record another name.
    host: Option<String>,
    rtype: Option<String>,
    /// Has no addresses of names.
    vip: Option<serde::de::IgnoredAny>,
}

/// Parses the list, an array of `{"name":"mysql.marathon.l4lb.thisdcos.directory",
/// "host":"11.91.210.154","rtype":"A"}`. Names outside the zones are skipped as they come.
///
/// # Errors
/// When it is another JSON or none, or has more addresses than names may have. A part of a list is
/// never used.
pub fn parse_records(json: &[u8], settings: &NameSettings) -> Result<Elsewhere> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let read = deserializer.deserialize_seq(Records { settings });
    let read = read.and_then(|found| deserializer.end().map(|()| found));
    read.map_err(|error| {
        let is_page = json.trim_ascii_start().starts_with(b"<");
        let what = if is_page {
            "a web page, not a list of DNS records"
        } else {
            "no list of DNS records"
        };
        anyhow!("{what}, such as http://127.0.0.1:62080/v1/records on a DC/OS node: {error}")
    })
}

struct Records<'a> {
    settings: &'a NameSettings,
}

impl<'de> Visitor<'de> for Records<'_> {
    type Value = Elsewhere;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut records: A) -> Result<Elsewhere, A::Error> {
        let mut found = Elsewhere::default();
        let mut addresses = 0;
        while let Some(Record { name, host, rtype, vip }) = records.next_element()? {
            if vip.is_some() {
                return Err(A::Error::custom(
                    "this is the list /v1/vips, which has no addresses of names: take /v1/records of \
                     the same server",
                ));
            }
            let (Some(name), Some(host), Some(rtype)) = (name, host, rtype) else {
                return Err(A::Error::custom("a record without name, host or rtype"));
            };
            if !matches!(rtype.as_str(), "A" | "AAAA") {
                continue;
            }
            let Ok(address) = host.parse::<IpAddr>() else {
                let host = caps::cut_text(&host, caps::SHOWN_VALUE).into_owned();
                return Err(A::Error::custom(format!("{host:?} is no address")));
            };
            let before = found.names.len();
            found.add_address(&name, address, self.settings);
            addresses += usize::from(before != found.names.len());
            if addresses > caps::NAME_ADDRESSES {
                let most = caps::NAME_ADDRESSES;
                return Err(A::Error::custom(format!("more than {most} names")));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::import::There;

    fn parse(json: &str) -> Result<Elsewhere> {
        parse_records(json.as_bytes(), &NameSettings::default())
    }

    fn record(name: &str, host: &str, rtype: &str) -> String {
        serde_json::json!({"name": name, "host": host, "rtype": rtype}).to_string()
    }

    #[test]
    fn addresses_of_the_zone_are_taken_by_name() {
        let zone = "l4lb.thisdcos.directory";
        let records = [
            record(&format!("MySQL.marathon.{zone}."), "11.1.2.3", "A"),
            record(&format!("mysql.marathon.{zone}"), "fd01:c::1", "AAAA"),
            record(&format!("mysql.marathon.{zone}"), "mysql.mesos:3306", "SRV"),
            record("leader.mesos", "10.0.0.1", "A"),
            record(zone, "11.0.0.1", "A"),
            // What `/_` was called.
            record(&format!(".marathon.{zone}"), "11.153.57.253", "A"),
        ];
        let found = parse(&format!("[{}]", records.join(",\n"))).unwrap();
        let addresses: BTreeSet<IpAddr> =
            ["11.1.2.3", "fd01:c::1"].map(|text| text.parse().unwrap()).into();
        let names = [("mysql.marathon".parse().unwrap(), There::Addresses(addresses))].into();
        let example = Some(format!(".marathon.{zone}"));
        assert_eq!(found, Elsewhere { names, unusable: 1, example });
        assert_eq!(parse("[]").unwrap(), Elsewhere::default());
    }

    #[test]
    fn another_document_is_refused_with_what_to_read() {
        for (json, word) in [
            ("", "/v1/records"),
            ("<html>", "web page"),
            ("{}", "expected an array"),
            ("[7]", "/v1/records"),
            ("[{}]", "without name, host or rtype"),
            ("[] []", "trailing"),
            (r#"[{"name":"a","host":"b","rtype":"A"}]"#, "\"b\" is no address"),
            (
                r#"[{"vip":"mysql.marathon.l4lb.thisdcos.directory:3306","protocol":"tcp","backend":[]}]"#,
                "this is the list /v1/vips",
            ),
        ] {
            let error = parse(json).unwrap_err().to_string();
            assert!(error.contains(word), "{json}: {error}");
        }
    }

    #[test]
    fn a_list_that_is_too_long_is_refused_as_a_whole() {
        let record = |n: usize| record(&format!("n{n}.m.l4lb.thisdcos.directory"), "11.0.0.1", "A");
        let list =
            |count: usize| format!("[{}]", (0..count).map(record).collect::<Vec<_>>().join(","));
        assert!(parse(&list(caps::NAME_ADDRESSES)).is_ok());
        let error = parse(&list(caps::NAME_ADDRESSES + 1)).unwrap_err().to_string();
        assert!(error.contains("more than 131072 names"), "{error}");
    }

    proptest! {
        #[test]
        fn no_list_makes_it_panic(json in any::<Vec<u8>>(), name in ".{0,80}", host in "[0-9.:a-f]{0,20}") {
            let _ = parse_records(&json, &NameSettings::default());
            let _ = parse(&format!("[{}]", record(&format!("{name}.l4lb.thisdcos.directory"), &host, "A")));
        }
    }
}
