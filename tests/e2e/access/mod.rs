//! Who may do what, tried out: every endpoint of every service, as every role, for one's own
//! tenant and for another, without a token, and with one that has expired.

mod audit;
pub(crate) mod call;
#[allow(dead_code, reason = "the tests of the warehouse use more of it")]
#[path = "../../../crates/warehouse/tests/engine/mod.rs"]
pub(crate) mod engine;
mod stage;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use call::Answer;
use stage::{Service, Stage, TENANTS};
use table::{Expected, ROLES, Row};
use zhili_runtime::Endpoint;

/// Streams that do not end by themselves.
const ENDLESS: [&str; 4] = [
    "zhili.escalation.v1.EscalationService/Watch",
    "grpc.health.v1.Health/Watch",
    "/v1/incidents:watch",
    "/v1/wall:watch",
];

/// Who asks.
#[derive(Clone, Copy, Debug)]
enum Caller {
    Nobody,
    Expired,
    Of(&'static str, zhili_runtime::auth::Role),
}

/// What a service answers, one line for each method of gRPC and of HTTP.
fn answered(service: &Service, contracts: &prost_reflect::DescriptorPool) -> Vec<String> {
    let mut lines = Vec::new();
    for endpoint in service.endpoints() {
        match endpoint {
            Endpoint::Http { method, path, .. } => lines.push(format!("{method} {path}")),
            Endpoint::Grpc { service, .. } => {
                let methods = contracts.get_service_by_name(service).expect(service);
                lines.extend(methods.methods().map(|it| format!("gRPC {service}/{}", it.name())));
            }
        }
    }
    lines
}

/// The table and the services must name the same endpoints, and every method of the contracts of
/// the project must be among them.
fn compare(stage: &Stage, table: &[Row], contracts: &prost_reflect::DescriptorPool) -> usize {
    let mut endpoints = 0;
    for service in &stage.services {
        let answered: BTreeSet<String> = answered(service, contracts).into_iter().collect();
        let listed: BTreeSet<String> = table
            .iter()
            .filter(|row| row.service == "each" || row.service == service.name)
            .map(|row| format!("{} {}", row.kind, row.endpoint))
            .collect();
        let missing: Vec<_> = answered.difference(&listed).collect();
        assert!(missing.is_empty(), "not in the table, {} answers {missing:?}", service.name);
        let unanswered: Vec<_> = listed.difference(&answered).collect();
        assert!(
            unanswered.is_empty(),
            "in the table, {} does not answer {unanswered:?}",
            service.name
        );
        endpoints += answered.len();
    }
    let listed: BTreeSet<&str> =
        table.iter().filter(|row| row.kind == "gRPC").map(|row| row.endpoint).collect();
    for service in contracts.services() {
        for method in service.methods() {
            let name = format!("{}/{}", service.full_name(), method.name());
            assert!(listed.contains(&*name), "{name} is not in the table");
        }
    }
    endpoints
}

/// The served document has every route of the table, with the services that have it and whether
/// anybody may, and no other.
fn described(rows: &[Row], document: &serde_json::Value) {
    let paths = document["paths"].as_object().unwrap();
    // A parameter is one part of a path, before what follows a colon.
    let fits = |template: &str, path: &str| {
        let (mut given, mut rest) = (template.split(['{', '}']), path);
        let mut fixed = given.next().unwrap_or_default();
        loop {
            let Some(after) = rest.strip_prefix(fixed) else { return false };
            rest = after;
            if given.next().is_none() {
                return rest.is_empty();
            }
            rest = rest.trim_start_matches(|c: char| c != '/' && c != ':');
            fixed = given.next().unwrap_or_default();
        }
    };
    let mut named = BTreeSet::new();
    for row in rows.iter().filter(|row| row.kind != "gRPC") {
        let path = row.request.split([' ', '?']).next().unwrap();
        let method = row.kind.to_lowercase();
        // What is written out goes before what has a parameter.
        let found = paths
            .iter()
            .filter(|(template, methods)| fits(template, path) && methods.get(&method).is_some())
            .min_by_key(|(template, _)| template.matches('{').count());
        let (template, methods) = found.unwrap_or_else(|| panic!("{method} {path} is not in it"));
        let operation = &methods[&method];
        let tags = operation["tags"].as_array().unwrap();
        let has = |name: &str| tags.iter().any(|tag| tag == name);
        assert!(
            row.service == "each" && tags.len() == 4 || has(row.service),
            "{method} {path}: {tags:?}"
        );
        let open = operation["security"].as_array().is_some_and(Vec::is_empty);
        assert_eq!(open, row.roles.is_none(), "{method} {path}");
        named.insert(format!("{method} {template}"));
    }
    let all = paths.iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
    });
    // One of several actions on a thing is in the table for all that go by the same route.
    let others: Vec<String> = all
        .filter(|it| !named.contains(it))
        .filter(|it| !it.ends_with(":redeliver") && !it.ends_with(":leave"))
        .collect();
    assert!(others.is_empty(), "in the document and not in the table: {others:?}");
}

async fn ask(
    stage: &Stage,
    contracts: &prost_reflect::DescriptorPool,
    service: &Service,
    row: &Row,
    caller: Caller,
) -> Answer {
    let token = match caller {
        Caller::Nobody => None,
        Caller::Expired => Some(stage.expired.as_str()),
        Caller::Of(tenant, role) => Some(stage.tokens[&(tenant, role)].as_str()),
    };
    // Logging in wants a token in the body, and an expired one is no use of the endpoint.
    let known = stage.tokens.values().next().unwrap();
    let given = token.filter(|_| !matches!(caller, Caller::Expired)).unwrap_or(known);
    let mut request = row.request.replace("$token", given);
    for (name, value) in &stage.names {
        request = request.replace(name, value);
    }
    let endless = ENDLESS.contains(&row.endpoint);
    if row.kind == "gRPC" {
        let channel = service.channel.clone();
        return call::grpc(contracts, channel, row.endpoint, &request, token, endless).await;
    }
    let (path, body) = request.split_once(' ').unwrap_or((&request, ""));
    let url = format!("{}{path}", service.url);
    call::http(&stage.http, row.kind, &url, body, token, endless).await
}

/// What a cell of the table says; `None` when the answer is as it says.
fn wrong(stage: &Stage, row: &Row, caller: Caller, answer: &Answer) -> Option<String> {
    let holds = |answer: &[u8]| {
        let found = |mark: &&String| answer.windows(mark.len()).any(|at| at == mark.as_bytes());
        stage.marks.iter().find(found).cloned()
    };
    let expected = match (&row.roles, caller) {
        (Some(_), Caller::Nobody | Caller::Expired) => {
            return (*answer != Answer::Unauthenticated).then(|| "is not refused".to_owned());
        }
        (Some(roles), Caller::Of(_, role)) if !roles.contains(&role) => {
            return (*answer != Answer::Denied).then(|| "is not denied".to_owned());
        }
        (_, Caller::Of(tenant, _)) if tenant != TENANTS[0] => row.other,
        _ => row.own,
    };
    let fits = match (expected, answer) {
        (Expected::Shown, Answer::Given(bytes)) => {
            return holds(bytes).is_none().then(|| "shows nothing of the tenant".to_owned());
        }
        (Expected::Hidden, Answer::Given(bytes)) => {
            return holds(bytes).map(|mark| format!("shows {mark} to another tenant"));
        }
        (Expected::Done, Answer::Given(_) | Answer::Conflict)
        | (Expected::Unknown, Answer::Unknown)
        | (Expected::Nobody, Answer::Unauthenticated)
        | (Expected::Page, Answer::Given(_) | Answer::Unknown) => true,
        _ => false,
    };
    (!fits).then(|| format!("is not {expected:?}"))
}

/// The store has one key, which only the services have: tenants' rows lie side by side in it, so
/// no token of anybody may open it, whatever user it comes with. Requests that it refused.
async fn store_refuses(stage: &Stage, store: &str) -> usize {
    let mut refused = 0;
    let everybody = stage.tokens.values().chain([&stage.expired]);
    for (token, user) in everybody.flat_map(|token| [(token, "default"), (token, "hongqiao")]) {
        let query = format!("{store}/?query=SELECT+count()+FROM+zhili.events");
        let by_header = stage
            .http
            .post(&query)
            .header("x-clickhouse-user", user)
            .header("x-clickhouse-key", token);
        let by_parameter = stage.http.post(format!("{query}&user={user}&password={token}"));
        let basic = stage.http.post(&query).basic_auth(user, Some(token));
        for request in [by_header, by_parameter, basic, stage.http.post(&query).bearer_auth(token)]
        {
            let answer = request.send().await.unwrap();
            let status = answer.status();
            let words = answer.text().await.unwrap();
            assert!(!status.is_success() && words.contains("Authentication failed"), "{words}");
            refused += 1;
        }
    }
    refused
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_answers_each_role_and_tenant_as_the_table_says() {
    let test = "every_endpoint_answers_each_role_and_tenant_as_the_table_says";
    let stage = Stage::start(test).await;
    let contracts = call::contracts();
    let started: BTreeSet<&str> = stage.services.iter().map(|service| service.name).collect();
    let rows: Vec<Row> = table::rows()
        .into_iter()
        .filter(|row| row.service == "each" || started.contains(row.service))
        .collect();
    let endpoints =
        if started.contains("metrics") { compare(&stage, &rows, &contracts) } else { rows.len() };
    if started.contains("metrics") {
        let url = format!("{}/v1/openapi.json", stage.service("metrics").url);
        let token = &stage.tokens[&(TENANTS[0], zhili_runtime::auth::Role::Publisher)];
        let document = stage.http.get(url).bearer_auth(token).send().await.unwrap();
        described(&rows, &document.json().await.unwrap());
    }

    let mut callers = vec![Caller::Nobody, Caller::Expired];
    for tenant in TENANTS {
        callers.extend(ROLES.map(|role| Caller::Of(tenant, role)));
    }
    let (mut cells, mut faults) = (BTreeMap::<&str, usize>::new(), Vec::new());
    for row in &rows {
        for service in &stage.services {
            if row.service != "each" && row.service != service.name {
                continue;
            }
            for caller in &callers {
                let answer = ask(&stage, &contracts, service, row, *caller).await;
                let outcome = match &answer {
                    Answer::Unauthenticated => "unauthenticated",
                    Answer::Denied => "denied",
                    Answer::Unknown => "unknown",
                    Answer::Conflict | Answer::Given(_) => "answered",
                    Answer::Other(_) => "other",
                };
                *cells.entry(outcome).or_default() += 1;
                if let Some(fault) = wrong(&stage, row, *caller, &answer) {
                    let shown = match &answer {
                        Answer::Given(bytes) => {
                            String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned()
                        }
                        other => format!("{other:?}"),
                    };
                    let Row { kind, endpoint, request, .. } = row;
                    let name = service.name;
                    faults.push(format!(
                        "{name} {kind} {endpoint} ({request:.60}) as {caller:?} {fault}: {shown}"
                    ));
                }
            }
        }
    }
    if let Some(store) = stage.store() {
        let refused = store_refuses(&stage, &store).await;
        *cells.entry("refused by the store").or_default() += refused;
    }
    let all: usize = cells.values().sum();
    eprintln!(
        "access: {endpoints} endpoints of {} services, {all} cells: {cells:?}",
        stage.services.len()
    );
    assert!(faults.is_empty(), "{} of {all} cells:\n{}", faults.len(), faults.join("\n"));
    stage.stop().await;
}
