//! `zhili config`: what a tenant has in force, and how to change it.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;
use zhili_proto::escalation::v1::ListRequest;
use zhili_proto::escalation::v1::escalation_service_client::EscalationServiceClient;
use zhili_proto::log::v1::log_service_client::LogServiceClient;
use zhili_proto::log::v1::{ApplyConfigRequest, ConfigHead, GetConfigRequest, GetConfigResponse};
use zhili_runtime::{Failure, bundle};

use crate::client::{Connection, System, print, print_json, said};
use crate::incidents;

#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A bundle is one TOML document with what the services go by: [escalation] says who is paged, \
[dialogue] business hours and targets, [phrases] what the library lacks. It is in force from a \
place in the log on, the same in every replay; conversations that are open go on with what they \
began with. docs/operations.md describes the tables.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    system: System,
    /// One JSON object instead of words.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the bundle that is in force.
    Get,
    /// Check a bundle and put it in force.
    Apply {
        #[command(flatten)]
        file: File,
        /// Page somebody for what is open already and has paged nobody so far.
        #[arg(long)]
        page_open: bool,
    },
    /// Show what a bundle would change, line by line; exit code 1 if anything.
    Diff(File),
    /// Put in force again what was before the last change.
    Rollback,
}

#[derive(Debug, clap::Args)]
struct File {
    /// TOML document.
    file: PathBuf,
}

impl File {
    /// The bundle, if every service can use it.
    fn read(&self) -> Result<Vec<u8>, Failure> {
        let name = self.file.display();
        let bundle = std::fs::read(&self.file)
            .map_err(|error| Failure::Io(format!("cannot read {name}: {error}")))?;
        check(&bundle).map_err(|error| Failure::Problems(format!("{name}: {error}")))?;
        Ok(bundle)
    }
}

/// Tables of a bundle, each of which one of the services reads.
pub(crate) const TABLES: [&str; 6] =
    ["agents", "customers", "dialogue", "escalation", "phrases", "pulse"];

/// Whether every service can use a bundle; else what is wrong with it. Services leave tables alone that
/// they do not know, so only here a name that is spelt wrong is found.
pub(crate) fn check(bundle: &[u8]) -> Result<(), String> {
    let document: toml::Table = bundle::parse(bundle).map_err(|error| error.to_string())?;
    if let Some(table) = document.keys().find(|table| !TABLES.contains(&table.as_str())) {
        return Err(format!("[{table}]: no service reads this; there are {}", TABLES.join(", ")));
    }
    zhili_escalation::parse_bundle(bundle).map_err(|error| error.to_string())?;
    let ours = zhili_scoring::Bundle::parse(bundle).map_err(|error| error.to_string())?;
    let engine = ours.phrases.map(|phrases| phrases.engine()).transpose();
    engine.map(drop).map_err(|error| error.to_string())
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let addresses = arguments.system.addresses()?;
    let connection = arguments.system.connect(&addresses.ingest).await?;
    let as_json = arguments.json;
    match arguments.action {
        Action::Get => {
            let found = get(&connection, "").await?;
            if as_json {
                let text = String::from_utf8_lossy(&found.content).into_owned();
                return print_json(
                    &json!({"head": found.head.as_ref().map(described), "content": text}),
                );
            }
            match found.head {
                Some(_) => print(&String::from_utf8_lossy(&found.content)),
                None => print("# nothing is in force: see `zhili config apply`\n"),
            }
        }
        Action::Apply { file, page_open } => {
            let bundle = file.read()?;
            if !page_open {
                nobody_by_surprise(&arguments.system, &bundle).await?;
            }
            let head = get(&connection, "").await?.head;
            apply(&connection, bundle, head, as_json).await
        }
        Action::Diff(file) => {
            let (bundle, found) = (file.read()?, get(&connection, "").await?);
            let (old, new) =
                (String::from_utf8_lossy(&found.content), String::from_utf8_lossy(&bundle));
            let changes = changes(&old, &new);
            print(&changes)?;
            if changes.is_empty() {
                return Ok(());
            }
            Err(Failure::Problems("the file differs from what is in force".to_owned()))
        }
        Action::Rollback => {
            let head = get(&connection, "").await?.head;
            let previous = head.as_ref().map(|head| head.previous.clone()).unwrap_or_default();
            if previous.is_empty() {
                let message = "there is nothing to go back to: no other bundle was in force";
                return Err(Failure::Problems(message.to_owned()));
            }
            let bundle = get(&connection, &previous).await?.content.to_vec();
            apply(&connection, bundle, head, as_json).await
        }
    }
}

/// Whoever is paged for the first time is not to be paged for all that piled up before.
///
/// # Errors
/// [`Failure::Problems`] when the bundle names whom to page and incidents wait that have paged
/// nobody yet.
async fn nobody_by_surprise(system: &System, bundle: &[u8]) -> Result<(), Failure> {
    let config = zhili_escalation::parse_bundle(bundle);
    if !config.is_ok_and(|config| config.is_some_and(|config| !config.teams().is_empty())) {
        return Ok(());
    }
    let connection = system.connect(&system.addresses()?.escalation).await?;
    let mut client = EscalationServiceClient::new(connection);
    let request = ListRequest { all: false, limit: incidents::MOST, team: String::new() };
    let open = match client.list(request).await {
        Ok(list) => list.into_inner().incidents,
        // Somebody who may change the configuration need not see incidents.
        Err(status) if status.code() == tonic::Code::PermissionDenied => return Ok(()),
        Err(status) => {
            let message = status.message();
            return Err(Failure::Unavailable(format!(
                "cannot ask what is open: {message}; --page-open does not ask"
            )));
        }
    };
    let waiting = open.iter().filter(|it| it.exhausted_reason == NOBODY).count();
    if waiting == 0 {
        return Ok(());
    }
    Err(Failure::Problems(format!(
        "nothing was changed: {waiting} open incidents have paged nobody so far, and all of them would now, at once. \
         Close what is settled (`zhili incidents list`, `zhili incidents resolve INCIDENT...` or `--all-open`), \
         or say --page-open"
    )))
}

/// Why an incident pages nobody whose team has no destination.
const NOBODY: &str = "nobody_reachable";

async fn get(connection: &Connection, bundle: &str) -> Result<GetConfigResponse, Failure> {
    let mut client = LogServiceClient::new(connection.clone());
    let request = GetConfigRequest { bundle: bundle.to_owned() };
    Ok(client.get_config(request).await.map_err(|status| said(&status))?.into_inner())
}

/// Puts a bundle in force unless that was changed since `head`.
async fn apply(
    connection: &Connection,
    bundle: Vec<u8>,
    head: Option<ConfigHead>,
    as_json: bool,
) -> Result<(), Failure> {
    let mut client = LogServiceClient::new(connection.clone());
    let request = ApplyConfigRequest {
        content: bundle.into(),
        expected_sequence: Some(head.map_or(0, |head| head.sequence)),
    };
    let applied = client.apply_config(request).await.map_err(|status| said(&status))?;
    let head = applied.into_inner().head.unwrap_or_default();
    if as_json {
        return print_json(&described(&head));
    }
    print(&format!("bundle {:.12} is in force, sequence {}\n", head.bundle, head.sequence))
}

fn described(head: &ConfigHead) -> serde_json::Value {
    json!({
        "bundle": head.bundle,
        "sequence": head.sequence,
        "changed_at": head.changed_at,
        "changed_by": head.changed_by,
        "previous": head.previous,
    })
}

/// Lines that went and lines that came; empty if there are none.
fn changes(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = |(a, b): &(&&str, &&str)| a == b;
    let head = old.iter().zip(&new).take_while(same).count();
    let rest = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(same).count();
    let went = old[head..old.len() - tail].iter().map(|line| format!("-{line}\n"));
    let came = new[head..new.len() - tail].iter().map(|line| format!("+{line}\n"));
    went.chain(came).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_lines_that_went_and_came() {
        assert_eq!(changes("a\nb\nc\n", "a\nb\nc\n"), "");
        assert_eq!(changes("a\nb\nc\n", "a\nx\nc\n"), "-b\n+x\n");
        assert_eq!(changes("", "a\n"), "+a\n");
        assert_eq!(changes("a\na\n", "a\n"), "-a\n");
    }

    #[test]
    fn a_table_that_is_spelt_wrong_is_no_bundle() {
        assert_eq!(check(b"[agents]\nscored = false\n"), Ok(()));
        let error = check(b"[escalaton.teams.default]\n").unwrap_err();
        assert!(error.contains("[escalaton]") && error.contains("escalation"), "{error}");
    }
}
