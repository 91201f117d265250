//! `zhili incidents`: what waits for a person.

use clap::Subcommand;
use zhili_proto::escalation::v1::escalation_service_client::EscalationServiceClient;
use zhili_proto::escalation::v1::{AcknowledgeRequest, Incident, ListRequest, ResolveRequest};
use zhili_runtime::Failure;

use crate::client::{System, print, print_json, said};

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
    /// Open incidents, newest first.
    List {
        /// Resolved ones too.
        #[arg(long)]
        all: bool,
        /// At most this many.
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Take an incident: nobody else is paged for it.
    Ack(Choice),
    /// Close an incident for good.
    Resolve(Choice),
}

#[derive(Debug, clap::Args)]
struct Choice {
    /// Its id, inc_...
    incident: String,
    /// For the record.
    #[arg(long, default_value = "")]
    note: String,
    /// Refuse if it has changed since this version; 0 takes any.
    #[arg(long, default_value_t = 0)]
    if_version: u64,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let addresses = arguments.system.addresses()?;
    let connection = arguments.system.connect(&addresses.escalation).await?;
    let mut client = EscalationServiceClient::new(connection);
    let changed = match arguments.action {
        Action::List { all, limit } => {
            let request = ListRequest { all, limit, team: String::new() };
            let list = client.list(request).await.map_err(|status| said(&status))?.into_inner();
            if arguments.json {
                return print_json(&list);
            }
            for warning in &list.warnings {
                print(&format!("warning: {warning}\n"))?;
            }
            for incident in &list.incidents {
                print(&line(incident))?;
            }
            if list.incidents.is_empty() {
                print("no open incidents\n")?;
            }
            return Ok(());
        }
        Action::Ack(Choice { incident, note, if_version }) => {
            let request = AcknowledgeRequest {
                incident_id: incident,
                expected_version: if_version,
                command_id: String::new(),
                note,
            };
            client.acknowledge(request).await.map_err(|status| said(&status))?.into_inner().incident
        }
        Action::Resolve(Choice { incident, note, if_version }) => {
            let request = ResolveRequest {
                incident_id: incident,
                expected_version: if_version,
                command_id: String::new(),
                note,
            };
            client.resolve(request).await.map_err(|status| said(&status))?.into_inner().incident
        }
    };
    let changed = changed.unwrap_or_default();
    if arguments.json { print_json(&changed) } else { print(&line(&changed)) }
}

/// An incident in one line: what, how bad, whose, why.
pub(crate) fn line(incident: &Incident) -> String {
    let what = if incident.category.is_empty() { &incident.kind } else { &incident.category };
    let excerpt = incident.evidence.last().map_or("", |signal| &signal.excerpt);
    let excerpt: String = excerpt.chars().take(60).collect();
    let owner =
        if incident.owner.is_empty() { String::new() } else { format!(" by {}", incident.owner) };
    format!(
        "{} {:<8} {:<12}{owner} {what:<10} {} {excerpt}\n",
        incident.incident_id,
        incident.severity().as_str_name(),
        incident.state().as_str_name(),
        incident.conversation_id,
    )
}
