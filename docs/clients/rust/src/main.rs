//! Publishes a file of events, a JSON object a line.
//!
//! ```text
//! ZHILI_URL=http://127.0.0.1:7400 ZHILI_TOKEN=... cargo run -- events.jsonl
//! ```
//!
//! Ends with 1 if an event was rejected, after saying which and why.

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, StatusCode};
use serde::Deserialize;

/// What one request may hold: well below the 1,000 events and 4 MiB that are taken.
const BATCH_EVENTS: usize = 500;
const BATCH_BYTES: usize = 1 << 20;
/// Until a log that fails over takes events again, and then some.
const GIVE_UP: Duration = Duration::from_secs(300);
/// Longer than the 15 s that the service waits for its log.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct Answer {
    results: Vec<Published>,
}

/// What became of an event.
#[derive(Debug, Deserialize)]
pub struct Published {
    #[serde(default)]
    pub event_id: String,
    /// Absent when the event is durable.
    pub rejection: Option<Rejection>,
}

/// Why an event is not taken; sending it again as it is will not help.
#[derive(Debug, Deserialize)]
pub struct Rejection {
    pub field: String,
    pub message: String,
}

/// Lines as bodies of requests.
fn batches(text: &str) -> Vec<String> {
    let (mut batches, mut events) = (vec![String::new()], 0);
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let full = batches.last().is_some_and(|body| body.len() + line.len() > BATCH_BYTES);
        if events == BATCH_EVENTS || (events > 0 && full) {
            batches.push(String::new());
            events = 0;
        }
        if let Some(body) = batches.last_mut() {
            body.push_str(line);
            body.push('\n');
            events += 1;
        }
    }
    batches.retain(|body| !body.is_empty());
    batches
}

/// Publishes a text of events, a JSON object a line, and says what became of each.
///
/// Without an answer it is not known whether events were taken; they are sent again, which is
/// harmless, because an event is known by its source and `event_id`.
pub async fn publish(
    url: &str,
    token: &str,
    events: &str,
) -> Result<Vec<Published>, Box<dyn Error>> {
    let http = Client::builder().timeout(TIMEOUT).build()?;
    let mut published = Vec::new();
    for body in batches(events) {
        published.extend(send(&http, url, token, &body).await?);
    }
    Ok(published)
}

async fn send(
    http: &Client,
    url: &str,
    token: &str,
    body: &str,
) -> Result<Vec<Published>, Box<dyn Error>> {
    let (begun, mut wait) = (Instant::now(), Duration::from_millis(500));
    loop {
        let request = http
            .post(format!("{url}/v1/events"))
            .bearer_auth(token)
            .header(CONTENT_TYPE, "application/x-ndjson")
            .body(body.to_owned());
        let mut hint = None;
        let problem = match request.send().await {
            Ok(answer) => {
                let (status, headers) = (answer.status(), answer.headers().clone());
                let text = answer.text().await.unwrap_or_default();
                // 400 has the same results where no event was taken.
                if status == StatusCode::OK || status == StatusCode::BAD_REQUEST {
                    if let Ok(Answer { results }) = serde_json::from_str(&text) {
                        return Ok(results);
                    }
                }
                let again = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
                if !again.contains(&status) && !status.is_server_error() {
                    return Err(format!("refused, {status}: {text}").into());
                }
                let seconds = headers.get(RETRY_AFTER).and_then(|hint| hint.to_str().ok());
                hint = seconds.and_then(|hint| hint.parse().ok()).map(Duration::from_secs);
                format!("{status}: {text}")
            }
            Err(error) => error.to_string(),
        };
        // Not all at the same moment, and never before the hint.
        let pause = hint.unwrap_or_else(|| wait.mul_f64(rand::random_range(0.5..1.0)));
        if begun.elapsed() + pause > GIVE_UP {
            return Err(format!("given up, {problem}").into());
        }
        tokio::time::sleep(pause).await;
        wait = (wait * 2).min(Duration::from_secs(30));
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let url = std::env::var("ZHILI_URL").unwrap_or_else(|_| "http://127.0.0.1:7400".to_owned());
    let token = std::env::var("ZHILI_TOKEN").map_err(|_| "ZHILI_TOKEN is not set")?;
    let file = std::env::args().nth(1).ok_or("usage: cargo run -- events.jsonl")?;
    let events = tokio::fs::read_to_string(file).await?;
    let published = publish(url.trim_end_matches('/'), &token, &events).await?;
    let mut rejected = 0;
    for Published { event_id, rejection } in &published {
        let Some(Rejection { field, message }) = rejection else { continue };
        rejected += 1;
        eprintln!("{event_id}: {field}: {message}");
    }
    println!("{} accepted, {rejected} rejected", published.len() - rejected);
    Ok(if rejected > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
