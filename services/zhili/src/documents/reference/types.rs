//! Types as their sources have them: names, kinds and meanings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use syn::punctuated::Punctuated;
use syn::{Attribute, Fields, GenericArgument, Item, Lit, Meta, PathArguments, Token, Type};

use super::super::pages::root;

/// Crates in which types are that somebody writes in a file.
const CRATES: [(&str, &str); 9] = [
    ("zhili", "services/zhili"),
    ("zhili_dialogue", "crates/dialogue"),
    ("zhili_escalation", "services/escalation"),
    ("zhili_incident", "crates/incident"),
    ("zhili_ingest", "services/ingest"),
    ("zhili_metrics", "services/metrics"),
    ("zhili_runtime", "crates/runtime"),
    ("zhili_scoring", "services/scoring"),
    ("zhili_warehouse", "crates/warehouse"),
];

/// A type that is read.
pub(super) struct Known {
    of: &'static str,
    file: PathBuf,
    name: String,
    pub(super) meaning: String,
    pub(super) shape: Shape,
}

/// What is written for a type.
pub(super) enum Shape {
    /// A table with these keys.
    Table(Vec<Part>),
    /// A table with one of these keys, behind each of which is a table.
    OneOf(Vec<Part>),
    /// One of some words, each with its meaning.
    Words(Vec<(String, String)>),
    /// One of several forms, which its meaning tells of.
    Forms(Vec<Type>),
    /// What is written for another type, with rules of its own, and what the parts of it mean.
    As(Type, String),
}

/// A key of a table.
pub(super) struct Part {
    pub(super) name: String,
    pub(super) meaning: String,
    /// What is behind it; nothing for a table without keys.
    pub(super) of: Option<Type>,
}

pub(super) struct Types(Vec<Known>);

impl Types {
    pub(super) fn read() -> Self {
        let mut types = Self(Vec::new());
        for (name, folder) in CRATES {
            types.read_folder(name, &root().join(folder).join("src"));
        }
        types
    }

    fn read_folder(&mut self, of: &'static str, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                self.read_folder(of, &path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let source = std::fs::read_to_string(&path).unwrap();
                if !source.contains("Deserialize") {
                    continue;
                }
                for item in syn::parse_file(&source).unwrap().items {
                    let Some((name, meaning, shape)) = shape(&item) else { continue };
                    self.0.push(Known { of, file: path.clone(), name, meaning, shape });
                }
            }
        }
    }

    /// The type of this name in a crate.
    pub(super) fn get(&self, of: &str, name: &str) -> &Known {
        let mut found = self.0.iter().filter(|it| it.of == of && it.name == name);
        let known = found.next().unwrap_or_else(|| panic!("{of} has no {name}"));
        assert!(found.next().is_none(), "{of}: which {name} is meant?");
        known
    }

    /// What a path means where a type is: a name one of the same file, else of the crate that is named or its
    /// own, else of the one that all build on, else the only one of that name.
    pub(super) fn find(&self, at: &Known, path: &syn::Path) -> Option<&Known> {
        let name = &path.segments.last()?.ident;
        let first = &path.segments.first()?.ident;
        let own = CRATES.iter().map(|it| it.0).find(|it| first == it).unwrap_or(at.of);
        let is_near: [&dyn Fn(&Known) -> bool; 4] = [
            &|it| path.segments.len() == 1 && it.file == at.file,
            &|it| it.of == own,
            &|it| it.of == "zhili_runtime",
            &|_| true,
        ];
        is_near.iter().find_map(|is_near| {
            let mut near = self.0.iter().filter(|it| name == &it.name && is_near(it));
            let known = near.next()?;
            assert!(near.next().is_none(), "{}: which {name} is meant?", at.file.display());
            Some(known)
        })
    }

    /// The type itself, or the one as which it is written.
    pub(super) fn written<'a>(&'a self, known: &'a Known) -> &'a Known {
        let Shape::As(of, _) = &known.shape else { return known };
        let inner = generic(of).and_then(|(path, _)| self.find(known, path));
        inner.map_or(known, |inner| self.written(inner))
    }
}

/// The text of `name = "text"`.
fn text(meta: &Meta) -> Option<String> {
    let Meta::NameValue(pair) = meta else { return None };
    let syn::Expr::Lit(literal) = &pair.value else { return None };
    let Lit::Str(text) = &literal.lit else { return None };
    Some(text.value())
}

/// Meaning out of the lines of a comment: references to code become its last name.
fn meaning(attributes: &[Attribute]) -> String {
    let comments = attributes.iter().filter(|it| it.path().is_ident("doc"));
    let lines = comments.filter_map(|it| Some(text(&it.meta)?.trim().to_owned()));
    let mut meaning = lines.collect::<Vec<_>>().join(" ");
    while let Some(begin) = meaning.find("[`") {
        let Some(length) = meaning[begin..].find("`]") else { break };
        let name = meaning[begin + 2..begin + length].rsplit("::").next().unwrap_or_default();
        let name = format!("`{name}`");
        meaning.replace_range(begin..begin + length + 2, &name);
    }
    meaning.trim().to_owned()
}

/// What `#[serde(...)]` says: the names, and texts behind them.
fn serde_words(attributes: &[Attribute]) -> BTreeMap<String, Option<String>> {
    let mut words = BTreeMap::new();
    for attribute in attributes.iter().filter(|it| it.path().is_ident("serde")) {
        let metas = attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
        for meta in metas.unwrap() {
            let name = meta.path().get_ident().map(ToString::to_string).unwrap_or_default();
            words.insert(name, text(&meta));
        }
    }
    words
}

fn is_read(attributes: &[Attribute]) -> bool {
    let mut derives = attributes.iter().filter(|it| it.path().is_ident("derive"));
    derives.any(|it| {
        let paths = it.parse_args_with(Punctuated::<syn::Path, Token![,]>::parse_terminated);
        paths.unwrap().iter().any(|it| it.segments.last().unwrap().ident == "Deserialize")
    })
}

/// A name in the way that the type asks for.
fn renamed(name: &str, way: Option<&str>) -> String {
    match way {
        None => name.to_owned(),
        Some("lowercase") => name.to_lowercase(),
        Some("kebab-case" | "snake_case") => {
            let joint = if way == Some("kebab-case") { '-' } else { '_' };
            let mut words = String::new();
            for letter in name.chars() {
                if letter.is_uppercase() && !words.is_empty() {
                    words.push(joint);
                }
                words.extend(letter.to_lowercase());
            }
            words
        }
        Some(other) => panic!("{name}: no name is made in the way `{other}`"),
    }
}

/// Name, meaning and shape of a type that is read.
fn shape(item: &Item) -> Option<(String, String, Shape)> {
    let (name, attributes) = match item {
        Item::Struct(item) => (&item.ident, &item.attrs),
        Item::Enum(item) => (&item.ident, &item.attrs),
        _ => return None,
    };
    if !is_read(attributes) {
        return None;
    }
    let words = serde_words(attributes);
    let other = ["try_from", "from"].iter().find_map(|it| words.get(*it)?.as_deref());
    let shape = match (item, other) {
        (_, Some(other)) => Shape::As(syn::parse_str(other).unwrap(), String::new()),
        (Item::Struct(item), None) => of_struct(&item.fields)?,
        (Item::Enum(item), None) => of_enum(item, &words),
        _ => return None,
    };
    Some((name.to_string(), meaning(attributes), shape))
}

fn of_struct(fields: &Fields) -> Option<Shape> {
    match fields {
        Fields::Named(named) => {
            let parts = named.named.iter().filter_map(|field| {
                let words = serde_words(&field.attrs);
                let own = field.ident.as_ref()?.to_string();
                (!words.contains_key("skip")).then(|| Part {
                    name: words.get("rename").cloned().flatten().unwrap_or(own),
                    meaning: meaning(&field.attrs),
                    of: Some(field.ty.clone()),
                })
            });
            Some(Shape::Table(parts.collect()))
        }
        Fields::Unnamed(unnamed) => {
            let field = unnamed.unnamed.first()?;
            Some(Shape::As(field.ty.clone(), meaning(&field.attrs)))
        }
        Fields::Unit => None,
    }
}

fn of_enum(item: &syn::ItemEnum, words: &BTreeMap<String, Option<String>>) -> Shape {
    let way = words.get("rename_all").cloned().flatten();
    let inner = |variant: &syn::Variant| Some(variant.fields.iter().next()?.ty.clone());
    if words.contains_key("untagged") {
        return Shape::Forms(item.variants.iter().filter_map(inner).collect());
    }
    let parts = item.variants.iter().map(|variant| Part {
        name: renamed(&variant.ident.to_string(), way.as_deref()),
        meaning: meaning(&variant.attrs),
        of: inner(variant),
    });
    if item.variants.iter().all(|it| matches!(it.fields, Fields::Unit)) {
        return Shape::Words(parts.map(|it| (it.name, it.meaning)).collect());
    }
    Shape::OneOf(parts.collect())
}

/// The name of a type, and what stands between its angle brackets.
pub(super) fn generic(of: &Type) -> Option<(&syn::Path, Vec<&Type>)> {
    let Type::Path(path) = of else { return None };
    let inner = match &path.path.segments.last()?.arguments {
        PathArguments::AngleBracketed(inner) => inner.args.iter().collect(),
        _ => Vec::new(),
    };
    let types = inner.into_iter().filter_map(|it| match it {
        GenericArgument::Type(of) => Some(of),
        _ => None,
    });
    Some((&path.path, types.collect()))
}
