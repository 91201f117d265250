//! `zhili doctor`: what keeps the system from working, and what to do about it.

use zhili_proto::escalation::v1::ListRequest;
use zhili_proto::escalation::v1::escalation_service_client::EscalationServiceClient;
use zhili_proto::log::v1::ListDeadLettersRequest;
use zhili_proto::log::v1::log_service_client::LogServiceClient;
use zhili_runtime::Failure;

use crate::client::{System, print, said};
use crate::status;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    system: System,
}

/// What was found, in words.
#[derive(Default)]
struct Findings {
    problems: usize,
}

fn well(what: &str) -> Result<(), Failure> {
    print(&format!("ok       {what}\n"))
}

impl Findings {
    fn problem(&mut self, what: &str) -> Result<(), Failure> {
        self.problems += 1;
        print(&format!("problem  {what}\n"))
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut findings = Findings::default();
    machine(&mut findings)?;
    match status::state(&arguments.system).await {
        Err(failure) => findings.problem(&failure.to_string())?,
        Ok(state) => {
            for (name, service) in &state.services {
                if !service.ready {
                    findings.problem(&format!("{name}: {}", service.reason))?;
                } else if service.reason.is_empty() {
                    well(&format!("{name} makes progress"))?;
                } else {
                    well(&format!("{name}: {}", service.reason.replace('\n', "; ")))?;
                }
            }
            running(&arguments.system, &mut findings).await?;
        }
    }
    match findings.problems {
        0 => Ok(()),
        1 => Err(Failure::Problems("1 problem".to_owned())),
        problems => Err(Failure::Problems(format!("{problems} problems"))),
    }
}

fn machine(findings: &mut Findings) -> Result<(), Failure> {
    let library = zhili_store::cached_library();
    if library.is_file() {
        well(&format!("libchdb {} is in the cache", zhili_store::LIBCHDB_VERSION))
    } else {
        findings.problem(&format!(
            "libchdb is not at {}: run deploy/libchdb/fetch.sh, or use a ClickHouse of your own with --clickhouse-url",
            library.display()
        ))
    }
}

async fn running(system: &System, findings: &mut Findings) -> Result<(), Failure> {
    let addresses = system.addresses()?;
    let connection = system.connect(&addresses.escalation).await?;
    let request = ListRequest { limit: 1, ..ListRequest::default() };
    let list =
        EscalationServiceClient::new(connection).list(request).await.map_err(|s| said(&s))?;
    let warnings = list.into_inner().warnings;
    for warning in &warnings {
        findings.problem(warning)?;
    }
    if warnings.is_empty() {
        well("somebody can be paged")?;
    }
    let connection = system.connect(&addresses.ingest).await?;
    let request = ListDeadLettersRequest { limit: 1_000 };
    let letters = LogServiceClient::new(connection).list_dead_letters(request).await;
    match letters.map_err(|s| said(&s))?.into_inner().dead_letters.len() {
        0 => well("no dead letters"),
        count => findings
            .problem(&format!("{count} dead letters: look at them with `zhili dead-letters list`")),
    }
}
