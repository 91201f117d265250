//! Requests made out of the OpenAPI document, right ones and wrong ones: nothing is answered with a defect, and
//! every answer is as the document says.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use zhili_tests::python::python_with;
use zhili_tests::{Options, System, has_library, samples};

/// What makes the requests, and what it draws them with: another version makes other ones.
const PACKAGES: [&str; 2] = ["schemathesis==4.32.5", "hypothesis==6.170.17"];

/// Services by the tag of their routes, in the order of their ports.
const SERVICES: [&str; 4] = ["ingest", "scoring", "escalation", "metrics"];

/// What every answer must be.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

/// Streams that do not end by themselves.
const ENDLESS: &str = ":watch$";

/// Makes requests to one service; the tool's report.
fn examine(schemathesis: &Path, system: &System, place: usize, folder: &Path) -> Value {
    let (service, report) = (SERVICES[place], folder.join("report.json"));
    let mut command = Command::new(schemathesis);
    command
        .args(["run", &format!("{}/v1/openapi.json", system.url(3))])
        .args(["--url", &system.url(place as u16), "--include-tag", service])
        .args(["--header", &format!("Authorization: Bearer {}", system.token())])
        .args(["--exclude-path-regex", ENDLESS, "--checks", CHECKS, "--continue-on-failure"])
        .args(["--phases", "examples,fuzzing", "--max-examples", "12", "--seed", "1"])
        .args(["--generation-database", "none", "--no-shrink", "--no-color", "--warnings", "off"])
        .args(["--report", "json", "--report-json-path"])
        .arg(&report)
        .current_dir(folder)
        .stdin(Stdio::null());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{service}:\n{said}\n{words}");
    serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_as_the_openapi_document_says_whatever_is_asked() {
    let test = "every_answer_is_as_the_openapi_document_says_whatever_is_asked";
    if !has_library(test) {
        return;
    }
    let Some(python) = python_with(test, &PACKAGES) else { return };
    let system = System::start(Options::default());
    system.publish(&samples::files());
    system.settle().await;
    let folder = tempfile::tempdir().unwrap();
    let schemathesis = python.with_file_name("schemathesis").canonicalize().unwrap();
    let (mut operations, mut requests) = (0, 0);
    for place in 0..SERVICES.len() {
        let report = examine(&schemathesis, &system, place, folder.path());
        let count = |pointer| report.pointer(pointer).and_then(Value::as_u64).unwrap();
        assert_eq!(count("/operations/tested"), count("/operations/selected"), "{report}");
        operations += count("/operations/tested");
        requests += count("/test_cases/generated");
    }
    eprintln!("{requests} requests to {operations} operations");
    assert!(operations > 60 && requests > 300, "{requests} requests to {operations} operations");
}
