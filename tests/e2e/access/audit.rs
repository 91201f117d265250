//! What of all this can be looked up afterwards, and by whom.

use prost::Message;
use zhili_eventlog::topics;
use zhili_proto::log::v1::log_service_client::LogServiceClient;
use zhili_proto::log::v1::{AuditEntry, TailRequest};
use zhili_runtime::auth::Role;

use super::call::{self, Answer};
use super::stage::{Stage, TENANTS};

/// All entries that a caller is shown.
async fn entries(stage: &Stage, tenant: &'static str, role: Role) -> Vec<AuditEntry> {
    let mut client = LogServiceClient::new(stage.service("scoring").channel.clone());
    let mut request = tonic::Request::new(TailRequest {
        topic: topics::AUDIT.to_owned(),
        last: u64::MAX,
        until_now: true,
    });
    let bearer = format!("Bearer {}", stage.tokens[&(tenant, role)]).parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    let mut stream = client.tail(request).await.unwrap().into_inner();
    let mut entries = Vec::new();
    while let Some(record) = stream.message().await.unwrap() {
        entries.push(AuditEntry::decode(record.value.as_ref()).unwrap());
    }
    entries
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_seen_or_done_what_is_in_the_audit_log_before_they_have_their_answer() {
    let test = "who_has_seen_or_done_what_is_in_the_audit_log_before_they_have_their_answer";
    let stage = Stage::start(test).await;
    let contracts = call::contracts();
    let incident = stage.names["$incident"].clone();
    let escalation = stage.service("escalation");
    let post = async |role: Role, action: &str| {
        let url = format!("{}/v1/incidents/{incident}:{action}", escalation.url);
        let token = Some(stage.tokens[&(TENANTS[0], role)].as_str());
        call::http(&stage.http, "POST", &url, "{}", token, false).await
    };
    let tail = async |role: Role| {
        let token = Some(stage.tokens[&(TENANTS[0], role)].as_str());
        let channel = stage.service("ingest").channel.clone();
        let message = r#"{"topic": "zhili.events.v1", "last": 10, "until_now": true}"#;
        let method = "zhili.log.v1.LogService/Tail";
        call::grpc(&contracts, channel, method, message, token, false).await
    };
    assert!(matches!(post(Role::Supervisor, "acknowledge").await, Answer::Given(_)));
    assert_eq!(post(Role::Analyst, "resolve").await, Answer::Denied);
    assert!(matches!(tail(Role::Qa).await, Answer::Given(_)));
    assert_eq!(tail(Role::Agent).await, Answer::Denied);

    let entries_of = entries(&stage, TENANTS[0], Role::Dpo).await;
    let found = |actor: &str, permission: &str, target: &str, outcome: &str| {
        let fits = |it: &&AuditEntry| {
            (&*it.actor, &*it.permission, &*it.target, &*it.outcome)
                == (actor, permission, target, outcome)
        };
        entries_of.iter().filter(fits).count()
    };
    assert_eq!(found("Supervisor", "incidents", &incident, "200"), 1, "{entries_of:#?}");
    assert_eq!(found("Analyst", "incidents", &incident, "403"), 1, "{entries_of:#?}");
    assert_eq!(found("Qa", "transcripts", topics::EVENTS, "Ok"), 1, "{entries_of:#?}");
    assert_eq!(
        found("Agent", "transcripts", topics::EVENTS, "PermissionDenied"),
        1,
        "{entries_of:#?}"
    );
    let applied =
        |it: &AuditEntry| it.permission == "config" && it.endpoint.ends_with("ApplyConfig");
    assert!(entries_of.iter().any(applied), "{entries_of:#?}");
    assert!(entries_of.iter().all(|entry| entry.tenant == TENANTS[0]));

    // Whoever reads it is in it.
    let read = |it: &AuditEntry| (&*it.actor, &*it.target) == ("Dpo", topics::AUDIT);
    let again = entries(&stage, TENANTS[0], Role::Admin).await;
    assert_eq!(again.iter().filter(|it| read(it)).count(), 1, "{again:#?}");
    let others = entries(&stage, TENANTS[1], Role::Dpo).await;
    assert!(others.iter().all(|entry| entry.tenant == TENANTS[1]), "{others:#?}");
    stage.stop().await;
}
