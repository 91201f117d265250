//! `zhili doctor`: what keeps the system from working, and what to do about it.

use zhili_proto::escalation::v1::ListRequest;
use zhili_proto::escalation::v1::escalation_service_client::EscalationServiceClient;
use zhili_proto::log::v1::ListDeadLettersRequest;
use zhili_proto::log::v1::log_service_client::LogServiceClient;
use zhili_proto::metrics::v1::metrics_service_client::MetricsServiceClient;
use zhili_proto::metrics::v1::{AuditRequest, AuditResponse};
use zhili_runtime::Failure;
use zhili_runtime::auth::unexplained_tokens;

use crate::client::{System, print, said};
use crate::status;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    system: System,
    /// Also compare all that the log holds with the rows in ClickHouse; takes minutes.
    #[arg(long)]
    audit: bool,
    /// Write the rows that the audit misses.
    #[arg(long, requires = "audit")]
    repair: bool,
}

/// What was found, in words.
#[derive(Default)]
struct Findings {
    problems: usize,
    warnings: usize,
}

fn well(what: &str) -> Result<(), Failure> {
    print(&format!("ok       {what}\n"))
}

impl Findings {
    fn problem(&mut self, what: &str) -> Result<(), Failure> {
        self.problems += 1;
        print(&format!("problem  {what}\n"))
    }

    /// Something that keeps nothing from working and that somebody should look at all the same.
    fn warning(&mut self, what: &str) -> Result<(), Failure> {
        self.warnings += 1;
        print(&format!("warning  {what}\n"))
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut findings = Findings::default();
    machine(&mut findings)?;
    if arguments.system.is_here() {
        tokens(&arguments.system, &mut findings)?;
    }
    match status::state(&arguments.system).await {
        Err(failure) => findings.problem(&failure.to_string())?,
        Ok(state) => {
            for (name, service) in &state.services {
                if !service.ready {
                    findings.problem(&format!("{name}: {}", service.reason))?;
                } else if service.reason.is_empty() {
                    well(&format!("{name} makes progress"))?;
                }
            }
            let told = running(&arguments.system, &mut findings).await?;
            for (name, service) in &state.services {
                let warnings = service.reason.lines().filter(|_| service.ready);
                for warning in warnings.filter_map(|line| untold(line, &told)) {
                    findings.warning(&format!("{name}: {warning}"))?;
                }
            }
            if arguments.audit {
                audit(&arguments, &mut findings).await?;
            }
        }
    }
    match findings.problems {
        0 if findings.warnings > 0 => {
            print(&format!("no problems; warnings: {}\n", findings.warnings))
        }
        0 => print("no problems\n"),
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

/// Whether the journal says who made each token of the folder.
fn tokens(system: &System, findings: &mut Findings) -> Result<(), Failure> {
    let file = system.folder().tokens();
    if !file.exists() {
        return Ok(());
    }
    match unexplained_tokens(&file) {
        Ok(names) if names.is_empty() => well("`zhili token log` says who made each token"),
        Ok(names) => findings.problem(&format!(
            "nothing says who made these tokens, or gave them what they allow: {}; make them anew with `zhili token create`, or revoke them",
            names.join(", ")
        )),
        Err(failure) => findings.problem(&failure.to_string()),
    }
}

/// What a service warns of beyond what was told as a problem already: escalation warns of all tenants,
/// also of the caller's.
fn untold(line: &str, told: &[String]) -> Option<String> {
    let line = line.strip_prefix("warning: ").unwrap_or(line);
    let rest = told.iter().fold(line.to_owned(), |rest, told| rest.replace(told, ""));
    let rest = rest.trim_matches([';', ' ']).to_owned();
    let only_its_name = rest.trim_end_matches([';', ' ']).ends_with(':');
    (!rest.is_empty() && !only_its_name).then_some(rest)
}

/// What can be asked of a running system; gives what it said of those who cannot be paged.
async fn running(system: &System, findings: &mut Findings) -> Result<Vec<String>, Failure> {
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
    }?;
    Ok(warnings)
}

/// Compares every partition that feeds tables with them, from the start of the log to the sink's
/// position.
async fn audit(arguments: &Arguments, findings: &mut Findings) -> Result<(), Failure> {
    let addresses = arguments.system.addresses()?;
    let connection = arguments.system.connect(&addresses.metrics).await?;
    let mut client = MetricsServiceClient::new(connection);
    for topic in zhili_metrics::TOPICS {
        let mut total = AuditResponse::default();
        let mut request = AuditRequest {
            topic: (*topic).to_owned(),
            repair: arguments.repair,
            ..AuditRequest::default()
        };
        loop {
            let answer = client.audit(request.clone()).await.map_err(|s| said(&s))?.into_inner();
            total.records += answer.records;
            total.rows += answer.rows;
            total.holes += answer.holes;
            total.duplicates += answer.duplicates;
            total.strays += answer.strays;
            total.repaired += answer.repaired;
            if answer.next_offset < answer.end_offset {
                request.from_offset = answer.next_offset;
            } else if request.partition + 1 < answer.partitions {
                request.partition += 1;
                request.from_offset = 0;
            } else {
                break;
            }
        }
        report(topic, &total, findings)?;
    }
    Ok(())
}

fn report(topic: &str, total: &AuditResponse, findings: &mut Findings) -> Result<(), Failure> {
    let AuditResponse { records, rows, holes, duplicates, strays, repaired, .. } = total;
    if *holes > 0 {
        findings.problem(&format!(
            "{topic}: {holes} of {rows} rows are missing in ClickHouse: write them with `zhili doctor --audit --repair`"
        ))?;
    }
    if *strays > 0 {
        findings.problem(&format!("{topic}: ClickHouse has {strays} rows that no record gives"))?;
    }
    if *repaired > 0 {
        well(&format!("{topic}: {repaired} missing rows were written"))?;
    }
    if *duplicates > 0 {
        well(&format!("{topic}: {duplicates} rows are there twice; the views show them once"))?;
    }
    if *holes == 0 && *strays == 0 {
        well(&format!("{topic}: the rows of all {records} records are there"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_as_a_problem_is_no_warning_as_well() {
        let told = ["nobody; for a".to_owned()];
        assert_eq!(untold("warning: pages: nobody; for a", &told), None);
        let others = untold("warning: pages: nobody; for a; nobody for b", &told);
        assert!(others.is_some_and(|it| it.contains("nobody for b")));
        assert_eq!(untold("warning: the disk is full", &told), Some("the disk is full".to_owned()));
    }
}
