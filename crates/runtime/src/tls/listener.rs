//! A port on which connections begin with a TLS handshake.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Tls;

/// Longest handshake; a client that says nothing is let go of.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes under way at a time; whoever comes on top waits to be accepted.
const MOST: usize = 1_024;

type Accepted = (TlsStream<TcpStream>, SocketAddr);

/// Accepts connections, and hands them on once their handshake is done: a slow one holds up no
/// other.
pub(crate) struct TlsListener {
    port: TcpListener,
    tls: Tls,
    handshakes: JoinSet<Option<Accepted>>,
}

impl TlsListener {
    pub(crate) fn new(port: TcpListener, tls: Tls) -> Self {
        Self { port, tls, handshakes: JoinSet::new() }
    }

    fn greet(&mut self, stream: TcpStream, peer: SocketAddr) {
        let Some(config) = self.tls.server() else { return };
        self.handshakes.spawn(async move {
            let handshake = TlsAcceptor::from(config).accept(stream);
            match tokio::time::timeout(HANDSHAKE, handshake).await {
                Ok(Ok(stream)) => Some((stream, peer)),
                Ok(Err(error)) => {
                    tracing::debug!(%peer, %error, "no secure connection");
                    None
                }
                Err(_) => {
                    tracing::debug!(%peer, "no secure connection: the handshake took too long");
                    None
                }
            }
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Accepted {
        loop {
            tokio::select! {
                // It tries again by itself when there are no file handles.
                (stream, peer) = Listener::accept(&mut self.port),
                    if self.handshakes.len() < MOST => self.greet(stream, peer),
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(accepted)) = done {
                        return accepted;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.port.local_addr()
    }
}
