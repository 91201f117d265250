//! The official client and plain HTTP against a real store.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests are tests")]

mod support;

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::LazyLock;

use clickhouse::error::Error;
use clickhouse::{Client, Compression, Row};
use flate2::Compression as Level;
use flate2::write::GzEncoder;
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use support::{KEY, Store, database, encoded, fresh_folder, has_library, number};

/// One store for all tests of this file; each has a database of its own.
static STORE: LazyLock<Store> = LazyLock::new(|| Store::start(&fresh_folder("interface")));

/// The client for a fresh database, in the four ways in which Zhili or a user may configure it.
async fn clients(name: &str) -> Vec<Client> {
    let client = database(&STORE, name).await;
    let mut clients = Vec::new();
    for compression in [Compression::None, Compression::Lz4] {
        for validation in [true, false] {
            clients.push(client.clone().with_compression(compression).with_validation(validation));
        }
    }
    clients
}

fn code_of(error: &Error) -> Option<u32> {
    let Error::BadResponse(text) = error else {
        return None;
    };
    text.strip_prefix("Code: ")?.split('.').next()?.parse().ok()
}

/// Numbers, one per line.
fn lines(numbers: std::ops::Range<u64>) -> String {
    numbers.fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "{number}");
        text
    })
}

#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
struct Everything {
    id: u64,
    small: i8,
    ratio: f64,
    on: bool,
    text: String,
    low: String,
    maybe: Option<i32>,
    list: Vec<u16>,
    pairs: Vec<(String, u8)>,
    at: i64,
    bytes: [u8; 4],
}

impl Everything {
    fn example(id: u64) -> Self {
        Self {
            id,
            small: -7,
            ratio: 0.25,
            on: id.is_multiple_of(2),
            text: "客户等了很久 \u{1f620}\t\n\0'\\".repeat(3),
            low: "billing".into(),
            maybe: id.is_multiple_of(3).then_some(-5),
            list: vec![1, 2, 3],
            pairs: vec![("a".into(), 1), ("b".into(), 2)],
            at: 1_763_800_000_123,
            bytes: *b"zhli",
        }
    }
}

#[tokio::test]
async fn typed_rows_come_back_as_they_went_in() {
    if !has_library("typed rows") {
        return;
    }
    for (index, client) in clients("typed").await.into_iter().enumerate() {
        let table = format!("t{index}");
        client
            .query(&format!(
                "CREATE TABLE {table} (id UInt64, small Int8, ratio Float64, on Bool, text String, \
                 low LowCardinality(String), maybe Nullable(Int32), list Array(UInt16), \
                 pairs Map(String, UInt8), at DateTime64(3), bytes FixedString(4)) \
                 ENGINE = MergeTree ORDER BY id"
            ))
            .execute()
            .await
            .unwrap();
        let rows: Vec<_> = (0..500).map(Everything::example).collect();
        let mut insert = client.insert::<Everything>(&table).await.unwrap();
        for row in &rows {
            insert.write(row).await.unwrap();
        }
        insert.end().await.unwrap();
        let found = client
            .query(&format!("SELECT ?fields FROM {table} ORDER BY id"))
            .fetch_all::<Everything>()
            .await
            .unwrap();
        assert_eq!(found, rows, "client {index}");
    }
}

#[tokio::test]
async fn parameters_bindings_and_settings_reach_the_engine_and_stay_in_their_request() {
    if !has_library("parameters") {
        return;
    }
    for client in clients("parameters").await {
        let text = "x'; DROP TABLE t; -- \\ \t\n客";
        let bound: String = client.query("SELECT ?").bind(text).fetch_one().await.unwrap();
        assert_eq!(bound, text);
        let (echoed, sum) = client
            .query("SELECT {text:String}, {a:UInt8} + {b:UInt8}")
            .param("text", text)
            .param("a", 1)
            .param("b", 2)
            .fetch_one::<(String, u16)>()
            .await
            .unwrap();
        assert_eq!((echoed.as_str(), sum), (text, 3));

        let threads = "SELECT toUInt64(getSetting('max_block_size'))";
        let set: u64 =
            client.query(threads).with_setting("max_block_size", "1234").fetch_one().await.unwrap();
        assert_eq!(set, 1234);
        assert_ne!(number(&client, threads).await, 1234);
    }
}

#[tokio::test]
async fn errors_carry_clickhouses_codes() {
    if !has_library("error codes") {
        return;
    }
    for client in clients("errors").await {
        for (sql, code) in [
            ("SELECT * FROM nowhere", 60),
            ("SELECT * FROM nowhere.t", 81),
            ("SELECT nothing", 47),
            ("SELEC 1", 62),
            ("SELECT 1; SELECT 2", 62),
            ("SELECT throwIf(1)", 395),
            ("SELECT {a:UInt8}", 456),
            ("SELECT 1 SETTINGS no_such_setting = 1", 115),
            ("SELECT * FROM system.one FORMAT NoSuch", 73),
        ] {
            let error = client.query(sql).execute().await.unwrap_err();
            assert_eq!(code_of(&error), Some(code), "{sql}: {error}");
        }
        let error =
            client.query("SELECT 1").with_setting("no_such", "1").execute().await.unwrap_err();
        assert_eq!(code_of(&error), Some(115), "{error}");
        let lost = client.clone().with_database("nowhere");
        let error = lost.query("SELECT 1").execute().await.unwrap_err();
        assert_eq!(code_of(&error), Some(81), "{error}");
    }
}

#[tokio::test]
async fn errors_have_the_status_that_clickhouse_gives_them() {
    if !has_library("statuses") {
        return;
    }
    for (sql, status, code) in [
        ("SELECT * FROM nowhere", 404, "60"),
        ("SELEC 1", 400, "62"),
        ("SELECT throwIf(1)", 500, "395"),
        ("SELECT file('/etc/passwd')", 403, "497"),
        ("SELECT sleep(3) SETTINGS max_execution_time = 0.1", 408, "159"),
    ] {
        let response = STORE.post("/").body(sql).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{sql}");
        assert_eq!(response.headers()["x-clickhouse-exception-code"], code, "{sql}");
        let text = response.text().await.unwrap();
        assert!(text.starts_with(&format!("Code: {code}. DB::Exception: ")), "{text}");
        assert!(text.ends_with("(official build))\n"), "{text}");
    }
}

#[tokio::test]
async fn a_schema_that_differs_is_seen_by_validation() {
    #[derive(Debug, Row, Serialize, Deserialize)]
    struct Wrong {
        id: String,
    }
    if !has_library("validation") {
        return;
    }
    let client = database(&STORE, "validation").await;
    client
        .query("CREATE TABLE t (id UInt64) ENGINE = MergeTree ORDER BY id")
        .execute()
        .await
        .unwrap();
    let mut insert = client.insert::<Wrong>("t").await.unwrap();
    let written = insert.write(&Wrong { id: "x".into() }).await;
    assert!(matches!(written, Err(Error::SchemaMismatch(_))), "{written:?}");
    drop(insert);
    client.query("INSERT INTO t VALUES (1)").execute().await.unwrap();
    let read = client.query("SELECT ?fields FROM t").fetch_one::<Wrong>().await;
    assert!(matches!(read, Err(Error::SchemaMismatch(_))), "{read:?}");
}

#[tokio::test]
async fn a_million_rows_stream() {
    if !has_library("stream") {
        return;
    }
    for client in clients("stream").await {
        let mut cursor = client
            .query("SELECT number, toString(number) FROM numbers(1000000)")
            .fetch::<(u64, String)>()
            .unwrap();
        let mut expected = 0;
        while let Some((number, text)) = cursor.next().await.unwrap() {
            assert_eq!(number, expected);
            assert_eq!(text.parse(), Ok(number));
            expected += 1;
        }
        assert_eq!(expected, 1_000_000);
    }
}

#[tokio::test]
async fn a_result_without_rows_is_none() {
    if !has_library("empty results") {
        return;
    }
    for client in clients("empty").await {
        let none = client.query("SELECT 1 WHERE 0").fetch_optional::<u8>().await.unwrap();
        assert_eq!(none, None);
    }
}

#[tokio::test]
async fn an_error_after_the_first_rows_is_reported_and_breaks_the_answer_off() {
    if !has_library("late errors") {
        return;
    }
    let sql = "SELECT number, throwIf(number = 900000) FROM numbers(1000000)";
    for client in clients("late").await {
        let mut cursor = client.query(sql).fetch::<(u64, u8)>().unwrap();
        let mut rows = 0;
        let error = loop {
            match cursor.next().await {
                Ok(Some(_)) => rows += 1,
                Ok(None) => panic!("ended after {rows} rows"),
                Err(error) => break error,
            }
        };
        assert!(rows > 0);
        assert_eq!(code_of(&error), Some(395), "after {rows} rows: {error}");
    }
    // A client that knows nothing of exceptions within a result.
    let response = STORE.post("/").body(sql).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.bytes().await.is_err());
    // Asked to wait, the store still knows the status.
    let response = STORE.post("/?wait_end_of_query=1").body(sql).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn only_the_user_with_the_key_gets_in() {
    if !has_library("authentication") {
        return;
    }
    let http = reqwest::Client::new();
    let url = STORE.url.as_str();
    let basic = |user, key: &str| http.post(url).basic_auth(user, Some(key));
    let header = |key| http.post(url).header("X-ClickHouse-Key", key);
    let by_url = http.post(format!("{url}/?user=default&password={}", encoded(KEY)));
    for (request, status, code) in [
        (basic("default", KEY), 200, None),
        (header(KEY), 200, None),
        (by_url, 200, None),
        (basic("default", "wrong"), 403, Some("516")),
        (basic("other", KEY), 403, Some("516")),
        (header("key of the test"), 403, Some("516")),
        (header("key of the tests "), 200, None),
        (http.post(url), 401, Some("194")),
        (http.get(format!("{url}/?query=SELECT%201")), 401, Some("194")),
    ] {
        let response = request.body("SELECT 1").send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{response:?}");
        let found = response.headers().get("x-clickhouse-exception-code");
        assert_eq!(found.map(|code| code.to_str().unwrap()), code);
        if status == 401 {
            assert!(response.headers().contains_key("www-authenticate"));
        }
    }
    let client = STORE.client("default").with_password("wrong");
    let error = client.query("SELECT 1").execute().await.unwrap_err();
    assert_eq!(code_of(&error), Some(516), "{error}");
}

#[tokio::test]
async fn what_reaches_outside_the_store_is_refused() {
    if !has_library("refusals") {
        return;
    }
    let client = database(&STORE, "refused").await;
    client
        .query("CREATE TABLE t (x String) ENGINE = MergeTree ORDER BY x")
        .execute()
        .await
        .unwrap();
    for sql in [
        "SELECT * FROM file('/etc/passwd')",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT file('/etc/passwd')",
        "SELECT `fi\\x6ce`/* */('/etc/passwd')",
        "SELECT \"file\" ('/etc/passwd')",
        "CREATE VIEW v AS SELECT file('/etc/passwd') AS x",
        "CREATE FUNCTION peek AS x -> file(x)",
        "ALTER TABLE t ADD COLUMN y String DEFAULT file('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM default.`/etc/passwd`",
        "DESCRIBE TABLE file('/etc/passwd')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'x String')",
        "SELECT * FROM remote('127.0.0.1:1', system.one)",
        "SELECT * FROM filesystem('/etc')",
        "SELECT * FROM icebergLocal('/etc')",
        "SELECT * FROM s3('https://bucket.s3.amazonaws.com/x.csv', 'CSV', 'x String')",
        "SELECT * FROM sqlite('/tmp/x', 't')",
        "SELECT 1 INTO OUTFILE '/tmp/never'",
        "EXPLAIN SELECT 1 INTO OUTFILE '/tmp/never'",
        "INSERT INTO t FROM INFILE '/etc/passwd' FORMAT LineAsString",
        "INSERT INTO FUNCTION file('/tmp/never', 'CSV', 'x String') VALUES ('x')",
        "INSERT INTO FUNCTION url('http://127.0.0.1:1/', 'CSV', 'x String') VALUES ('x')",
        "INSERT INTO t VALUES (file('/etc/passwd'))",
        "INSERT INTO t VALUES ('x'), (`fi\\x6ce`('/etc/passwd'))",
        "INSERT INTO t SELECT file('/etc/passwd')",
        "CREATE TABLE u (x String) ENGINE = File(CSV)",
        "CREATE TABLE u (x String) ENGINE = URL('http://127.0.0.1:1/', 'CSV')",
        "CREATE TABLE u (x String) ENGINE = MySQL('127.0.0.1:1', 'd', 't', 'u', 'p')",
        "CREATE TABLE u (x String) ENGINE = MergeTree ORDER BY x \
         SETTINGS disk = disk(type = local, path = '/tmp/never/')",
        "CREATE DATABASE f ENGINE = Filesystem('/etc')",
        "CREATE DICTIONARY d (x UInt64) PRIMARY KEY x \
         SOURCE(EXECUTABLE(COMMAND 'id' FORMAT 'TSV')) LAYOUT(FLAT()) LIFETIME(1)",
        "CREATE NAMED COLLECTION n AS a = 1",
        "CREATE USER u",
        "GRANT READ ON FILE TO default",
        "SYSTEM SHUTDOWN",
        "BACKUP TABLE t TO File('/etc/never.zip')",
        "SELECT 1 FORMAT Template SETTINGS format_template_row = '/etc/passwd'",
        "SET format_schema = '/etc/passwd'",
        "SELECT * FROM eval('SELECT 1') SETTINGS allow_experimental_eval_table_function = 1",
    ] {
        let error = client.query(sql).execute().await.expect_err(sql);
        // Not allowed, a setting that is fixed, no such table, expressions or a path refused.
        let code = code_of(&error);
        assert!(code.is_some_and(|code| [497, 452, 60, 344, 36].contains(&code)), "{sql}: {error}");
    }
    // Values in the body are expressions too.
    let path = "/?database=refused&query=INSERT+INTO+t+FORMAT+Values";
    let refused =
        STORE.post(path).body("('x'), (upper(file('/etc/passwd')))").send().await.unwrap();
    assert_eq!(refused.headers()["x-clickhouse-exception-code"], "344");
    assert!(!std::path::Path::new("/tmp/never").exists());
    assert_eq!(number(&client, "SELECT count() FROM t").await, 0);
}

#[tokio::test]
async fn what_stays_inside_the_store_is_allowed() {
    if !has_library("permissions") {
        return;
    }
    let client = database(&STORE, "allowed").await;
    for sql in [
        "CREATE TABLE t (file String, infile UInt8) ENGINE = ReplacingMergeTree ORDER BY file",
        "INSERT INTO t VALUES ('a file(x)', 1), ('disk(y)', 2)",
        "SELECT file, infile FROM t WHERE file LIKE '%file(%'",
        "CREATE MATERIALIZED VIEW m ENGINE = AggregatingMergeTree ORDER BY file AS \
         SELECT file, countState() AS n FROM t GROUP BY file",
        "CREATE VIEW v AS SELECT * FROM t FINAL",
        "ALTER TABLE t ADD COLUMN z UInt8 DEFAULT 3",
        "ALTER TABLE t DELETE WHERE infile = 2 SETTINGS mutations_sync = 1",
        "OPTIMIZE TABLE t FINAL",
        "SELECT * FROM numbers(3) FORMAT Null",
        "SELECT * FROM values('x UInt8', 1, 2)",
        "EXPLAIN SELECT 1",
        "SHOW TABLES",
        "DESCRIBE TABLE t",
        "SYSTEM STOP MERGES t",
        "SYSTEM START MERGES t",
        "BACKUP TABLE t TO File('allowed')",
        "RESTORE TABLE t AS r FROM File('allowed')",
        "TRUNCATE TABLE t",
        "DROP TABLE t",
        "SET max_threads = 1",
        "USE allowed",
        "SELECT 1;",
    ] {
        client.query(sql).execute().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    assert_eq!(number(&client, "SELECT count() FROM r").await, 1);
}

#[tokio::test]
async fn a_get_reads_only() {
    if !has_library("GET") {
        return;
    }
    let client = database(&STORE, "get").await;
    client.query("CREATE TABLE t (x UInt8) ENGINE = Memory").execute().await.unwrap();
    let get = |query: &str| {
        reqwest::Client::new()
            .get(format!("{}/?database=get&query={}", STORE.url, encoded(query)))
            .basic_auth("default", Some(KEY))
            .send()
    };
    let read = get("SELECT count() FROM t SETTINGS max_threads = 1").await.unwrap();
    assert_eq!(read.text().await.unwrap(), "0\n");
    for sql in ["INSERT INTO t VALUES (1)", "DROP TABLE t", "TRUNCATE TABLE t"] {
        let refused = get(sql).await.unwrap();
        assert_eq!(refused.headers()["x-clickhouse-exception-code"], "164", "{sql}");
    }
    assert_eq!(number(&client, "SELECT count() FROM t").await, 0);
}

#[tokio::test]
async fn the_store_says_that_it_is_there() {
    if !has_library("ping") {
        return;
    }
    for path in ["/ping", "/replicas_status", "/"] {
        let response = reqwest::get(format!("{}{path}", STORE.url)).await.unwrap();
        assert_eq!(response.text().await.unwrap(), "Ok.\n", "{path}");
    }
}

#[tokio::test]
async fn answers_say_what_was_read_and_written() {
    if !has_library("headers") {
        return;
    }
    let client = database(&STORE, "headers").await;
    client
        .query("CREATE TABLE t (x UInt64) ENGINE = MergeTree ORDER BY x")
        .execute()
        .await
        .unwrap();
    let path = "/?database=headers&query_id=my-id&query=INSERT%20INTO%20t%20FORMAT%20TSV";
    let inserted = STORE.post(path).body("1\n2\n3\n").send().await.unwrap();
    assert_eq!(inserted.headers()["x-clickhouse-query-id"], "my-id");
    let summary = inserted.headers()["x-clickhouse-summary"].to_str().unwrap();
    assert!(summary.contains("\"written_rows\":\"3\""), "{summary}");

    let sql = "SELECT x FROM headers.t FORMAT JSONEachRow";
    let selected = STORE.post("/").body(sql).send().await.unwrap();
    let summary = selected.headers()["x-clickhouse-summary"].to_str().unwrap();
    assert!(summary.contains("\"read_rows\":\"3\""), "{summary}");
    assert!(summary.contains("\"result_rows\":\"3\""), "{summary}");
    assert_eq!(selected.headers()["x-clickhouse-format"], "JSONEachRow");
    assert_eq!(selected.headers()["x-clickhouse-timezone"], "UTC");
    assert_eq!(selected.headers()["content-type"], "application/x-ndjson; charset=UTF-8");
    assert_eq!(selected.text().await.unwrap().lines().count(), 3);
}

#[tokio::test]
async fn every_output_format_is_one_document() {
    if !has_library("formats") {
        return;
    }
    let text = async |format: &str| {
        let sql = format!("SELECT number AS n FROM numbers(200000) FORMAT {format}");
        STORE.post("/").body(sql).send().await.unwrap().bytes().await.unwrap()
    };
    for (format, lines) in [
        ("TabSeparated", 200_000),
        ("TabSeparatedWithNames", 200_001),
        ("CSVWithNamesAndTypes", 200_002),
        ("JSONEachRow", 200_000),
        ("JSONCompactEachRow", 200_000),
    ] {
        let body = text(format).await;
        assert_eq!(body.split(|byte| *byte == b'\n').count() - 1, lines, "{format}");
    }
    let json = text("JSONCompact").await;
    let parsed: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(parsed["rows"], 200_000);
    assert_eq!(text("RowBinary").await.len(), 8 * 200_000);
    assert_eq!(text("RowBinaryWithNamesAndTypes").await.len(), 8 * 200_000 + 1 + 2 + 7);
    let parquet = text("Parquet").await;
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
}

#[tokio::test]
async fn totals_follow_the_rows_once() {
    if !has_library("totals") {
        return;
    }
    let sql = "SELECT number, count() FROM numbers(100000) GROUP BY number WITH TOTALS \
               ORDER BY number FORMAT TSV";
    let body = STORE.post("/").body(sql).send().await.unwrap().text().await.unwrap();
    assert_eq!(body.lines().filter(|line| line.is_empty()).count(), 1);
    assert!(body.ends_with("\n0\t100000\n"));
}

#[tokio::test]
async fn a_body_that_breaks_off_writes_nothing() {
    if !has_library("aborted inserts") {
        return;
    }
    for (index, client) in clients("aborted").await.into_iter().enumerate() {
        let table = format!("t{index}");
        client
            .query(&format!("CREATE TABLE {table} (x UInt64) ENGINE = MergeTree ORDER BY x"))
            .execute()
            .await
            .unwrap();
        let mut insert = client.insert::<Number>(&table).await;
        if let Ok(insert) = &mut insert {
            for x in 0..300_000 {
                insert.write(&Number { x }).await.unwrap();
            }
        }
        drop(insert);
        assert_eq!(number(&client, &format!("SELECT count() FROM {table}")).await, 0);
    }

    // Chunks without the last, and a body shorter than its stated length: the connection ends.
    let client = database(&STORE, "aborted").await;
    client
        .query("CREATE TABLE raw (x UInt64) ENGINE = MergeTree ORDER BY x")
        .execute()
        .await
        .unwrap();
    for framing in [
        "Transfer-Encoding: chunked\r\n\r\n6\r\n1\n2\n3\n\r\n",
        "Content-Length: 100\r\n\r\n1\n2\n3\n",
    ] {
        let address: SocketAddr = STORE.url.strip_prefix("http://").unwrap().parse().unwrap();
        let mut connection = TcpStream::connect(address).unwrap();
        write!(
            connection,
            "POST /?query=INSERT+INTO+aborted.raw+FORMAT+TSV HTTP/1.1\r\nHost: store\r\n\
             X-ClickHouse-Key: {KEY}\r\n{framing}"
        )
        .unwrap();
        connection.shutdown(std::net::Shutdown::Write).unwrap();
        // The store has seen the end of the body once it closes or answers.
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).unwrap();
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
        assert_eq!(number(&client, "SELECT count() FROM raw").await, 0, "{framing}");
    }
}

#[tokio::test]
async fn a_bad_row_at_the_end_writes_none_of_the_rows_before_it() {
    if !has_library("bad rows") {
        return;
    }
    let client = database(&STORE, "bad_row").await;
    client
        .query("CREATE TABLE t (x UInt64) ENGINE = MergeTree ORDER BY x")
        .execute()
        .await
        .unwrap();
    let mut body = lines(0..1_500_000);
    body.push_str("no number\n");
    let path = "/?database=bad_row&query=INSERT+INTO+t+FORMAT+TSV";
    let response = STORE.post(path).body(body).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(number(&client, "SELECT count() FROM t").await, 0);
}

#[tokio::test]
async fn an_insert_is_one_block_however_it_is_sent() {
    if !has_library("one block") {
        return;
    }
    let client = database(&STORE, "one_block").await;
    let rows = 1_048_449_u64;
    client
        .query("CREATE TABLE t (x UInt64) ENGINE = MergeTree ORDER BY x")
        .execute()
        .await
        .unwrap();
    client.query("SYSTEM STOP MERGES t").execute().await.unwrap();
    let parts = "SELECT count() FROM system.parts WHERE database = 'one_block' AND active";

    let mut insert = client.insert::<Number>("t").await.unwrap();
    for x in 0..rows {
        insert.write(&Number { x }).await.unwrap();
    }
    insert.end().await.unwrap();
    assert_eq!(number(&client, parts).await, 1);

    // Text that the engine may parse in parallel; native blocks of another server.
    let text = lines(0..rows + 100_000);
    for format in ["TSV", "CSV"] {
        let path = format!("/?database=one_block&query=INSERT+INTO+t+FORMAT+{format}");
        let response = STORE.post(&path).body(text.clone()).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
    assert_eq!(number(&client, parts).await, 3);
    let native = STORE.post("/").body("SELECT number AS x FROM numbers(500000) FORMAT Native");
    let native = native.send().await.unwrap().bytes().await.unwrap();
    let path = "/?database=one_block&query=INSERT+INTO+t+FORMAT+Native";
    assert_eq!(STORE.post(path).body(native).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(number(&client, parts).await, 4);
    assert_eq!(number(&client, "SELECT count() FROM t").await, 3 * rows + 700_000);
}

#[derive(Row, Serialize, Deserialize)]
struct Number {
    x: u64,
}

#[tokio::test]
async fn an_inserts_data_may_stand_in_the_text_the_body_or_both() {
    if !has_library("placements of data") {
        return;
    }
    let client = database(&STORE, "placement").await;
    client
        .query("CREATE TABLE t (x UInt64, s String) ENGINE = MergeTree ORDER BY x")
        .execute()
        .await
        .unwrap();
    for (query, body) in [
        ("", "INSERT INTO t VALUES (1, 'one'), (1 + 1, upper('two'))"),
        ("", "INSERT INTO t (s, x) FORMAT JSONEachRow\n{\"x\": 3, \"s\": \"three\"}"),
        ("INSERT INTO t FORMAT TSV", "4\tfour\n5\tfive\n"),
        ("INSERT INTO t SETTINGS max_threads = 1 FORMAT CSV", "6,six"),
        ("INSERT INTO t VALUES", "(7, 'seven')"),
        ("INSERT INTO t SELECT 8, 'eight'", ""),
        ("", "INSERT INTO t SELECT 9, 'nine' FORMAT Null"),
    ] {
        let response = STORE
            .post(&format!("/?database=placement&query={}", encoded(query)))
            .body(body)
            .send()
            .await
            .unwrap();
        let status = response.status();
        assert!(status.is_success(), "{query} {body}: {}", response.text().await.unwrap());
    }
    assert_eq!(number(&client, "SELECT sum(x) FROM t").await, (1..=9_u64).sum::<u64>());
    let all = "SELECT arrayStringConcat(groupArray(s), ' ') FROM (SELECT s FROM t ORDER BY x)";
    let words: String = client.query(all).fetch_one().await.unwrap();
    assert_eq!(words, "one TWO three four five six seven eight nine");
}

#[tokio::test]
async fn bodies_and_answers_may_be_compressed() {
    if !has_library("compression") {
        return;
    }
    let client = database(&STORE, "compressed").await;
    client
        .query("CREATE TABLE t (x UInt64) ENGINE = MergeTree ORDER BY x")
        .execute()
        .await
        .unwrap();
    let text = lines(0..50_000);
    let mut gzip = GzEncoder::new(Vec::new(), Level::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let path = "/?database=compressed&query=INSERT+INTO+t+FORMAT+TSV";
    let insert = |coding: &'static str, body: Vec<u8>| {
        STORE.post(path).header("Content-Encoding", coding).body(body).send()
    };
    assert_eq!(insert("gzip", gzip.clone()).await.unwrap().status(), StatusCode::OK);
    assert_eq!(number(&client, "SELECT count() FROM t").await, 50_000);
    // Cut, corrupt, unknown: nothing is written.
    for (coding, body) in [
        ("gzip", gzip[..gzip.len() - 9].to_vec()),
        ("gzip", text.clone().into_bytes()),
        ("zstd", gzip.clone()),
    ] {
        assert!(!insert(coding, body).await.unwrap().status().is_success(), "{coding}");
    }
    assert_eq!(number(&client, "SELECT count() FROM t").await, 50_000);

    let answer = STORE
        .post("/?enable_http_compression=1")
        .header("Accept-Encoding", "zstd, gzip;q=0.5")
        .body("SELECT number FROM numbers(500000)")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    let packed = answer.bytes().await.unwrap();
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut unpacked).unwrap();
    assert_eq!(unpacked.lines().count(), 500_000);

    // Native frames both ways: what the store packs it takes back.
    let frames = STORE.post("/?compress=1").body("SELECT number + 50000 FROM numbers(500000)");
    let frames = frames.send().await.unwrap().bytes().await.unwrap();
    let path = "/?database=compressed&decompress=1&query=INSERT+INTO+t+FORMAT+TSV";
    assert_eq!(
        STORE.post(path).body(frames.clone()).send().await.unwrap().status(),
        StatusCode::OK
    );
    assert_eq!(number(&client, "SELECT count() FROM t").await, 550_000);
    let mut corrupt = frames.to_vec();
    let last = corrupt.len() - 1;
    corrupt[last] ^= 1;
    let refused = STORE.post(path).body(corrupt).send().await.unwrap();
    assert_eq!(refused.headers()["x-clickhouse-exception-code"], "40");
    assert_eq!(number(&client, "SELECT count() FROM t").await, 550_000);
}

#[tokio::test]
async fn more_statements_than_turns_wait_for_theirs() {
    if !has_library("turns") {
        return;
    }
    let client = database(&STORE, "turns").await;
    let all = (0..100_u64).map(|n| {
        let client = client.clone();
        tokio::spawn(async move { number(&client, &format!("SELECT toUInt64({n})")).await })
    });
    let results = futures::future::join_all(all).await;
    assert_eq!(results.into_iter().map(Result::unwrap).sum::<u64>(), (0..100_u64).sum::<u64>());
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_turn() {
    if !has_library("leaving clients") {
        return;
    }
    let client = database(&STORE, "leaving").await;
    // More than there are turns; each would stream for very long.
    for _ in 0..64 {
        let mut cursor = client.query("SELECT number FROM system.numbers").fetch::<u64>().unwrap();
        assert_eq!(cursor.next().await.unwrap(), Some(0));
    }
    assert_eq!(number(&client, "SELECT toUInt64(1)").await, 1);
}

#[tokio::test]
async fn a_body_larger_than_the_store_takes_is_refused_before_it_is_sent() {
    if !has_library("large bodies") {
        return;
    }
    let address: SocketAddr = STORE.url.strip_prefix("http://").unwrap().parse().unwrap();
    let mut connection = TcpStream::connect(address).unwrap();
    write!(
        connection,
        "POST / HTTP/1.1\r\nHost: store\r\nX-ClickHouse-Key: {KEY}\r\n\
         Connection: close\r\nContent-Length: 1000000000\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("x-clickhouse-exception-code: 229"), "{answer}");
}

#[tokio::test]
async fn a_session_id_is_accepted_and_carries_nothing_over() {
    if !has_library("sessions") {
        return;
    }
    let ask = async |sql: &str| {
        let path = "/?session_id=s&session_timeout=60";
        STORE.post(path).body(sql.to_owned()).send().await.unwrap().text().await.unwrap()
    };
    assert_eq!(ask("SET max_block_size = 4321").await, "");
    assert_ne!(ask("SELECT getSetting('max_block_size')").await, "4321\n");
}
