//! Publishers that lose no event: each sends a batch until it is acknowledged, to one replica after
//! the other.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::time::Instant;

use crate::conservation::{Intent, Item, Ledger, Traffic};

/// Publishers at a time.
pub(crate) const PUBLISHERS: u32 = 8;
/// Events in one request.
const BATCH: usize = 50;
/// How often a publisher who sleeps looks whether it is to send as much as it can.
const LOOK: Duration = Duration::from_millis(200);
/// Before a request is made again that got no answer or was refused for now.
const RETRY: Duration = Duration::from_millis(200);
/// Longer than the 15 s that ingest waits for its log.
const PATIENCE: Duration = Duration::from_secs(20);

/// What publishers share.
pub(crate) struct Publishing {
    /// Services that take events, as `http://HOST:PORT`.
    pub(crate) ingest: Vec<String>,
    /// Who may publish.
    pub(crate) token: String,
    /// Events a second of all together.
    pub(crate) rate: u32,
    /// Send as much as is taken.
    pub(crate) unthrottled: AtomicBool,
    /// No new batches.
    pub(crate) ended: AtomicBool,
    /// Events in one request.
    pub(crate) batch: usize,
    /// Before a request is made again that got no answer or was refused for now.
    pub(crate) retry: Duration,
    /// What was acknowledged.
    pub(crate) ledger: Mutex<Ledger>,
    /// When the answer for each urgent event came, by id: the time that its page is waited for from.
    pub(crate) urgent_since: Mutex<HashMap<String, SystemTime>>,
    /// What became of requests.
    pub(crate) attempts: Attempts,
}

/// Requests, by what became of them.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    /// That were begun.
    pub(crate) all: AtomicU64,
    /// That were refused for now.
    pub(crate) refused: AtomicU64,
    /// Those of the refused that were not told when to come again.
    pub(crate) without_hint: AtomicU64,
}

impl Publishing {
    /// As in a run of the oracle: `rate` events a second to some of the services in `ingest`.
    pub(crate) fn new(ingest: Vec<String>, token: String, rate: u32) -> Self {
        Self {
            ingest,
            token,
            rate,
            unthrottled: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            batch: BATCH,
            retry: RETRY,
            ledger: Mutex::default(),
            urgent_since: Mutex::default(),
            attempts: Attempts::default(),
        }
    }

    /// Publishes as one of them until it is to end and its last batch was acknowledged.
    pub(crate) async fn publish(self: Arc<Self>, seed: u64, number: u32) {
        let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        let mut traffic = Traffic::new(seed, number);
        let interval = Duration::from_secs(1) * self.batch as u32 * PUBLISHERS / self.rate;
        let mut due = Instant::now() + interval * number / PUBLISHERS;
        while !self.ended.load(Ordering::SeqCst) {
            if !self.unthrottled.load(Ordering::SeqCst) {
                if Instant::now() < due {
                    // Short, so that an overload begins at once.
                    let at = due.min(Instant::now() + LOOK);
                    tokio::time::sleep_until(at).await;
                    continue;
                }
                due += interval;
            }
            let batch = traffic.batch(self.batch, now_ms());
            let attempts = self.deliver(&http, &batch, number as usize).await;
            let urgent = batch.iter().filter(|item| item.intent == Intent::Urgent);
            let now = SystemTime::now();
            let since = urgent.map(|item| (item.event.id.clone(), now));
            self.urgent_since.lock().unwrap().extend(since);
            let mut ledger = self.ledger.lock().unwrap();
            for item in &batch {
                ledger.settle(item, attempts);
            }
        }
    }

    /// Sends a batch until it is acknowledged; how often that took.
    async fn deliver(&self, http: &reqwest::Client, batch: &[Item], first: usize) -> u32 {
        let body: Vec<Value> = batch.iter().map(|item| item.event.json()).collect();
        let body = bytes::Bytes::from(serde_json::to_vec(&body).unwrap());
        for attempt in 0.. {
            let replica = &self.ingest[(first + attempt as usize) % self.ingest.len()];
            let request = http
                .post(format!("{replica}/v1/events"))
                .bearer_auth(&self.token)
                .header("content-type", "application/json")
                .body(body.clone());
            self.attempts.all.fetch_add(1, Ordering::Relaxed);
            let answered = async {
                let response = request.send().await.ok()?;
                let status = response.status().as_u16();
                if matches!(status, 429 | 503) {
                    self.attempts.refused.fetch_add(1, Ordering::Relaxed);
                    let hint = response.headers().contains_key("retry-after");
                    self.attempts.without_hint.fetch_add(u64::from(!hint), Ordering::Relaxed);
                }
                let answer: Value = response.json().await.ok()?;
                Some((status, answer))
            };
            if let Some((status, answer)) = answered.await
                && acknowledged(status, &answer, batch)
            {
                return attempt + 1;
            }
            tokio::time::sleep(self.retry).await;
        }
        unreachable!("attempts do not end")
    }
}

/// Whether the answer says what became of every event.
///
/// # Panics
/// When an event is refused for good that should be taken: a fault must never look like a bad
/// event. Also when one is taken that is too large.
fn acknowledged(status: u16, answer: &Value, batch: &[Item]) -> bool {
    let Some(results) = answer["results"].as_array().filter(|_| status == 200) else {
        assert!(matches!(status, 408 | 429 | 500..), "{status}: {answer}");
        return false;
    };
    assert_eq!(results.len(), batch.len(), "{answer}");
    for (result, item) in results.iter().zip(batch) {
        let taken = result.get("ack").is_some_and(|ack| !ack.is_null());
        assert_eq!(taken, item.intent != Intent::Oversized, "{result}: {item:?}");
    }
    true
}

pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}
