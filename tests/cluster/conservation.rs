//! A short run of the conservation oracle on real Kafka; `make chaos` has the long one.

use std::time::Duration;

use zhili_tests::conservation::plan::Home;
use zhili_tests::machine::{Run, run};

use crate::TURN;
use crate::system::is_possible;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_lose_and_double_nothing() {
    let _turn = TURN.lock().await;
    if !is_possible() {
        return;
    }
    let words = std::env::temp_dir().join(format!("zhili-chaos-kafka-{}", std::process::id()));
    let report = run(&Run {
        home: Home::Kafka,
        seed: 1,
        length: Duration::from_secs(30),
        rate: 100,
        disks: false,
        older: None,
        only: Vec::new(),
        words,
    })
    .await;
    assert!(report.is_clean(), "{report:#?}");
    assert!(!report.faults.is_empty(), "nothing was hit");
    assert!(report.urgent > 0 && report.pages >= report.urgent, "{report:#?}");
}
