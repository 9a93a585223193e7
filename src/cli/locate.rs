//! Finds the line of a label in the file that it was read from.

use jsonc_parser::ast::{Object, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use vip::LabelPlace;

/// A parsed file with the positions of its lines.
pub(super) struct Lines<'a> {
    root: Option<Value<'a>>,
    /// The byte offsets of all lines but the first.
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    /// Parses a text. In one that can't be parsed, no label is found.
    pub(super) fn parse(text: &'a str) -> Self {
        let root = parse_to_ast(text, &CollectOptions::default(), &ParseOptions::default());
        let starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = starts.map(|(at, _)| at + 1).collect();
        Self { root: root.ok().and_then(|parsed| parsed.value), starts }
    }

    /// Returns the line of a label, counted from 1.
    pub(super) fn find_label(&self, place: &LabelPlace) -> Option<usize> {
        let labels = object_at(self.root.as_ref()?, &place.path)?;
        let mut equal = labels.properties.iter().filter(|each| each.name.as_str() == place.key);
        let start = equal.nth(place.occurrence)?.range().start;
        Some(1 + self.starts.partition_point(|line| *line <= start))
    }
}

/// Returns the object at a path such as `$.apps[3].container.portMappings[0].labels`.
fn object_at<'v, 'a>(root: &'v Value<'a>, path: &str) -> Option<&'v Object<'a>> {
    let mut value = root;
    for segment in path.strip_prefix('$')?.split(['.', '[']).filter(|segment| !segment.is_empty()) {
        value = match segment.strip_suffix(']') {
            Some(index) => value.as_array()?.elements.get(index.parse::<usize>().ok()?)?,
            // Of equal names the last counts, as it does for Marathon.
            None => {
                let properties = &value.as_object()?.properties;
                &properties.iter().rev().find(|each| each.name.as_str() == segment)?.value
            }
        };
    }
    value.as_object()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, path: &str, key: &str, occurrence: usize) -> Option<usize> {
        let place = LabelPlace {
            app: "/a".into(),
            port: Some(0),
            path: path.into(),
            key: key.into(),
            occurrence,
            value: String::new(),
        };
        Lines::parse(text).find_label(&place)
    }

    const TEXT: &str =
        "{\n \"apps\": [\n  {\"labels\": {\n   \"VIP_0\": \"a\",\n   \"VIP_0\": \"b\"}}]}";

    #[test]
    fn each_of_two_equal_keys_has_its_own_line() {
        assert_eq!(line(TEXT, "$.apps[0].labels", "VIP_0", 0), Some(4));
        assert_eq!(line(TEXT, "$.apps[0].labels", "VIP_0", 1), Some(5));
        assert_eq!(line("{\"labels\": {\"VIP\": \"a\"}}", "$.labels", "VIP", 0), Some(1));
    }

    #[test]
    fn what_is_not_there_has_no_line() {
        assert_eq!(line(TEXT, "$.apps[0].labels", "VIP_0", 2), None);
        assert_eq!(line(TEXT, "$.apps[7].labels", "VIP_0", 0), None);
        assert_eq!(line(TEXT, "$.apps[0].labels.VIP_0", "VIP_0", 0), None);
        assert_eq!(line("{", "$", "VIP_0", 0), None);
        assert_eq!(line(&"[".repeat(100_000), "$", "VIP_0", 0), None);
    }
}
