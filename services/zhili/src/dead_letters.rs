//! `zhili dead-letters`: records that could not be processed.

use clap::Subcommand;
use zhili_proto::conversation::v1::{LogEntry, log_entry};
use zhili_proto::log::v1::log_service_client::LogServiceClient;
use zhili_proto::log::v1::{DeadLetterRecord, ListDeadLettersRequest, ReplayDeadLettersRequest};
use zhili_runtime::Failure;

use crate::client::{System, print, print_json, said};

/// Most that the service returns.
const ALL: u32 = 1_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    system: System,
    /// JSON instead of words.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// The newest ones.
    List {
        /// At most this many.
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Everything known of one.
    Inspect {
        /// Its id as listed, partition:offset.
        id: String,
    },
    /// Publish the events of some again, under ids of their own.
    Replay {
        /// Their ids as listed.
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let addresses = arguments.system.addresses()?;
    let mut client = LogServiceClient::new(arguments.system.connect(&addresses.ingest).await?);
    match arguments.action {
        Action::List { limit } => {
            let request = ListDeadLettersRequest { limit };
            let list = client.list_dead_letters(request).await.map_err(|status| said(&status))?;
            for record in list.into_inner().dead_letters {
                if arguments.json {
                    print_json(&record)?;
                } else {
                    print(&line(&record))?;
                }
            }
            Ok(())
        }
        Action::Inspect { id } => {
            let request = ListDeadLettersRequest { limit: ALL };
            let list = client.list_dead_letters(request).await.map_err(|status| said(&status))?;
            let mut list = list.into_inner().dead_letters.into_iter();
            let record = list.find(|record| record.id == id).ok_or_else(|| {
                Failure::Problems(format!("there is no dead letter {id} among the last {ALL}"))
            })?;
            if arguments.json { print_json(&record) } else { print(&words(&record)) }
        }
        Action::Replay { ids } => {
            let request = ReplayDeadLettersRequest { ids };
            let answer = client.replay_dead_letters(request).await.map_err(|s| said(&s))?;
            let mut failed = 0;
            for result in answer.into_inner().results {
                let outcome =
                    if result.error.is_empty() { "published again" } else { &result.error };
                failed += usize::from(!result.error.is_empty());
                if arguments.json {
                    print_json(&result)?;
                } else {
                    print(&format!("{:<12} {outcome}\n", result.id))?;
                }
            }
            match failed {
                0 => Ok(()),
                failed => Err(Failure::Problems(format!("{failed} were not published again"))),
            }
        }
    }
}

fn line(record: &DeadLetterRecord) -> String {
    let letter = record.dead_letter.clone().unwrap_or_default();
    let at = format!("{}[{}]@{}", letter.topic, letter.partition, letter.offset);
    format!("{:<12} {:<22} {at:<34} {}\n", record.id, letter.reason, letter.detail)
}

fn words(record: &DeadLetterRecord) -> String {
    use prost::Message;
    let letter = record.dead_letter.clone().unwrap_or_default();
    let mut text = line(record);
    text += &format!("given up by  {}\n", letter.component);
    text += &format!("length       {} bytes\n", letter.payload_length);
    let entry = LogEntry::decode(letter.payload.clone()).ok().and_then(|entry| entry.entry);
    match entry {
        Some(log_entry::Entry::Event(event)) => {
            text += &serde_json::to_string_pretty(&event).unwrap_or_default();
            text.push('\n');
        }
        // Of what was not kept there is a hash.
        _ if letter.payload_sha256.is_empty() => {
            text += "payload      withheld, since reading it needs the role supervisor or qa\n";
        }
        _ => text += "payload      not kept, since what cannot be read cannot be masked\n",
    }
    text
}
