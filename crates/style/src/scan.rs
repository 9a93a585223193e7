//! Finds functions, doc comments, imports and paths in Rust's tokens. Inside macro calls too, which
//! have no syntax tree.

use proc_macro2::{Group, Ident, TokenStream, TokenTree};
use syn::ItemUse;

/// A part of the source that is measured.
pub(crate) enum Piece {
    /// The name of a function that is defined here.
    Function(Ident),
    /// The first line of a doc comment, and its line number.
    DocComment(usize, String),
    /// An import in the body of a function.
    Import(ItemUse),
    /// A path such as `crate::a::b`, or a single name.
    Path(Vec<String>),
}

/// Hands every piece in `tokens` to `found`, in order.
pub(crate) fn scan_tokens(tokens: TokenStream, found: &mut impl FnMut(Piece)) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let mut index = 0;
    let mut in_comment = false;
    while index < tokens.len() {
        let rest = &tokens[index..];
        let comment = leading_doc_comment(rest);
        let was_in_comment = std::mem::replace(&mut in_comment, comment.is_some());
        index += if let Some((taken, line, text)) = comment {
            if !was_in_comment {
                found(Piece::DocComment(line, text));
            }
            taken
        } else if let Some((taken, import)) = leading_import(rest) {
            found(Piece::Import(import));
            taken
        } else if let [TokenTree::Ident(word), TokenTree::Ident(name), ..] = rest
            && word == "fn"
        {
            found(Piece::Function(name.clone()));
            2
        } else if let Some((taken, path)) = leading_path(rest) {
            if !continues_path(&tokens[..index]) {
                found(Piece::Path(path));
            }
            taken
        } else {
            if let TokenTree::Group(group) = &rest[0] {
                scan_tokens(group.stream(), found);
            }
            1
        };
    }
}

/// Tells by its attributes whether an item is for tests only.
pub(crate) fn is_test(item: &TokenStream) -> bool {
    let mut tokens = item.clone().into_iter();
    while let (Some(TokenTree::Punct(hash)), Some(TokenTree::Group(attribute))) =
        (tokens.next(), tokens.next())
    {
        if hash.as_char() != '#' {
            return false;
        }
        let text = attribute.stream().to_string().replace(' ', "");
        if matches!(text.as_str(), "test" | "cfg(test)") || text.starts_with("cfg(all(test,") {
            return true;
        }
    }
    false
}

/// Reads a line of a doc comment that `tokens` begin with: the number of its tokens, its line
/// number and its text.
fn leading_doc_comment(tokens: &[TokenTree]) -> Option<(usize, usize, String)> {
    let (taken, attribute) = match tokens {
        [hash, TokenTree::Group(group), ..] if is_punct(hash, '#') => (2, group),
        [hash, bang, TokenTree::Group(group), ..] if is_punct(hash, '#') && is_punct(bang, '!') => {
            (3, group)
        }
        _ => return None,
    };
    let line = attribute.span().start().line;
    Some((taken, line, doc_text(attribute)?))
}

/// Reads the text of `[doc = "text"]`.
fn doc_text(attribute: &Group) -> Option<String> {
    let tokens: Vec<_> = attribute.stream().into_iter().collect();
    match tokens.as_slice() {
        [TokenTree::Ident(doc), equals, TokenTree::Literal(text)]
            if doc == "doc" && is_punct(equals, '=') =>
        {
            let text: syn::LitStr = syn::parse_str(&text.to_string()).ok()?;
            Some(text.value().trim().to_owned())
        }
        _ => None,
    }
}

/// Reads an import that `tokens` begin with, and the number of its tokens.
fn leading_import(tokens: &[TokenTree]) -> Option<(usize, ItemUse)> {
    let TokenTree::Ident(word) = tokens.first()? else { return None };
    if word != "use" {
        return None;
    }
    let taken = tokens.iter().position(|token| is_punct(token, ';'))? + 1;
    let import = syn::parse2(tokens[..taken].iter().cloned().collect()).ok()?;
    Some((taken, import))
}

/// Reads a path that `tokens` begin with, and the number of its tokens.
fn leading_path(tokens: &[TokenTree]) -> Option<(usize, Vec<String>)> {
    let TokenTree::Ident(first) = tokens.first()? else { return None };
    let mut path = vec![first.to_string()];
    let mut taken = 1;
    while let [a, b, TokenTree::Ident(next), ..] = &tokens[taken..]
        && is_punct(a, ':')
        && is_punct(b, ':')
    {
        path.push(next.to_string());
        taken += 3;
    }
    Some((taken, path))
}

/// Tells whether a name after these tokens continues them, as in `a.name` and `A::<B>::name`.
fn continues_path(before: &[TokenTree]) -> bool {
    match before {
        [.., a, b] if is_punct(a, ':') && is_punct(b, ':') => true,
        [.., a, b] if is_punct(a, '.') && is_punct(b, '.') => false,
        [.., a] => is_punct(a, '.'),
        [] => false,
    }
}

fn is_punct(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}
