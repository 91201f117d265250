//! The tables of a document with their keys: what its types say, held against what they do.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use syn::Type;

use super::types::{Known, Part, Shape, Types, generic};

/// Stands in paths for a name that whoever writes the file chooses.
pub(super) const NAME: &str = "NAME";

/// No type has a key like this.
const UNKNOWN: &str = "no such key";

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) key: String,
    pub(super) kind: String,
    pub(super) default: String,
    pub(super) meaning: String,
}

/// A table of TOML with its keys, which may stand in several places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    /// Path and meaning of each place. Paths are dotted, with `[]` behind what may stand there several times.
    pub(super) places: Vec<(String, String)>,
    pub(super) rows: Vec<Row>,
}

impl Section {
    pub(super) fn path(&self) -> &str {
        &self.places[0].0
    }
}

/// What somebody writes, and who reads it.
pub(super) struct Document {
    /// Crate and name of its type.
    pub(super) of: (&'static str, &'static str),
    /// Where it stands in the file; empty for the whole of it.
    pub(super) path: &'static str,
    /// Something in each place where there may be a table, and no more than that needs.
    pub(super) filled: Value,
    /// What its type makes of it, what it was not told included.
    pub(super) read: fn(Value) -> Result<Value, String>,
}

impl Document {
    /// Its tables in the order of the types.
    ///
    /// # Panics
    /// When a type has other keys than its source, a key has no meaning, or `filled` is not.
    pub(super) fn sections(&self, types: &Types) -> Vec<Section> {
        let known = types.get(self.of.0, self.of.1);
        let mut walk = Walk { document: self, types, sections: Vec::new() };
        let meaning = if self.path.is_empty() { "" } else { &known.meaning };
        walk.table(known, self.path, "", meaning);
        let mut sections: Vec<Section> = Vec::new();
        for section in walk.sections.into_iter().filter(|it| !it.rows.is_empty()) {
            match sections.last_mut() {
                Some(last) if last.rows == section.rows => last.places.extend(section.places),
                _ => sections.push(section),
            }
        }
        sections
    }

    /// The keys that the type knows at a place: a key that it does not is refused with a list of them.
    fn known_keys(&self, at: &str, instead: bool) -> BTreeSet<String> {
        let mut filled = self.filled.clone();
        let place = place(&mut filled, at);
        if instead {
            *place = Value::Null;
        }
        place[UNKNOWN] = json!({});
        let refused = (self.read)(filled).expect_err("a key that is not there is refused");
        expected(&refused).unwrap_or_else(|| panic!("{at}: {refused}"))
    }

    /// What a key has unless it is given; nothing if it must be.
    fn unless_given(&self, at: &str, key: &str) -> Result<Option<Value>, String> {
        let mut filled = self.filled.clone();
        if let Some(Value::Object(table)) = filled.pointer_mut(at) {
            table.remove(key);
        }
        match (self.read)(filled) {
            Ok(read) => {
                let table = read.pointer(at).and_then(Value::as_object);
                let table = table.unwrap_or_else(|| panic!("{at}: say in `filled` what there is"));
                Ok(Some(table.get(key).cloned().unwrap_or_default()))
            }
            Err(error) if error.contains(&format!("missing field `{key}`")) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What is at a place of a document; a table on the way that is not there is made.
fn place<'a>(filled: &'a mut Value, at: &str) -> &'a mut Value {
    at.split('/').skip(1).fold(filled, |value, step| match value {
        Value::Array(values) => &mut values[step.parse::<usize>().unwrap()],
        value => &mut value[step],
    })
}

/// The names that an error says were expected in place of [`UNKNOWN`].
fn expected(error: &str) -> Option<BTreeSet<String>> {
    let (_, names) = error.split_once(&format!("`{UNKNOWN}`, expected "))?;
    Some(names.split('`').skip(1).step_by(2).map(str::to_owned).collect())
}

/// A table within a table.
struct Inner<'a> {
    known: &'a Known,
    /// What stands behind the key: `[]` for a list of tables, a name for tables by name.
    several: Option<&'static str>,
    optional: bool,
}

struct Walk<'a> {
    document: &'a Document,
    types: &'a Types,
    sections: Vec<Section>,
}

impl<'a> Walk<'a> {
    /// The keys of a table, then the tables in it. `at` is where it is in the document as it is filled.
    fn table(&mut self, known: &'a Known, path: &str, at: &str, meaning: &str) {
        let known = self.types.written(known);
        let place = self.sections.len();
        let places = vec![(path.to_owned(), meaning.to_owned())];
        self.sections.push(Section { places, rows: Vec::new() });
        match &known.shape {
            Shape::Table(parts) => {
                self.check(path, parts, &self.document.known_keys(at, false));
                for part in parts {
                    self.key(known, part, place, path, at);
                }
            }
            Shape::As(of, meaning) => {
                let (kind, _) = self.kind(known, of);
                let kind = kind.strip_prefix("table of: ").unwrap_or_else(|| panic!("{path}"));
                self.row(place, NAME, kind, "none", meaning);
            }
            _ => panic!("{path} is no table"),
        }
    }

    fn check(&self, path: &str, parts: &[Part], known: &BTreeSet<String>) {
        let named: BTreeSet<String> = parts.iter().map(|part| part.name.clone()).collect();
        assert_eq!(*known, named, "[{path}] of {:?}", self.document.of);
        for Part { name, meaning, .. } in parts {
            assert!(!meaning.is_empty(), "[{path}] {name}: say what it means");
        }
    }

    fn row(&mut self, section: usize, key: &str, kind: &str, default: &str, meaning: &str) {
        let [key, kind, default, meaning] = [key, kind, default, meaning].map(str::to_owned);
        self.sections[section].rows.push(Row { key, kind, default, meaning });
    }

    /// A key of a table, which is a row of it, or tables of their own.
    fn key(&mut self, known: &'a Known, part: &Part, section: usize, path: &str, at: &str) {
        let Part { name, meaning, of } = part;
        let of = of.as_ref().unwrap();
        let unless_given = self.document.unless_given(at, name);
        let Some(inner) = self.inner_table(known, of) else {
            let default = match unless_given {
                // What a type leaves out of what it writes is `false`, for there is no third.
                Ok(Some(Value::Null)) if is_bool(of) => shown(&Value::Bool(false)),
                Ok(Some(value)) => shown(&value),
                Ok(None) => "must be given".to_owned(),
                Err(error) => panic!("[{path}]: `filled` must do without {name}: {error}"),
            };
            let (kind, rules) = self.kind(known, of);
            self.row(section, name, &kind, &default, &joined(&[meaning, &rules]));
            return;
        };
        let needed = match unless_given {
            Ok(None) => " Must be given.",
            _ if inner.optional => " Not in force unless it is there.",
            _ => "",
        };
        let (meaning, at) = (format!("{meaning}{needed}"), format!("{at}/{name}"));
        let path = [path, name].into_iter().filter(|it| !it.is_empty());
        let path = path.collect::<Vec<_>>().join(".");
        match inner.several {
            Some(NAME) => {
                let names = self.document.filled.pointer(&at).and_then(Value::as_object);
                let names =
                    names.unwrap_or_else(|| panic!("{path}: say in `filled` what is there"));
                let path = format!("{path}.{NAME}");
                if let Shape::OneOf(parts) = &inner.known.shape {
                    self.one_of(inner.known, parts, &path, &at, names, &meaning);
                    return;
                }
                let first = names.keys().next().unwrap();
                self.table(inner.known, &path, &format!("{at}/{first}"), &meaning);
            }
            Some(several) => {
                self.table(inner.known, &format!("{path}{several}"), &format!("{at}/0"), &meaning);
            }
            None => self.table(inner.known, &path, &at, &meaning),
        }
    }

    /// Tables by name, each with one of some keys and a table behind it.
    fn one_of(
        &mut self,
        known: &'a Known,
        parts: &'a [Part],
        path: &str,
        at: &str,
        names: &serde_json::Map<String, Value>,
        meaning: &str,
    ) {
        let place = self.sections.len();
        let places = vec![(path.to_owned(), meaning.to_owned())];
        self.sections.push(Section { places, rows: Vec::new() });
        let first = names.keys().next().unwrap();
        self.check(path, parts, &self.document.known_keys(&format!("{at}/{first}"), true));
        for part in parts {
            let inner = part.of.as_ref().and_then(|of| self.inner_table(known, of));
            let kind = if inner.is_some() { "table" } else { "table without keys" };
            self.row(place, &part.name, kind, "one of these", &part.meaning);
        }
        for part in parts {
            let Some(of) = &part.of else { continue };
            let inner = self.inner_table(known, of).unwrap();
            let (name, path) = (&part.name, format!("{path}.{}", part.name));
            let entry = names.iter().find(|(_, it)| it.get(name).is_some());
            let (entry, _) = entry.unwrap_or_else(|| panic!("{path}: say in `filled` what it is"));
            self.table(inner.known, &path, &format!("{at}/{entry}/{name}"), &part.meaning);
        }
    }

    /// The table that a type is, behind what may be left out or be there several times.
    fn inner_table(&self, at: &'a Known, of: &Type) -> Option<Inner<'a>> {
        let (path, inner) = generic(of)?;
        match (path.segments.last()?.ident.to_string().as_str(), inner.as_slice()) {
            ("Option", [inner]) => {
                self.inner_table(at, inner).map(|table| Inner { optional: true, ..table })
            }
            ("Vec", [inner]) => {
                self.inner_table(at, inner).map(|table| Inner { several: Some("[]"), ..table })
            }
            ("BTreeMap", [_, inner]) => {
                self.inner_table(at, inner).map(|table| Inner { several: Some(NAME), ..table })
            }
            _ => {
                let known = self.types.find(at, path)?;
                let is_table =
                    matches!(self.types.written(known).shape, Shape::Table(_) | Shape::OneOf(_));
                is_table.then_some(Inner { known, several: None, optional: false })
            }
        }
    }

    /// What may be written for a type, and the rules of that.
    fn kind(&self, at: &Known, of: &Type) -> (String, String) {
        let (path, inner) = match of {
            Type::Array(array) => {
                let (kind, rules) = self.kind(at, &array.elem);
                return (format!("pair of: {kind}"), rules);
            }
            of => generic(of).unwrap(),
        };
        let name = path.segments.last().unwrap().ident.to_string();
        let plain = match (name.as_str(), inner.as_slice()) {
            ("Option", [inner]) => return self.kind(at, inner),
            ("Vec" | "BTreeSet", [inner]) => {
                let (kind, rules) = self.kind(at, inner);
                return (format!("list of: {kind}"), rules);
            }
            ("BTreeMap", [key, inner]) => {
                let (kind, rules) = self.kind(at, inner);
                let (_, names) = self.kind(at, key);
                return (format!("table of: {kind}"), joined(&[&names, &rules]));
            }
            ("String", []) => "text",
            ("Secret", []) => "text, never shown",
            ("char", []) => "one character",
            ("PathBuf", []) => "path",
            ("SocketAddr", []) => "`IP:PORT`",
            ("bool", []) => "`true` or `false`",
            ("f32" | "f64", []) => "number",
            ("u16" | "u32" | "u64" | "usize", []) => "whole number, from 0",
            ("i32" | "i64", []) => "whole number",
            _ => {
                let known = self.types.find(at, path);
                let known = known.unwrap_or_else(|| panic!("what is written for a {name}?"));
                return self.own_kind(known);
            }
        };
        (plain.to_owned(), String::new())
    }

    /// The same of a type of the project.
    fn own_kind(&self, known: &Known) -> (String, String) {
        match &known.shape {
            Shape::Words(words) => {
                let names: Vec<String> = words.iter().map(|it| format!("`{}`", it.0)).collect();
                let said = words.iter().filter(|(_, meaning)| !meaning.is_empty());
                let said = said.map(|(name, it)| format!("`{name}`: {}", it.trim_end_matches('.')));
                (names.join(", "), with_stop(&said.collect::<Vec<_>>().join("; ")))
            }
            Shape::Forms(forms) => {
                let kinds = forms.iter().map(|it| self.kind(known, it).0);
                // Of what is in them the meaning tells.
                let kinds: Vec<String> =
                    kinds.map(|it| it.split(" of: ").next().unwrap().to_owned()).collect();
                (kinds.join(" or "), with_stop(&known.meaning))
            }
            Shape::As(of, _) => {
                let (kind, rules) = self.kind(known, of);
                (kind, joined(&[&with_stop(&known.meaning), &rules]))
            }
            Shape::Table(_) | Shape::OneOf(_) => panic!("{} is a table", known.meaning),
        }
    }
}

fn is_bool(of: &Type) -> bool {
    generic(of).is_some_and(|(path, _)| path.is_ident("bool"))
}

/// What there is of some texts.
fn joined(texts: &[&str]) -> String {
    let texts = texts.iter().copied().filter(|it| !it.is_empty());
    texts.collect::<Vec<_>>().join(" ")
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

#[test]
fn a_refusal_says_which_keys_there_are() {
    let names = |names: &[&str]| Some(names.iter().map(|it| (*it).to_owned()).collect());
    for (error, said) in [
        ("unknown field `no such key`, expected one of `a`, `b`, `c`", names(&["a", "b", "c"])),
        ("unknown variant `no such key`, expected `a` or `b`", names(&["a", "b"])),
        ("unknown field `no such key`, expected `a` at line 1", names(&["a"])),
        ("missing field `a`", None),
    ] {
        assert_eq!(expected(error), said, "{error}");
    }
}
