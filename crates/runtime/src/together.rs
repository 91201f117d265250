use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::Failure;

/// How long the work may take to come to rest once its server has. Within the 30 s that
/// Kubernetes leaves between SIGTERM and SIGKILL, with the server's 8 s.
const REST: Duration = Duration::from_secs(20);

/// Runs a service's work beside its server. Before the shutdown whichever ends first ends the
/// other; after it both come to rest in their own time, so that a server without calls does not
/// cut off the work's last commit.
///
/// # Errors
/// What the work, and else the server, ends with.
pub async fn together(
    work: impl Future<Output = Result<(), Failure>>,
    server: impl Future<Output = Result<(), Failure>>,
    shutdown: &CancellationToken,
) -> Result<(), Failure> {
    tokio::pin!(work, server);
    tokio::select! {
        ended = &mut work => {
            if shutdown.is_cancelled() {
                return ended.and(server.await);
            }
            ended
        }
        ended = &mut server => {
            if !shutdown.is_cancelled() {
                return ended;
            }
            match timeout(REST, work).await {
                Ok(rested) => rested.and(ended),
                Err(_) => {
                    tracing::warn!("work was still going on when the service stopped");
                    ended
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[tokio::test]
    async fn after_the_shutdown_the_work_makes_its_last_commit() {
        let shutdown = CancellationToken::new();
        let committed = AtomicBool::new(false);
        let work = async {
            shutdown.cancelled().await;
            tokio::task::yield_now().await;
            committed.store(true, Ordering::SeqCst);
            Err(Failure::Problems("the work's words".to_owned()))
        };
        let server = async {
            shutdown.cancelled().await;
            Ok(())
        };
        let (ended, ()) =
            tokio::join!(together(work, server, &shutdown), async { shutdown.cancel() });
        assert!(committed.load(Ordering::SeqCst));
        assert!(ended.is_err());
    }

    #[tokio::test]
    async fn before_it_one_end_ends_both() {
        let shutdown = CancellationToken::new();
        let lost = async { Err(Failure::Unavailable("port".to_owned())) };
        assert!(together(std::future::pending(), lost, &shutdown).await.is_err());
        assert!(together(async { Ok(()) }, std::future::pending(), &shutdown).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_does_not_end_is_given_up() {
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        let server = async { Ok(()) };
        assert!(together(std::future::pending(), server, &shutdown).await.is_ok());
    }
}
