//! The modules of a crate and the files that hold them, tests left out.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Item, ItemMod, ItemUse};

use crate::StyleError;
use crate::scan::is_test;

/// A library or a program: its files and modules.
pub struct Crate {
    /// The first is the crate's root.
    pub(crate) files: Vec<SourceFile>,
    /// The first is the crate's root. A module's parent stands before it.
    pub(crate) modules: Vec<Module>,
}

/// A source file.
pub(crate) struct SourceFile {
    pub(crate) path: PathBuf,
    /// True if it begins with a `//!` comment.
    pub(crate) has_head: bool,
    /// The attributes of the file, its `//!` comment among them.
    pub(crate) attributes: TokenStream,
}

/// A module, in a file of its own or inline.
pub(crate) struct Module {
    /// The index of its file.
    pub(crate) file: usize,
    /// The index of the module around it.
    pub(crate) parent: Option<usize>,
    pub(crate) children: BTreeMap<String, usize>,
    /// Names of the items that it defines, modules aside.
    pub(crate) defined: BTreeSet<String>,
    pub(crate) imports: Vec<ItemUse>,
    /// All other items, and the attributes of modules in it.
    pub(crate) code: Vec<TokenStream>,
}

/// Reads a file's text.
type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

impl Crate {
    /// Reads the crate whose root module is the file `root`.
    pub(crate) fn from_root(root: &Path, read_file: ReadFile<'_>) -> Result<Self, StyleError> {
        let mut krate = Self { files: Vec::new(), modules: Vec::new() };
        let folder = root.parent().unwrap_or(Path::new(""));
        krate.add_file(None, root.to_owned(), folder, read_file)?;
        Ok(krate)
    }

    /// Adds a module that fills a file. `folder` holds the files of its child modules.
    fn add_file(
        &mut self,
        parent: Option<usize>,
        path: PathBuf,
        folder: &Path,
        read_file: ReadFile<'_>,
    ) -> Result<usize, StyleError> {
        let text = read_file(&path)
            .map_err(|source| StyleError::ReadFile { path: path.clone(), source })?;
        let parsed = syn::parse_file(&text)
            .map_err(|source| StyleError::ParseFile { path: path.clone(), source })?;
        let has_head = text.trim_start().starts_with("//!");
        let attributes = parsed.attrs.iter().map(ToTokens::to_token_stream).collect();
        self.files.push(SourceFile { path, has_head, attributes });
        self.add_module(parent, self.files.len() - 1, parsed.items, folder, read_file)
    }

    /// Adds a module with these items, and the modules in it.
    fn add_module(
        &mut self,
        parent: Option<usize>,
        file: usize,
        items: Vec<Item>,
        folder: &Path,
        read_file: ReadFile<'_>,
    ) -> Result<usize, StyleError> {
        let index = self.modules.len();
        self.modules.push(Module {
            file,
            parent,
            children: BTreeMap::new(),
            defined: BTreeSet::new(),
            imports: Vec::new(),
            code: Vec::new(),
        });
        for item in items {
            let tokens = item.to_token_stream();
            if is_test(&tokens) {
                continue;
            }
            self.modules[index].defined.extend(defined_name(&item));
            match item {
                Item::Use(import) => self.modules[index].imports.push(import),
                Item::Mod(module) => {
                    let name = module.ident.to_string();
                    let attributes = module.attrs.iter().map(ToTokens::to_token_stream);
                    self.modules[index].code.push(attributes.collect());
                    let child = self.add_child(index, module, folder, read_file)?;
                    self.modules[index].children.insert(name, child);
                }
                _ => self.modules[index].code.push(tokens),
            }
        }
        Ok(index)
    }

    fn add_child(
        &mut self,
        parent: usize,
        module: ItemMod,
        folder: &Path,
        read_file: ReadFile<'_>,
    ) -> Result<usize, StyleError> {
        let folder = folder.join(module.ident.to_string());
        if let Some((_, items)) = module.content {
            return self.add_module(
                Some(parent),
                self.modules[parent].file,
                items,
                &folder,
                read_file,
            );
        }
        let beside = folder.with_extension("rs");
        let path = if read_file(&beside).is_ok() { beside } else { folder.join("mod.rs") };
        self.add_file(Some(parent), path, &folder, read_file)
    }
}

/// Returns the name by which other code refers to an item.
fn defined_name(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}
