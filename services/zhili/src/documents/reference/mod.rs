//! `docs/configuration.md`, made of the types that are read: names, kinds and meanings out of their sources,
//! defaults out of the types themselves. `make reference` writes it; a test tells when it is stale.

mod documents;
mod types;
mod walk;

use std::fmt::Write as _;

use toml::Value;

use self::types::Types;
use self::walk::{NAME, Row, Section};
use super::pages::{pages, root};
use crate::config;

const FILE: &str = "docs/configuration.md";

/// Tables that every service has.
const COMMON: [&str; 3] = ["kafka", "auth", "runtime"];

fn is_common(section: &Section) -> bool {
    let table = section.path().split('.').next();
    table.is_some_and(|table| COMMON.contains(&table))
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

/// Tables as the page has them; with the variables of their keys for settings of a service.
fn write_sections(page: &mut String, sections: &[Section], with_variables: bool) {
    for section in sections {
        writeln!(page, "### {}\n", heading(section)).unwrap();
        if let [(_, meaning)] = section.places.as_slice() {
            writeln!(page, "{meaning}\n").unwrap();
        } else {
            for (path, meaning) in &section.places {
                writeln!(page, "- `{}`: {meaning}", last(path)).unwrap();
            }
            page.push('\n');
        }
        let (title, line) = if with_variables { (" variable |", "---|") } else { ("", "") };
        writeln!(page, "| key | what | unless given |{title} meaning |\n|---|---|---|{line}---|")
            .unwrap();
        for Row { key, kind, default, meaning } in &section.rows {
            let variable = variable(section.path(), key);
            let variable = if with_variables { format!(" {variable} |") } else { String::new() };
            let meaning = meaning.replace('|', "\\|");
            writeln!(page, "| `{key}` | {kind} | {default} |{variable} {meaning} |").unwrap();
        }
        page.push('\n');
    }
}

/// The first place in full, of others what is different.
fn heading(section: &Section) -> String {
    let path = section.path();
    if path.is_empty() {
        return "At the top".to_owned();
    }
    let plain = path.replace("[]", "");
    let first =
        if path.ends_with("[]") { format!("`[[{plain}]]`") } else { format!("`[{plain}]`") };
    let others = section.places[1..].iter().map(|(path, _)| format!("`{}`", last(path)));
    std::iter::once(first).chain(others).collect::<Vec<_>>().join(", ")
}

fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

const HEAD: &str = "\
# Configuration

Every key of the files that Zhili reads: settings of the services, [bundles of tenants](#bundles-of-tenants), and
[columns of an export](#columns-of-an-export). A key that is not here is refused. This page is written by `make reference` out
of the types that are read.

Settings are what `zhili-ingest`, `zhili-scoring`, `zhili-escalation` and `zhili-metrics` read at their start: defaults, then
the file of `--config FILE` (TOML), then variables. `--check-config` prints what is in force. Values of variables are TOML,
so a list is `[\"a\", \"b\"]`; what is no TOML is a text. How to run the services is in [operations](operations.md).
`zhili up` has its own settings on the command line: `zhili up --help`.
";

const BUNDLES: &str = "
## Bundles of tenants

What a tenant has in force, such as who is paged and by when, is no setting of a process but one TOML document for each tenant:
[operations](operations.md#what-a-tenant-has-in-force) says how `zhili config apply FILE` puts it in force and has examples, as
it has of [channels](operations.md#who-is-paged-and-by-which-channel) and [shifts](operations.md#on-call). `NAME` stands for a
name, and what is in two brackets may stand there several times. A table that a bundle leaves out is as that of tenant `*`;
where that leaves it out, too, what stands under \"unless given\" holds.
";

const COLUMNS: &str = "
## Columns of an export

What `zhili publish export.csv --columns FILE` is told of an export, as TOML:
[an export as CSV](clients/README.md#an-export-as-csv) has an example.
";

/// The page as it should be.
fn page() -> String {
    let types = Types::read();
    let mut page = HEAD.to_owned();
    let mut common: Option<Vec<Section>> = None;
    for (service, settings) in documents::services() {
        let (shared, own): (Vec<_>, Vec<_>) =
            settings.sections(&types).into_iter().partition(is_common);
        writeln!(page, "\n## {service}\n").unwrap();
        write_sections(&mut page, &own, true);
        match &common {
            None => common = Some(shared),
            Some(common) => assert_eq!(*common, shared, "{service} has other common settings"),
        }
    }
    writeln!(page, "\n## All services\n").unwrap();
    write_sections(&mut page, &common.unwrap_or_default(), true);
    writeln!(page, "{BUNDLES}").unwrap();
    for table in documents::bundle() {
        write_sections(&mut page, &table.sections(&types), false);
    }
    writeln!(page, "{COLUMNS}").unwrap();
    write_sections(&mut page, &documents::columns().sections(&types), false);
    while page.contains("\n\n\n") {
        page = page.replace("\n\n\n", "\n\n");
    }
    format!("{}\n", page.trim_end())
}

/// Keys that a document gives, by their paths.
fn given(value: &Value, path: &[String], keys: &mut Vec<Vec<String>>) {
    match value {
        Value::Table(table) if !table.is_empty() => {
            for (key, value) in table {
                given(value, &[path, std::slice::from_ref(key)].concat(), keys);
            }
        }
        Value::Array(values) if values.iter().any(Value::is_table) => {
            for value in values {
                given(value, path, keys);
            }
        }
        _ => keys.push(path.to_vec()),
    }
}

/// Whether one of the tables has a key; what is in a table whose keys anybody chooses is known with it.
fn is_known(sections: &[Section], path: &[String]) -> bool {
    let fits = |pattern: &str, row: &Row| {
        let pattern = pattern.replace("[]", "");
        let steps = pattern.split('.').filter(|it| !it.is_empty()).chain([row.key.as_str()]);
        let steps: Vec<&str> = steps.collect();
        let is_whole = steps.len() == path.len();
        let is_within = steps.len() < path.len() && row.kind.starts_with("table o");
        (is_whole || is_within)
            && steps.iter().zip(path).all(|(step, name)| step == name || *step == NAME)
    };
    sections.iter().any(|section| {
        let mut rows = section.rows.iter();
        rows.any(|row| section.places.iter().any(|(pattern, _)| fits(pattern, row)))
    })
}

/// The keys of a block in a document that the page does not have, by whichever file lacks the fewest.
fn unknown(files: &[Vec<Section>], text: &str) -> Vec<String> {
    let mut keys = Vec::new();
    given(&toml::from_str(text).unwrap(), &[], &mut keys);
    let unknown = files.iter().map(|sections| {
        let unknown = keys.iter().filter(|path| !is_known(sections, path));
        unknown.map(|path| path.join(".")).collect::<Vec<_>>()
    });
    unknown.min_by_key(Vec::len).unwrap_or_default()
}

/// Every file that the page tells of, as its tables.
fn files() -> Vec<Vec<Section>> {
    let types = Types::read();
    let services = documents::services().map(|(_, settings)| settings.sections(&types));
    let bundle = documents::bundle().iter().flat_map(|table| table.sections(&types)).collect();
    [services.to_vec(), vec![bundle, documents::columns().sections(&types)]].concat()
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

#[test]
fn the_reference_has_every_table_of_a_bundle() {
    let mut tables = documents::bundle().map(|table| table.path);
    tables.sort_unstable();
    assert_eq!(tables, config::TABLES);
}

#[test]
fn examples_in_documents_use_keys_of_the_reference_alone() {
    let files = files();
    let pages = pages();
    let blocks = pages.iter().flat_map(|page| page.blocks.iter().map(move |it| (page, it)));
    let blocks = blocks.filter(|(_, (language, _))| language == "toml");
    let mut bundles = 0;
    for (page, (_, text)) in blocks {
        let unknown = unknown(&files, text);
        assert!(unknown.is_empty(), "{}: {unknown:?}", page.path.display());
        bundles += usize::from(config::check(text.as_bytes()).is_ok());
    }
    assert!(bundles >= 4, "{bundles} bundles");
    // And others are found out.
    for (text, expected) in [
        ("[escalation.teams.a]\npolicies.b.step = []", "escalation.teams.a.policies.b.step"),
        (
            "[escalation.teams.a.destinations]\nb.slack = { uri = '' }\nc.slack = { url = '' }",
            "escalation.teams.a.destinations.b.slack.uri",
        ),
        ("[pulse]\nwindow_minutes = 1\nmost = 1", "pulse.most"),
        ("zone = 'UTC'\nalways.channel = 'chat'\ncolour = 1", "colour"),
    ] {
        assert_eq!(unknown(&files, text), [expected]);
    }
}
