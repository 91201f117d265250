//! `docs/configuration.md`, made of the types that are read: names, kinds and meanings out of their sources,
//! defaults out of the types themselves. `make reference` writes it; a test tells when it is stale.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use syn::punctuated::Punctuated;
use syn::{Attribute, Fields, GenericArgument, Item, Lit, Meta, PathArguments, Token, Type};

use super::pages::root;

const FILE: &str = "docs/configuration.md";

/// Crates in which types of settings are.
const CRATES: [(&str, &str); 7] = [
    ("zhili_dialogue", "crates/dialogue"),
    ("zhili_runtime", "crates/runtime"),
    ("zhili_warehouse", "crates/warehouse"),
    ("zhili_escalation", "services/escalation"),
    ("zhili_ingest", "services/ingest"),
    ("zhili_metrics", "services/metrics"),
    ("zhili_scoring", "services/scoring"),
];

/// Services, each with tables of its own beside those of all.
const SERVICES: [&str; 4] = ["ingest", "scoring", "escalation", "metrics"];

/// Tables that every service has.
const COMMON: [&str; 3] = ["kafka", "auth", "runtime"];

/// Everything with something in each place that may be left out, so that what is then the default of its
/// parts can be seen.
fn filled(service: &str) -> Value {
    let mut settings = json!({
        "kafka": { "tls": {} },
        "auth": { "oidc": { "login": {} } },
    });
    match service {
        "ingest" => {
            settings["ingest"] = json!({ "senders": [{ "platform": "chatwoot", "secret": "" }] });
        }
        "escalation" => settings["escalation"] = json!({ "default_webhook": {} }),
        _ => {}
    }
    settings
}

/// What a service goes by when it is told `settings`, all that it was not told included.
fn told(service: &str, settings: Value) -> Value {
    fn through<S: DeserializeOwned + Serialize>(settings: Value) -> Value {
        serde_json::to_value(serde_json::from_value::<S>(settings).unwrap()).unwrap()
    }
    match service {
        "ingest" => through::<zhili_ingest::Settings>(settings),
        "scoring" => through::<zhili_scoring::Settings>(settings),
        "escalation" => through::<zhili_escalation::Settings>(settings),
        _ => through::<zhili_metrics::Settings>(settings),
    }
}

/// A type out of its source.
enum Shape {
    /// A table, and whether all its keys may be left out.
    Table { fields: Vec<Field>, defaults: bool },
    /// One of some words, each with its meaning.
    Choice(Vec<(String, String)>),
    /// A text with rules of its own, by its meaning.
    Text(String),
}

struct Field {
    name: String,
    meaning: String,
    of: Type,
    /// Whether it may be left out where the others must be given.
    defaults: bool,
}

/// Types by crate and name.
struct Types(BTreeMap<(String, String), Shape>);

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

impl Types {
    fn read() -> Self {
        let mut types = BTreeMap::new();
        for (name, folder) in CRATES {
            Self::read_folder(name, &root().join(folder).join("src"), &mut types);
        }
        Self(types)
    }

    fn read_folder(of: &str, folder: &Path, types: &mut BTreeMap<(String, String), Shape>) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                Self::read_folder(of, &path, types);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let source = std::fs::read_to_string(&path).unwrap();
                if !source.contains("Deserialize") {
                    continue;
                }
                for item in syn::parse_file(&source).unwrap().items {
                    if let Some((name, shape)) = shape(&item) {
                        types.insert((of.to_owned(), name), shape);
                    }
                }
            }
        }
    }

    /// What a name means in a crate: a type of its own, else of the crate that all build on, else the only
    /// one of that name.
    fn find(&self, of: &str, path: &syn::Path) -> Option<(&str, &Shape)> {
        let name = path.segments.last()?.ident.to_string();
        let first = path.segments.first()?.ident.to_string();
        let own = CRATES.iter().map(|it| it.0).find(|it| *it == first).unwrap_or(of);
        let shapes = self.0.iter().filter(|((_, known), _)| *known == name);
        let mut shapes: Vec<_> = shapes.map(|((of, _), shape)| (of.as_str(), shape)).collect();
        for nearest in [own, "zhili_runtime"] {
            if let Some(near) = shapes.iter().find(|(of, _)| *of == nearest) {
                return Some(*near);
            }
        }
        assert!(shapes.len() < 2, "{of}: which {name} is meant?");
        shapes.pop()
    }
}

fn shape(item: &Item) -> Option<(String, Shape)> {
    match item {
        Item::Struct(item) if is_read(&item.attrs) => {
            let words = serde_words(&item.attrs);
            let name = item.ident.to_string();
            let Fields::Named(named) = &item.fields else {
                return Some((name, Shape::Text(meaning(&item.attrs))));
            };
            if words.contains_key("try_from") || words.contains_key("from") {
                return Some((name, Shape::Text(meaning(&item.attrs))));
            }
            let fields = named.named.iter().filter_map(|field| {
                let words = serde_words(&field.attrs);
                let own = field.ident.as_ref()?.to_string();
                (!words.contains_key("skip")).then(|| Field {
                    name: words.get("rename").cloned().flatten().unwrap_or(own),
                    meaning: meaning(&field.attrs),
                    of: field.ty.clone(),
                    defaults: words.contains_key("default"),
                })
            });
            let fields = fields.collect();
            Some((name, Shape::Table { fields, defaults: words.contains_key("default") }))
        }
        Item::Enum(item) if is_read(&item.attrs) => {
            let words = serde_words(&item.attrs);
            let way = words.get("rename_all").cloned().flatten();
            let variants = item.variants.iter().map(|variant| {
                (renamed(&variant.ident.to_string(), way.as_deref()), meaning(&variant.attrs))
            });
            Some((item.ident.to_string(), Shape::Choice(variants.collect())))
        }
        _ => None,
    }
}

/// The name of a type, and what stands between its angle brackets.
fn generic(of: &Type) -> Option<(&syn::Path, Vec<&Type>)> {
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

/// One key.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    key: String,
    kind: String,
    default: String,
    meaning: String,
}

/// A table of TOML with its keys.
#[derive(Debug, PartialEq, Eq)]
struct Section {
    /// Dotted; `[]` behind what may stand there several times.
    path: String,
    meaning: String,
    rows: Vec<Row>,
}

/// A table within a table.
struct Inner<'a> {
    /// Crate of its type.
    of: String,
    shape: &'a Shape,
    several: bool,
    optional: bool,
}

struct Walk<'a> {
    types: &'a Types,
    sections: Vec<Section>,
}

impl<'a> Walk<'a> {
    /// The keys of a table, then the tables in it. `given` is its values as they are unless told.
    fn table(&mut self, of: &str, shape: &Shape, path: &str, given: &Value, meaning: &str) {
        let Shape::Table { fields, defaults } = shape else { panic!("{path} is no table") };
        let place = self.sections.len();
        let section =
            Section { path: path.to_owned(), meaning: meaning.to_owned(), rows: Vec::new() };
        self.sections.push(section);
        // The types and what they really write must have the same keys.
        let mut written: Vec<&String> = given.as_object().unwrap().keys().collect();
        written.sort();
        let mut named: Vec<&String> = fields.iter().map(|field| &field.name).collect();
        named.sort();
        assert_eq!(written, named, "[{path}]");
        for field in fields {
            let inner = format!("{path}{}{}", if path.is_empty() { "" } else { "." }, field.name);
            let value = &given[&field.name];
            if let Some(table) = self.inner_table(of, &field.of) {
                let Inner { of, shape, several, optional } = table;
                let (path, value) =
                    if several { (format!("{inner}[]"), &value[0]) } else { (inner, value) };
                assert!(value.is_object(), "{path}: say in `filled` what there is");
                let absent = if optional { " Not in force unless it is there." } else { "" };
                let meaning = format!("{}{absent}", field.meaning);
                self.table(&of, shape, &path, value, &meaning);
                continue;
            }
            let (kind, rules) = self.kind(of, &field.of);
            let needed = !defaults && !field.defaults;
            let default = if needed { "must be given".to_owned() } else { shown(value) };
            let meaning = format!("{} {rules}", field.meaning).trim().to_owned();
            self.sections[place].rows.push(Row { key: field.name.clone(), kind, default, meaning });
        }
    }

    /// The table that a type is, behind `Option` and `Vec`.
    fn inner_table(&self, of: &str, kind: &Type) -> Option<Inner<'a>> {
        let (path, inner) = generic(kind)?;
        match (path.segments.last()?.ident.to_string().as_str(), inner.as_slice()) {
            ("Option", [inner]) => {
                self.inner_table(of, inner).map(|table| Inner { optional: true, ..table })
            }
            ("Vec", [inner]) => {
                self.inner_table(of, inner).map(|table| Inner { several: true, ..table })
            }
            _ => {
                let (of, shape) = self.types.find(of, path)?;
                let of = of.to_owned();
                let table = Inner { of, shape, several: false, optional: false };
                matches!(shape, Shape::Table { .. }).then_some(table)
            }
        }
    }

    /// What may be written for a type, and the rules of that.
    fn kind(&self, of: &str, kind: &Type) -> (String, String) {
        let (path, inner) = generic(kind).unwrap();
        let name = path.segments.last().unwrap().ident.to_string();
        match (name.as_str(), inner.as_slice()) {
            ("Option", [inner]) => self.kind(of, inner),
            ("Vec" | "BTreeSet", [inner]) => {
                let (kind, rules) = self.kind(of, inner);
                (format!("list of: {kind}"), rules)
            }
            ("BTreeMap", [_, inner]) => {
                let (kind, rules) = self.kind(of, inner);
                (format!("table of: {kind}"), rules)
            }
            ("String", []) => ("text".to_owned(), String::new()),
            ("Secret", []) => ("text, never shown".to_owned(), String::new()),
            ("PathBuf", []) => ("path".to_owned(), String::new()),
            ("SocketAddr", []) => ("`IP:PORT`".to_owned(), String::new()),
            ("bool", []) => ("`true` or `false`".to_owned(), String::new()),
            ("f32" | "f64", []) => ("number".to_owned(), String::new()),
            ("u16" | "u32" | "u64" | "usize", []) => {
                ("whole number, from 0".to_owned(), String::new())
            }
            ("i32" | "i64", []) => ("whole number".to_owned(), String::new()),
            _ => match self.types.find(of, path) {
                Some((_, Shape::Choice(words))) => {
                    let names: Vec<String> = words.iter().map(|it| format!("`{}`", it.0)).collect();
                    let said = words.iter().filter(|(_, meaning)| !meaning.is_empty());
                    let rules: Vec<String> = said
                        .map(|(name, meaning)| {
                            format!("`{name}`: {}", meaning.trim_end_matches('.'))
                        })
                        .collect();
                    (names.join(", "), with_stop(&rules.join("; ")))
                }
                Some((_, Shape::Text(rules))) => ("text".to_owned(), with_stop(rules)),
                Some((_, Shape::Table { .. })) | None => panic!("what is written for a {name}?"),
            },
        }
    }
}

fn with_stop(text: &str) -> String {
    if text.is_empty() || text.ends_with('.') { text.to_owned() } else { format!("{text}.") }
}

/// A value as TOML has it.
fn shown(value: &Value) -> String {
    let is_nothing = match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    if is_nothing { "none".to_owned() } else { format!("`{value}`") }
}

/// The sections of a service.
fn sections(types: &Types, service: &str) -> Vec<Section> {
    let of = format!("zhili_{service}");
    let shape = &types.0[&(of.clone(), "Settings".to_owned())];
    let mut walk = Walk { types, sections: Vec::new() };
    walk.table(&of, shape, "", &told(service, filled(service)), "");
    walk.sections
}

fn is_common(section: &Section) -> bool {
    COMMON
        .iter()
        .any(|table| section.path == *table || section.path.starts_with(&format!("{table}.")))
}

/// Variable that sets a key; what stands several times has none for its parts.
fn variable(path: &str, key: &str) -> String {
    if path.contains("[]") {
        return String::new();
    }
    let parts = path.split('.').filter(|part| !part.is_empty()).chain([key]);
    let parts: Vec<String> = parts.map(str::to_uppercase).collect();
    format!("`{}{}`", zhili_runtime::config::PREFIX, parts.join("__"))
}

fn write_section(page: &mut String, section: &Section) {
    let heading = match section.path.strip_suffix("[]") {
        Some(path) => format!("`[[{path}]]`"),
        None if section.path.is_empty() => "At the top".to_owned(),
        None => format!("`[{}]`", section.path),
    };
    writeln!(page, "### {heading}\n").unwrap();
    if !section.meaning.is_empty() {
        writeln!(page, "{}\n", section.meaning).unwrap();
    }
    writeln!(page, "| key | what | unless given | variable | meaning |\n|---|---|---|---|---|")
        .unwrap();
    for Row { key, kind, default, meaning } in &section.rows {
        let variable = variable(&section.path, key);
        let meaning = meaning.replace('|', "\\|");
        writeln!(page, "| `{key}` | {kind} | {default} | {variable} | {meaning} |").unwrap();
    }
    page.push('\n');
}

const HEAD: &str = "\
# Settings of the services

What `zhili-ingest`, `zhili-scoring`, `zhili-escalation` and `zhili-metrics` read at their start: defaults, then the file of
`--config FILE` (TOML), then variables. A key that is not here is refused. `--check-config` prints what is in force.
Values of variables are TOML, so a list is `[\"a\", \"b\"]`; what is no TOML is a text. How to run the services is in
[operations](operations.md). What a tenant has in force, such as who is paged and by when, is no setting of a process but a
bundle: [what a tenant has in force](operations.md#what-a-tenant-has-in-force). `zhili up` has its own settings on the
command line: `zhili up --help`.

This page is written by `make reference` out of the types that are read.
";

/// The page as it should be.
fn page() -> String {
    let types = Types::read();
    let mut page = HEAD.to_owned();
    let mut common: Option<Vec<Section>> = None;
    for service in SERVICES {
        let (shared, own): (Vec<_>, Vec<_>) =
            sections(&types, service).into_iter().partition(is_common);
        writeln!(page, "\n## zhili-{service}\n").unwrap();
        for section in own.iter().filter(|section| !section.rows.is_empty()) {
            write_section(&mut page, section);
        }
        match &common {
            None => common = Some(shared),
            Some(common) => assert_eq!(*common, shared, "{service} has other common settings"),
        }
    }
    writeln!(page, "\n## All services\n").unwrap();
    for section in common.iter().flatten().filter(|section| !section.rows.is_empty()) {
        write_section(&mut page, section);
    }
    while page.contains("\n\n\n") {
        page = page.replace("\n\n\n", "\n\n");
    }
    format!("{}\n", page.trim_end())
}

#[test]
fn the_reference_of_settings_is_what_the_types_say() {
    let (file, page) = (root().join(FILE), page());
    if std::env::var_os("ZHILI_WRITE_REFERENCE").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    let differ = written.lines().zip(page.lines()).find(|(written, page)| written != page);
    assert!(written == page, "{FILE} is stale, `make reference` writes it: {differ:?}");
}

#[test]
fn a_variable_of_the_reference_sets_what_it_says() {
    assert_eq!(variable("kafka.tls", "ca"), "`ZHILI_KAFKA__TLS__CA`");
    assert_eq!(variable("", "pseudonym_key"), "`ZHILI_PSEUDONYM_KEY`");
    assert_eq!(variable("ingest.senders[]", "secret"), "");
}
