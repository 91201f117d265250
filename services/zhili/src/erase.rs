//! `zhili erase`: erases a person, holds one back, checks receipts.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use zhili_erasure::names::is_pseudonym;
use zhili_erasure::receipt::{Signed, Signer};
use zhili_proto::privacy::v1::erasure::Stage;
use zhili_proto::privacy::v1::privacy_service_client::PrivacyServiceClient;
use zhili_proto::privacy::v1::{
    EraseRequest, Erasure, Found, GetErasureRequest, Hold, HoldRequest, ListErasuresRequest,
    ListHoldsRequest, ReleaseRequest, Subject, subject,
};
use zhili_runtime::Failure;
use zhili_runtime::auth::Tenant;

use crate::client::{Connection, System, print, print_json, said};
use crate::files::read_keys;

/// How often the system is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Needs a token with the role dpo (`zhili token create NAME --role dpo`).
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    system: System,
    #[command(flatten)]
    who: Who,
    /// Only count what names them.
    #[arg(long)]
    dry_run: bool,
    /// Wait until it is done, and print the receipt.
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// JSON instead of words.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

/// Who is meant.
#[derive(Debug, clap::Args)]
struct Who {
    /// A customer: their id on the platform, or its pseudonym c_...
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// One conversation: its id on the platform, or its pseudonym v_...
    #[arg(long, value_name = "ID", conflicts_with = "customer")]
    conversation: Option<String>,
    /// Whose customer it is; the token has to be of the same tenant.
    #[arg(long, default_value = "default")]
    tenant: String,
    /// File of the keys of pseudonyms; else that of the data folder. Only ids of the platform need
    /// it.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Why, such as the number of a ticket; no names.
    #[arg(long, default_value = "")]
    reason: String,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All erasures, newest first.
    List,
    /// How far one is.
    Show {
        /// Its id.
        id: String,
    },
    /// Print the receipt of one that is done.
    Receipt {
        /// Its id.
        id: String,
    },
    /// Check a receipt; needs no running system.
    Verify {
        /// The receipt.
        file: PathBuf,
        /// Public key to trust, Base64; else that of the data folder.
        #[arg(long, value_name = "BASE64")]
        public_key: Option<String>,
    },
    /// Print the public key that receipts of this data folder are checked with.
    PublicKey,
    /// Keep somebody from being erased.
    Hold {
        #[command(flatten)]
        who: Who,
    },
    /// Let somebody be erased again; what waited for it begins.
    Release {
        /// Id of the hold.
        id: String,
    },
    /// All holds.
    Holds,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { system, who, dry_run, wait, json, action } = arguments;
    match action {
        Some(Action::Verify { file, public_key }) => return verify(&system, &file, public_key),
        Some(Action::PublicKey) => return print(&format!("{}\n", public_key_of(&system)?)),
        _ => {}
    }
    let addresses = system.addresses()?;
    let mut client = PrivacyServiceClient::new(system.connect(&addresses.metrics).await?);
    match action {
        None => {
            let mut erasures = Vec::new();
            // All are asked for before one is waited for.
            for subject in who.subjects(&system)? {
                let reason = who.reason.clone();
                let request = EraseRequest { subject: Some(subject), dry_run, reason };
                let answer = client.erase(request).await.map_err(|s| said(&s))?.into_inner();
                match answer.found {
                    Some(found) if json => print_json(&found)?,
                    Some(found) => print(&counted(&found))?,
                    None => erasures.push(answer.erasure.unwrap_or_default()),
                }
            }
            for erasure in erasures {
                if wait {
                    let erasure = until_done(&mut client, erasure.erasure_id).await?;
                    print(&format!("{}\n", erasure.receipt))?;
                } else {
                    show(&erasure, json)?;
                }
            }
            Ok(())
        }
        Some(Action::List) => {
            let answer =
                client.list_erasures(ListErasuresRequest {}).await.map_err(|s| said(&s))?;
            answer.into_inner().erasures.iter().try_for_each(|erasure| show(erasure, json))
        }
        Some(Action::Show { id }) => show(&get(&mut client, id).await?, json),
        Some(Action::Receipt { id }) => {
            let erasure = get(&mut client, id).await?;
            if erasure.stage() != Stage::Done {
                return Err(Failure::TryAgain(format!(
                    "erasure {} is not done yet: {}",
                    erasure.erasure_id,
                    words(erasure.stage())
                )));
            }
            print(&format!("{}\n", erasure.receipt))
        }
        Some(Action::Hold { who }) => {
            for subject in who.subjects(&system)? {
                let request = HoldRequest { subject: Some(subject), reason: who.reason.clone() };
                let answer = client.hold(request).await.map_err(|s| said(&s))?;
                show_hold(&answer.into_inner().hold.unwrap_or_default(), json)?;
            }
            Ok(())
        }
        Some(Action::Release { id }) => {
            let request = ReleaseRequest { hold_id: id };
            let answer = client.release(request).await.map_err(|s| said(&s))?;
            show_hold(&answer.into_inner().hold.unwrap_or_default(), json)
        }
        Some(Action::Holds) => {
            let answer = client.list_holds(ListHoldsRequest {}).await.map_err(|s| said(&s))?;
            answer.into_inner().holds.iter().try_for_each(|hold| show_hold(hold, json))
        }
        Some(Action::Verify { .. } | Action::PublicKey) => Ok(()),
    }
}

impl Who {
    /// The subject by its pseudonym, so that the platform's id does not leave this machine: one
    /// under each key of the ring, the newest first.
    fn subjects(&self, system: &System) -> Result<Vec<Subject>, Failure> {
        let tenant = Tenant::try_from(self.tenant.clone()).map_err(Failure::Usage)?;
        let names = |id: &str, kind: zhili_redact::Subject| {
            if is_pseudonym(id) {
                return Ok(vec![id.to_owned()]);
            }
            let keys = match &self.key {
                Some(file) => read_keys(file)?,
                None => system.folder().keys()?,
            };
            Ok::<_, Failure>(keys.names(tenant.as_str(), kind, id))
        };
        let subjects: Vec<subject::Subject> = match (&self.customer, &self.conversation) {
            (Some(id), _) => {
                let names = names(id, zhili_redact::Subject::Customer)?;
                names.into_iter().map(subject::Subject::Customer).collect()
            }
            (None, Some(id)) => {
                let names = names(id, zhili_redact::Subject::Conversation)?;
                names.into_iter().map(subject::Subject::Conversation).collect()
            }
            (None, None) => {
                return Err(Failure::Usage("give --customer or --conversation".to_owned()));
            }
        };
        Ok(subjects.into_iter().map(|subject| Subject { subject: Some(subject) }).collect())
    }
}

async fn get(
    client: &mut PrivacyServiceClient<Connection>,
    erasure_id: String,
) -> Result<Erasure, Failure> {
    let answer = client.get_erasure(GetErasureRequest { erasure_id }).await;
    Ok(answer.map_err(|status| said(&status))?.into_inner().erasure.unwrap_or_default())
}

async fn until_done(
    client: &mut PrivacyServiceClient<Connection>,
    erasure_id: String,
) -> Result<Erasure, Failure> {
    loop {
        let erasure = get(client, erasure_id.clone()).await?;
        match erasure.stage() {
            Stage::Done => return Ok(erasure),
            Stage::Held | Stage::Waiting => {
                return Err(Failure::TryAgain(format!(
                    "erasure {} waits for {}; ask again with `zhili erase show {0}`",
                    erasure.erasure_id, erasure.waits_for
                )));
            }
            _ => tokio::time::sleep(ASK_EVERY).await,
        }
    }
}

fn public_key_of(system: &System) -> Result<String, Failure> {
    let file = system.folder().receipt_key();
    let seed = std::fs::read(&file).map_err(|error| {
        let file = file.display();
        Failure::Usage(format!("cannot read {file}: {error}; give --public-key"))
    })?;
    let signer = Signer::new(&seed).map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(signer.public_key())
}

fn verify(
    system: &System,
    file: &std::path::Path,
    public_key: Option<String>,
) -> Result<(), Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::Io(format!("cannot read {}: {error}", file.display())))?;
    let trusted = match public_key {
        Some(key) => key,
        None => public_key_of(system)?,
    };
    let signed = Signed::verify(&text, Some(&trusted))
        .map_err(|error| Failure::Problems(error.to_string()))?;
    let it = signed.receipt;
    let (records, rows): (u64, u64) =
        (it.records_removed.values().sum(), it.rows_removed.values().sum());
    print(&format!(
        "genuine: erasure {} of a {} of tenant {}, asked for by {} at {}\n\
         verified at {}: {} conversations, {records} records and {rows} rows removed; log {}\n",
        it.erasure_id,
        it.kind,
        it.tenant,
        it.requested_by,
        it.requested_at,
        it.verified_at,
        it.conversations,
        it.log
    ))?;
    it.not_covered.iter().try_for_each(|what| print(&format!("not covered: {what}\n")))
}

fn words(stage: Stage) -> &'static str {
    match stage {
        Stage::Unspecified | Stage::Requested => "requested",
        Stage::Held => "held",
        Stage::Forgetting => "forgetting",
        Stage::Removing => "removing",
        Stage::Waiting => "waiting",
        Stage::Sealing => "sealing",
        Stage::Done => "done",
    }
}

fn show(erasure: &Erasure, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(erasure);
    }
    let mut line =
        format!("{:<36} {:<10} {}", erasure.erasure_id, words(erasure.stage()), erasure.reason);
    if !erasure.waits_for.is_empty() {
        line += &format!(" waits for {}", erasure.waits_for);
    }
    print(&format!("{}\n", line.trim_end()))
}

fn show_hold(hold: &Hold, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(hold);
    }
    let state = if hold.released_at.is_some() { "released" } else { "on" };
    print(&format!("{:<37} {state:<9} {} {}\n", hold.hold_id, hold.subject, hold.reason))
}

fn counted(found: &Found) -> String {
    let mut text = String::new();
    for (place, count) in &found.records {
        text += &format!("{count:>10} records of {place}\n");
    }
    for (table, count) in &found.rows {
        text += &format!("{count:>10} rows of {table}\n");
    }
    if text.is_empty() {
        text += "nothing names them\n";
    }
    text
}
