//! Texts that are no JSON, recognised so that an error can say what they are and what to do.

use std::fmt;

/// A text, or a place in one, that is something else than JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// UTF-16 or UTF-32.
    Utf16,
    /// A compressed file.
    Compressed,
    /// An answer saved with its HTTP headers.
    HttpHeaders,
    /// A Markdown code fence.
    CodeFence,
    /// A script.
    Script,
    /// YAML.
    Yaml,
    /// TOML, HCL or a properties file.
    Assignment,
    /// The mark of a conflict in a version control system.
    Conflict,
    /// A variable or directive of a template.
    Template,
    /// A comment.
    Comment,
    /// A string in single quotes.
    SingleQuotes,
    /// Typographic quotes.
    CurlyQuotes,
    /// A character that looks like a blank, or like nothing.
    InvisibleCharacter,
    /// A byte that is not UTF-8, outside of any string.
    NotUtf8,
    /// A value as Python or JavaScript writes it.
    OtherLiteral,
    /// A key without quotes.
    BareKey,
    /// Another document after the first.
    SecondDocument,
}

impl Foreign {
    /// Returns what it is, and what to do.
    fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::Utf16 => {
                ("it is UTF-16 or UTF-32", "save it as UTF-8, as `iconv -f UTF-16 -t UTF-8` does")
            }
            Self::Compressed => ("it is compressed", "unpack it first, as `gunzip` does"),
            Self::HttpHeaders => {
                ("it begins with HTTP headers", "save the body alone (curl without -i)")
            }
            Self::CodeFence => {
                ("it has a Markdown code fence", "save only what is inside the fence")
            }
            Self::Script => ("it is a script", "save only the JSON that the script sends"),
            Self::Yaml => {
                ("it looks like YAML", "Marathon takes JSON: convert it, as `yq -o json` does")
            }
            Self::Assignment => (
                "it looks like TOML, HCL or a properties file",
                "Marathon takes JSON: convert it, and write \"key\": value",
            ),
            Self::Conflict => ("it has the mark of a merge conflict", "resolve the conflict first"),
            Self::Template => ("it is a template", "fill it in first, and check the result"),
            Self::Comment => (
                "it has a comment, and JSON has none",
                "remove the comment: Marathon refuses it, too",
            ),
            Self::SingleQuotes => ("a string is in single quotes", "write \" instead of '"),
            Self::CurlyQuotes => {
                ("a string is in typographic quotes", "write \" instead, in a plain text editor")
            }
            Self::InvisibleCharacter => {
                ("it has an invisible or foreign blank", "replace the character by a plain space")
            }
            Self::NotUtf8 => ("it has a byte that is not UTF-8", "save it as UTF-8"),
            Self::OtherLiteral => (
                "it has a value of Python or JavaScript",
                "write true, false or null, as `json.dumps` and `JSON.stringify` do",
            ),
            Self::BareKey => ("a key has no quotes", "write \"key\": value"),
            Self::SecondDocument => (
                "a second document follows the first",
                "put both in a list, as `jq -s .` does, or check them one by one",
            ),
        }
    }

    /// Recognises a body by its first bytes, before it is taken for text.
    pub(super) fn in_bytes(body: &[u8]) -> Option<Self> {
        match body {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 0, 0xfe, 0xff, ..] => Some(Self::Utf16),
            // JSON begins with ASCII.
            [0, byte, ..] | [byte, 0, ..] if *byte != 0 => Some(Self::Utf16),
            [0, 0, 0, byte, ..] if *byte != 0 => Some(Self::Utf16),
            [0x1f, 0x8b, ..] | [b'P', b'K', 3, 4, ..] | [b'B', b'Z', b'h', ..] => {
                Some(Self::Compressed)
            }
            [0xfd, b'7', b'z', ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Compressed),
            _ => None,
        }
    }

    /// Recognises what a parser met at a place of a text, where JSON was expected.
    pub(super) fn at_place(text: &str, place: usize) -> Option<Self> {
        let begins = text.trim_start();
        let by_begin = [
            ("HTTP/", Self::HttpHeaders),
            ("```", Self::CodeFence),
            ("#!", Self::Script),
            ("curl ", Self::Script),
            ("---", Self::Yaml),
            ("%YAML", Self::Yaml),
        ];
        if let Some((_, found)) = by_begin.iter().find(|(mark, _)| begins.starts_with(mark)) {
            return Some(*found);
        }
        let first = begins.lines().next().unwrap_or_default();
        if !begins.starts_with(['{', '[', '"']) && !first.starts_with(['\'', '/', '#']) {
            if first.starts_with("- ") || is_yaml_line(first) {
                return Some(Self::Yaml);
            }
            if first.split_once('=').is_some_and(|(key, _)| is_word(key.trim())) {
                return Some(Self::Assignment);
            }
        }
        // A mark of two characters may be noticed at its second.
        Self::at(text.get(place..)?).or_else(|| {
            let before = text[..place].chars().next_back()?;
            let mark = Self::at(&text[place - before.len_utf8()..])?;
            (mark == Self::Template || mark == Self::Comment).then_some(mark)
        })
    }

    fn at(rest: &str) -> Option<Self> {
        let literals = ["True", "False", "None", "NaN", "undefined", "Infinity", "nil"];
        let templates = ["{{", "{%", "{#", "${", "$(", "<%", "%{", "%(", "@@", "$"];
        let begins_with = |marks: &[&str]| marks.iter().any(|mark| rest.starts_with(mark));
        if begins_with(&["<<<<<<<", "=======", ">>>>>>>", "|||||||"]) {
            return Some(Self::Conflict);
        }
        if begins_with(&templates) {
            return Some(Self::Template);
        }
        if begins_with(&["//", "/*", "#", "<!--"]) {
            return Some(Self::Comment);
        }
        if begins_with(&["```"]) {
            return Some(Self::CodeFence);
        }
        if begins_with(&literals) {
            return Some(Self::OtherLiteral);
        }
        match rest.chars().next()? {
            '\'' | '`' => Some(Self::SingleQuotes),
            '\u{2018}'..='\u{201f}' | '«' | '»' | '\u{301d}'..='\u{301f}' | '\u{ff02}' => {
                Some(Self::CurlyQuotes)
            }
            '\u{fffd}' => Some(Self::NotUtf8),
            '\u{feff}' | '\u{ad}' => Some(Self::InvisibleCharacter),
            c if c.is_whitespace() && !c.is_ascii() => Some(Self::InvisibleCharacter),
            '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' => Some(Self::InvisibleCharacter),
            c if c.is_ascii_alphabetic() => {
                let (key, after) =
                    rest.split_at(rest.find(|c| !is_word_char(c)).unwrap_or(rest.len()));
                let bare = !key.is_empty() && after.trim_start().starts_with([':', '=']);
                bare.then_some(Self::BareKey)
            }
            _ => None,
        }
    }

    /// Recognises the text after a complete document.
    pub(super) fn after_document(rest: &str) -> Option<Self> {
        let rest = rest.trim_start();
        let next = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
        let begins_document = next.starts_with(['{', '[']) && !next.starts_with("{{");
        match begins_document || next.starts_with("---") {
            true => Some(Self::SecondDocument),
            false if rest.starts_with(',') => None,
            false => Self::at(rest),
        }
    }
}

/// Formats as `it is a template; fill it in first, and check the result`.
impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (found, remedy) = self.describe();
        write!(f, "{found}; {remedy}")
    }
}

fn is_yaml_line(line: &str) -> bool {
    line.split_once(':').is_some_and(|(key, value)| {
        is_word(key.trim_matches(['"', '\''])) && (value.is_empty() || value.starts_with(' '))
    })
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_word_char)
}

fn is_word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.'
}
