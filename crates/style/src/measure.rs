//! Measures the style of crates.

use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;

use crate::circles::{Circle, find_circles};
use crate::modules::Crate;
use crate::scan::{Piece, scan_tokens};

/// First words of doc comments that name neither an action nor a thing.
const VAGUE_WORDS: [&str; 9] =
    ["What", "Who", "Whose", "How", "It", "Its", "Where", "That", "Whether"];

/// The measured style of crates.
#[derive(Debug, Default)]
pub struct Style {
    /// Functions whose name is a single word.
    pub one_word_names: Share,
    /// Doc comments that begin with a word that names neither an action nor a thing.
    pub vague_comments: Share,
    /// Files that begin without a `//!` comment.
    pub files_without_head: Share,
    /// Circles of imports.
    pub circles: Vec<Circle>,
}

/// The number of things of a kind, and those of them that break a rule.
#[derive(Debug, Default)]
pub struct Share {
    /// All of them, counted.
    pub total: usize,
    /// Those that break the rule.
    pub found: Vec<Finding>,
}

impl Share {
    /// Returns the share of those found, in percent.
    #[must_use]
    pub fn percent(&self) -> f64 {
        self.found.len() as f64 * 100.0 / self.total.max(1) as f64
    }
}

/// A place in the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub path: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
    /// The name or the comment's first line.
    pub text: String,
}

/// Measures all of these crates together.
#[must_use]
pub fn measure_style(crates: &[Crate]) -> Style {
    let mut style = Style::default();
    for krate in crates {
        for file in &krate.files {
            style.files_without_head.total += 1;
            if !file.has_head {
                let finding = Finding { path: file.path.clone(), line: 1, text: String::new() };
                style.files_without_head.found.push(finding);
            }
            style.measure_tokens(&file.path, file.attributes.clone());
        }
        for module in &krate.modules {
            let path = &krate.files[module.file].path;
            for tokens in &module.code {
                style.measure_tokens(path, tokens.clone());
            }
        }
        style.circles.extend(find_circles(krate));
    }
    style
}

impl Style {
    fn measure_tokens(&mut self, path: &Path, tokens: TokenStream) {
        scan_tokens(tokens, &mut |piece| match piece {
            Piece::Function(name) => {
                let line = name.span().start().line;
                let name = name.to_string();
                let is_found = !name.trim_matches('_').contains('_');
                self.one_word_names.add(is_found, path, line, name);
            }
            Piece::DocComment(line, text) => {
                let word = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
                let is_found = VAGUE_WORDS.contains(&word);
                self.vague_comments.add(is_found, path, line, text);
            }
            Piece::Import(_) | Piece::Path(_) => {}
        });
    }
}

impl Share {
    fn add(&mut self, is_found: bool, path: &Path, line: usize, text: String) {
        self.total += 1;
        if is_found {
            self.found.push(Finding { path: path.to_owned(), line, text });
        }
    }
}
