//! Text from outside, made safe to print.

use std::fmt::{self, Write};

/// Shows a text from outside, such as a label, on one line of a terminal or a log. It escapes what
/// could forge a line, move the cursor, hide or reorder text, or command a CI system that reads the
/// output: `::error::` at the beginning of a line, `##vso[` and `##[` anywhere.
#[derive(Debug, Clone, Copy)]
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0;
        let mut rest = text;
        let trimmed = text.trim_start();
        if let Some(command) = trimmed.strip_prefix("::")
            && command.starts_with(|c: char| c.is_ascii_alphabetic())
        {
            write!(f, "{}\\u{{3a}}:", Printable(&text[..text.len() - trimmed.len()]))?;
            rest = command;
        }
        let mut before = ' ';
        for c in rest.chars() {
            match c {
                '#' if before == '#' => f.write_str("\\u{23}")?,
                c if is_unprintable(c) => write!(f, "{}", c.escape_default())?,
                c => f.write_char(c)?,
            }
            before = c;
        }
        Ok(())
    }
}

/// Tells whether a character is not shown as itself: a control character, the end of a line, a mark
/// that changes the direction of text, or an invisible character.
#[must_use]
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Escapes in a JSON text what [`Printable`] escapes elsewhere. Its strings stay the same.
#[must_use]
pub fn escape_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    let mut before = ' ';
    for c in json.chars() {
        if c != '\n' && is_unprintable(c) || c == '#' && before == '#' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(c);
        }
        before = c;
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_its_strings_and_shows_none_of_them_raw() {
        let text = "a\n\u{1b}[0m\u{7f}\u{9b}\u{202e}\u{2028}##vso[x] # \u{e0001} \u{1d173} ü";
        let json = escape_json(&serde_json::to_string_pretty(&[text]).unwrap());
        assert!(!json.replace('\n', "").contains(is_unprintable), "{json}");
        assert!(!json.contains("##"), "{json}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [text]);
    }

    #[test]
    fn nothing_forges_a_line_or_a_command() {
        for (text, expected) in [
            ("/mysql VIP_0=3.3.0.6:3306", "/mysql VIP_0=3.3.0.6:3306"),
            ("Grüße, 世界 👋", "Grüße, 世界 👋"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\u{1b}[31mred\u{9b}0m", "\\u{1b}[31mred\\u{9b}0m"),
            ("\u{7f}\u{0}\u{85}", "\\u{7f}\\u{0}\\u{85}"),
            ("a\u{2028}b\u{2029}c", "a\\u{2028}b\\u{2029}c"),
            ("\u{202e}evil\u{2066}", "\\u{202e}evil\\u{2066}"),
            ("z\u{200b}w\u{feff}", "z\\u{200b}w\\u{feff}"),
            ("::error::no", "\\u{3a}:error::no"),
            ("  ::set-output name=x::y", "  \\u{3a}:set-output name=x::y"),
            ("\n::error::no", "\\n\\u{3a}:error::no"),
            ("a ::error::", "a ::error::"),
            ("::1 and ::", "::1 and ::"),
            ("x ##vso[task.complete]", "x #\\u{23}vso[task.complete]"),
            ("##[error]", "#\\u{23}[error]"),
            ("###", "#\\u{23}\\u{23}"),
            ("# one", "# one"),
            ("", ""),
        ] {
            assert_eq!(Printable(text).to_string(), expected, "{text:?}");
            assert_eq!(Printable(expected).to_string(), expected, "it stays");
        }
    }
}
