//! Blocks of code, and commands in a line.

use std::collections::BTreeSet;

use clap::{CommandFactory, Parser};

use super::pages::{Page, pages, root};
use super::shell;
use crate::{Arguments, config, publish};

/// Programs of others that documents call, and what is known of those commands.
const OTHERS: [(&str, &str); 9] = [
    ("cargo", "tests and examples of this project"),
    ("cp", "of the machine"),
    ("curl", "run against a running system by tests/e2e/readme.rs"),
    ("docker", "no engine is at hand; `make check` validates the compose file"),
    ("export", "a word of the shell"),
    ("grafana", "no Grafana is at hand; a test runs the queries of its dashboards"),
    ("kubectl", "no cluster is at hand; `make check` validates what it applies"),
    ("mkdir", "of the machine"),
    ("python3", "the client is run by tests/e2e/client_examples.rs"),
];

/// Beginnings of blocks that nobody here reads, and why.
const UNREAD: [(&str, &str); 1] =
    [("CREATE USER grafana_shop", "users of a ClickHouse server; the store has readers instead")];

/// What would read a block, or why it does not.
fn read(language: &str, text: &str) -> Result<(), String> {
    if UNREAD.iter().any(|(beginning, _)| text.starts_with(beginning)) {
        return Ok(());
    }
    match language {
        "json" => {
            let parsed = serde_json::from_str::<serde_json::Value>(text);
            parsed.map(drop).map_err(|error| error.to_string())
        }
        // A picture.
        "text" => Ok(()),
        "sh" => shell::commands(text).iter().try_for_each(|command| run(command)),
        "toml" => settings(text),
        other => Err(format!("nobody reads blocks of `{other}`")),
    }
}

/// Settings of a service, a bundle, or columns of an export.
fn settings(text: &str) -> Result<(), String> {
    let error = |error: toml::de::Error| error.message().to_owned();
    let of = [
        ("a bundle", config::check(text.as_bytes())),
        ("columns of an export", publish::check_columns(text)),
        ("ingest", toml::from_str::<zhili_ingest::Settings>(text).map(drop).map_err(error)),
        ("scoring", toml::from_str::<zhili_scoring::Settings>(text).map(drop).map_err(error)),
        ("escalation", toml::from_str::<zhili_escalation::Settings>(text).map(drop).map_err(error)),
        ("metrics", toml::from_str::<zhili_metrics::Settings>(text).map(drop).map_err(error)),
    ];
    if of.iter().any(|(_, read)| read.is_ok()) {
        return Ok(());
    }
    let causes = of.into_iter().filter_map(|(who, read)| Some(format!("{who}: {}", read.err()?)));
    Err(causes.collect::<Vec<_>>().join("; "))
}

/// One command of a block, which must be complete.
fn run(command: &[String]) -> Result<(), String> {
    let said = || command.join(" ");
    // Within a container, too.
    if let Some(place) = command.iter().position(|word| word == "zhili" || word == "$zhili") {
        let words = std::iter::once("zhili").chain(command[place + 1..].iter().map(String::as_str));
        let parsed = Arguments::try_parse_from(words);
        return parsed.map(drop).map_err(|error| format!("{}: {error}", said()));
    }
    match command[0].as_str() {
        "make" => make(&command[1..]),
        // The same arguments as those of the verb.
        "zhili-store" => {
            let words =
                ["zhili", "store"].into_iter().chain(command[1..].iter().map(String::as_str));
            let parsed = Arguments::try_parse_from(words);
            parsed.map(drop).map_err(|error| format!("{}: {error}", said()))
        }
        // What a line before has made.
        other if other.starts_with("target/") => Ok(()),
        other if other.contains('/') && root().join(other).exists() => Ok(()),
        other if OTHERS.iter().any(|(name, _)| *name == other) => Ok(()),
        other => Err(format!("{other}: why is it not run? ({})", said())),
    }
}

/// Targets and variables of the Makefile.
fn make(words: &[String]) -> Result<(), String> {
    let file = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let phony = file.lines().find_map(|line| line.strip_prefix(".PHONY:")).unwrap();
    let targets: BTreeSet<&str> = phony.split_whitespace().collect();
    for word in words {
        let known = match word.split_once('=') {
            Some((variable, _)) => file.contains(&format!("$({variable})")),
            None => targets.contains(word.as_str()),
        };
        if !known {
            return Err(format!("make {word}: the Makefile has no such thing"));
        }
    }
    Ok(())
}

/// Verbs and flags of a command in a line, which may be cut short: `zhili token create NAME [--json]`.
fn mention(words: &str) -> Result<(), String> {
    let words: Vec<String> =
        words.replace(['[', ']'], " ").split_whitespace().map(str::to_owned).collect();
    match words[0].as_str() {
        "make" => {
            let until =
                words.iter().position(|word| word.starts_with("...")).unwrap_or(words.len());
            return make(&words[1..until]);
        }
        "zhili" => {}
        _ => return Ok(()),
    }
    let mut whole = Arguments::command();
    whole.build();
    let mut command = &whole;
    for word in &words[1..] {
        let word = word.trim_end_matches("...");
        if let Some(flag) = word.strip_prefix("--") {
            let flag = flag.split('=').next().unwrap_or_default();
            let mut known = command.get_arguments().filter_map(clap::Arg::get_long);
            let fits = |long: &str| long == flag || flag.ends_with('-') && long.starts_with(flag);
            if !known.any(fits) {
                return Err(format!("zhili {} has no --{flag}", command.get_name()));
            }
        } else if let Some(verb) = command.find_subcommand(word) {
            command = verb;
        } else if command.has_subcommands()
            && command.get_positionals().next().is_none()
            && !word.is_empty()
        {
            return Err(format!("zhili {} has no {word}", command.get_name()));
        }
    }
    Ok(())
}

fn failed(page: &Page, outcome: Result<(), String>) -> Option<String> {
    Some(format!("{}: {}", page.path.display(), outcome.err()?))
}

#[test]
fn blocks_of_documents_are_read_by_whoever_they_are_for() {
    let pages = pages();
    let blocks = || pages.iter().flat_map(|page| page.blocks.iter().map(move |it| (page, it)));
    let wrong: Vec<String> = blocks()
        .filter_map(|(page, (language, text))| failed(page, read(language, text)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let programs: BTreeSet<String> = blocks()
        .filter(|(_, (language, _))| language == "sh")
        .flat_map(|(_, (_, text))| shell::commands(text))
        .map(|command| command[0].clone())
        .collect();
    for (program, _) in OTHERS {
        assert!(programs.contains(program), "no document calls {program}");
    }
    for (beginning, why) in UNREAD {
        assert!(blocks().any(|(_, (_, text))| text.starts_with(beginning)), "no block: {why}");
    }
    assert!(blocks().count() > 25, "{} blocks", blocks().count());
}

#[test]
fn commands_that_documents_mention_are_those_of_the_program() {
    let pages = pages();
    let words = || pages.iter().flat_map(|page| page.words.iter().map(move |it| (page, it)));
    let is_command = |words: &str| words.starts_with("zhili ") || words.starts_with("make ");
    let commands = || words().filter(|(_, words)| is_command(words));
    let wrong: Vec<String> =
        commands().filter_map(|(page, words)| failed(page, mention(words))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(commands().count() > 100, "{} commands", commands().count());
}

#[test]
fn what_is_not_there_is_found_out() {
    for (language, text) in [
        ("json", "{"),
        ("toml", "[ingest]\nlistn = 1"),
        ("toml", "[escalaton]"),
        ("toml", "[pulse]\nleast = 'few'"),
        ("sh", "zhili incident list"),
        ("sh", "$zhili tail --lst 20"),
        ("sh", "make rum"),
        ("sh", "make run FIEL=x"),
        ("sh", "true | frobnicate"),
        ("", "zhili status"),
    ] {
        assert!(read(language, text).is_err(), "{language}: {text}");
    }
    for words in ["zhili statu", "zhili token creat NAME", "zhili tail [--foo]", "make rum"] {
        assert!(mention(words).is_err(), "{words}");
    }
    for words in [
        "zhili up",
        "zhili report day|week|month",
        "zhili migrate --keep-...",
        "make run FILE=path",
    ] {
        assert_eq!(mention(words), Ok(()), "{words}");
    }
}
