//! How a page gets to people: the channels, each with a pure part that writes the request and
//! judges the answer, and what they share to send it.

mod answer;
mod dingtalk;
mod email;
mod feishu;
mod http;
mod pagerduty;
#[cfg(test)]
pub(crate) mod sample;
mod slack;
mod text;
mod webhook;
mod wecom;
pub(crate) mod words;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use zeroize::Zeroizing;
use zhili_incident::{Destination, Email, Outcome, Pagerduty, Robot, Webhook};
use zhili_runtime::config::Secret;

use crate::address::Guard;
use crate::card::Card;
use crate::{secret, signature};

pub(crate) use answer::{Answer, Sent};
use email::Mailer;
use http::{Body, Http};

/// Less than the lease of a claim: a page that was called off for its lease would be claimed
/// again at once, for ever and untold.
const SECRETS_TIMEOUT: Duration = Duration::from_secs(2);
const JSON: &str = "application/json; charset=utf-8";

/// Sends pages. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sender {
    http: Http,
    mailer: Mailer,
    /// Every destination may be in a private network.
    allow_private: bool,
    /// Secret of the default webhook, if it stands in the settings.
    own_secret: Secret,
}

/// Whatever makes attempts to deliver pages.
pub(crate) trait Courier: Clone + std::marker::Send + Sync + 'static {
    /// Makes one attempt. `started` is asked right before anything leaves and may call it off;
    /// then `None` is returned and nothing was sent.
    fn send(
        &self,
        page: Send<'_>,
        started: impl FnOnce() -> bool + std::marker::Send,
    ) -> impl Future<Output = Option<Sent>> + std::marker::Send;
}

impl Courier for Sender {
    async fn send(
        &self,
        page: Send<'_>,
        started: impl FnOnce() -> bool + std::marker::Send,
    ) -> Option<Sent> {
        Self::send(self, page, started).await
    }
}

/// One attempt to be made.
pub(crate) struct Send<'a> {
    pub(crate) destination: &'a Destination,
    pub(crate) card: &'a Card,
    /// Milliseconds since the Unix epoch, of this attempt.
    pub(crate) at_ms: i64,
    pub(crate) traceparent: Option<Bytes>,
}

/// A request with what must not be told of it.
struct Prepared {
    url: Zeroizing<String>,
    allow_private: bool,
    body: Body,
    secrets: Vec<String>,
}

impl Sender {
    pub(crate) fn new(allow_private: bool, own_secret: Secret) -> Result<Self, rustls::Error> {
        let mailer = Mailer::new([]);
        Ok(Self { http: Http::new()?, mailer, allow_private, own_secret })
    }

    /// Makes one attempt. `started` is asked right before the request and may call it off; then
    /// `None` is returned and nothing was sent.
    pub(crate) async fn send(
        &self,
        page: Send<'_>,
        started: impl FnOnce() -> bool,
    ) -> Option<Sent> {
        if let Destination::Email(email) = page.destination {
            return self.send_mail(email, &page, started).await;
        }
        let prepared = match in_time(self.prepare(&page)).await {
            Ok(prepared) => prepared,
            Err(refused) => return Some(refused),
        };
        let Prepared { url, allow_private, body, secrets } = prepared;
        let guard = Guard { allow_private: self.allow_private || allow_private };
        let request = match http::request(&url, guard, body, page.traceparent.as_deref()) {
            Ok(request) => request,
            Err(refused) => return Some(refused),
        };
        if !started() {
            return None;
        }
        let sent = match self.http.post(guard, request).await {
            Ok(answer) => judge(page.destination, &answer),
            Err(unanswered) => unanswered,
        };
        Some(sent.cleaned(&secrets))
    }

    async fn send_mail(
        &self,
        email: &Email,
        page: &Send<'_>,
        started: impl FnOnce() -> bool,
    ) -> Option<Sent> {
        let prepared = in_time(async {
            let password = match &email.password {
                Some(reference) => Some(self.read("cannot log in", reference).await?),
                None => None,
            };
            let at_s = u64::try_from(page.at_ms.div_euclid(1_000)).unwrap_or_default();
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(at_s);
            Ok((password, email::message(email, page.card, at)?))
        });
        let (password, message) = match prepared.await {
            Ok(prepared) => prepared,
            Err(refused) => return Some(refused),
        };
        if !started() {
            return None;
        }
        let guard = Guard { allow_private: self.allow_private || email.allow_private };
        let password = password.as_ref().map(|password| password.as_str());
        let sent = self.mailer.send(email, guard, password, &message).await;
        let secrets: Vec<String> = password.into_iter().map(str::to_owned).collect();
        Some(sent.cleaned(&secrets))
    }

    /// Requests an address of the operator's own, wherever it leads.
    pub(crate) async fn ping(&self, url: &str) -> Sent {
        let guard = Guard { allow_private: true };
        let request = match http::request(url, guard, json(Vec::new()), None) {
            Ok(request) => request,
            Err(refused) => return refused,
        };
        let sent = match self.http.post(guard, request).await {
            Ok(answer) => answer.judged_by_status(),
            Err(unanswered) => unanswered,
        };
        sent.cleaned(&path_of(url))
    }

    async fn prepare(&self, page: &Send<'_>) -> Result<Prepared, Sent> {
        match page.destination {
            Destination::Webhook(webhook) => self.prepare_webhook(webhook, page).await,
            Destination::Dingtalk(robot)
            | Destination::Wecom(robot)
            | Destination::Feishu(robot)
            | Destination::Slack(robot) => self.prepare_robot(robot, page).await,
            Destination::Pagerduty(pagerduty) => self.prepare_pagerduty(pagerduty, page).await,
            Destination::Email(_) | Destination::Watch {} => {
                Err(Sent::new(Outcome::Rejected, "nothing is sent to this kind of destination"))
            }
        }
    }

    async fn prepare_webhook(&self, webhook: &Webhook, page: &Send<'_>) -> Result<Prepared, Sent> {
        let keys = match &webhook.secret {
            Some(reference) => {
                let text = self.read("cannot sign", reference).await?;
                signature::keys(&text).map_err(|error| lacking("cannot sign", &error))?
            }
            None => Vec::new(),
        };
        let bytes = webhook::body(page.card);
        let at_s = page.at_ms.div_euclid(1_000);
        let headers = webhook::headers(&page.card.page_id, at_s, &keys, &bytes);
        let content_type = webhook::CONTENT_TYPE;
        Ok(Prepared {
            url: Zeroizing::new(webhook.url.clone()),
            allow_private: webhook.allow_private,
            body: Body { content_type, headers, bytes: bytes.into() },
            secrets: path_of(&webhook.url),
        })
    }

    async fn prepare_robot(&self, robot: &Robot, page: &Send<'_>) -> Result<Prepared, Sent> {
        let url = match robot.url_reference() {
            Some(reference) => self.read("cannot read the robot's address", reference).await?,
            None => Zeroizing::new(robot.url.clone()),
        };
        let secret = match &robot.secret {
            Some(reference) => Some(self.read("cannot sign", reference).await?),
            None => None,
        };
        let mut secrets = path_of(&url);
        secrets.extend(secret.iter().map(|secret| secret.to_string()));
        let key = secret.as_ref().map(|secret| secret.as_str());
        let bytes = match page.destination {
            Destination::Wecom(_) => wecom::body(robot, page.card),
            Destination::Feishu(_) => {
                feishu::body(robot, page.card, key, page.at_ms.div_euclid(1_000))
            }
            Destination::Slack(_) => slack::body(robot, page.card),
            _ => dingtalk::body(robot, page.card),
        };
        let url = match (page.destination, key) {
            (Destination::Dingtalk(_), Some(key)) => {
                Zeroizing::new(dingtalk::signed_url(&url, key, page.at_ms))
            }
            _ => url,
        };
        Ok(Prepared { url, allow_private: robot.allow_private, body: json(bytes), secrets })
    }

    async fn prepare_pagerduty(
        &self,
        pagerduty: &Pagerduty,
        page: &Send<'_>,
    ) -> Result<Prepared, Sent> {
        let key = self.read("cannot read the routing key", &pagerduty.routing_key).await?;
        Ok(Prepared {
            url: Zeroizing::new(pagerduty.url.clone()),
            allow_private: pagerduty.allow_private,
            body: json(pagerduty::body(pagerduty, &key, page.card)),
            secrets: vec![key.to_string()],
        })
    }

    async fn read(&self, purpose: &str, reference: &str) -> Result<Zeroizing<String>, Sent> {
        let read = secret::read(reference, &self.own_secret).await;
        read.map_err(|error| lacking(purpose, &error))
    }
}

/// A secret may be put right without a change of configuration, so a page that lacks one is
/// tried again.
fn lacking(purpose: &str, error: &dyn std::fmt::Display) -> Sent {
    Sent::new(Outcome::Failed, format!("{purpose}: {error}"))
}

fn json(bytes: Vec<u8>) -> Body {
    Body { content_type: JSON, bytes: bytes.into(), ..Body::default() }
}

fn judge(destination: &Destination, answer: &Answer) -> Sent {
    match destination {
        Destination::Dingtalk(_) => dingtalk::judge(answer),
        Destination::Wecom(_) => wecom::judge(answer),
        Destination::Feishu(_) => feishu::judge(answer),
        Destination::Slack(_) => slack::judge(answer),
        Destination::Pagerduty(_) => pagerduty::judge(answer),
        Destination::Webhook(_) | Destination::Email(_) | Destination::Watch {} => {
            webhook::judge(answer)
        }
    }
}

/// What an answer must not quote of an address: its path and query, and each value of the
/// query.
fn path_of(url: &str) -> Vec<String> {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let Some(start) = after_scheme.find(['/', '?']) else { return Vec::new() };
    let path = &after_scheme[start..];
    let (segments, query) = path.split_once('?').unwrap_or((path, ""));
    let values = query.split('&').filter_map(|pair| Some(pair.split_once('=')?.1));
    // The last segment of a path is where the others have their key.
    let last = segments.rsplit('/').next();
    let secrets = std::iter::once(path).chain(last).chain(values);
    // Shorter ones are words such as `hook`, not keys.
    secrets.filter(|secret| secret.len() >= 6).map(str::to_owned).collect()
}

/// Gives up on a request that cannot even be made: whatever a secret is read from may hang.
async fn in_time<T>(made: impl Future<Output = Result<T, Sent>>) -> Result<T, Sent> {
    let late = |_| {
        let seconds = SECRETS_TIMEOUT.as_secs();
        Sent::new(Outcome::Failed, format!("cannot read the signing secret within {seconds} s"))
    };
    tokio::time::timeout(SECRETS_TIMEOUT, made).await.map_err(late)?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(url: String, allow_private: bool) -> Destination {
        Destination::Webhook(Webhook { url, secret: None, allow_private })
    }

    async fn attempt(destination: &Destination, started: bool) -> Option<Sent> {
        let card = sample::card();
        let send = Send { destination, card: &card, at_ms: 0, traceparent: None };
        Sender::new(false, Secret::default()).unwrap().send(send, || started).await
    }

    #[tokio::test]
    async fn a_connection_that_is_refused_says_so_without_the_address() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let sent = attempt(&webhook(format!("http://{closed}/t0ken"), true), true).await;
        let expected = Sent::new(Outcome::Failed, "no connection: connection refused");
        assert_eq!(sent, Some(expected));
        for url in [format!("http://{closed}/"), format!("http://localhost:{}/", closed.port())] {
            let sent = attempt(&webhook(url, false), true).await.unwrap();
            assert_eq!(sent.outcome, Outcome::Rejected);
            assert!(sent.detail.contains("allow_private"), "{}", sent.detail);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_secret_that_cannot_be_read_in_time_is_a_failure_before_the_lease_ends() {
        let begun = tokio::time::Instant::now();
        let sent = in_time(std::future::pending::<Result<(), Sent>>()).await.unwrap_err();
        assert_eq!(sent.outcome, Outcome::Failed);
        assert!(sent.detail.contains("signing secret"), "{}", sent.detail);
        assert!(begun.elapsed().as_millis() < zhili_incident::LEASE_MS as u128);
    }

    #[tokio::test]
    async fn a_send_that_is_called_off_never_leaves() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let destination = webhook(format!("http://{}/", listener.local_addr().unwrap()), true);
        assert_eq!(attempt(&destination, false).await, None);
        let waiting = futures::FutureExt::now_or_never(listener.accept());
        assert!(waiting.is_none(), "somebody has connected");
    }

    #[test]
    fn what_makes_an_address_secret_is_hidden() {
        let hidden = path_of("https://oapi.example/robot/send?access_token=abcdef123&a=b");
        assert_eq!(hidden, ["/robot/send?access_token=abcdef123&a=b", "abcdef123"]);
        let hidden = path_of("https://open.example/open-apis/bot/v2/hook/0123-abcd");
        assert_eq!(hidden, ["/open-apis/bot/v2/hook/0123-abcd", "0123-abcd"]);
        assert!(path_of("https://h").is_empty());
    }
}
