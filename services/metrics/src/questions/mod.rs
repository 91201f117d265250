//! `MetricsService`: the caller's tenant is bound as a parameter, always.

mod agents;
mod audit;
mod complaints;
mod conversations;
mod data_health;
mod elsewhere;
mod figures;
mod grpc;
mod http;
mod library;
mod openapi;
mod overview;
mod profiles;
mod scorecards;
mod targets;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;
use zhili_eventlog::EventLog;
use zhili_eventlog::runner::Bundles;
use zhili_runtime::auth::Tenant;
use zhili_runtime::{ErrorCode, ServiceError};
use zhili_warehouse::{Warehouse, WarehouseError};

use crate::observer::Observed;

pub(crate) use grpc::caller;
pub(crate) use http::routes;

/// Questions that ClickHouse is asked at the same time; as many as a wall of screens asks, and few
/// enough for the sink not to wait behind them.
const AT_ONCE: usize = 16;
/// How long a question waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(crate) struct Service {
    warehouse: Warehouse,
    log: Arc<dyn EventLog>,
    observer: Arc<Observed>,
    bundles: Arc<Bundles>,
    targets: targets::Targets,
    turns: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Service {
    pub(crate) fn new(
        warehouse: Warehouse,
        log: Arc<dyn EventLog>,
        observer: Arc<Observed>,
        bundles: Arc<Bundles>,
        shutdown: CancellationToken,
    ) -> Self {
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let targets = targets::Targets::new(Arc::clone(&bundles));
        Self { warehouse, log, observer, bundles, targets, turns, shutdown }
    }

    /// Whether agents are scored. Where they are not, what was stored before is not shown either.
    fn scores_agents(&self, tenant: &Tenant) -> bool {
        agents::are_scored(&self.bundles, tenant.as_str())
    }

    /// Waits for a turn to ask ClickHouse, and holds it until dropped.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, ServiceError> {
        match tokio::time::timeout(PATIENCE, self.turns.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(ServiceError::new(
                ErrorCode::Exhausted,
                format!("{AT_ONCE} questions are being answered; ask again"),
            )
            .retry_after(Duration::from_secs(1))),
        }
    }
}

fn invalid(message: impl Into<String>) -> ServiceError {
    ServiceError::new(ErrorCode::Invalid, message)
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: WarehouseError) -> ServiceError {
    let code = match &error {
        WarehouseError::InvalidRange(_)
        | WarehouseError::UnknownMetric(_)
        | WarehouseError::UnknownZone(_)
        | WarehouseError::NoDistribution(_)
        | WarehouseError::NoSuchDimension { .. } => ErrorCode::Invalid,
        error if error.is_transient() => ErrorCode::Unavailable,
        _ => ErrorCode::Internal,
    };
    ServiceError::new(code, error.to_string())
}
