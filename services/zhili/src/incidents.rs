//! `zhili incidents`: what waits for a person.

use clap::Subcommand;
use zhili_proto::escalation::v1::escalation_service_client::EscalationServiceClient;
use zhili_proto::escalation::v1::{
    AcknowledgeRequest, EscalateNowRequest, Incident, ListRequest, MarkFalsePositiveRequest,
    ReassignRequest, ResolveRequest, SnoozeRequest,
};
use zhili_runtime::Failure;

use crate::client::{System, print, print_json, said};
use crate::duration::Length;

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
    /// Come back to an incident later: nobody is paged for it until then.
    Snooze {
        #[command(flatten)]
        choice: Choice,
        /// How long, such as 30m or 4h; at most 7d.
        #[arg(long = "for", value_name = "LENGTH")]
        length: Length,
    },
    /// Page somebody else for an incident, whoever has it now.
    Reassign {
        #[command(flatten)]
        choice: Choice,
        #[command(flatten)]
        to: To,
    },
    /// Take the next step of its policy now.
    Escalate(Choice),
    /// Close an incident whose signals were wrong; it is kept as an example to tune by.
    FalsePositive(Choice),
    /// Close an incident for good.
    Resolve(Choice),
}

/// Who shall have an incident.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct To {
    /// A destination of the team.
    #[arg(long)]
    to: Option<String>,
    /// Another policy of the team.
    #[arg(long)]
    policy: Option<String>,
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

/// A request about one incident; its command id is chosen by the service.
macro_rules! plain {
    ($request:ident, $choice:expr $(, $field:ident: $value:expr)*) => {{
        let Choice { incident: incident_id, note, if_version: expected_version } = $choice;
        let command_id = String::new();
        $request { incident_id, expected_version, command_id, note $(, $field: $value)* }
    }};
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
        Action::Ack(choice) => client
            .acknowledge(plain!(AcknowledgeRequest, choice))
            .await
            .map(|answer| answer.into_inner().incident),
        Action::Resolve(choice) => client
            .resolve(plain!(ResolveRequest, choice))
            .await
            .map(|answer| answer.into_inner().incident),
        Action::Escalate(choice) => client
            .escalate_now(plain!(EscalateNowRequest, choice))
            .await
            .map(|answer| answer.into_inner().incident),
        Action::FalsePositive(choice) => client
            .mark_false_positive(plain!(MarkFalsePositiveRequest, choice))
            .await
            .map(|answer| answer.into_inner().incident),
        Action::Snooze { choice, length } => {
            let duration = Some(zhili_proto::duration(length.ms));
            let request = plain!(SnoozeRequest, choice, until: None, duration: duration);
            client.snooze(request).await.map(|answer| answer.into_inner().incident)
        }
        Action::Reassign { choice, to } => {
            let (destination, policy) = (to.to.unwrap_or_default(), to.policy.unwrap_or_default());
            let request = plain!(ReassignRequest, choice, destination: destination, policy: policy);
            client.reassign(request).await.map(|answer| answer.into_inner().incident)
        }
    };
    let changed = changed.map_err(|status| said(&status))?.unwrap_or_default();
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
