//! `zhili topics`: the topics of the log.

use serde_json::json;
use zhili_proto::log::v1::ListTopicsRequest;
use zhili_proto::log::v1::log_service_client::LogServiceClient;
use zhili_runtime::Failure;

use crate::client::{System, print, print_json, said};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    system: System,
    /// One JSON object a topic.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
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
