//! Connections of a server: how many, how large their buffers, how long they may be silent.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Semaphore;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

/// Connections at a time; whoever comes on top waits to be accepted. Each may hold the buffers below.
const MOST: usize = 1_024;
/// How long a connection may be silent before its first request and between two, and how long the
/// headers of one may take: what proxies and clients keep connections for, and no longer.
const SILENCE: Duration = Duration::from_secs(75);
/// Read at a time of a connection of HTTP/1; the library's own limit is 400 KiB.
const READ_BYTES: usize = 64 << 10;
/// What a client of HTTP/2 may send before anybody asked for it, of one call and of all.
const STREAM_WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = 512 << 10;
/// Calls of one connection of HTTP/2 at a time.
const STREAMS: u32 = 128;
/// All headers of a call of HTTP/2; those of HTTP/1 have to fit [`READ_BYTES`].
const HEADER_BYTES: u32 = 16 << 10;
/// How often a silent client of HTTP/2 is asked whether it is still there, and how long for.
const ASK: Duration = Duration::from_secs(30);

/// Serves until `stop`, then lets calls in progress end.
pub(crate) async fn serve<L: Listener>(mut listener: L, app: Router, stop: CancellationToken) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(SILENCE).max_buf_size(READ_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_BYTES)
        .keep_alive_interval(ASK)
        .keep_alive_timeout(ASK);
    let service = TowerToHyperService::new(app);
    let room = Arc::new(Semaphore::new(MOST));
    let open = GracefulShutdown::new();
    loop {
        let accepted = async {
            // Nobody closes it.
            let place = Arc::clone(&room).acquire_owned().await.ok()?;
            Some((listener.accept().await.0, place))
        };
        let Some(Some((stream, place))) = stop.run_until_cancelled(accepted).await else { break };
        let stream = TokioIo::new(Greeting::new(stream));
        let connection = builder.serve_connection(stream, service.clone()).into_owned();
        let connection = open.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    open.shutdown().await;
}

/// A stream that fails when its first bytes do not come: before them it is not known which version
/// of HTTP it is, and no limit of theirs applies.
struct Greeting<S> {
    stream: S,
    /// Bytes that have not come, and how long they may take.
    awaited: Option<(usize, Pin<Box<Sleep>>)>,
}

/// What a client of HTTP/2 begins with, in bytes; every request of HTTP/1.1 has more.
const PREFACE: usize = 24;

impl<S> Greeting<S> {
    fn new(stream: S) -> Self {
        Self { stream, awaited: Some((PREFACE, Box::pin(tokio::time::sleep(SILENCE)))) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Greeting<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Some((left, patience)) = &mut self.awaited else { return read };
        if read.is_pending() {
            ready!(patience.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        *left = left.saturating_sub(buffer.filled().len() - before);
        if *left == 0 {
            self.awaited = None;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Greeting<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::sync::mpsc;

    /// Connections that are made in the process, so that time may be paused.
    struct Port(mpsc::Receiver<DuplexStream>);

    impl Listener for Port {
        type Io = DuplexStream;
        type Addr = SocketAddr;

        async fn accept(&mut self) -> (DuplexStream, SocketAddr) {
            match self.0.recv().await {
                Some(stream) => (stream, SocketAddr::from(([127, 0, 0, 1], 1))),
                None => std::future::pending().await,
            }
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok(SocketAddr::from(([127, 0, 0, 1], 1)))
        }
    }

    fn server(stop: &CancellationToken) -> mpsc::Sender<DuplexStream> {
        let (connect, port) = mpsc::channel(1);
        let app = Router::new().route("/", axum::routing::get(async || "here"));
        tokio::spawn(serve(Port(port), app, stop.clone()));
        connect
    }

    async fn connection(connect: &mpsc::Sender<DuplexStream>) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        connect.send(theirs).await.unwrap();
        ours
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_or_half_a_header_is_let_go_of() {
        let stop = CancellationToken::new();
        let connect = server(&stop);
        for said in ["", "GET / HTTP/1.1\r\nhost: a\r\n", "PRI * HTTP/2.0\r\n"] {
            let mut stream = connection(&connect).await;
            stream.write_all(said.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            let closed = stream.read_to_end(&mut answer);
            tokio::time::timeout(2 * SILENCE, closed)
                .await
                .unwrap_or_else(|_| panic!("{said:?} is waited for"))
                .unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn headers_without_end_are_refused() {
        let stop = CancellationToken::new();
        let connect = server(&stop);
        let mut stream = connection(&connect).await;
        let header =
            format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(2 * READ_BYTES));
        stream.write_all(header.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_as_may_be_are_served_and_the_next_one_when_one_is_gone() {
        let stop = CancellationToken::new();
        let connect = server(&stop);
        let mut held = Vec::new();
        for _ in 0..MOST {
            held.push(connection(&connect).await);
        }
        let mut next = connection(&connect).await;
        next.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        let waited = tokio::time::timeout(SILENCE / 2, next.read_to_string(&mut answer));
        assert!(waited.await.is_err(), "{answer}");
        held.pop();
        next.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("here"), "{answer}");
    }
}
