//! `zhili find`: what an id of the platform is called here.

use serde_json::json;
use zhili_proto::conversation::v1::FindPseudonymsRequest;
use zhili_proto::conversation::v1::find_pseudonyms_request::Kind;
use zhili_proto::conversation::v1::pseudonym_service_client::PseudonymServiceClient;
use zhili_runtime::Failure;

use crate::client::{System, print, print_json, said};

/// Needs a token that may read transcripts.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    system: System,
    #[command(flatten)]
    who: Who,
    /// One JSON object instead of words.
    #[arg(long)]
    json: bool,
}

/// Whose id it is.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Who {
    /// A conversation's id on the platform.
    #[arg(long, value_name = "ID")]
    conversation: Option<String>,
    /// A customer's.
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// That of an agent, a bot or a supervisor.
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { system, who, json } = arguments;
    let (kind, id) = match who {
        Who { conversation: Some(id), .. } => (Kind::Conversation, id),
        Who { customer: Some(id), .. } => (Kind::Customer, id),
        Who { agent, .. } => (Kind::Agent, agent.unwrap_or_default()),
    };
    let addresses = system.addresses()?;
    let connection = system.connect(&addresses.ingest).await?;
    let request = FindPseudonymsRequest { kind: kind.into(), id };
    let found = PseudonymServiceClient::new(connection).find_pseudonyms(request).await;
    let pseudonyms = found.map_err(|status| said(&status))?.into_inner().pseudonyms;
    let page = |pseudonym: &str| match kind {
        Kind::Conversation => format!("{}/conversations/{pseudonym}", addresses.metrics),
        Kind::Agent => format!("{}/shift?agent={pseudonym}", addresses.metrics),
        _ => String::new(),
    };
    if json {
        let all: Vec<_> = pseudonyms
            .iter()
            .map(|pseudonym| json!({"pseudonym": pseudonym, "page": page(pseudonym)}))
            .collect();
        return print_json(&json!({"pseudonyms": all}));
    }
    pseudonyms
        .iter()
        .try_for_each(|it| print(format!("{it}  {}", page(it)).trim_end()).and(print("\n")))
}
