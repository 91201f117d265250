//! Clients that know nothing of the project.

use std::path::Path;
use std::process::{Command, Stdio};

use zhili_tests::python::python_with;
use zhili_tests::{Options, System, has_library, samples, skipped};

fn script(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Runs a check to its end; it says `ok` when everything was right.
fn check(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("ok"), "{said}{words}");
    eprintln!("{}", said.trim());
}

#[tokio::test(flavor = "multi_thread")]
async fn clickhouse_connect_works_with_the_store_of_the_system() {
    let test = "clickhouse_connect_works_with_the_store_of_the_system";
    if !has_library(test) {
        return;
    }
    let Some(python) = python_with(test, &["clickhouse-connect"]) else { return };
    let system = System::start(Options::default());
    check(
        Command::new(python)
            .arg(script("services/store/tests/clickhouse_connect_check.py"))
            .arg(system.url(4))
            .env("ZHILI_STORE_KEY", system.token()),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_client_learns_the_contract_by_reflection_and_publishes() {
    let test = "a_grpc_client_learns_the_contract_by_reflection_and_publishes";
    if !has_library(test) {
        return;
    }
    let Some(python) = python_with(test, &["grpcio", "grpcio-reflection"]) else { return };
    let system = System::start(Options::default());
    let address = system.url(0);
    check(
        Command::new(python)
            .arg(script("tests/e2e/grpc_reflection_check.py"))
            .arg(address.trim_start_matches("http://"))
            .env("ZHILI_TOKEN", system.token()),
    );
    system.settle().await;
    assert_eq!(system.tables().number("SELECT count() FROM v_events").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_publishes_and_reads() {
    let test = "curl_publishes_and_reads";
    if !has_library(test) {
        return;
    }
    if Command::new("curl").arg("--version").output().is_err() {
        return skipped(test, "no curl");
    }
    let system = System::start(Options::default());
    let event = serde_json::json!({
        "event_id": "m-1", "source": "curl", "conversation_id": "c-1", "type": "message",
        "sent_at": samples::now(), "customer": {"id": "k"},
        "author": {"id": "k", "role": "customer"}, "text": "我的手机号是16800014477",
    })
    .to_string();
    let curl = |arguments: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--fail-with-body"]).args(arguments);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{words}{said}");
        said
    };
    let bearer = format!("Authorization: Bearer {}", system.token());
    let url = format!("{}/v1/events", system.url(0));
    let json = "Content-Type: application/json";
    let said = curl(&["--header", &bearer, "--header", json, "--data-binary", &event, &url]);
    assert!(said.contains("\"ack\""), "{said}");
    system.settle().await;
    let user = format!("default:{}", system.token());
    let sql = "SELECT text FROM zhili.v_events";
    let rows = curl(&["--user", &user, "--data-binary", sql, &system.url(4)]);
    assert!(rows.contains("我的手机号是") && !rows.contains("16800014477"), "{rows}");
}
