//! Kills at seeded points: nothing acknowledged is lost, nothing is there twice, and the facts are
//! those of a run without faults.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use zhili_tests::chaos::{self, Victim};
use zhili_tests::{Options, Receiver, System, has_library, samples};

/// Points where `ZHILI_CHAOS_POINTS` does not say; `make chaos` takes 20.
const POINTS: usize = 3;
/// Events in one batch.
const BATCH: usize = 20;

/// Events with times of their own, so that two publishes of them mean the same.
fn events() -> Vec<Value> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    // Long enough ago for every deadline to have passed: whether one passes while the events are
    // published would depend on how long that takes.
    samples::events(&samples::all(), now - 3 * 86_400_000)
}

async fn matrix(victim: Victim, seed: u64) {
    let events = events();
    let pages = Receiver::start().await;
    let mut system = System::start(Options { webhook: Some(pages.target()), ..Options::default() });
    let faults = chaos::plan(seed, chaos::points(POINTS), events.len() / BATCH);
    let outcome = chaos::publish(&mut system, &events, BATCH, victim, &faults).await;
    system.settle().await;

    let tables = system.tables();
    let rows = tables.rows("SELECT event_id FROM v_events").await;
    let stored: BTreeSet<&str> = rows.iter().filter_map(|row| row["event_id"].as_str()).collect();
    let sent: BTreeSet<&str> = events.iter().filter_map(|it| it["event_id"].as_str()).collect();
    let lost = sent.difference(&stored).count();
    let duplicates = tables.duplicates().await;
    eprintln!(
        "{victim:?}, seed {seed}: {} of {} faults hit, {} batches repeated, {} events \
         acknowledged, {lost} lost, {duplicates} duplicate rows, {} pages",
        outcome.hit,
        faults.len(),
        outcome.repeated,
        outcome.acknowledged,
        pages.pages().len()
    );
    assert_eq!(outcome.acknowledged, events.len());
    assert_eq!(lost, 0);
    assert_eq!(rows.len(), events.len());
    assert_eq!(duplicates, 0);
    assert!(outcome.hit > 0, "no fault hit anything");
    let replay = system.json(&["replay", "--json"]);
    assert_eq!(replay["equal"], true, "{replay}");

    // A page may come once more for each kill that it was in flight at, with the same id.
    let arrived = pages.pages();
    let ids: BTreeSet<_> = arrived.iter().map(|page| &page.id).collect();
    for id in ids {
        let times = arrived.iter().filter(|page| page.id == *id).count();
        assert!(times <= 1 + outcome.hit, "page {id} came {times} times");
    }

    let facts = tables.facts().await;
    system.kill();
    system.up();
    system.settle().await;
    assert_eq!(system.tables().facts().await, facts, "a start on old data changed facts");

    let mut clean = System::prepare(Options::default());
    clean.share_pseudonyms(&system);
    clean.up();
    for batch in events.chunks(BATCH) {
        assert_eq!(clean.post(batch, &[]).await.unwrap()["accepted"], batch.len());
    }
    clean.settle().await;
    assert_eq!(facts, clean.tables().facts().await, "facts differ from a run without faults");
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_everything_loses_and_doubles_nothing() {
    if has_library("killing_everything_loses_and_doubles_nothing") {
        matrix(Victim::Everything, 2_025).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_the_store_loses_and_doubles_nothing() {
    if has_library("killing_the_store_loses_and_doubles_nothing") {
        matrix(Victim::Store, 7_404).await;
    }
}
