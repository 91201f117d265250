//! A receiver of pages that checks their signatures with a verifier that is not the project's.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use standardwebhooks::Webhook;
use tokio::task::AbortHandle;

/// Secret of the signatures; of no use outside of tests.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// One request that arrived.
#[derive(Clone, Debug)]
pub struct Page {
    /// `webhook-id`.
    pub id: String,
    /// `traceparent`, if there was one.
    pub traceparent: Option<String>,
    /// Whether the signature is right for the body, the id and the time.
    pub verified: bool,
    /// All headers.
    pub headers: String,
    /// The body.
    pub body: String,
    /// When it arrived.
    pub at: std::time::SystemTime,
}

impl Page {
    /// What it says of its incident.
    pub fn data(&self) -> serde_json::Value {
        let mut body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        body["data"].take()
    }
}

/// Answers 204 to every page and remembers it. Ends when dropped.
pub struct Receiver {
    port: u16,
    pages: Arc<Mutex<Vec<Page>>>,
    server: AbortHandle,
}

impl Receiver {
    /// Starts on a free port.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let pages = Arc::new(Mutex::new(Vec::new()));
        let routes = Router::new().route("/page", post(page)).with_state(Arc::clone(&pages));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { port, pages, server: server.abort_handle() }
    }

    /// Address and secret, as the system is told them.
    pub fn target(&self) -> (String, String) {
        self.target_behind(self.port)
    }

    /// The same with a port before its own.
    pub fn target_behind(&self, port: u16) -> (String, String) {
        (format!("http://127.0.0.1:{port}/page"), SECRET.to_owned())
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The pages so far, in the order of their arrival.
    pub fn pages(&self) -> Vec<Page> {
        self.pages.lock().unwrap().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn page(
    State(pages): State<Arc<Mutex<Vec<Page>>>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
    let verified = Webhook::new(SECRET).unwrap().verify(&body, &headers).is_ok();
    pages.lock().unwrap().push(Page {
        id: text("webhook-id").unwrap_or_default(),
        traceparent: text("traceparent"),
        verified,
        headers: format!("{headers:?}"),
        body: String::from_utf8_lossy(&body).into_owned(),
        at: std::time::SystemTime::now(),
    });
    StatusCode::NO_CONTENT
}
