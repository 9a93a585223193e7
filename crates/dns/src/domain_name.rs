//! Domain names in wire format, lower-cased, which is how they are compared and looked up.

/// The longest name in wire format without the root label, RFC 1035 section 2.3.4.
const MAX_WIRE: usize = 254;

/// The longest label, RFC 1035 section 2.3.4.
const MAX_LABEL: usize = 63;

/// A domain name: its labels in wire format and lower case, without the root label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(Box<[u8]>);

/// The reason why a text is not a domain name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DomainNameError {
    /// Two dots in a row, a dot at the beginning, or nothing.
    #[error("a label is empty")]
    EmptyLabel,
    /// A label longer than 63 bytes.
    #[error("a label is longer than 63 characters")]
    LongLabel,
    /// A name longer than 253 characters.
    #[error("the name is longer than 253 characters")]
    LongName,
    /// A character that would have to be escaped.
    #[error("only ASCII letters, digits, `-` and `_` may be in a name")]
    Character,
}

impl DomainName {
    /// Parses a name as people write it. A final dot is allowed.
    ///
    /// # Errors
    /// When it isn't a name.
    pub fn parse(text: &str) -> Result<Self, DomainNameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let mut wire = Vec::with_capacity(text.len() + 1);
        for label in text.split('.') {
            push_label(&mut wire, label)?;
        }
        match wire.len() <= MAX_WIRE {
            true => Ok(Self(wire.into())),
            false => Err(DomainNameError::LongName),
        }
    }

    /// Returns the labels in wire format.
    #[must_use]
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }
}

/// Returns the name without its first label; empty for a name of one label.
pub(crate) fn parent_labels(wire: &[u8]) -> &[u8] {
    let first = wire.first().map_or(0, |length| usize::from(*length) + 1);
    wire.get(first..).unwrap_or_default()
}

/// Returns the offsets at which the labels of a name begin.
pub(crate) fn label_offsets(wire: &[u8]) -> impl Iterator<Item = usize> {
    let next = |offset: &usize| Some(offset + usize::from(*wire.get(*offset)?) + 1);
    std::iter::successors(Some(0), next).take_while(|offset| *offset < wire.len())
}

fn push_label(wire: &mut Vec<u8>, label: &str) -> Result<(), DomainNameError> {
    let length = u8::try_from(label.len()).unwrap_or(u8::MAX);
    match usize::from(length) {
        0 => return Err(DomainNameError::EmptyLabel),
        length if length > MAX_LABEL => return Err(DomainNameError::LongLabel),
        _ => wire.push(length),
    }
    for byte in label.bytes() {
        if !byte.is_ascii_alphanumeric() && byte != b'-' && byte != b'_' {
            return Err(DomainNameError::Character);
        }
        wire.push(byte.to_ascii_lowercase());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_lower_cased_labels_with_their_lengths() {
        let name = DomainName::parse("My_SQL.Marathon.").map(|name| name.as_wire().to_vec());
        assert_eq!(name, Ok(b"\x06my_sql\x08marathon".to_vec()));
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_reason() {
        let long = ["a"; 128].join(".");
        for (text, error) in [
            ("", DomainNameError::EmptyLabel),
            (".", DomainNameError::EmptyLabel),
            ("a..b", DomainNameError::EmptyLabel),
            (".a", DomainNameError::EmptyLabel),
            (&"a".repeat(64), DomainNameError::LongLabel),
            (&"a".repeat(600), DomainNameError::LongLabel),
            (&long, DomainNameError::LongName),
            ("a b", DomainNameError::Character),
            ("é", DomainNameError::Character),
        ] {
            assert_eq!(DomainName::parse(text), Err(error), "{text}");
        }
        assert!(DomainName::parse(&["a"; 127].join(".")).is_ok());
    }
}
