//! A receiver of webhooks and of messages to chat robots, which answers as it is told and keeps
//! what it was sent.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What was received.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Received {
    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What to answer: a status and `Retry-After`.
pub(crate) type Answer = (u16, Option<&'static str>);

/// An answer with the body that comes with it.
type Reply = (Answer, &'static str);

/// What all robots but Slack's take for success.
const OK: &str = r#"{"errcode":0,"code":0}"#;

pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    received: tokio::sync::Mutex<mpsc::UnboundedReceiver<Received>>,
    answers: Arc<Mutex<VecDeque<Reply>>>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Clone)]
struct Desk {
    sender: mpsc::UnboundedSender<Received>,
    answers: Arc<Mutex<VecDeque<Reply>>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, received) = mpsc::unbounded_channel();
        let answers = Arc::new(Mutex::new(VecDeque::new()));
        let desk = Desk { sender, answers: Arc::clone(&answers) };
        let app = Router::new().fallback(take).with_state(desk);
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let received = tokio::sync::Mutex::new(received);
        Self { address, received, answers, _task: AbortOnDropHandle::new(task) }
    }

    /// Answers the next requests like this, in order; after that with 200.
    pub(crate) fn answer(&self, answers: &[Answer]) {
        self.answers.lock().unwrap().extend(answers.iter().map(|answer| (*answer, OK)));
    }

    /// Answers the next request after those with 200 and this.
    pub(crate) fn say(&self, body: &'static str) {
        self.answers.lock().unwrap().push_back(((200, None), body));
    }

    /// The next request.
    pub(crate) async fn next(&self) -> Received {
        let mut received = self.received.lock().await;
        tokio::time::timeout(PATIENCE, received.recv()).await.expect("no page came").unwrap()
    }

    /// What has come and was not asked for yet.
    pub(crate) async fn rest(&self) -> Vec<Received> {
        let mut received = self.received.lock().await;
        let mut rest = Vec::new();
        while let Ok(it) = received.try_recv() {
            rest.push(it);
        }
        rest
    }
}

async fn take(State(desk): State<Desk>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let target = uri.to_string();
    let usual = if target.starts_with("/slack") { "ok" } else { OK };
    desk.sender.send(Received { target, headers, body }).unwrap();
    let next = desk.answers.lock().unwrap().pop_front();
    let ((status, retry_after), body) = next.unwrap_or(((200, None), usual));
    let status = StatusCode::from_u16(status).unwrap();
    match retry_after {
        Some(wait) => (status, [("retry-after", wait)], body).into_response(),
        None => (status, body).into_response(),
    }
}
