//! Short runs of the conservation oracle on the embedded log; `make chaos` has the long ones.

use std::time::Duration;

use zhili_tests::conservation::Report;
use zhili_tests::conservation::plan::Home;
use zhili_tests::has_library;
use zhili_tests::machine::{Run, run};

/// One at a time: each needs the machine for itself to be through in a minute.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A run of half a minute with the faults that the words name.
async fn kept(test: &str, seed: u64, rate: u32, only: &[&str]) -> Option<Report> {
    let _turn = TURN.lock().await;
    if !has_library(test) {
        return None;
    }
    let words = std::env::temp_dir().join(format!("zhili-{test}-{}", std::process::id()));
    let report = run(&Run {
        home: Home::Embedded,
        seed,
        length: Duration::from_secs(30),
        rate,
        disks: true,
        older: None,
        only: only.iter().map(|word| (*word).to_owned()).collect(),
        words,
    })
    .await;
    assert!(report.is_clean(), "{report:#?}");
    assert!(!report.faults.is_empty(), "nothing was hit");
    assert!(report.urgent > 0 && report.pages >= report.urgent, "{report:#?}");
    Some(report)
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_lose_and_double_nothing() {
    let only = ["kill", "pause", "cut", "errors", "break", "silence"];
    kept("faults_lose_and_double_nothing", 8, 100, &only).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disks_that_are_full_or_refuse_writes_lose_and_double_nothing() {
    let test = "disks_that_are_full_or_refuse_writes_lose_and_double_nothing";
    kept(test, 5, 100, &["disk"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overload_loses_and_doubles_nothing() {
    let test = "an_overload_loses_and_doubles_nothing";
    let report = kept(test, 2, 100, &["overload"]).await;
    // Far more than the rate gives.
    assert!(report.is_none_or(|report| report.events > 2 * 30 * 100));
}
