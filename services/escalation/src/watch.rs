//! A watcher's stream: incident events of a tenant from a cursor on, first those in the log, then
//! live, with a heartbeat. At least once: after a disconnect the cursor says where to go on.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use prost::Message;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use zhili_eventlog::{EventLog, LogError, ReadLimit};
use zhili_proto::escalation::v1 as pb;
use zhili_runtime::{ErrorCode, ServiceError};

use crate::board::{Board, Told, place};
use crate::cursor::Cursor;
use crate::metrics::Metrics;

/// Proxies cut connections that are silent for longer, often after 30 s.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// A watcher that takes nothing for so long has gone or is stuck.
const PATIENCE: Duration = Duration::from_secs(30);
/// Responses made ahead of a watcher.
const AHEAD: usize = 16;
/// Cursor of the oldest event kept.
const START: &str = "start";

/// Why a stream ended, and where to go on.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) error: ServiceError,
    pub(crate) cursor: String,
}

/// What a watcher needs.
#[derive(Clone)]
pub(crate) struct Watching {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) board: Arc<Board>,
    pub(crate) metrics: Metrics,
    pub(crate) shutdown: CancellationToken,
}

/// The responses to one watcher.
pub(crate) struct Responses {
    responses: mpsc::Receiver<pb::WatchResponse>,
    ended: Arc<Mutex<Option<Ended>>>,
}

impl Stream for Responses {
    type Item = Result<pb::WatchResponse, Ended>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.responses.poll_recv(context).map(|response| match response {
            Some(response) => Some(Ok(response)),
            // All that was made has been taken; then comes the reason for the end, once.
            None => self.ended.lock().unwrap_or_else(PoisonError::into_inner).take().map(Err),
        })
    }
}

impl Watching {
    /// Starts a stream of a tenant's events after `cursor`.
    pub(crate) async fn start(
        &self,
        tenant: String,
        cursor: &str,
    ) -> Result<Responses, ServiceError> {
        let (live, now) = self.board.watch();
        let log_id = self.board.log_id.clone();
        let next = match cursor {
            "" => now.clone(),
            START => self.starts(now.len()).await?,
            text => {
                let invalid = |error: crate::cursor::NotACursor| {
                    ServiceError::new(ErrorCode::Invalid, error.to_string())
                };
                let given = Cursor::decode(text, &log_id, now.len()).map_err(invalid)?.next;
                self.check(&given).await?;
                given
            }
        };
        let (sender, responses) = mpsc::channel(AHEAD);
        let ended = Arc::new(Mutex::new(None));
        let watcher =
            Watcher { watching: self.clone(), tenant, cursor: Cursor { log_id, next }, sender };
        let reason = Arc::clone(&ended);
        tokio::spawn(async move {
            watcher.watching.metrics.watchers.inc();
            let mut watcher = watcher;
            let outcome = watcher.run(live, now).await;
            watcher.watching.metrics.watchers.dec();
            if let Err(error) = outcome {
                let cursor = watcher.cursor.encode();
                *reason.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(Ended { error, cursor });
            }
            // The stream ends when the sender goes, and the reason is in place by then.
            drop(watcher);
        });
        Ok(Responses { responses, ended })
    }

    async fn starts(&self, partitions: usize) -> Result<Vec<u64>, ServiceError> {
        let mut next = Vec::new();
        for partition in 0..partitions {
            let bounds = self.log.bounds(&place(partition as u32)).await;
            next.push(bounds.map_err(|error| unreadable(&error))?.start);
        }
        Ok(next)
    }

    /// Refuses a cursor that the log cannot go on from.
    async fn check(&self, given: &[u64]) -> Result<(), ServiceError> {
        for (partition, offset) in given.iter().enumerate() {
            let bounds = self.log.bounds(&place(partition as u32)).await;
            let bounds = bounds.map_err(|error| unreadable(&error))?;
            if *offset < bounds.start || *offset > bounds.end {
                return Err(ServiceError::new(
                    ErrorCode::Invalid,
                    "the cursor is of events that are no longer kept; start again with `start`",
                ));
            }
        }
        Ok(())
    }
}

struct Watcher {
    watching: Watching,
    tenant: String,
    /// After what was sent last.
    cursor: Cursor,
    sender: mpsc::Sender<pb::WatchResponse>,
}

enum Stop {
    /// The watcher has gone: there is nobody to tell why.
    Gone,
    Error(ServiceError),
}

impl From<ServiceError> for Stop {
    fn from(error: ServiceError) -> Self {
        Self::Error(error)
    }
}

impl Watcher {
    async fn run(
        &mut self,
        live: broadcast::Receiver<Told>,
        now: Vec<u64>,
    ) -> Result<(), ServiceError> {
        let shutdown = self.watching.shutdown.clone();
        let outcome = tokio::select! {
            () = shutdown.cancelled() => Err(Stop::Error(
                ServiceError::new(ErrorCode::Unavailable, "shutting down; go on from the cursor")
                    .retry_after(Duration::from_secs(1)),
            )),
            outcome = self.tell(live, now) => outcome,
        };
        match outcome {
            Ok(()) | Err(Stop::Gone) => Ok(()),
            Err(Stop::Error(error)) => Err(error),
        }
    }

    async fn tell(
        &mut self,
        mut live: broadcast::Receiver<Told>,
        now: Vec<u64>,
    ) -> Result<(), Stop> {
        // Whoever is cut off before anything happens knows where to go on.
        self.send(None, self.cursor.clone()).await?;
        for (partition, end) in now.into_iter().enumerate() {
            self.replay(partition, end).await?;
        }
        let mut beat = tokio::time::interval(HEARTBEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        beat.tick().await;
        loop {
            tokio::select! {
                told = live.recv() => match told {
                    Ok(told) if told.offset < self.cursor.next[told.partition] => {}
                    Ok(told) => {
                        let event = Arc::clone(&told.event);
                        if self.pass(told.partition, told.offset + 1, &event).await? {
                            beat.reset();
                        }
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => return Err(self.too_slow()),
                    Err(broadcast::error::RecvError::Closed) => return Ok(()),
                },
                _ = beat.tick() => self.send(None, self.cursor.clone()).await?,
                () = self.sender.closed() => return Err(Stop::Gone),
            }
        }
    }

    /// Tells what the log holds of a partition from the cursor to `end`.
    async fn replay(&mut self, partition: usize, end: u64) -> Result<(), Stop> {
        let at = place(partition as u32);
        while self.cursor.next[partition] < end {
            let limit = ReadLimit { wait: Duration::ZERO, records: 256, ..ReadLimit::default() };
            let from = self.cursor.next[partition];
            let batch = self.watching.log.read(&at, from, limit).await;
            let batch = batch.map_err(|error| unreadable(&error))?;
            let mut records = VecDeque::from(batch.records);
            while let Some(record) = records.pop_front() {
                if record.offset >= end {
                    break;
                }
                let value = record.value.as_deref().unwrap_or_default();
                // What cannot be read was said when the board passed over it.
                if let Ok(event) = pb::IncidentEvent::decode(value) {
                    self.pass(partition, record.offset + 1, &event).await?;
                }
            }
            let next = &mut self.cursor.next[partition];
            *next = (*next).max(batch.next.min(end));
            if batch.caught_up && *next < end {
                *next = end;
            }
        }
        Ok(())
    }

    /// Moves the cursor over an event, and tells of it if it is the tenant's.
    async fn pass(
        &mut self,
        partition: usize,
        next: u64,
        event: &pb::IncidentEvent,
    ) -> Result<bool, Stop> {
        let mut cursor = self.cursor.clone();
        cursor.next[partition] = next;
        let concerns = event.tenant == self.tenant;
        if concerns {
            // Until it is sent the cursor stays, also when this is cancelled: whoever goes on
            // from there must hear of it.
            self.send(Some(event.clone()), cursor.clone()).await?;
        }
        self.cursor = cursor;
        Ok(concerns)
    }

    async fn send(&self, event: Option<pb::IncidentEvent>, cursor: Cursor) -> Result<(), Stop> {
        let response = pb::WatchResponse { event, cursor: cursor.encode() };
        match self.sender.send_timeout(response, PATIENCE).await {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => Err(self.too_slow()),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(Stop::Gone),
        }
    }

    fn too_slow(&self) -> Stop {
        self.watching.metrics.slow_watchers.inc();
        Stop::Error(ServiceError::new(
            ErrorCode::Exhausted,
            format!(
                "disconnected for reading too slowly; go on from cursor {}",
                self.cursor.encode()
            ),
        ))
    }
}

fn unreadable(error: &LogError) -> ServiceError {
    ServiceError::new(ErrorCode::Unavailable, error.to_string()).retry_after(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::StreamExt;
    use prometheus_client::registry::Registry;
    use redb::backends::InMemoryBackend;
    use zhili_eventlog::embedded::EmbeddedLog;
    use zhili_eventlog::{NewRecord, system_clock, topics};

    use super::*;

    async fn tell(log: &EmbeddedLog, events: std::ops::Range<u32>) {
        let records = events.map(|number| {
            let event = pb::IncidentEvent {
                event_id: format!("evt_{number}"),
                tenant: "default".into(),
                ..pb::IncidentEvent::default()
            };
            NewRecord::new(place(0), None, Bytes::from(event.encode_to_vec()))
        });
        assert!(log.append(records.collect()).await.iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn a_watcher_that_is_too_slow_is_disconnected_and_goes_on_from_where_it_was() {
        let log = EmbeddedLog::open_on(InMemoryBackend::new, system_clock()).unwrap();
        log.ensure_topics(&topics::all(1)).await.unwrap();
        let shared: Arc<dyn EventLog> = Arc::new(log.clone());
        let board = Board::open(Arc::clone(&shared), 4).await.unwrap();
        let watching = Watching {
            log: shared,
            board: Arc::clone(&board),
            metrics: Metrics::register(&mut Registry::default()),
            shutdown: CancellationToken::new(),
        };
        let slow = watching.start("default".into(), "").await.unwrap();
        tell(&log, 0..60).await;
        let following = Arc::clone(&board);
        let following = tokio::spawn(async move { following.follow(0).await });
        board.catch_up().await.unwrap();

        let mut seen = Vec::new();
        let mut ended = None;
        let mut slow = slow;
        while let Some(response) = slow.next().await {
            match response {
                Ok(response) => seen.extend(response.event.map(|event| event.event_id)),
                Err(end) => ended = Some(end),
            }
        }
        let ended = ended.unwrap();
        assert_eq!(ended.error.code, ErrorCode::Exhausted);
        assert!(ended.error.message.contains(&ended.cursor));
        assert_eq!(watching.metrics.slow_watchers.get(), 1);

        let mut again = watching.start("default".into(), &ended.cursor).await.unwrap();
        while seen.len() < 60 {
            let response = again.next().await.unwrap().unwrap();
            seen.extend(response.event.map(|event| event.event_id));
        }
        let all: Vec<String> = (0..60).map(|number| format!("evt_{number}")).collect();
        assert_eq!(seen, all);
        following.abort();
    }

    #[tokio::test]
    async fn an_event_that_waits_to_be_sent_at_shutdown_is_told_to_whoever_goes_on() {
        let log = EmbeddedLog::open_on(InMemoryBackend::new, system_clock()).unwrap();
        log.ensure_topics(&topics::all(1)).await.unwrap();
        tell(&log, 0..60).await;
        let shared: Arc<dyn EventLog> = Arc::new(log);
        let board = Board::open(Arc::clone(&shared), 4).await.unwrap();
        let following = Arc::clone(&board);
        let following = tokio::spawn(async move { following.follow(0).await });
        board.catch_up().await.unwrap();
        let watching = Watching {
            log: shared,
            board,
            metrics: Metrics::register(&mut Registry::default()),
            shutdown: CancellationToken::new(),
        };
        let mut stream = watching.start("default".into(), START).await.unwrap();
        // Nobody takes anything until the next one has to wait.
        while stream.responses.len() < AHEAD {
            tokio::task::yield_now().await;
        }
        watching.shutdown.cancel();
        let mut seen = Vec::new();
        let cursor = loop {
            match stream.next().await.unwrap() {
                Ok(response) => seen.extend(response.event.map(|event| event.event_id)),
                Err(ended) => break ended.cursor,
            }
        };
        assert!(seen.len() < 60, "it ended before all was told");

        let watching = Watching { shutdown: CancellationToken::new(), ..watching };
        let mut again = watching.start("default".into(), &cursor).await.unwrap();
        while seen.len() < 60 {
            let response = again.next().await.unwrap().unwrap();
            let Some(event) = response.event else { continue };
            assert_eq!(event.event_id, format!("evt_{}", seen.len()));
            seen.push(event.event_id);
        }
        following.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_heartbeat_tells_a_silent_watcher_where_it_is() {
        let log = EmbeddedLog::open_on(InMemoryBackend::new, system_clock()).unwrap();
        log.ensure_topics(&topics::all(1)).await.unwrap();
        let shared: Arc<dyn EventLog> = Arc::new(log);
        let board = Board::open(Arc::clone(&shared), 4).await.unwrap();
        let shutdown = CancellationToken::new();
        let watching = Watching {
            log: shared,
            board,
            metrics: Metrics::register(&mut Registry::default()),
            shutdown: shutdown.clone(),
        };
        let mut stream = watching.start("default".into(), "").await.unwrap();
        let before = tokio::time::Instant::now();
        let first = stream.next().await.unwrap().unwrap();
        assert!(first.event.is_none() && !first.cursor.is_empty());
        assert_eq!(before.elapsed(), Duration::ZERO);
        let beat = stream.next().await.unwrap().unwrap();
        assert!(beat.event.is_none() && !beat.cursor.is_empty());
        assert_eq!(before.elapsed(), HEARTBEAT);
        shutdown.cancel();
        let ended = stream.next().await.unwrap().unwrap_err();
        assert_eq!(ended.cursor, beat.cursor);
        assert!(stream.next().await.is_none());
    }
}
