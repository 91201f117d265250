//! The clients of `docs/clients`, through a door that is busy at first.

#[allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::collapsible_if,
    clippy::print_stdout,
    reason = "a program for people to start from, of which the test calls a part"
)]
#[path = "../../docs/clients/rust/src/main.rs"]
mod rust;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use tokio::task::AbortHandle;
use zhili_tests::{Options, System, has_library, samples, skipped};

fn docs(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/clients").join(path)
}

/// Refuses twice, once with a hint and once without, and then hands on to ingest. Ends when dropped.
struct Door {
    url: String,
    knocks: Arc<AtomicUsize>,
    server: AbortHandle,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[derive(Clone)]
struct Behind {
    ingest: String,
    http: reqwest::Client,
    knocks: Arc<AtomicUsize>,
}

impl Door {
    async fn to(ingest: String) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let knocks = Arc::new(AtomicUsize::new(0));
        let behind = Behind { ingest, http: reqwest::Client::new(), knocks: Arc::clone(&knocks) };
        let routes = Router::new().fallback(knock).with_state(behind);
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, knocks, server: server.abort_handle() }
    }

    /// What it heard since it was asked last; then it is busy again.
    fn knocks(&self) -> usize {
        self.knocks.swap(0, Ordering::SeqCst)
    }
}

async fn knock(State(behind): State<Behind>, headers: HeaderMap, body: Bytes) -> Response {
    match behind.knocks.fetch_add(1, Ordering::SeqCst) {
        0 => return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")]).into_response(),
        1 => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => {}
    }
    let mut request = behind.http.post(format!("{}/v1/events", behind.ingest)).body(body);
    for name in [header::AUTHORIZATION, header::CONTENT_TYPE] {
        if let Some(value) = headers.get(&name) {
            request = request.header(name, value);
        }
    }
    let answer = request.send().await.unwrap();
    (answer.status(), answer.text().await.unwrap()).into_response()
}

/// Three events that are taken, the example of the documents among them, and one without an author.
fn events(source: &str) -> String {
    let page = std::fs::read_to_string(docs("README.md")).unwrap();
    let example = page.lines().find(|line| line.starts_with('{')).unwrap();
    let mut event: serde_json::Value = serde_json::from_str(example).unwrap();
    event["source"] = source.into();
    event["sent_at"] = samples::now().into();
    let mut lines = String::new();
    for place in 0..4 {
        event["event_id"] = format!("m-{place}").into();
        if place == 3 {
            event.as_object_mut().unwrap().remove("author");
        }
        lines += &format!("{event}\n\n");
    }
    lines
}

/// The client in TypeScript as a program of Node.js; `None`, after one line that says why, where
/// there is no compiler.
fn compiled(folder: &Path) -> Option<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let compiler = tests.join("../services/metrics/web/node_modules/.bin/tsc");
    if !compiler.is_file() {
        skipped("the client in TypeScript", "no compiler, run make console");
        return None;
    }
    let options = ["--module", "nodenext", "--target", "es2022", "--strict", "--types", ""];
    let output = Command::new(compiler)
        .args(options)
        .args(["--rootDir", "/", "--outDir"])
        .arg(folder)
        .arg(tests.join("e2e/node.d.ts"))
        .arg(docs("typescript/publish.mts"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let built = docs("typescript/publish.mjs").canonicalize();
    assert!(built.is_err(), "the compiler wrote beside the source");
    let source = docs("typescript").canonicalize().unwrap();
    Some(folder.join(source.strip_prefix("/").unwrap()).join("publish.mjs"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_of_the_documents_publishes_through_a_door_that_is_busy_at_first() {
    let test = "every_client_of_the_documents_publishes_through_a_door_that_is_busy_at_first";
    if !has_library(test) {
        return;
    }
    let system = System::start(Options::default());
    let door = Door::to(system.url(0)).await;
    let folder = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();

    let published = rust::publish(&door.url, &system.token(), &events("rust")).await.unwrap();
    let rejected: Vec<_> = published.iter().filter_map(|one| one.rejection.as_ref()).collect();
    assert_eq!((published.len(), rejected.len()), (4, 1));
    assert_eq!(rejected[0].field, "author");
    assert_eq!(door.knocks(), 3);
    expected.push("rust 3");

    let programs = [
        ("python 3", "python3", Some(docs("python/publish.py"))),
        ("typescript 3", "node", compiled(folder.path())),
    ];
    for (rows, interpreter, program) in programs {
        let Some(program) = program else { continue };
        let (source, _) = rows.split_once(' ').unwrap();
        let file = folder.path().join(source);
        std::fs::write(&file, events(source)).unwrap();
        let mut command = Command::new(interpreter);
        command
            .args([&program, &file])
            .env("ZHILI_URL", &door.url)
            .env("ZHILI_TOKEN", system.token())
            .stdin(Stdio::null());
        let Ok(output) = tokio::task::spawn_blocking(move || command.output()).await.unwrap()
        else {
            skipped(test, &format!("no {interpreter}"));
            continue;
        };
        let said = String::from_utf8_lossy(&output.stdout);
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said.trim(), "3 accepted, 1 rejected", "{source}: {words}");
        assert!(words.contains("m-3: author: "), "{source}: {words}");
        assert_eq!(output.status.code(), Some(1), "{source}: {words}");
        assert_eq!(door.knocks(), 3, "{source}");
        expected.push(rows);
    }

    system.settle().await;
    let sql = "SELECT concat(source, ' ', toString(count())) AS said FROM v_events GROUP BY source";
    let rows = system.tables().rows(sql).await;
    let mut found: Vec<&str> = rows.iter().filter_map(|row| row["said"].as_str()).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
}
