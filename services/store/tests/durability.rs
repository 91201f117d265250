//! Exactly once through the store: deduplication tokens, kills in mid-insert, restarts.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests are tests")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clickhouse::{Client, Row};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use support::{Store, database, fresh_folder, has_library, number};

/// Rows of a batch: enough that an insert takes a while and has several thousand per part.
const BATCH: u64 = 20_000;

/// Kills, each at another moment of an insert.
const KILLS: u64 = 20;

#[derive(Row, Serialize, Deserialize)]
struct Message {
    id: u64,
    partition: u8,
    text: String,
}

fn batch(number: u64) -> impl Iterator<Item = Message> {
    (number * BATCH..(number + 1) * BATCH).map(|id| Message {
        id,
        partition: (id % 3) as u8,
        text: format!("message {id} of a customer who waits for an answer"),
    })
}

async fn insert(client: &Client, token: &str, rows: impl Iterator<Item = Message>) -> bool {
    let insert = client.insert::<Message>("messages").await;
    let Ok(insert) = insert else { return false };
    let mut insert = insert.with_setting("insert_deduplication_token", token);
    for row in rows {
        if insert.write(&row).await.is_err() {
            return false;
        }
    }
    insert.end().await.is_ok()
}

async fn create(client: &Client, partition_by: &str) {
    client
        .query(&format!(
            "CREATE TABLE messages (id UInt64, partition UInt8, text String) ENGINE = MergeTree \
             PARTITION BY {partition_by} ORDER BY id SETTINGS non_replicated_deduplication_window = 1000"
        ))
        .execute()
        .await
        .unwrap();
}

/// Kills the store while an insert is in flight, at a moment drawn from `seed`, starts it again
/// and sends the same batch under the same token; 20 times. Every row must be there once.
async fn survives_kills(name: &str, partition_by: &str, seed: u64) {
    let data = fresh_folder(name);
    let mut random = StdRng::seed_from_u64(seed);
    let mut store = Store::start(&data);
    let client = database(&store, "zhili").await;
    create(&client, partition_by).await;

    let begun = Instant::now();
    assert!(insert(&client, "batch 0", batch(0)).await);
    let one_insert = begun.elapsed();

    // How many rows of the batch the kill left: none, a part of them, all.
    let mut left = [0; 3];
    let mut unanswered = 0;
    for number_of_kill in 1..=KILLS {
        let token = format!("batch {number_of_kill}");
        let client = store.client("zhili");
        let in_flight = tokio::spawn({
            let token = token.clone();
            async move { insert(&client, &token, batch(number_of_kill)).await }
        });
        let moment = one_insert.mul_f64(random.random_range(0.0..1.2));
        let _ = tokio::time::timeout(moment, std::future::pending::<()>()).await;
        store.kill();
        unanswered += u32::from(!in_flight.await.unwrap());

        store = Store::start(&data);
        let client = store.client("zhili");
        let before = number(&client, "SELECT count() FROM messages").await - number_of_kill * BATCH;
        left[if before == 0 { 0 } else { 1 + usize::from(before == BATCH) }] += 1;
        assert!(insert(&client, &token, batch(number_of_kill)).await);
        let rows = number(&client, "SELECT count() FROM messages").await;
        assert_eq!(
            rows,
            (number_of_kill + 1) * BATCH,
            "kill {number_of_kill}: {before} rows were left"
        );
    }
    let client = store.client("zhili");
    assert_eq!(number(&client, "SELECT uniqExact(id) FROM messages").await, (KILLS + 1) * BATCH);
    for batch_again in 0..=KILLS {
        assert!(insert(&client, &format!("batch {batch_again}"), batch(batch_again)).await);
    }
    assert_eq!(number(&client, "SELECT count() FROM messages").await, (KILLS + 1) * BATCH);
    let found = format!(
        "{name}: {KILLS} kills, {unanswered} inserts unanswered; rows left: none {}, some {}, all {}",
        left[0], left[1], left[2]
    );
    // Else no kill met an insert, and nothing was shown.
    assert!(unanswered > 0 && left[0] > 0, "{found}");
    eprintln!("{found}");
    store.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_sent_again_after_a_kill_is_there_exactly_once() {
    if has_library("kills in mid-insert") {
        survives_kills("kills", "tuple()", 20_261_122).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_several_parts_sent_again_after_a_kill_is_there_exactly_once() {
    if has_library("kills in mid-insert of several parts") {
        survives_kills("kills-parts", "partition", 20_261_123).await;
    }
}

#[tokio::test]
async fn a_token_that_a_kill_left_without_its_rows_does_not_swallow_them() {
    if !has_library("orphan tokens") {
        return;
    }
    let data = fresh_folder("orphan-token");
    let mut store = Store::start(&data);
    let client = database(&store, "zhili").await;
    create(&client, "tuple()").await;
    assert!(insert(&client, "first", batch(0)).await);
    assert!(insert(&client, "second", batch(1)).await);
    assert!(store.stop().success());

    // What a kill between the engine's write to its log and its rename of the part leaves.
    fs::remove_dir_all(table_folder(&data).join("all_2_2_0")).unwrap();
    let store = Store::start(&data);
    let client = store.client("zhili");
    assert_eq!(number(&client, "SELECT count() FROM messages").await, BATCH);
    assert!(insert(&client, "second", batch(1)).await);
    assert!(insert(&client, "first", batch(0)).await);
    assert_eq!(number(&client, "SELECT uniqExact(id) FROM messages").await, 2 * BATCH);
    assert_eq!(number(&client, "SELECT count() FROM messages").await, 2 * BATCH);
}

#[tokio::test]
async fn a_store_that_would_swallow_rows_ends_and_is_sound_after_its_next_start() {
    if !has_library("unsound stores") {
        return;
    }
    let data = fresh_folder("unsound");
    let mut store = Store::start(&data);
    let client = database(&store, "zhili").await;
    create(&client, "tuple()").await;
    assert!(insert(&client, "first", batch(0)).await);

    // What a commit that fails after the engine's write to its log leaves.
    let log = table_folder(&data).join("deduplication_logs/deduplication_log_1.txt");
    let mut lines = fs::read_to_string(&log).unwrap();
    lines.push_str("1\tall_2_2_0\tall_1_2\n");
    fs::write(&log, lines).unwrap();
    let bad_row =
        "INSERT INTO messages SETTINGS insert_deduplication_token = 'second' VALUES ('x')";
    // Its writer is told to come back, not that the row is bad.
    let told = client.query(bad_row).execute().await.unwrap_err().to_string();
    assert!(told.contains("Code: 236."), "{told}");
    assert_eq!(store.wait().code(), Some(75));

    let store = Store::start(&data);
    let client = store.client("zhili");
    assert_eq!(number(&client, "SELECT count() FROM messages").await, BATCH);
    // A failure that leaves nothing behind does not end the store.
    let told = client.query(bad_row).execute().await.unwrap_err().to_string();
    assert!(!told.contains("Code: 236."), "{told}");
    assert!(insert(&client, "second", batch(1)).await);
    assert_eq!(number(&client, "SELECT count() FROM messages").await, 2 * BATCH);
}

#[tokio::test]
async fn rows_that_the_disk_did_not_take_can_be_sent_again_after_the_next_start() {
    if !has_library("broken parts") {
        return;
    }
    let data = fresh_folder("broken-part");
    let mut store = Store::start(&data);
    let client = database(&store, "zhili").await;
    create(&client, "tuple()").await;
    assert!(insert(&client, "first", batch(0)).await);
    assert!(insert(&client, "second", batch(1)).await);

    // What the engine leaves, after it has acknowledged the INSERT, where every `write` failed.
    for file in fs::read_dir(table_folder(&data).join("all_2_2_0")).unwrap() {
        fs::File::create(file.unwrap().path()).unwrap();
    }
    let all = client.query("SELECT sum(length(text)) FROM messages");
    let told = all.fetch_one::<u64>().await.unwrap_err().to_string();
    // Whoever asks is told to come back.
    assert!(told.contains("Code: 236."), "{told}");
    assert_eq!(store.wait().code(), Some(75));

    let store = Store::start(&data);
    let client = store.client("zhili");
    assert_eq!(number(&client, "SELECT count() FROM messages").await, BATCH);
    assert!(insert(&client, "second", batch(1)).await);
    assert_eq!(number(&client, "SELECT uniqExact(id) FROM messages").await, 2 * BATCH);
}

#[tokio::test]
async fn an_insert_that_the_disk_did_not_take_is_not_acknowledged() {
    if !has_library("a disk that breaks") {
        return;
    }
    // Nothing is taken, or the small files of a part and the beginnings of the others.
    for (name, bytes) in [("broken-disk", 0), ("broken-disk-in-part", 512)] {
        let data = fresh_folder(name);
        let mut store = Store::start_on_disk_that_will_break(&data);
        let client = database(&store, "zhili").await;
        create(&client, "tuple()").await;
        assert!(insert(&client, "first", batch(0)).await);

        store.break_disk(bytes);
        assert!(!insert(&client, "second", batch(1)).await);
        assert_eq!(store.wait().code(), Some(75));

        let store = Store::start(&data);
        let client = store.client("zhili");
        assert_eq!(number(&client, "SELECT count() FROM messages").await, BATCH);
        assert!(insert(&client, "second", batch(1)).await);
        assert_eq!(number(&client, "SELECT uniqExact(id) FROM messages").await, 2 * BATCH);
    }
}

/// The folder of the one table that has a deduplication log.
fn table_folder(data: &Path) -> PathBuf {
    let folders =
        |folder: PathBuf| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    folders(data.join("engine/store"))
        .flat_map(folders)
        .find(|table| table.join("deduplication_logs").is_dir())
        .unwrap()
}

#[tokio::test]
async fn the_same_token_keeps_one_copy_and_another_token_inserts() {
    if !has_library("tokens") {
        return;
    }
    let store = Store::start(&fresh_folder("tokens"));
    let client = database(&store, "zhili").await;
    create(&client, "tuple()").await;
    for _ in 0..3 {
        assert!(insert(&client, "a", batch(0)).await);
    }
    assert_eq!(number(&client, "SELECT count() FROM messages").await, BATCH);
    // The token decides, not the bytes.
    assert!(insert(&client, "a", batch(1)).await);
    assert_eq!(number(&client, "SELECT count() FROM messages").await, BATCH);
    assert!(insert(&client, "b", batch(0)).await);
    assert_eq!(number(&client, "SELECT count() FROM messages").await, 2 * BATCH);
}

#[tokio::test]
async fn acknowledged_rows_are_there_after_a_kill() {
    if !has_library("restart") {
        return;
    }
    let data = fresh_folder("restart");
    let mut store = Store::start(&data);
    let client = database(&store, "zhili").await;
    create(&client, "partition").await;
    assert!(insert(&client, "a", batch(0)).await);
    store.kill();
    let store = Store::start(&data);
    let client = store.client("zhili");
    assert_eq!(number(&client, "SELECT count() FROM messages").await, BATCH);
}

#[tokio::test]
async fn new_tables_sync_what_is_inserted() {
    if !has_library("fsync") {
        return;
    }
    let store = Store::start(&fresh_folder("fsync"));
    let client = store.client("default");
    let on = number(
        &client,
        "SELECT countIf(value = '1') FROM system.merge_tree_settings \
         WHERE name IN ('fsync_after_insert', 'fsync_part_directory')",
    )
    .await;
    assert_eq!(on, 2);
}
