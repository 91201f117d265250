//! How much one tenant may ask for, so that it leaves something for the others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::auth::Tenant;
use crate::{ErrorCode, ServiceError};

/// Tenants that are remembered before those at rest are forgotten.
const REMEMBERED: usize = 1_000;

/// A rate for each tenant. Cheap to clone; clones share what was used.
#[derive(Clone)]
pub struct Quota {
    /// What is counted, for the message: `requests`, `events`.
    what: &'static str,
    per_second: u32,
    began: Instant,
    used: Arc<Mutex<BTreeMap<Tenant, Debt>>>,
}

/// When everything that was taken so far is paid for, at the rate: the generic cell rate algorithm
/// (ITU-T I.371, annex A) with what is over let in as a whole, so that a batch larger than a
/// second's worth is not refused for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Debt {
    paid_at: Duration,
}

impl Debt {
    /// Takes `amount` at `now`, or says how long to wait. A second's worth may be taken at once on
    /// top of what the rate gives.
    fn take(&mut self, now: Duration, amount: u32, per_second: u32) -> Result<(), Duration> {
        let burst = Duration::from_secs(1);
        let begins = self.paid_at.max(now);
        let behind = begins.saturating_sub(now);
        if behind > burst {
            return Err(behind.saturating_sub(burst));
        }
        self.paid_at = begins + burst * amount / per_second;
        Ok(())
    }
}

impl Quota {
    /// So many a second for each tenant, and a second's worth at once; 0 for as many as there are.
    #[must_use]
    pub fn new(what: &'static str, per_second: u32) -> Self {
        Self { what, per_second, began: Instant::now(), used: Arc::default() }
    }

    /// The same rate, of which nothing is used.
    pub(crate) fn another(&self) -> Self {
        Self::new(self.what, self.per_second)
    }

    /// Waits until some of what a tenant has is there, and takes it.
    pub async fn wait(&self, tenant: &Tenant, amount: u32) {
        while let Err(error) = self.take(tenant, amount) {
            tokio::time::sleep(error.retry_after.unwrap_or_default()).await;
        }
    }

    /// Takes some of what a tenant has.
    ///
    /// # Errors
    /// [`ErrorCode::Exhausted`] with how long to wait.
    pub fn take(&self, tenant: &Tenant, amount: u32) -> Result<(), ServiceError> {
        if self.per_second == 0 {
            return Ok(());
        }
        let now = self.began.elapsed();
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= REMEMBERED && !used.contains_key(tenant) {
            used.retain(|_, debt| debt.paid_at > now);
        }
        let debt = used.entry(tenant.clone()).or_default();
        debt.take(now, amount, self.per_second).map_err(|wait| {
            let message = format!(
                "tenant {tenant} has used up its {} {} a second, try again in {} ms",
                self.per_second,
                self.what,
                wait.as_millis().max(1),
            );
            ServiceError::new(ErrorCode::Exhausted, message).retry_after(wait)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_seconds_worth_at_once_and_then_the_rate() {
        let mut debt = Debt::default();
        let now = SECOND * 9;
        let taken = (0..1_000).take_while(|_| debt.take(now, 1, 10).is_ok()).count();
        assert_eq!(taken, 11);
        let wait = debt.take(now, 1, 10).unwrap_err();
        assert_eq!(wait, SECOND / 10);
        assert!(debt.take(now + wait, 1, 10).is_ok());
    }

    #[test]
    fn a_large_batch_is_let_in_and_paid_for_afterwards() {
        let mut debt = Debt::default();
        debt.take(SECOND, 1_000, 10).unwrap();
        assert_eq!(debt.take(SECOND, 1, 10), Err(SECOND * 99));
        assert!(debt.take(SECOND * 100, 1, 10).is_ok());
    }

    proptest! {
        #[test]
        fn no_more_than_the_rate_and_one_burst_is_ever_taken(
            asks in prop::collection::vec((0_u64..2_000, 1_u32..5), 1..200),
            per_second in 1_u32..50,
        ) {
            let (mut debt, mut now, mut taken) = (Debt::default(), SECOND, 0);
            for (pause_ms, amount) in asks {
                now += Duration::from_millis(pause_ms);
                if debt.take(now, amount, per_second).is_ok() {
                    taken += amount;
                }
            }
            let most = f64::from(per_second) * now.as_secs_f64() + 5.0;
            prop_assert!(f64::from(taken) <= most, "{taken} of {most}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_tenant_uses_up_is_not_missing_to_another() {
        let quota = Quota::new("requests", 10);
        let tenant = |name: &str| Tenant::try_from(name.to_owned()).unwrap();
        let (greedy, modest) = (tenant("greedy"), tenant("modest"));
        let error = (0..100).find_map(|_| quota.take(&greedy, 1).err()).unwrap();
        assert_eq!(error.code, ErrorCode::Exhausted);
        assert!(quota.take(&modest, 1).is_ok());
        tokio::time::advance(error.retry_after.unwrap()).await;
        assert!(quota.clone().take(&greedy, 1).is_ok());
        let none = Quota::new("requests", 0);
        assert!((0..1_000).all(|_| none.take(&greedy, 1).is_ok()));
    }
}
