//! What lives in a world, until it does not.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Fault, Operation, World};

/// Longer than the lease of a page, shorter than a session.
const PAUSE: Duration = Duration::from_secs(5);
/// Until another process takes over from one that stands still.
pub const SESSION: Duration = Duration::from_secs(10);
/// Until one that stood still for longer goes on.
const STALL: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Running,
    StandingStill,
    Dead,
}

/// A process. Cheap to clone: every clone is the same one.
#[derive(Clone)]
pub struct Process {
    inner: Arc<Inner>,
}

struct Inner {
    world: Arc<World>,
    number: usize,
    /// Beyond faults: what people and other services do is not what is tried.
    immortal: bool,
    life: watch::Sender<Life>,
    /// Cancelled when it leaves, dies or stalls: somebody else has to take over.
    gone: CancellationToken,
}

impl Process {
    /// One that faults can strike.
    #[must_use]
    pub fn new(world: &Arc<World>, number: usize) -> Self {
        Self::with(world, number, false)
    }

    /// Somebody whom nothing happens to.
    #[must_use]
    pub fn immortal(world: &Arc<World>) -> Self {
        Self::with(world, 0, true)
    }

    fn with(world: &Arc<World>, number: usize, immortal: bool) -> Self {
        let inner = Inner {
            world: Arc::clone(world),
            number,
            immortal,
            life: watch::Sender::new(Life::Running),
            gone: CancellationToken::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Where it lives.
    #[must_use]
    pub fn world(&self) -> &Arc<World> {
        &self.inner.world
    }

    /// Which one it is.
    #[must_use]
    pub fn number(&self) -> usize {
        self.inner.number
    }

    /// It has ended by itself: somebody else has to take over.
    pub fn leave(&self) {
        self.inner.gone.cancel();
    }

    /// Waits until it has left, is dead, or others take it for dead.
    pub async fn gone(&self) {
        self.inner.gone.cancelled().await;
    }

    /// Waits for as long as the process stands still; for ever if it is dead.
    pub async fn alive(&self) {
        let mut life = self.inner.life.subscribe();
        // The sender is kept by this process.
        let _ = life.wait_for(|life| *life == Life::Running).await;
    }

    /// Comes to an operation, and says what goes wrong with it, if that is for the operation
    /// itself to do.
    pub async fn operate(&self, operation: Operation) -> Option<Fault> {
        self.alive().await;
        if self.inner.immortal {
            return None;
        }
        let fault = self.world().next(operation)?;
        match fault {
            Fault::DiesBefore => self.die().await,
            Fault::Pauses => self.stand_still(PAUSE),
            Fault::Stalls => {
                self.stand_still(STALL);
                self.inner.gone.cancel();
            }
            Fault::DiesAfter | Fault::Refused | Fault::Lost | Fault::Unheard => {}
        }
        self.alive().await;
        Some(fault)
    }

    /// Hears that an operation is done, unless it dies first.
    pub async fn survive(&self, fault: Option<Fault>) {
        if fault == Some(Fault::DiesAfter) {
            self.die().await;
        }
        self.alive().await;
    }

    async fn die(&self) {
        self.inner.life.send_replace(Life::Dead);
        self.inner.gone.cancel();
        std::future::pending::<()>().await;
    }

    fn stand_still(&self, long: Duration) {
        self.inner.life.send_replace(Life::StandingStill);
        let process = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(long).await;
            // Another of its operations may have killed it meanwhile.
            process.inner.life.send_if_modified(|life| {
                let stood = *life == Life::StandingStill;
                if stood {
                    *life = Life::Running;
                }
                stood
            });
        });
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.number())
    }
}
