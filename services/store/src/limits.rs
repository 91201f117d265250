//! Bounds that keep the store's share of one machine.

use std::fs;
use std::num::NonZero;
use std::thread;
use std::time::Duration;

/// Bounds of one store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Memory of the engine, bytes; a statement that would exceed it fails with code 241.
    pub memory_bytes: u64,
    /// Statements that run at once; further ones wait up to [`Limits::queue_time`].
    pub concurrent_statements: usize,
    /// How long a statement waits for its turn before it is refused with code 202.
    pub queue_time: Duration,
    /// Threads that one statement may use.
    pub threads_per_query: u64,
    /// Threads that merge parts in the background.
    pub background_threads: u64,
    /// Size of one request body, bytes, as sent and again after decompression (code 229).
    pub body_bytes: usize,
    /// Bytes of all bodies held at once (code 241).
    pub all_bodies_bytes: usize,
    /// How long a client may take to send its body (code 209).
    pub receive_time: Duration,
    /// How long a client may refuse to take the next piece of its result.
    pub send_time: Duration,
    /// Default of the setting `max_execution_time`, seconds resolution (code 159).
    pub execution_time: Duration,
    /// Rows that an INSERT may have and still be one block.
    pub insert_block_rows: u64,
    /// How long running requests may take to end after SIGTERM.
    pub drain_time: Duration,
}

impl Limits {
    /// Bounds for this machine: memory a quarter of the RAM (at least 512 MiB, at most 2 GiB),
    /// threads by the number of cores.
    pub fn of_this_machine() -> Self {
        let cores = thread::available_parallelism().map_or(2, NonZero::get) as u64;
        Self {
            memory_bytes: (memory_total().unwrap_or(8 << 30) / 4).clamp(512 << 20, 2 << 30),
            concurrent_statements: (2 * cores).clamp(4, 32) as usize,
            queue_time: Duration::from_secs(30),
            threads_per_query: cores.min(8),
            background_threads: cores.clamp(1, 4),
            body_bytes: 256 << 20,
            all_bodies_bytes: 512 << 20,
            receive_time: Duration::from_secs(60),
            send_time: Duration::from_secs(60),
            // Below the 65 s that Zhili's services wait for an answer.
            execution_time: Duration::from_secs(60),
            // More rows than a body of 256 MiB can hold.
            insert_block_rows: 1 << 28,
            drain_time: Duration::from_secs(8),
        }
    }
}

/// RAM of the machine in bytes, from `/proc/meminfo`.
fn memory_total() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib << 10)
}
