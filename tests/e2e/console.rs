//! The console as people see it, in a browser.

use std::path::Path;
use std::process::{Command, Stdio};

use zhili_tests::{Options, System, has_library, samples};

/// What `smoke.mjs` ends with where there is nothing to look with.
const NO_BROWSER: i32 = 75;

#[tokio::test(flavor = "multi_thread")]
async fn every_page_of_the_console_shows_the_samples_and_does_what_it_says() {
    if !has_library("console") {
        return;
    }
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../services/metrics/web");
    let mut system = System::start(Options::default());
    system.publish(&samples::files());
    system.settle().await;
    let smoke = Command::new("node")
        .arg(web.join("smoke.mjs"))
        .args(["--ingest", &system.url(0), "--metrics", &system.url(3), "--token"])
        .arg(system.path().join("token"))
        .stdin(Stdio::null())
        .output();
    let Ok(smoke) = smoke else {
        eprintln!("skipped: console: there is no node");
        return;
    };
    let words = String::from_utf8_lossy(&smoke.stderr);
    match smoke.status.code() {
        // A browser is no part of what a machine must have.
        Some(NO_BROWSER) => eprintln!("{}", words.trim_end()),
        code => assert_eq!(code, Some(0), "{words}"),
    }
    system.stop();
}
