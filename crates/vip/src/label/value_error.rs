//! Reasons why a value is no VIP, each with the right form.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::value::{VipRef, is_name, is_nearly_ipv4, parse_address, parse_port, parse_value};

/// The error for an invalid value of a VIP label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// No colon in the value.
    #[error("no port: write ADDRESS:PORT, such as 3.3.0.6:3306")]
    MissingPort,
    /// An address or a name alone.
    #[error("no port: write {0}:PORT")]
    OnlyAddress(String),
    /// Nothing before the colon.
    #[error("no address before the port: write ADDRESS:PORT, such as 3.3.0.6:3306")]
    MissingAddress,
    /// No valid port after the last colon.
    #[error("port {0:?} is not a number from 1 to 65535")]
    BadPort(String),
    /// Port 0, which stands for any port in other places.
    #[error("port 0 is no port: write the one that clients connect to")]
    PortZero,
    /// A range of ports.
    #[error("{0:?} is a range of ports, and a VIP has one port: write one label for each")]
    PortRange(String),
    /// A protocol after the port.
    #[error("{0:?} names a protocol: write {1}, and the protocol in the port's `protocol`")]
    ProtocolAfterPort(String, String),
    /// Something else after the port.
    #[error("{0:?} follows the port: write {1}")]
    PathAfterPort(String, String),
    /// A scheme in front.
    #[error("it begins with {0:?}: write {1}, and the protocol in the port's `protocol`")]
    Scheme(String, String),
    /// `name:80:90`.
    #[error("it has two ports, {0:?} and {1:?}: write ADDRESS:PORT, such as 3.3.0.6:3306")]
    TwoPorts(String, String),
    /// `a:b:80`.
    #[error("it has more than one colon: write ADDRESS:PORT, such as 3.3.0.6:3306")]
    Colons,
    /// Several values in one.
    #[error("it holds more than one VIP: write one label for each, such as VIP_0 and VIP_1")]
    Several,
    /// A slash in front of an address, as in front of a name.
    #[error("a slash stands in front of the address: write {0}")]
    Slash(String),
    /// A prefix length.
    #[error("a VIP is one address, without a prefix length such as {0:?}: write {1}")]
    Prefix(String, String),
    /// The zone of a link-local address.
    #[error("an address of a VIP has no zone such as {0:?}: write {1}")]
    Zone(String, String),
    /// An IPv4 address in brackets.
    #[error("only IPv6 addresses stand in brackets: write {0}")]
    Ipv4InBrackets(String),
    /// Brackets that don't enclose the address.
    #[error("the brackets are not around the address: write [ADDRESS]:PORT, such as [fd01::1]:80")]
    Brackets,
    /// A misspelt IPv4 address; not taken for a name.
    #[error("{0:?} looks like an IP address but is not one: {1}")]
    BadIpv4(String, Ipv4Fault),
    /// A misspelt IPv6 address.
    #[error(
        "{0:?} looks like an IP address but is not one: write [ADDRESS]:PORT, such as [fd01::1]:80"
    )]
    BadIpv6(String),
    /// A blank, a tab or another control character.
    #[error("it has blanks or control characters: write {0}")]
    Blank(String),
    /// A character that may look right.
    #[error(
        "it has the character U+{:04X}, which is not ASCII: type the value anew, such as \
         3.3.0.6:3306",
        u32::from(*.0)
    )]
    NotAscii(char),
    /// Quotes in the value.
    #[error("quotes are part of the value: write {0}")]
    Quotes(String),
    /// A variable that was not replaced.
    #[error("it is a template: write its value before you post the definition")]
    Template,
    /// A label beyond the limit for one port.
    #[error("the port has over 64 VIP labels already: those after them are not read")]
    TooMany,
    /// Neither an address nor a name.
    #[error("{0:?} is neither an IP address nor a name of letters, digits, '-', '.', '_' and '/'")]
    BadName(String),
}

/// What is wrong with an IPv4 address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ipv4Fault {
    /// Not four parts.
    #[error("an IPv4 address has four parts, such as 3.3.0.6, and this has {0}")]
    Parts(usize),
    /// Nothing between two dots, or after the last.
    #[error("a dot is too many; write four parts, such as 3.3.0.6")]
    EmptyPart,
    /// A part above 255.
    #[error("{0:?} is over 255")]
    OverByte(String),
    /// Leading zeros, which some programs take for an octal number.
    #[error("{0:?} has leading zeros, which may mean an octal number; write it without")]
    LeadingZeros(String),
    /// A hexadecimal number.
    #[error("{0:?} is hexadecimal; write four decimal parts, such as 3.3.0.6")]
    Hexadecimal(String),
    /// Anything else.
    #[error("{0:?} is not a number")]
    NotNumber(String),
}

/// The form to write where a better one can't be told.
const ANY_FORM: &str = "ADDRESS:PORT, such as 3.3.0.6:3306";

/// Limit of characters of a text in an error.
const MAX_QUOTED: usize = 64;

impl FromStr for VipRef {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        parse_value(value).ok_or_else(|| ValueError::explain(value))
    }
}

impl ValueError {
    /// Finds the reason why a value is no VIP.
    fn explain(value: &str) -> Self {
        Self::of_characters(value)
            .or_else(|| Self::of_scheme(value))
            .unwrap_or_else(|| Self::of_parts(value))
    }

    /// Finds characters that no VIP has.
    fn of_characters(value: &str) -> Option<Self> {
        let odd = |c: char| c.is_ascii_whitespace() || c.is_ascii_control();
        let variable = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if ["{{", "${", "$(", "<%", "%("].iter().any(|mark| value.contains(mark))
            || value.split('$').skip(1).any(variable)
        {
            return Some(Self::Template);
        }
        if holds_several(value) {
            return Some(Self::Several);
        }
        if let Some(odd) = value.chars().find(|c| !c.is_ascii()) {
            return Some(Self::NotAscii(odd));
        }
        if value.trim_matches(odd).is_empty() {
            return Some(Self::MissingPort);
        }
        if value.contains(odd) {
            return Some(Self::Blank(form_of(&value.replace(odd, ""))));
        }
        let quotes = ['"', '\'', '`'];
        (value.contains(quotes)).then(|| Self::Quotes(form_of(&value.replace(quotes, ""))))
    }

    /// Finds a scheme in front: `tcp://name:80`, `tcp:3.3.0.6:80`.
    fn of_scheme(value: &str) -> Option<Self> {
        let (scheme, rest) = match value.split_once("://") {
            Some((scheme, rest)) => (format!("{scheme}://"), rest),
            None => {
                let (scheme, rest) = value.split_once(':')?;
                parse_value(rest).filter(|_| is_protocol(scheme))?;
                (format!("{scheme}:"), rest)
            }
        };
        let rest = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        Some(Self::Scheme(clip(&scheme), form_of(rest)))
    }

    /// Finds what is wrong with the address, the port or the name.
    fn of_parts(value: &str) -> Self {
        if let Some(address) = parse_address(value) {
            return Self::OnlyAddress(match address {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => format!("[{address}]"),
            });
        }
        if let Some((address, rest)) = value.split_once('%').filter(|(left, _)| left.contains(':'))
        {
            let (zone, port) = rest.rsplit_once(':').unwrap_or((rest, ""));
            let form = form_of(&format!("{}:{port}", address.trim_start_matches('[')));
            return Self::Zone(clip(zone.trim_end_matches(']')), form);
        }
        let Some((left, right)) = value.rsplit_once(':') else {
            return match is_name(value) && value.len() <= MAX_QUOTED {
                true => Self::OnlyAddress(value.to_owned()),
                false => Self::MissingPort,
            };
        };
        if left.is_empty() || left == "*" {
            return Self::MissingAddress;
        }
        if parse_port(right).is_none() {
            return Self::of_port(left, right);
        }
        Self::of_address(left, right)
    }

    fn of_port(left: &str, right: &str) -> Self {
        let is_number =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_range = |(from, to): (&str, &str)| is_number(from) && is_number(to);
        if right.is_empty() {
            return Self::MissingPort;
        }
        if right.contains(['[', ']']) {
            return Self::Brackets;
        }
        if is_protocol(right) && parse_value(left).is_some() {
            return Self::ProtocolAfterPort(format!(":{right}"), form_of(left));
        }
        if let Some((port, rest)) = right.split_once('/').filter(|(port, _)| is_number(port)) {
            let form = form_of(&format!("{left}:{port}"));
            let rest = clip(&format!("/{rest}"));
            return match &rest[1..] {
                name if is_protocol(name) => Self::ProtocolAfterPort(rest, form),
                length if is_number(length) => Self::Prefix(rest, form),
                _ => Self::PathAfterPort(rest, form),
            };
        }
        if right.split_once('-').or(right.split_once("..")).is_some_and(is_range) {
            return Self::PortRange(clip(right));
        }
        match is_number(right) && right.bytes().all(|byte| byte == b'0') {
            true => Self::PortZero,
            false => Self::BadPort(clip(right)),
        }
    }

    fn of_address(left: &str, port: &str) -> Self {
        let with_port = |address: &str| form_of(&format!("{address}:{port}"));
        let slashless = left.trim_start_matches('/');
        if left.starts_with('/') && parse_address(slashless).is_some() {
            return Self::Slash(with_port(slashless));
        }
        if left.contains(['[', ']']) {
            let inner = left.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            return match inner {
                Some(inner) if is_nearly_ipv4(inner) => Self::Ipv4InBrackets(with_port(inner)),
                Some(inner) if !inner.contains(['[', ']']) => Self::BadIpv6(clip(inner)),
                _ => Self::Brackets,
            };
        }
        if let Some((address, length)) = slashless.split_once('/')
            && (parse_address(address).is_some() || is_nearly_ipv4(address))
        {
            return Self::Prefix(clip(&format!("/{length}")), with_port(address));
        }
        if let Some((address, first)) = left.rsplit_once(':') {
            let resembles_ipv6 = left.starts_with(|c: char| c.is_ascii_hexdigit() || c == ':')
                && (left.contains("::") || left.split(':').count() > 2);
            return match parse_port(first) {
                _ if resembles_ipv6 => Self::BadIpv6(clip(left)),
                Some(_) if !address.is_empty() => Self::TwoPorts(clip(first), clip(port)),
                _ => Self::Colons,
            };
        }
        if is_nearly_ipv4(slashless) {
            return Self::BadIpv4(clip(left), Ipv4Fault::of_text(slashless));
        }
        Self::BadName(clip(left))
    }
}

impl Ipv4Fault {
    fn of_text(text: &str) -> Self {
        let parts: Vec<_> = text.split('.').collect();
        let is_hexadecimal = |part: &&&str| part.starts_with("0x") || part.starts_with("0X");
        if let Some(part) = parts.iter().find(is_hexadecimal) {
            return Self::Hexadecimal(clip(part));
        }
        if parts.iter().any(|part| part.is_empty()) {
            return Self::EmptyPart;
        }
        if parts.len() != 4 {
            return Self::Parts(parts.len());
        }
        let is_odd = |part: &&&str| part.parse::<u8>().is_err() || part.starts_with('0');
        match parts.iter().filter(|part| **part != "0").find(is_odd) {
            Some(part) if part.bytes().any(|byte| !byte.is_ascii_digit()) => {
                Self::NotNumber(clip(part))
            }
            Some(part) if part.starts_with('0') => Self::LeadingZeros(clip(part)),
            Some(part) => Self::OverByte(clip(part)),
            None => Self::Parts(parts.len()),
        }
    }
}

/// Tells whether a value is a list of VIPs, or of ports.
fn holds_several(value: &str) -> bool {
    let separator = |c: char| c.is_ascii_whitespace() || ",;|&+".contains(c);
    let mut parts = value.split(separator).filter(|part| !part.is_empty());
    let first = parts.next().is_some_and(|part| parse_value(part).is_some());
    let is_another = |part: &str| part.contains(':') || parse_port(part).is_some();
    first && parts.any(is_another)
}

fn is_protocol(text: &str) -> bool {
    ["tcp", "udp", "sctp", "http", "https"].iter().any(|name| text.eq_ignore_ascii_case(name))
}

/// Returns the form to write instead: `value` if it is right.
fn form_of(value: &str) -> String {
    let short = value.len() <= MAX_QUOTED;
    match parse_value(value) {
        Some(VipRef::Address(address, port)) => SocketAddr::new(address, port.get()).to_string(),
        Some(VipRef::Named(..)) if short => value.to_owned(),
        _ => ANY_FORM.to_owned(),
    }
}

fn clip(text: &str) -> String {
    text.chars().take(MAX_QUOTED).collect()
}
