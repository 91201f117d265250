//! A way between two parts that can be broken: TCP connections to a port are passed on to another
//! one, or cut, slowed down, broken in the middle of what is sent, or kept in the dark.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// What becomes of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It arrives.
    Open,
    /// Connections end and are not made.
    Cut,
    /// Each piece arrives late.
    Slow(Duration),
    /// It does not arrive; the sender is answered as by a ClickHouse that has too many parts.
    Errors,
    /// Half of each larger piece arrives, then the connection ends.
    Break,
    /// It arrives, and no answer does; after a while the connection ends.
    Silence,
}

/// Pieces of fewer bytes pass a way that breaks: greetings and questions, not contents.
const SMALL: usize = 2_000;
/// How long somebody waits for an answer that does not come before the connection ends.
const DARK: Duration = Duration::from_secs(4);

const ERROR: &str = "Code: 252. DB::Exception: Too many parts. (TOO_MANY_PARTS)\n";

/// A way to one port. Gone when dropped.
pub(crate) struct Proxy {
    way: watch::Sender<Way>,
    server: AbortHandle,
}

impl Proxy {
    /// From `port` to `target`, both on loopback.
    pub(crate) async fn start(port: u16, target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let (way, seen) = watch::channel(Way::Open);
        let server = tokio::spawn(async move {
            loop {
                let Ok((near, _)) = listener.accept().await else { continue };
                tokio::spawn(connection(near, target, seen.clone()));
            }
        });
        Self { way, server: server.abort_handle() }
    }

    /// From now on it is like this. What was kept in the dark does not come to light.
    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
        // Ends the connections, too.
        self.way.send_replace(Way::Cut);
    }
}

async fn connection(near: TcpStream, target: u16, mut way: watch::Receiver<Way>) {
    if *way.borrow_and_update() == Way::Cut {
        return;
    }
    let Ok(far) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    near.set_nodelay(true).ok();
    far.set_nodelay(true).ok();
    let (mut from_near, mut to_near) = near.into_split();
    let (mut from_far, mut to_far) = far.into_split();
    let (mut there, mut back) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    // Whether an answer was withheld: what would follow it makes no sense to whoever waits.
    let mut dark_since: Option<tokio::time::Instant> = None;
    loop {
        let now = *way.borrow_and_update();
        if now == Way::Cut || (dark_since.is_some() && now != Way::Silence) {
            return;
        }
        let dark = async {
            match dark_since {
                Some(since) => tokio::time::sleep_until(since + DARK).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = way.changed() => if changed.is_err() { return },
            () = dark => return,
            read = from_near.read(&mut there) => {
                let Ok(count @ 1..) = read else { return };
                let piece = &there[..count];
                let sent = match now {
                    Way::Errors => {
                        let length = ERROR.len();
                        let answer = format!(
                            "HTTP/1.1 500 Internal Server Error\r\nX-ClickHouse-Exception-Code: \
                             252\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{ERROR}"
                        );
                        to_near.write_all(answer.as_bytes()).await.ok();
                        return;
                    }
                    Way::Break if count > SMALL => {
                        to_far.write_all(&piece[..count / 2]).await.ok();
                        return;
                    }
                    Way::Slow(late) => {
                        tokio::time::sleep(late).await;
                        to_far.write_all(piece).await
                    }
                    _ => to_far.write_all(piece).await,
                };
                if sent.is_err() { return }
            }
            read = from_far.read(&mut back) => {
                let Ok(count @ 1..) = read else { return };
                let sent = match now {
                    Way::Silence => {
                        dark_since.get_or_insert_with(tokio::time::Instant::now);
                        Ok(())
                    }
                    Way::Slow(late) => {
                        tokio::time::sleep(late).await;
                        to_near.write_all(&back[..count]).await
                    }
                    _ => to_near.write_all(&back[..count]).await,
                };
                if sent.is_err() { return }
            }
        }
    }
}
