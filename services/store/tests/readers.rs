//! Readers of two tenants against each other's rows, on a real store.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests are tests")]

mod support;

use reqwest::StatusCode;
use support::{KEY, Store, fresh_folder, has_library};
use zhili_store::{Key, reader_key, reader_name};

/// Text that stands in rows of the tenant `pudong` and nowhere else.
const MARK: &str = "pudong-secret";

/// A store with tables, a view and a rollup that hold a row of each of two tenants, and a table
/// that is nobody's.
async fn store(name: &str) -> Store {
    let store = Store::start(&fresh_folder(name));
    for statement in [
        "CREATE DATABASE zhili",
        "CREATE TABLE zhili.events (tenant LowCardinality(String), id UInt32, text String) \
         ENGINE = ReplacingMergeTree ORDER BY (tenant, id)",
        "CREATE VIEW zhili.v_events AS SELECT * FROM zhili.events FINAL",
        "CREATE TABLE zhili.days (tenant String, n UInt64) ENGINE = SummingMergeTree ORDER BY tenant",
        "CREATE MATERIALIZED VIEW zhili.days_of_events (tenant String, text String) \
         ENGINE = MergeTree ORDER BY tenant AS SELECT tenant, text FROM zhili.events",
        "CREATE TABLE zhili.notes (text String) ENGINE = MergeTree ORDER BY text",
        "INSERT INTO zhili.events VALUES ('hongqiao', 1, 'ours'), ('pudong', 2, 'pudong-secret')",
        "INSERT INTO zhili.days VALUES ('hongqiao', 3), ('pudong', 4)",
        "INSERT INTO zhili.notes VALUES ('pudong-secret')",
    ] {
        let answer = store.post("/").body(statement).send().await.unwrap();
        let status = answer.status();
        assert_eq!(status, StatusCode::OK, "{statement}: {}", answer.text().await.unwrap());
    }
    store
}

async fn ask(store: &Store, tenant: &str, path: &str, statement: &str) -> (StatusCode, String) {
    let key = reader_key(&Key::new(KEY).unwrap(), tenant);
    let request = reqwest::Client::new()
        .post(format!("{}{path}", store.url))
        .header("X-ClickHouse-User", reader_name(tenant))
        .header("X-ClickHouse-Key", key)
        .body(statement.to_owned());
    let answer = request.send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

/// The inner table of a materialised view, which has a name of its own making.
async fn inner_table(store: &Store) -> String {
    let statement = "SELECT name FROM system.tables WHERE name LIKE '.inner%'";
    let answer = store.post("/").body(statement).send().await.unwrap();
    answer.text().await.unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_reader_sees_the_rows_of_its_tenant_however_they_are_asked_for() {
    let test = "a_reader_sees_the_rows_of_its_tenant_however_they_are_asked_for";
    if !has_library(test) {
        return;
    }
    let store = store("readers-rows").await;
    let inner = inner_table(&store).await;
    let mut asked = 0;
    for (statement, own) in [
        ("SELECT text FROM zhili.events", "ours\n"),
        ("SELECT text FROM zhili.events AS pudong", "ours\n"),
        ("SELECT text FROM zhili.events FINAL", "ours\n"),
        ("SELECT text FROM zhili.v_events", "ours\n"),
        ("SELECT text FROM zhili.days_of_events", "ours\n"),
        (&format!("SELECT text FROM zhili.`{inner}`"), "ours\n"),
        ("SELECT n FROM zhili.days", "3\n"),
        ("SELECT count(), min(id), max(id) FROM zhili.events", "1\t1\t1\n"),
        ("SELECT text FROM zhili.events WHERE 1 OR tenant = 'pudong'", "ours\n"),
        ("SELECT text FROM zhili.events WHERE tenant = 'pudong'", ""),
        ("WITH x AS (SELECT * FROM zhili.events) SELECT text FROM x", "ours\n"),
        ("SELECT text FROM view(SELECT * FROM zhili.events)", "ours\n"),
        ("SELECT (SELECT max(text) FROM zhili.events)", "ours\n"),
        ("SELECT 2 IN (SELECT id FROM zhili.events)", "0\n"),
        ("SELECT a.text, b.text FROM zhili.events a, zhili.v_events b", "ours\tours\n"),
        ("SELECT text FROM zhili.events UNION ALL SELECT text FROM zhili.v_events", "ours\nours\n"),
        ("SELECT text FROM zhili.notes", ""),
        ("SELECT count() FROM system.parts", "0\n"),
        ("SELECT count() FROM system.tables", "0\n"),
        ("SELECT count() FROM system.processes", "0\n"),
        ("SELECT count() FROM INFORMATION_SCHEMA.TABLES", "0\n"),
        ("SELECT name FROM system.columns WHERE table = 'days' ORDER BY name", "n\ntenant\n"),
    ] {
        let (status, answer) = ask(&store, "hongqiao", "/", statement).await;
        assert_eq!((status, answer.as_str()), (StatusCode::OK, own), "{statement}");
        let (_, other) = ask(&store, "nobody", "/", statement).await;
        assert!(!other.contains(MARK) && !other.contains("ours"), "{statement}: {other}");
        asked += 2;
    }
    let (_, other) = ask(&store, "pudong", "/", "SELECT text FROM zhili.events").await;
    assert_eq!(other, format!("{MARK}\n"));
    eprintln!("readers: {asked} questions answered with the tenant's own rows");
}

#[tokio::test]
async fn an_error_tells_a_reader_nothing_of_rows_that_are_not_shown() {
    let test = "an_error_tells_a_reader_nothing_of_rows_that_are_not_shown";
    if !has_library(test) {
        return;
    }
    let store = store("readers-errors").await;
    for condition in [
        "throwIf(text = 'pudong-secret') = 0",
        "throwIf(id = 2) = 0",
        "throwIf(tenant = 'pudong') = 0",
        "intDiv(1, id - 2) != 7",
        "toUInt32(replaceOne(text, 'ours', '1')) = 1",
    ] {
        for statement in [
            format!("SELECT count() FROM zhili.events WHERE {condition}"),
            format!("SELECT count() FROM zhili.events FINAL WHERE {condition}"),
            format!("SELECT count() FROM zhili.v_events WHERE {condition}"),
            format!("SELECT count() FROM (SELECT * FROM zhili.events) WHERE {condition}"),
            format!("SELECT countIf({condition}) FROM zhili.events"),
            format!("SELECT 1 FROM zhili.events ORDER BY {condition}"),
            format!("SELECT 1 FROM zhili.events GROUP BY 1 HAVING max({condition})"),
        ] {
            let (status, answer) = ask(&store, "hongqiao", "/", &statement).await;
            assert_eq!((status, answer.as_str()), (StatusCode::OK, "1\n"), "{statement}");
        }
    }
}

#[tokio::test]
async fn a_reader_can_neither_change_anything_nor_go_around_its_filter() {
    let test = "a_reader_can_neither_change_anything_nor_go_around_its_filter";
    if !has_library(test) {
        return;
    }
    let store = store("readers-refusals").await;
    let filters = "/?additional_table_filters=%7B%7D";
    for (path, statement) in [
        ("/", "SELECT * FROM merge('zhili', 'events')"),
        ("/", "SELECT * FROM `merge`('zhili', 'events')"),
        ("/", "SELECT * FROM merge /* a comment */ ('zhili', 'events')"),
        ("/", "SELECT * FROM mergeTreeIndex('zhili', 'events')"),
        ("/", "SELECT * FROM MERGETREEINDEX('zhili', 'events')"),
        ("/", "SELECT * FROM loop('zhili', 'events') LIMIT 3"),
        ("/", "SELECT * FROM remote('127.0.0.1', zhili.events)"),
        ("/", "SELECT * FROM file('/etc/passwd', 'LineAsString')"),
        ("/", "SELECT count() FROM zhili.events PREWHERE throwIf(id = 2) = 0"),
        ("/", "SELECT text FROM zhili.events SETTINGS additional_table_filters = {}"),
        ("/", "SELECT text FROM zhili.events SETTINGS readonly = 0"),
        ("/", "SELECT text FROM zhili.events SETTINGS optimize_move_to_prewhere = 1"),
        (filters, "SELECT text FROM zhili.events"),
        ("/?readonly=0", "SELECT text FROM zhili.events"),
        ("/?optimize_move_to_prewhere=1", "SELECT text FROM zhili.events"),
        ("/", "INSERT INTO zhili.events VALUES ('hongqiao', 9, 'x')"),
        ("/", "INSERT INTO zhili.events SELECT 'hongqiao', 9, 'x'"),
        ("/", "DELETE FROM zhili.events WHERE 1"),
        ("/", "DROP TABLE zhili.events"),
        ("/", "CREATE TABLE zhili.mine (a Int8) ENGINE = Memory"),
        ("/", "SET additional_table_filters = {}"),
        ("/", "SYSTEM SHUTDOWN"),
        ("/", "SHOW CREATE TABLE zhili.events"),
        ("/", "EXPLAIN SELECT * FROM zhili.events"),
        ("/", "SELECT 1; SELECT text FROM merge('zhili', 'events')"),
    ] {
        let (status, answer) = ask(&store, "hongqiao", path, statement).await;
        assert!(!status.is_success(), "{path} {statement}: {answer}");
        assert!(!answer.contains(MARK), "{path} {statement}: {answer}");
    }
    let count = store.post("/").body("SELECT count() FROM zhili.events");
    assert_eq!(count.send().await.unwrap().text().await.unwrap(), "2\n");
    for (user, key) in [
        (reader_name("hongqiao"), KEY.to_owned()),
        (reader_name("hongqiao"), reader_key(&Key::new(KEY).unwrap(), "pudong")),
        ("default".to_owned(), reader_key(&Key::new(KEY).unwrap(), "hongqiao")),
    ] {
        let request = reqwest::Client::new().post(&store.url).basic_auth(&user, Some(key));
        let answer = request.body("SELECT 1").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{user}");
    }
}
