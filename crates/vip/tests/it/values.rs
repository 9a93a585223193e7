//! Values that are nearly VIPs: each is refused with its own reason and the right form.

use vip::label::{Ipv4Fault, ValueError, VipRef};

fn refuse(value: &str) -> ValueError {
    match value.parse::<VipRef>() {
        Ok(read) => panic!("{value:?} is taken for {read:?}"),
        Err(error) => error,
    }
}

#[test]
fn each_kind_of_mistake_has_its_own_reason_and_the_right_form() {
    for (value, expected) in [
        // No port.
        ("", "no port: write ADDRESS:PORT, such as 3.3.0.6:3306"),
        (" \t", "no port: write ADDRESS:PORT"),
        ("3.3.0.6", "no port: write 3.3.0.6:PORT"),
        ("name", "no port: write name:PORT"),
        ("/group/app", "no port: write /group/app:PORT"),
        ("fd01::1", "no port: write [fd01::1]:PORT"),
        ("fd01::80", "no port: write [fd01::80]:PORT"),
        ("fd01::abcd", "no port: write [fd01::abcd]:PORT"),
        ("::1", "no port: write [::1]:PORT"),
        ("1:2:3:4:5:6:7:8", "no port: write [1:2:3:4:5:6:7:8]:PORT"),
        ("[fd01::1]", "no port: write [fd01::1]:PORT"),
        ("3.3.0.6:", "no port: write ADDRESS:PORT"),
        ("3.3.0.6/32", "no port"),
        // No address.
        (":80", "no address before the port"),
        ("*:80", "no address before the port"),
        // The port.
        ("x:http", "port \"http\" is not a number from 1 to 65535"),
        ("x:-1", "port \"-1\" is not a number"),
        ("x:+80", "port \"+80\" is not a number"),
        ("3.3.0.6:65536", "port \"65536\" is not a number from 1 to 65535"),
        ("3.3.0.6:99999999999999999999", "port \"99999999999999999999\" is not a number"),
        ("3.3.0.6:0", "port 0 is no port: write the one that clients connect to"),
        ("name:0000", "port 0 is no port"),
        ("3.3.0.6:80-90", "\"80-90\" is a range of ports"),
        ("name:80-90", "\"80-90\" is a range of ports"),
        ("3.3.0.6:80..90", "\"80..90\" is a range of ports"),
        ("3.3.0.6:80/tcp", "\"/tcp\" names a protocol: write 3.3.0.6:80, and the protocol in"),
        ("3.3.0.6:80/UDP", "\"/UDP\" names a protocol: write 3.3.0.6:80"),
        ("name:80:tcp", "\":tcp\" names a protocol: write name:80"),
        ("3.3.0.6:80/", "\"/\" follows the port: write 3.3.0.6:80"),
        ("name:80/path/x", "\"/path/x\" follows the port: write name:80"),
        ("3.3.0.6:80/24", "without a prefix length such as \"/24\": write 3.3.0.6:80"),
        // What stands in front.
        ("tcp://name:80", "it begins with \"tcp://\": write name:80, and the protocol in"),
        ("tcp://3.3.0.6:80", "it begins with \"tcp://\": write 3.3.0.6:80"),
        ("UDP://3.3.0.6:53", "it begins with \"UDP://\": write 3.3.0.6:53"),
        ("http://3.3.0.6:80/path?x#y", "it begins with \"http://\": write 3.3.0.6:80"),
        ("tcp://[fd01::1]:80", "it begins with \"tcp://\": write [fd01::1]:80"),
        ("tcp://3.3.0.6", "it begins with \"tcp://\": write ADDRESS:PORT"),
        ("tcp:3.3.0.6:80", "it begins with \"tcp:\": write 3.3.0.6:80"),
        ("/3.3.0.6:3306", "a slash stands in front of the address: write 3.3.0.6:3306"),
        ("//3.3.0.6:3306", "a slash stands in front of the address: write 3.3.0.6:3306"),
        ("/[fd01::1]:80", "a slash stands in front of the address: write [fd01::1]:80"),
        // More than one.
        ("name:80:90", "it has two ports, \"80\" and \"90\""),
        ("3.3.0.6:80:90", "it has two ports, \"80\" and \"90\""),
        ("a:b:80", "it has more than one colon"),
        ("invalid-port::1234", "it has more than one colon"),
        ("3.3.0.6:80,3.3.0.7:80", "it holds more than one VIP: write one label for each"),
        ("3.3.0.6:80, 3.3.0.7:80", "it holds more than one VIP"),
        ("3.3.0.6:80;3.3.0.7:80", "it holds more than one VIP"),
        ("3.3.0.6:80 3.3.0.7:80", "it holds more than one VIP"),
        ("3.3.0.6:80\n3.3.0.7:80", "it holds more than one VIP"),
        ("3.3.0.6:80,81", "it holds more than one VIP"),
        ("/a:80,/b:80", "it holds more than one VIP"),
        ("[fd01::1]:80,[fd01::2]:80", "it holds more than one VIP"),
        // IPv4.
        ("256.1.1.1:80", "looks like an IP address but is not one: \"256\" is over 255"),
        ("/3.3.0.256:80", "\"256\" is over 255"),
        ("1.2.3:80", "has four parts, such as 3.3.0.6, and this has 3"),
        ("1.2.3.4.5:80", "and this has 5"),
        ("3306:3306", "and this has 1"),
        ("1.2.3.4.:80", "a dot is too many"),
        (".1.2.3.4:80", "a dot is too many"),
        ("1..2.3.4:80", "a dot is too many"),
        ("03.3.0.6:80", "\"03\" has leading zeros, which may mean an octal number"),
        ("3.3.0.006:80", "\"006\" has leading zeros"),
        ("0x3.3.0.6:80", "\"0x3\" is hexadecimal; write four decimal parts"),
        ("3.3.0.0x6:80", "\"0x6\" is hexadecimal"),
        ("0X03030006:80", "\"0X03030006\" is hexadecimal"),
        ("3.3.O.6:80", "\"O\" is not a number"),
        ("3.3.0.6x:80", "\"6x\" is not a number"),
        ("3.3.0.6/32:80", "without a prefix length such as \"/32\": write 3.3.0.6:80"),
        ("[3.3.0.6]:80", "only IPv6 addresses stand in brackets: write 3.3.0.6:80"),
        // IPv6.
        ("fd01::1/64:80", "without a prefix length such as \"/64\": write [fd01::1]:80"),
        ("[fd01::1/64]:80", "is not one: write [ADDRESS]:PORT"),
        ("fe80::1%eth0:80", "has no zone such as \"eth0\": write [fe80::1]:80"),
        ("[fe80::1%2]:80", "has no zone such as \"2\": write [fe80::1]:80"),
        ("fe80::1%eth0", "has no zone such as \"eth0\": write ADDRESS:PORT"),
        ("[fd01::1:80", "the brackets are not around the address"),
        ("fd01::1]:80", "the brackets are not around the address"),
        ("[fd01::1]80", "the brackets are not around the address"),
        ("[[fd01::1]]:80", "the brackets are not around the address"),
        ("fd01::g:80", "\"fd01::g\" looks like an IP address but is not one"),
        ("fd01:::1:80", "\"fd01:::1\" looks like an IP address but is not one"),
        ("1:2:3:80", "\"1:2:3\" looks like an IP address but is not one"),
        ("[]:80", "\"\" looks like an IP address but is not one"),
        // Characters.
        (" 3.3.0.6:80", "it has blanks or control characters: write 3.3.0.6:80"),
        ("3.3.0.6 :80", "it has blanks or control characters: write 3.3.0.6:80"),
        ("3.3.0.6: 80", "it has blanks or control characters: write 3.3.0.6:80"),
        ("3.3.0.6:80\n", "it has blanks or control characters: write 3.3.0.6:80"),
        ("a\u{0}b:80", "it has blanks or control characters: write ab:80"),
        ("\u{1b}[31m3.3.0.6:80", "it has blanks or control characters"),
        ("３.3.0.6:80", "it has the character U+FF13, which is not ASCII"),
        ("3.3.0.6：80", "it has the character U+FF1A"),
        ("3.3.0.6:٨٠", "it has the character U+0668"),
        ("3.3.0.6\u{a0}:80", "it has the character U+00A0"),
        ("\u{200b}3.3.0.6:80", "it has the character U+200B"),
        ("ümlaut:80", "it has the character U+00FC"),
        ("'3.3.0.6:80'", "quotes are part of the value: write 3.3.0.6:80"),
        ("\"3.3.0.6:80\"", "quotes are part of the value: write 3.3.0.6:80"),
        ("“3.3.0.6:80”", "it has the character U+201C"),
        ("{{vip}}:80", "it is a template"),
        ("${VIP}:80", "it is a template"),
        ("3.3.0.6:$PORT0", "it is a template"),
        ("3.3.0.6:{{port}}", "it is a template"),
        // Neither.
        ("na@me:80", "\"na@me\" is neither an IP address nor a name"),
        ("/:80", "\"/\" is neither"),
        ("3,3,0,6:80", "\"3,3,0,6\" is neither"),
    ] {
        let error = refuse(value).to_string();
        assert!(error.contains(expected), "{value:?}: {error}");
    }
}

#[test]
fn the_kinds_are_types() {
    assert_eq!(refuse("3.3.0.6:0"), ValueError::PortZero);
    assert_eq!(
        refuse("3.3.0.300:1"),
        ValueError::BadIpv4("3.3.0.300".into(), Ipv4Fault::OverByte("300".into()))
    );
}

#[test]
fn a_value_of_any_length_is_explained_at_once_and_briefly() {
    // Quadratic work on these would take minutes.
    for part in ["tcp:", "tcp://", "[", "%", "1.", "a:80,", " ", "\u{1b}", "/", "x", "'", "$a"] {
        for tail in ["", ":80", ":", "/tcp", "]:80"] {
            let value = part.repeat(1 << 16) + tail;
            if let Err(error) = value.parse::<VipRef>() {
                assert!(error.to_string().len() < 600, "{part:?} {tail:?}");
            }
        }
    }
}
