//! Kills at seeded points: nothing acknowledged is lost, nothing is there twice, and the facts are
//! those of a run without faults.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use zhili_tests::chaos::{self, Victim};
use zhili_tests::{Options, Receiver, System, eventually, has_library, samples};

/// Points where `ZHILI_CHAOS_POINTS` does not say; `make kills` takes 20.
const POINTS: usize = 3;
/// How long the last page may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Events in one batch.
pub(crate) const BATCH: usize = 20;

/// Events with times of their own, so that two publishes of them mean the same.
pub(crate) fn events() -> Vec<Value> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    // Young enough to page somebody; the only deadline there is, a day without a message, does not
    // come while this runs.
    samples::events(&samples::all(), now - 3_600_000)
}

/// Conversations that somebody was paged about, and how often each page came. Bursts of complaints
/// are judged in log time, which no two runs share.
fn arrived(receiver: &Receiver) -> (BTreeSet<String>, BTreeMap<String, usize>) {
    let (mut about, mut copies) = (BTreeSet::new(), BTreeMap::new());
    for page in receiver.pages() {
        assert!(page.verified, "a page with a wrong signature: {}", page.body);
        let body: Value = serde_json::from_str(&page.body).unwrap();
        let conversation = body["data"]["conversation_id"].as_str().unwrap().to_owned();
        if !conversation.starts_with("pulse:") {
            about.insert(conversation);
        }
        *copies.entry(page.id).or_default() += 1;
    }
    (about, copies)
}

/// Every page of a run without faults came in the one with faults, and none came more often than
/// once more for each of the `faults` that it may have been in flight at.
pub(crate) async fn check_pages(broken: &Receiver, clean: &Receiver, faults: usize) {
    eventually("the same people are told as without faults", PATIENCE, async || {
        let (expected, _) = arrived(clean);
        (arrived(broken).0 == expected && !expected.is_empty()).then_some(())
    })
    .await;
    let (about, copies) = arrived(broken);
    let extra: usize = copies.values().map(|copies| copies - 1).sum();
    eprintln!("{} conversations paged, {} pages, {extra} extra copies", about.len(), copies.len());
    for (id, copies) in copies {
        assert!(copies <= 1 + faults, "page {id} came {copies} times");
    }
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

    let facts = tables.facts().await;
    system.kill();
    system.up();
    system.settle().await;
    assert_eq!(system.tables().facts().await, facts, "a start on old data changed facts");

    let calm = Receiver::start().await;
    let mut clean = System::prepare(Options { webhook: Some(calm.target()), ..Options::default() });
    clean.share_pseudonyms(&system);
    clean.up();
    for batch in events.chunks(BATCH) {
        assert_eq!(clean.post(batch, &[]).await.unwrap()["accepted"], batch.len());
    }
    clean.settle().await;
    assert_eq!(facts, clean.tables().facts().await, "facts differ from a run without faults");
    check_pages(&pages, &calm, outcome.hit).await;
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
