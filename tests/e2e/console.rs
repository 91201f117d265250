//! The console as people see it, in a browser.

#[path = "../../crates/runtime/tests/provider/mod.rs"]
mod provider;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use provider::{Key, Provider, SECRET};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use zhili_eventlog::embedded::EmbeddedLog;
use zhili_eventlog::{EventLog, system_clock, topics};
use zhili_runtime::Context;
use zhili_runtime::auth::Authenticator;
use zhili_tests::{Options, System, has_library, samples};
use zhili_warehouse::Layout;

use crate::access::engine::engine;

/// What the scripts end with where there is nothing to look with.
const NO_BROWSER: i32 = 75;

#[tokio::test(flavor = "multi_thread")]
async fn every_page_of_the_console_shows_the_samples_and_does_what_it_says() {
    if !has_library("console") {
        return;
    }
    let mut system = System::start(Options::default());
    system.publish(&samples::files());
    system.settle().await;
    let token = system.path().join("token");
    let (ingest, metrics) = (system.url(0), system.url(3));
    let token = token.to_str().unwrap();
    look("smoke.mjs", &["--ingest", &ingest, "--metrics", &metrics, "--token", token]);
    system.stop();
}

/// Has one of the console's scripts look at it with a browser, if there is one.
fn look(script: &str, arguments: &[&str]) {
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../services/metrics/web");
    let mut command = Command::new("node");
    command.arg(web.join(script)).args(arguments).stdin(Stdio::null());
    let Ok(seen) = command.output() else {
        eprintln!("skipped: {script}: there is no node");
        return;
    };
    let words = String::from_utf8_lossy(&seen.stderr);
    match seen.status.code() {
        // A browser is no part of what a machine must have.
        Some(NO_BROWSER) => eprintln!("{}", words.trim_end()),
        code => assert_eq!(code, Some(0), "{words}"),
    }
    eprint!("{}", String::from_utf8_lossy(&seen.stdout));
}

#[test]
fn the_console_has_words_for_what_it_shows_and_finds_what_is_named() {
    look("unit.mjs", &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_log_into_the_console_at_an_identity_provider() {
    let Some(store) = engine("people_log_into_the_console_at_an_identity_provider") else { return };
    let key = Key::new("k1");
    let provider = Provider::start(&[&key]).await;
    provider.sign_with(key);
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("client.secret");
    std::fs::write(&secret, SECRET).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let settings = provider.login_settings(&address, &secret);
    let auth = Authenticator::with_provider(None, &settings).unwrap();
    let log = EmbeddedLog::open(folder.path(), system_clock()).unwrap();
    log.ensure_topics(&topics::all(1)).await.unwrap();
    let log: Arc<dyn EventLog> = Arc::new(log);
    let shutdown = CancellationToken::new();
    let context = Context::new(shutdown.clone(), auth);
    let (config, warehouse) = (zhili_metrics::Config::default(), store.warehouse("zhili"));
    let serving = tokio::spawn(async move {
        zhili_metrics::serve(listener, config, log, warehouse, Layout::default(), context).await
    });
    let of = address.clone();
    tokio::task::spawn_blocking(move || {
        look("login.mjs", &["--metrics", &of, "--provider", "Shop ID", "--person", "mei"]);
    })
    .await
    .unwrap();
    shutdown.cancel();
    serving.await.unwrap().unwrap();
}
