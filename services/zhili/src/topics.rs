//! `zhili topics`: the topics of the log.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;
use zhili_eventlog::{EventLog, topics};
use zhili_proto::log::v1::ListTopicsRequest;
use zhili_proto::log::v1::log_service_client::LogServiceClient;
use zhili_runtime::{Failure, KafkaSettings, KafkaTls, unusable};

use crate::client::{System, print, print_json, said};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    system: System,
    /// One JSON object a topic.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make the topics that are missing in Kafka, and check those that are there.
    Apply(Apply),
}

#[derive(Debug, clap::Args)]
struct Apply {
    /// Brokers, as HOST:PORT separated by commas.
    #[arg(long, value_name = "BROKERS")]
    kafka: String,
    /// Partitions of the keyed topics; cannot be changed later.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..))]
    partitions: u32,
    /// Copies of each partition.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    replication: u16,
    /// Use TLS, trusting the authorities of the system.
    #[arg(long)]
    tls: bool,
    /// Use TLS, trusting the authorities of this file (PEM).
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Certificate to show to the brokers (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
}

impl Apply {
    fn settings(self) -> KafkaSettings {
        let tls = self.tls || self.tls_ca.is_some() || self.tls_certificate.is_some();
        let (ca, certificate, key) = (self.tls_ca, self.tls_certificate, self.tls_key);
        KafkaSettings {
            brokers: self.kafka,
            partitions: self.partitions,
            replication: self.replication,
            tls: tls.then_some(KafkaTls { ca, certificate, key }),
            ..KafkaSettings::default()
        }
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.action {
        Some(Action::Apply(apply)) => self::apply(apply.settings()).await,
        None => list(arguments).await,
    }
}

async fn apply(settings: KafkaSettings) -> Result<(), Failure> {
    let log = settings.connect("zhili").await?;
    let specs = topics::all(settings.partitions);
    log.ensure_topics(&specs).await.map_err(|error| unusable(&error))?;
    for spec in specs {
        print(&format!("{:<24} {:>3} partitions\n", spec.name, spec.partitions))?;
    }
    Ok(())
}

async fn list(arguments: Arguments) -> Result<(), Failure> {
    let addresses = arguments.system.addresses()?;
    let mut client = LogServiceClient::new(arguments.system.connect(&addresses.ingest).await?);
    let topics = client.list_topics(ListTopicsRequest {}).await.map_err(|s| said(&s))?;
    for topic in topics.into_inner().topics {
        let records: u64 = topic.partitions.iter().map(|p| p.end.saturating_sub(p.start)).sum();
        if arguments.json {
            let partitions: Vec<_> = topic
                .partitions
                .iter()
                .map(|p| json!({"partition": p.partition, "start": p.start, "end": p.end}))
                .collect();
            print_json(&json!({
                "name": topic.name,
                "compacted": topic.compacted,
                "retention_ms": topic.retention_ms,
                "partitions": partitions,
            }))?;
            continue;
        }
        let kept = if topic.compacted {
            "last of each key".to_owned()
        } else {
            format!("{} days", topic.retention_ms / 86_400_000)
        };
        print(&format!(
            "{:<24} {:>3} partitions {records:>10} records  kept: {kept}\n",
            topic.name,
            topic.partitions.len()
        ))?;
    }
    Ok(())
}
