//! Memory of requests that are being read or waiting for the log, over all publishers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zhili_runtime::{ErrorCode, Memory, ServiceError};

/// When to come again. What is in flight waits for one group commit of the log or for a broker
/// that fails over; a second is longer than the one and lets the others spread.
pub(crate) const RETRY: Duration = Duration::from_secs(1);
/// When to come again while the process has little memory left: it is given back when conversations
/// end, not when a batch does.
const RETRY_WHEN_FULL: Duration = Duration::from_secs(5);

/// What a byte of a request takes until its batch is answered, at most: it is there as it came, in a
/// buffer that may be twice as large, as what was read of it, and as what the log is given.
const PER_BYTE: u32 = 4;
/// What an event takes beyond its bytes: itself, its record and its answer, each with the texts that
/// they own, and what an allocator rounds up.
const PER_EVENT: u32 = 2 << 10;

/// What a request of so many bytes and events takes.
pub(crate) const fn cost(bytes: u32, events: u32) -> u32 {
    bytes.saturating_mul(PER_BYTE).saturating_add(events.saturating_mul(PER_EVENT))
}

/// How much may be in flight. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Budget {
    free: Arc<Semaphore>,
    size: u32,
    /// Most that one call may hold.
    share: u32,
    used: Gauge,
    memory: Memory,
}

impl Budget {
    /// Of `size` bytes of memory; a call may hold `share` of them. Nothing is taken while the process
    /// has no `memory` left.
    pub(crate) fn new(size: u32, share: u32, used: Gauge, memory: Memory) -> Self {
        Self { free: Arc::new(Semaphore::new(size as usize)), size, share, used, memory }
    }

    /// Says when to come again if there is no room for a request of so many bytes now. Asked before
    /// anything of it is read: refusing must cost less than what is refused.
    pub(crate) fn has_room(&self, bytes: u32) -> Result<(), ServiceError> {
        self.has_memory()?;
        if self.free.available_permits() < cost(bytes, 0) as usize {
            return Err(self.exhausted());
        }
        Ok(())
    }

    fn has_memory(&self) -> Result<(), ServiceError> {
        if !self.memory.is_full() {
            return Ok(());
        }
        let message = format!(
            "the service takes {} of the {} MiB of memory that it may; publish again later",
            self.memory.used() >> 20,
            self.memory.limit() >> 20
        );
        Err(ServiceError::new(ErrorCode::Exhausted, message).retry_after(RETRY_WHEN_FULL))
    }

    fn exhausted(&self) -> ServiceError {
        let message = format!(
            "the service is working on as much as it may ({} bytes of memory); publish again later",
            self.size
        );
        ServiceError::new(ErrorCode::Exhausted, message).retry_after(RETRY)
    }

    /// What is held for one call, nothing yet.
    pub(crate) fn meter(&self) -> Meter {
        let share = Arc::new(Semaphore::new(self.share as usize));
        Meter { budget: self.clone(), share, held: Mutex::new(None) }
    }
}

/// Memory held, given back when dropped.
pub(crate) struct Held {
    permit: OwnedSemaphorePermit,
    of_share: OwnedSemaphorePermit,
    used: Gauge,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.used.dec_by(self.permit.num_permits() as i64);
    }
}

/// What one request or stream takes while it comes in.
pub(crate) struct Meter {
    budget: Budget,
    share: Arc<Semaphore>,
    held: Mutex<Option<Held>>,
}

impl Meter {
    /// Takes room for `bytes` and `events` more, or says when to come again. Waits while the call
    /// holds its share, for then batches of its own are under way; never for other calls: requests
    /// that hold a part of what they need would wait for each other.
    pub(crate) async fn take(&self, bytes: usize, events: usize) -> Result<(), ServiceError> {
        self.budget.has_memory()?;
        let whole = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let count = cost(whole(bytes), whole(events));
        let of_share = Arc::clone(&self.share)
            .acquire_many_owned(count.min(self.budget.share))
            .await
            .map_err(|_| ServiceError::new(ErrorCode::Internal, "the share of a call is gone"))?;
        let permit = Arc::clone(&self.budget.free)
            .try_acquire_many_owned(count)
            .map_err(|_| self.budget.exhausted())?;
        self.budget.used.inc_by(i64::from(count));
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match held.as_mut() {
            Some(held) => {
                held.permit.merge(permit);
                held.of_share.merge(of_share);
            }
            None => *held = Some(Held { permit, of_share, used: self.budget.used.clone() }),
        }
        Ok(())
    }

    /// Hands over what was taken so far; of a stream, what came since the last time.
    pub(crate) fn hand_over(&self) -> Option<Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::poll;

    use super::*;

    /// Of a process with as much memory as there is.
    fn budget(size: u32, share: u32, used: &Gauge) -> Budget {
        Budget::new(size, share, used.clone(), Memory::default())
    }

    #[tokio::test]
    async fn what_is_beyond_the_budget_is_refused_with_a_hint_until_something_is_given_back() {
        let used = Gauge::default();
        let budget = budget(cost(10, 0), cost(10, 0), &used);
        let first = budget.meter();
        first.take(4, 0).await.unwrap();
        first.take(4, 0).await.unwrap();
        assert_eq!(used.get(), i64::from(cost(8, 0)));
        let second = budget.meter();
        for error in [second.take(3, 0).await.unwrap_err(), budget.has_room(3).unwrap_err()] {
            assert_eq!((error.code, error.retry_after), (ErrorCode::Exhausted, Some(RETRY)));
        }
        budget.has_room(2).unwrap();
        drop(first.hand_over());
        second.take(10, 0).await.unwrap();
        assert_eq!(used.get(), i64::from(cost(10, 0)));
        drop(second);
        assert_eq!(used.get(), 0);
    }

    #[tokio::test]
    async fn an_event_takes_more_than_its_bytes() {
        let budget = budget(cost(100, 2), cost(100, 2), &Gauge::default());
        budget.meter().take(20, 2).await.unwrap();
        budget.meter().take(20, 3).await.unwrap_err();
    }

    #[tokio::test]
    async fn a_call_that_holds_its_share_waits_for_itself_and_leaves_the_rest_to_others() {
        let budget = budget(cost(10, 0), cost(6, 0), &Gauge::default());
        let (greedy, other) = (budget.meter(), budget.meter());
        greedy.take(5, 0).await.unwrap();
        let held = greedy.hand_over();
        let more = greedy.take(5, 0);
        let mut more = pin!(more);
        assert!(poll!(&mut more).is_pending());
        other.take(5, 0).await.unwrap();
        drop(held);
        more.await.unwrap();
    }

    #[tokio::test]
    async fn a_process_without_memory_takes_nothing_and_says_when_to_come_again() {
        let size = cost(10, 0);
        let budget = Budget::new(size, size, Gauge::default(), Memory::of_process(1 << 20));
        for error in [budget.meter().take(1, 0).await.unwrap_err(), budget.has_room(1).unwrap_err()]
        {
            assert_eq!(error.retry_after, Some(RETRY_WHEN_FULL), "{error:?}");
        }
    }

    /// The parts of what an event is while it is under way; the texts that they own are in
    /// [`PER_BYTE`], what they take to be owned is not.
    #[test]
    fn an_event_takes_no_more_than_is_counted_for_it() {
        let parts = size_of::<crate::parse::Element>()
            + size_of::<zhili_eventlog::NewRecord>()
            + size_of::<zhili_proto::conversation::v1::PublishResult>();
        assert!(parts + 1024 <= PER_EVENT as usize, "{parts} bytes");
    }
}
