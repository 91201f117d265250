//! `zhili audit`: who has seen or done what must be answered for, and on the machine of the system
//! also who has made and removed tokens there.

use jiff::Timestamp;
use prost::Message;
use zhili_eventlog::topics;
use zhili_proto::log::v1::log_service_client::LogServiceClient;
use zhili_proto::log::v1::{AuditEntry, TailRequest};
use zhili_runtime::Failure;
use zhili_runtime::auth::{TokenChange, token_changes};

use crate::client::{System, print, print_json, said};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    system: System,
    /// Start with this many entries of each partition before now, of whatever tenant.
    #[arg(long, default_value_t = 1_000)]
    last: u64,
    /// Wait for more instead of ending at what is there now.
    #[arg(long)]
    follow: bool,
    /// One JSON object an entry.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let addresses = arguments.system.addresses()?;
    let mut client = LogServiceClient::new(arguments.system.connect(&addresses.ingest).await?);
    let request = TailRequest {
        topic: topics::AUDIT.to_owned(),
        last: arguments.last,
        until_now: !arguments.follow,
    };
    let tailed = client.tail(request).await.map_err(|status| said(&status))?;
    let mut stream = tailed.into_inner();
    // Each partition has its own order; what is there is put into one.
    let mut found = Vec::new();
    while let Some(record) = stream.message().await.map_err(|status| said(&status))? {
        let entry = AuditEntry::decode(record.value.as_ref())
            .map_err(|error| Failure::Problems(format!("an entry cannot be read: {error}")))?;
        if arguments.follow {
            show(&entry, arguments.json)?;
        } else {
            found.push(entry);
        }
    }
    if !arguments.follow && arguments.system.is_here() {
        // Whoever reads the folder of a system may read what stands in it.
        let changes = token_changes(&arguments.system.folder().tokens())?;
        found.extend(changes.into_iter().map(entry));
    }
    found.sort_by_key(|entry| entry.at.as_ref().and_then(zhili_proto::millis));
    found.iter().try_for_each(|entry| show(entry, arguments.json))
}

/// A change of the tokens as an entry of the audit log, in which it is not.
fn entry(change: TokenChange) -> AuditEntry {
    AuditEntry {
        at: Some(zhili_proto::timestamp(change.at_ms)),
        tenant: change.token.tenant.to_string(),
        actor: change.actor,
        permission: "tokens".to_owned(),
        endpoint: format!("zhili token {}", change.action.name()),
        target: change.token.name,
        outcome: "0".to_owned(),
    }
}

fn show(entry: &AuditEntry, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(entry);
    }
    let at = entry.at.as_ref().and_then(zhili_proto::millis).unwrap_or_default();
    let at = Timestamp::from_millisecond(at).unwrap_or_default();
    let AuditEntry { actor, permission, endpoint, target, outcome, .. } = entry;
    let line = format!("{at:.3}  {actor:<20} {permission:<12} {outcome:<18} {endpoint} {target}");
    print(&format!("{}\n", line.trim_end()))
}
