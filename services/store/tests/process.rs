//! The store as a process: start, ownership of its data, end.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};

use support::{KEY, Store, command, database, fresh_folder, has_library, number};

fn line_of(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let mut lines = text.lines().filter(|line| line.starts_with("zhili-store: "));
    let line = lines.next().unwrap_or_else(|| panic!("no line in {text}"));
    assert_eq!(lines.next(), None, "more than one line");
    line.to_owned()
}

#[test]
fn without_a_library_one_line_says_what_to_do() {
    let data = fresh_folder("no-library");
    let output = command(&data).args(["--libchdb", "/nowhere/libchdb.so"]).output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    let line = line_of(&output);
    for part in ["/nowhere/libchdb.so", "deploy/libchdb/fetch.sh", "--clickhouse-url"] {
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn a_library_that_is_none_is_refused_in_one_line() {
    let data = fresh_folder("bad-library");
    let library = data.join("libchdb.so");
    fs::write(&library, "no library").unwrap();
    let output = command(&data).arg("--libchdb").arg(&library).output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(line_of(&output).contains("cannot load"));
}

#[test]
fn misuse_ends_with_64_before_anything_is_touched() {
    let data = fresh_folder("misuse").join("never-made");
    for arguments in [&["--no-such-flag"][..], &["--listen", "0.0.0.0:0"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_zhili-store"))
            .arg("--data")
            .arg(&data)
            .args(arguments)
            .env("ZHILI_STORE_KEY", KEY)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
    }
    let output = command(&data).env("ZHILI_STORE_KEY", " \n").output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(line_of(&output).contains("key is empty"));
    assert!(!data.exists());
}

#[test]
fn a_port_in_use_is_named() {
    if !has_library("busy port") {
        return;
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_zhili-store"))
        .arg("--data")
        .arg(fresh_folder("busy-port"))
        .args(["--listen", &address])
        .env("ZHILI_STORE_KEY", KEY)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(line_of(&output).contains(&address));
}

#[test]
fn the_data_of_a_running_store_is_refused_to_another() {
    if !has_library("two stores") {
        return;
    }
    let data = fresh_folder("two-stores");
    let first = Store::start(&data);
    let output = command(&data).output().unwrap();
    assert_eq!(output.status.code(), Some(75));
    let line = line_of(&output);
    assert!(line.contains("in use by another store"), "{line}");
    assert!(line.contains("two-stores"), "{line}");
    drop(first);
    let second = Store::start(&data);
    assert!(second.url.starts_with("http://127.0.0.1:"));
}

#[test]
fn the_key_comes_from_a_file_and_is_not_among_the_arguments() {
    if !has_library("key file") {
        return;
    }
    let folder = fresh_folder("key-file");
    fs::write(folder.join("key"), format!("{KEY}\n")).unwrap();
    let mut command = command(&folder.join("data"));
    command.env_remove("ZHILI_STORE_KEY").arg("--key-file").arg(folder.join("key"));
    let store = Store::spawn(&mut command);
    let arguments = fs::read_to_string(format!("/proc/{}/cmdline", store.pid())).unwrap();
    assert!(!arguments.contains(KEY));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    assert_eq!(runtime.block_on(number(&store.client("default"), "SELECT toUInt64(1)")), 1);
}

#[test]
fn the_store_dies_with_its_parent_and_leaves_no_lock() {
    if !has_library("death of the parent") {
        return;
    }
    let data = fresh_folder("orphan");
    let mut parent = Command::new("sh")
        .args(["-c", "\"$0\" --data \"$1\" --listen 127.0.0.1:0 --die-with-parent $$ & wait"])
        .arg(env!("CARGO_BIN_EXE_zhili-store"))
        .arg(&data)
        .env("ZHILI_STORE_KEY", KEY)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(parent.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert!(line.starts_with("listening on "), "{line}");
    parent.kill().unwrap();
    parent.wait().unwrap();
    // The pipe ends with its last writer, the store.
    line.clear();
    assert_eq!(output.read_line(&mut line).unwrap(), 0);
    Store::start(&data);
}

#[test]
fn a_store_whose_parent_is_another_does_not_start() {
    let data = fresh_folder("not-the-parent");
    let output = command(&data).args(["--die-with-parent", "1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(line_of(&output).contains("parent process 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sigterm_running_statements_end_and_the_store_exits_with_0() {
    if !has_library("SIGTERM") {
        return;
    }
    let mut store = Store::start(&fresh_folder("sigterm"));
    let client = database(&store, "zhili").await;
    let slow = client.clone();
    let running = tokio::spawn(async move { number(&slow, "SELECT toUInt64(sleep(1) + 7)").await });
    let seen = "SELECT count() FROM system.processes WHERE query LIKE '%sleep(1)%' \
                AND query NOT LIKE '%system.processes%'";
    while number(&client, seen).await == 0 {
        assert!(!running.is_finished(), "the statement ended before it was seen to run");
    }
    store.terminate();
    assert_eq!(running.await.unwrap(), 7);
    assert!(store.wait().success());
}

#[tokio::test]
async fn a_store_starts_again_on_its_data_with_memory_bounded_by_the_machine() {
    if !has_library("start") {
        return;
    }
    let data = fresh_folder("start");
    for round in ["first", "second"] {
        let mut store = Store::start(&data);
        let limit = "SELECT toUInt64(value) FROM system.server_settings \
                     WHERE name = 'max_server_memory_usage'";
        let limit = number(&store.client("default"), limit).await;
        assert!((512 << 20..=2 << 30).contains(&limit), "{round}: {limit}");
        assert!(store.stop().success(), "{round}");
    }
}
