//! Measures small crates that are made up here.

use std::io;
use std::path::Path;

use crate::modules::Crate;
use crate::{Style, find_circles, measure_style};

/// Reads a crate of these files, the first of which is its root.
fn read_crate(files: &[(&str, &str)]) -> Crate {
    let read_file = |path: &Path| {
        let file = files.iter().find(|(name, _)| Path::new(name) == path);
        file.map(|(_, text)| (*text).to_owned()).ok_or(io::Error::from(io::ErrorKind::NotFound))
    };
    Crate::from_root(Path::new(files[0].0), &read_file).unwrap()
}

/// The circles of a crate of these files, by the names of their members.
fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
    let name = |path: &std::path::PathBuf| path.display().to_string();
    let circles = find_circles(&read_crate(files));
    circles.iter().map(|c| c.files.iter().map(name).collect::<Vec<_>>().join(" ")).collect()
}

fn style_of(text: &str) -> Style {
    measure_style(&[read_crate(&[("lib.rs", text)])])
}

#[test]
fn two_files_that_use_each_other_are_a_circle() {
    let circle = circles_of(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b::B; pub(crate) struct A;"),
        ("b.rs", "pub(crate) struct B; fn f() { crate::a::A; }"),
        ("c.rs", "use crate::{a::A, b::B};"),
    ]);
    assert_eq!(circle, ["a.rs b.rs"]);
}

#[test]
fn a_circle_may_be_long_and_there_may_be_several() {
    let circles = circles_of(&[
        ("lib.rs", "mod a; mod b; mod c; mod d; mod e;"),
        ("a.rs", "use super::b::f; pub(crate) fn f() {}"),
        ("b.rs", "use super::c; pub(crate) fn f() { c::f() }"),
        ("c.rs", "pub(crate) fn f() -> super::a::X {}"),
        ("d.rs", "use super::e::X; pub(crate) struct Y;"),
        ("e.rs", "pub(crate) struct X; impl From<super::d::Y> for X {}"),
    ]);
    // `a` defines no `X`: what isn't found counts for nothing.
    assert_eq!(circles, ["d.rs e.rs"]);
}

#[test]
fn a_path_leads_through_re_exports_to_the_defining_file() {
    let straight = circles_of(&[
        ("lib.rs", "mod a; pub use a::{A, One}; mod b;"),
        ("a/mod.rs", "mod one; pub use one::One as Renamed; pub use one::*; pub struct A;"),
        ("a/one.rs", "pub struct One; use crate::b::B;"),
        ("b.rs", "use crate::{One, a::Renamed}; pub struct B;"),
    ]);
    assert_eq!(straight, ["a/one.rs b.rs"]);
}

#[test]
fn a_re_export_is_no_use() {
    let none = circles_of(&[
        ("lib.rs", "mod a; pub use a::f; pub struct Root;"),
        ("a.rs", "use crate::Root; pub fn f() {}"),
    ]);
    assert!(none.is_empty(), "{none:?}");
    let used = circles_of(&[
        ("lib.rs", "mod a; pub use a::f; pub struct Root; fn g() { f() }"),
        ("a.rs", "use crate::Root; pub fn f() {}"),
    ]);
    assert_eq!(used, ["a.rs lib.rs"]);
}

#[test]
fn a_parent_and_its_child_may_be_a_circle() {
    let circle = circles_of(&[
        ("lib.rs", "mod a;"),
        ("a/mod.rs", "mod child; struct Mine; fn f() { child::g() }"),
        ("a/child.rs", "use super::Mine; pub(super) fn g() {}"),
    ]);
    assert_eq!(circle, ["a/child.rs a/mod.rs"]);
}

#[test]
fn inline_modules_and_bodies_and_macro_calls_are_looked_into() {
    let circle = circles_of(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "pub fn f() { use crate::b::{self}; println!(\"{}\", b::g::<u8>()); }"),
        ("b.rs", "pub fn g() {} mod inline { use super::super::a; fn h() { vec![a::f()] } }"),
    ]);
    assert_eq!(circle, ["a.rs b.rs"]);
}

#[test]
fn tests_and_fields_and_methods_count_for_nothing() {
    let none = circles_of(&[
        ("lib.rs", "mod a; mod b; #[cfg(test)] mod nowhere;"),
        (
            "a.rs",
            "pub fn f(b: u8) { b.g(); b::<u8>::g() } #[cfg(test)] mod tests { use crate::b::*; }",
        ),
        ("b.rs", "use crate::a::f; pub fn g() {}"),
    ]);
    assert!(none.is_empty(), "{none:?}");
}

#[test]
fn imports_that_lead_to_themselves_end() {
    let none = circles_of(&[
        ("lib.rs", "mod a; mod b; use a::X; use nowhere::Y;"),
        ("a.rs", "pub use crate::b::*;"),
        ("b.rs", "pub use crate::a::*;"),
    ]);
    assert!(none.is_empty(), "{none:?}");
}

#[test]
fn functions_are_counted_wherever_they_are_defined() {
    let style = style_of(
        "fn one() {} fn two_words() {} fn _private() {}
         impl A { pub(crate) async fn three(&self) { fn four() {} } }
         trait T { fn five(); }
         #[test] fn six() {} #[cfg(test)] mod tests { fn seven() {} }
         struct S { f: fn(u8) -> u8 }",
    );
    let names: Vec<_> = style.one_word_names.found.iter().map(|f| f.text.as_str()).collect();
    assert_eq!(names, ["one", "_private", "three", "four", "five"]);
    assert_eq!(style.one_word_names.total, 6);
    assert_eq!(style.one_word_names.found[2].line, 2);
}

#[test]
fn the_first_word_of_a_doc_comment_counts() {
    let style = style_of(
        "//! What it is.\n\n/// Whose it is.\n/// It is mine.\nstruct A {\n    /// Its field.\n    b: u8,\n    /// Whatever.\n    c: u8,\n}\n",
    );
    let found: Vec<_> =
        style.vague_comments.found.iter().map(|f| (f.line, f.text.as_str())).collect();
    assert_eq!(found, [(1, "What it is."), (3, "Whose it is."), (6, "Its field.")]);
    assert_eq!(style.vague_comments.total, 4);
    assert!(style.files_without_head.found.is_empty());
}

#[test]
fn a_file_without_a_head_is_found() {
    let style = style_of("/// Documents `a`.\nfn a() {}\n");
    assert_eq!(style.files_without_head.found.len(), 1);
    assert_eq!(style.vague_comments.total, 1);
}

#[test]
fn broken_source_is_an_error_that_names_the_file() {
    let read_file = |_: &Path| Ok("fn".to_owned());
    let error = Crate::from_root(Path::new("x.rs"), &read_file).err().unwrap();
    assert_eq!(error.to_string(), "cannot parse x.rs");
}
