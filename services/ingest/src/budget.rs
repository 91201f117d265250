//! Bytes of requests that are being read or waiting for the log, over all publishers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zhili_runtime::{ErrorCode, ServiceError};

/// When to come again. What is in flight waits for one group commit of the log or for a broker
/// that fails over; a second is longer than the one and lets the others spread.
pub(crate) const RETRY: Duration = Duration::from_secs(1);

/// How much may be in flight. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Budget {
    free: Arc<Semaphore>,
    size: u32,
    /// Most that one call may hold.
    share: u32,
    used: Gauge,
}

impl Budget {
    pub(crate) fn new(size: u32, share: u32, used: Gauge) -> Self {
        Self { free: Arc::new(Semaphore::new(size as usize)), size, share, used }
    }

    /// What is held for one call, nothing yet.
    pub(crate) fn meter(&self) -> Meter {
        let share = Arc::new(Semaphore::new(self.share as usize));
        Meter { budget: self.clone(), share, held: Mutex::new(None) }
    }
}

/// Bytes held, given back when dropped.
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

/// Bytes of one request or stream as they come in.
pub(crate) struct Meter {
    budget: Budget,
    share: Arc<Semaphore>,
    held: Mutex<Option<Held>>,
}

impl Meter {
    /// Takes `bytes` more, or says when to come again. Waits while the call holds its share, for
    /// then batches of its own are under way; never for other calls: requests that hold a part
    /// of what they need would wait for each other.
    pub(crate) async fn take(&self, bytes: usize) -> Result<(), ServiceError> {
        let count = u32::try_from(bytes).unwrap_or(u32::MAX);
        let of_share = Arc::clone(&self.share)
            .acquire_many_owned(count.min(self.budget.share))
            .await
            .map_err(|_| ServiceError::new(ErrorCode::Internal, "the share of a call is gone"))?;
        let Ok(permit) = Arc::clone(&self.budget.free).try_acquire_many_owned(count) else {
            return Err(ServiceError::new(
                ErrorCode::Exhausted,
                format!(
                    "the service is working on as much as it may ({} bytes); publish again later",
                    self.budget.size
                ),
            )
            .retry_after(RETRY));
        };
        self.budget.used.inc_by(bytes as i64);
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

    #[tokio::test]
    async fn what_is_beyond_the_budget_is_refused_with_a_hint_until_something_is_given_back() {
        let used = Gauge::default();
        let budget = Budget::new(10, 10, used.clone());
        let first = budget.meter();
        first.take(4).await.unwrap();
        first.take(4).await.unwrap();
        assert_eq!(used.get(), 8);
        let second = budget.meter();
        let error = second.take(3).await.unwrap_err();
        assert_eq!((error.code, error.retry_after), (ErrorCode::Exhausted, Some(RETRY)));
        drop(first.hand_over());
        second.take(10).await.unwrap();
        assert_eq!(used.get(), 10);
        drop(second);
        assert_eq!(used.get(), 0);
    }

    #[tokio::test]
    async fn a_call_that_holds_its_share_waits_for_itself_and_leaves_the_rest_to_others() {
        let budget = Budget::new(10, 6, Gauge::default());
        let (greedy, other) = (budget.meter(), budget.meter());
        greedy.take(5).await.unwrap();
        let held = greedy.hand_over();
        let more = greedy.take(5);
        let mut more = pin!(more);
        assert!(poll!(&mut more).is_pending());
        other.take(5).await.unwrap();
        drop(held);
        more.await.unwrap();
    }
}
