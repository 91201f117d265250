//! What people do with incidents, over HTTP and gRPC.

use serde_json::json;
use tonic::Code;
use zhili_eventlog::topics;
use zhili_proto::escalation::v1 as pb;
use zhili_proto::escalation::v1::escalation_service_client::EscalationServiceClient;
use zhili_proto::escalation::v1::incident_event::Type;

use crate::bench::{Bench, Service};

async fn triggered(bench: &Bench, conversation: &str) -> (String, u64) {
    bench.signal(bench.urgent(&format!("s-{conversation}"), conversation)).await;
    let event = bench.told(Type::Paged, conversation).await;
    let incident = event.incident.unwrap();
    (incident.incident_id, incident.version)
}

fn with_token<T>(service: &Service, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let token = format!("Bearer {}", service.token).parse().unwrap();
    request.metadata_mut().insert("authorization", token);
    request
}

#[tokio::test]
async fn an_incident_is_acknowledged_and_resolved_over_http() {
    let bench = Bench::with_floor().await;
    let service = bench.start().await;
    let (id, version) = triggered(&bench, "c1").await;
    let body = json!({ "expected_version": version.to_string(), "note": "我来，13800138000" });
    let (status, answer) = service.post(&format!("/v1/incidents/{id}:acknowledge"), body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["incident"]["state"], "acknowledged");
    assert_eq!(answer["incident"]["owner"], "mei");
    let told = bench.told(Type::Acknowledged, "c1").await;
    assert_eq!(told.note, "我来，[PHONE]");
    let (status, answer) = service.post(&format!("/v1/incidents/{id}:resolve"), json!({})).await;
    assert_eq!((status, &answer["incident"]["state"]), (200, &json!("resolved")));
    let (_, open) = service.get("/v1/incidents").await;
    assert!(open["incidents"].as_array().is_none_or(Vec::is_empty), "{open}");
    assert_eq!(service.incidents().await.len(), 1);
    let (_, one) = service.get(&format!("/v1/incidents/{id}")).await;
    assert_eq!(one["incident"]["state"], "resolved");
}

#[tokio::test]
async fn an_incident_is_acknowledged_and_resolved_over_grpc() {
    let bench = Bench::with_floor().await;
    let service = bench.start().await;
    let (incident_id, _) = triggered(&bench, "c1").await;
    let mut client = EscalationServiceClient::new(service.channel().await);
    let request = pb::AcknowledgeRequest { incident_id: incident_id.clone(), ..Default::default() };
    let answer = client.acknowledge(with_token(&service, request)).await.unwrap().into_inner();
    assert_eq!(answer.incident.unwrap().owner, "mei");
    let request = pb::ResolveRequest { incident_id: incident_id.clone(), ..Default::default() };
    client.resolve(with_token(&service, request)).await.unwrap();
    let request = pb::ListRequest { all: true, ..Default::default() };
    let listed = client.list(with_token(&service, request)).await.unwrap().into_inner();
    assert_eq!(listed.incidents[0].state(), pb::incident::State::Resolved);
    let request = pb::ResolveRequest { incident_id, ..Default::default() };
    let refused = client.resolve(with_token(&service, request)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("resolved already"), "{}", refused.message());
    let request = pb::GetRequest { incident_id: "inc_none".into() };
    let missing = client.get(with_token(&service, request)).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    let anonymous = client.list(pb::ListRequest::default()).await.unwrap_err();
    assert_eq!(anonymous.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn an_incident_is_snoozed_reassigned_escalated_and_marked_over_http() {
    let bench = Bench::with_floor().await;
    let service = bench.start().await;
    let (id, _) = triggered(&bench, "c1").await;
    let act = async |action: &str, body| {
        let (status, answer) = service.post(&format!("/v1/incidents/{id}:{action}"), body).await;
        (status, answer["incident"].clone(), answer["detail"].clone())
    };
    let (status, incident, _) = act("snooze", json!({ "duration": "1800s" })).await;
    assert_eq!((status, &incident["state"]), (200, &json!("snoozed")));
    assert_eq!(incident["owner"], "mei");
    let (status, incident, _) = act("reassign", json!({ "destination": "floor" })).await;
    assert_eq!((status, &incident["state"]), (200, &json!("triggered")));
    assert_eq!(incident["assigned_to"], "floor");
    let (status, incident, _) = act("escalate", json!({})).await;
    assert_eq!((status, &incident["step"]), (200, &json!(1)));
    let (status, incident, _) = act("markFalsePositive", json!({ "note": "sarcasm" })).await;
    assert_eq!((status, &incident["state"]), (200, &json!("resolved")));
    assert_eq!(incident["resolution"], "false_positive");
    assert_eq!(bench.told(Type::FalsePositive, "c1").await.note, "sarcasm");
}

#[tokio::test]
async fn a_snooze_without_an_end_and_an_assignee_that_is_unknown_are_the_callers_mistakes() {
    let bench = Bench::with_floor().await;
    let service = bench.start().await;
    let (id, _) = triggered(&bench, "c1").await;
    for (action, body, told) in [
        ("snooze", json!({}), "until"),
        ("snooze", json!({ "duration": "604801s" }), "within 7 days"),
        ("reassign", json!({}), "destination"),
        ("reassign", json!({ "destination": "moon" }), "moon"),
    ] {
        let (status, problem) = service.post(&format!("/v1/incidents/{id}:{action}"), body).await;
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(status == 400 && detail.contains(told), "{status} {problem}");
    }
}

#[tokio::test]
async fn a_silence_is_made_listed_and_ended_over_http() {
    let bench = Bench::with_floor().await;
    let service = bench.start().await;
    let body = json!({
        "matcher": { "queue": ["ret*"], "severity": ["high"] },
        "duration": "3600s",
        "comment": "migration, call 13800138000",
        "command_id": "mute",
    });
    let (status, made) = service.post("/v1/silences", body.clone()).await;
    assert_eq!(status, 200, "{made}");
    let silence = &made["silence"];
    assert_eq!(silence["author"], "mei");
    assert_eq!(silence["comment"], "migration, call [PHONE]");
    bench.signal(bench.urgent("s1", "c1")).await;
    let held = bench.told(Type::Suppressed, "c1").await.incident.unwrap();
    assert_eq!(held.suppression.unwrap().cause, "silence");
    let (_, again) = service.post("/v1/silences", body).await;
    assert_eq!(again["silence"]["silence_id"], silence["silence_id"]);
    let (_, listed) = service.get("/v1/silences").await;
    assert_eq!(listed["silences"].as_array().unwrap().len(), 1);
    assert_eq!(listed["silences"][0]["state"], "active");
    let end = format!("/v1/silences/{}:expire", silence["silence_id"].as_str().unwrap());
    assert_eq!(service.post(&end, json!({})).await.0, 200);
    bench.told(Type::Paged, "c1").await;
    let (_, listed) = service.get("/v1/silences").await;
    assert!(listed["silences"].as_array().is_none_or(Vec::is_empty), "{listed}");
    let (status, _) = service.post("/v1/silences/sil_none:expire", json!({})).await;
    assert_eq!(status, 404);
    let (status, problem) = service.post("/v1/silences", json!({ "duration": "60s" })).await;
    assert!(
        status == 400 && problem["detail"].as_str().unwrap().contains("condition"),
        "{problem}"
    );
}

#[tokio::test]
async fn who_is_on_call_is_told_and_can_be_had_as_a_calendar() {
    let bench = Bench::new().await;
    let schedule = "[escalation.teams.default.schedules.day]\ntz = 'Asia/Shanghai'\n\
        [[escalation.teams.default.schedules.day.layers]]\nmembers = ['floor']\n\
        rotation = 'weekly'\nstarts = '2020-01-06T09:00'\n\
        only = { tz = 'Asia/Shanghai', weekly = { mon = [['09:00', '18:00']] } }\n\
        [[escalation.teams.default.policies.default.steps]]\non_call = ['day']\n";
    bench.configure("default", &format!("{}{schedule}", bench.floor())).await;
    let service = bench.start().await;
    let (status, answer) = service.get("/v1/on-call?days=7").await;
    assert_eq!(status, 200, "{answer}");
    let day = &answer["schedules"][0];
    assert_eq!((&day["team"], &day["schedule"]), (&json!("default"), &json!("day")));
    // On a Monday they may be on call now.
    let people = [&day["now"], &day["next"]["member"]];
    assert!(people.contains(&&json!("floor")), "{day}");
    assert!(!day["gaps"].as_array().unwrap().is_empty(), "{day}");
    assert_eq!(service.get("/v1/on-call?schedule=night").await.0, 404);
    assert_eq!(service.get("/v1/on-call?days=401").await.0, 400);
    let calendar = service.file("/v1/schedules/day.ics").await;
    assert!(calendar.starts_with("BEGIN:VCALENDAR\r\n"), "{calendar}");
    assert!(calendar.matches("SUMMARY:floor").count() >= 12, "90 days of Mondays: {calendar}");
    assert_eq!(service.get("/v1/schedules/night.ics").await.0, 404);
}

#[tokio::test]
async fn nobody_is_paged_about_a_conversation_while_a_supervisor_is_in_it() {
    let bench = Bench::with_floor().await;
    let service = bench.start().await;
    assert_eq!(service.post("/v1/conversations/c1:attend", json!({})).await.0, 200);
    bench.signal(bench.urgent("s1", "c1")).await;
    let held = bench.told(Type::Suppressed, "c1").await.incident.unwrap().suppression.unwrap();
    assert_eq!((&*held.cause, &*held.detail), ("attended", "mei is in the conversation"));
    assert_eq!(service.post("/v1/conversations/c1:leave", json!({})).await.0, 200);
    bench.told(Type::Paged, "c1").await;
    assert_eq!(service.post("/v1/conversations/c1", json!({})).await.0, 404);
}

#[tokio::test]
async fn silences_of_the_configuration_are_listed_too() {
    let bench = Bench::new().await;
    let planned = "[escalation.teams.default.silences.new-year]\n\
        match = { queue = ['returns'] }\nmode = 'maintenance'\n\
        starts = '2999-01-01T00:00:00+08:00'\nends = '2999-01-02T00:00:00+08:00'\n";
    bench.configure("default", &format!("{}{planned}", bench.floor())).await;
    let service = bench.start().await;
    let (_, listed) = service.get("/v1/silences").await;
    let silence = &listed["silences"][0];
    assert_eq!((&silence["mode"], &silence["state"]), (&json!("maintenance"), &json!("pending")));
    assert_eq!(silence["author"], "configuration");
}

#[tokio::test]
async fn a_command_against_an_older_version_is_refused_and_says_why() {
    let bench = Bench::with_floor().await;
    let service = bench.start().await;
    let (id, version) = triggered(&bench, "c1").await;
    let stale = json!({ "expected_version": version - 1 });
    let (status, problem) = service.post(&format!("/v1/incidents/{id}:acknowledge"), stale).await;
    assert_eq!(status, 409, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(&format!("version {} was seen", version - 1)), "{detail}");
    let (_, one) = service.get(&format!("/v1/incidents/{id}")).await;
    assert_eq!(one["incident"]["state"], "triggered");
}

#[tokio::test]
async fn a_command_that_comes_again_is_answered_again_and_done_once() {
    let bench = Bench::with_floor().await;
    let service = bench.start().await;
    let (id, _) = triggered(&bench, "c1").await;
    let path = format!("/v1/incidents/{id}:acknowledge");
    let body = json!({ "command_id": "click-1" });
    let (first, one) = service.post(&path, body.clone()).await;
    let (second, two) = service.post(&path, body).await;
    assert_eq!((first, second), (200, 200));
    assert_eq!(one["incident"]["version"], two["incident"]["version"]);
    let kinds: Vec<Type> = bench.events().await.iter().map(pb::IncidentEvent::r#type).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == Type::Acknowledged).count(), 1, "{kinds:?}");
}

#[tokio::test]
async fn another_tenant_sees_nothing_and_a_publisher_may_not_look() {
    let bench = Bench::with_floor().await;
    let service = bench.start().await;
    let (id, _) = triggered(&bench, "c1").await;
    let (status, list) = service.get_as(&service.stranger, "/v1/incidents?all").await;
    assert_eq!(status, 200);
    assert!(list["incidents"].as_array().is_none_or(Vec::is_empty), "{list}");
    assert_eq!(service.get_as(&service.stranger, &format!("/v1/incidents/{id}")).await.0, 404);
    let path = format!("/v1/incidents/{id}:resolve");
    assert_eq!(service.post_as(&service.stranger, &path, json!({})).await.0, 404);
    assert_eq!(service.get_as(&service.publisher, "/v1/incidents").await.0, 403);
    // Nothing of it reached the log.
    let commands = bench.all(topics::ESCALATION).await;
    assert!(commands.iter().all(|value| !value.windows(3).any(|three| three == b"eve")));
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_refused_with_the_field() {
    let bench = Bench::with_floor().await;
    let service = bench.start().await;
    let (id, _) = triggered(&bench, "c1").await;
    for (body, field) in [
        (json!({ "noted": "x" }), "noted"),
        (json!({ "note": "x".repeat(2_001) }), "note"),
        (json!({ "command_id": "x".repeat(129) }), "command_id"),
        (json!({ "incident_id": "inc_other" }), "incident_id"),
    ] {
        let (status, problem) =
            service.post(&format!("/v1/incidents/{id}:acknowledge"), body).await;
        assert_eq!(status, 400, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(field), "{problem}");
    }
    let unknown = service.post(&format!("/v1/incidents/{id}:explode"), json!({})).await;
    assert_eq!(unknown.0, 404);
    assert_eq!(service.get("/v1/incidents?limit=1001").await.0, 400);
    assert_eq!(service.get("/v1/incidents?all=perhaps").await.0, 400);
}

#[tokio::test]
async fn a_restarted_service_knows_its_incidents() {
    let bench = Bench::with_floor().await;
    let service = bench.start().await;
    let (id, _) = triggered(&bench, "c1").await;
    service.stop().await;
    let service = bench.start().await;
    let (status, _) = service.post(&format!("/v1/incidents/{id}:acknowledge"), json!({})).await;
    assert_eq!(status, 200);
    bench.receiver.next().await;
    assert!(bench.receiver.rest().await.is_empty(), "nobody is paged twice by a restart");
}
