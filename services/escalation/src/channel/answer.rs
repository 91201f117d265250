//! What a receiver answered, and what it means for the page.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;
use zhili_incident::Outcome;

use crate::channel::text::cut;

/// Bytes of an answer that are kept with its attempt.
const EXCERPT_BYTES: usize = 1_024;
/// Characters of a provider's words in the detail of an attempt.
pub(crate) const LONGEST_WORDS: usize = 200;

/// An answer to a request.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The first kilobytes of it.
    pub(crate) body: Bytes,
    /// When it came.
    pub(crate) at: SystemTime,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) outcome: Outcome,
    /// The provider's own code, such as `130101`, or the status; empty without an answer.
    pub(crate) code: String,
    /// HTTP status or a short cause, never the address.
    pub(crate) detail: String,
    /// The start of the answer, without personal data and secrets.
    pub(crate) excerpt: String,
    pub(crate) retry_after_ms: i64,
}

/// What a provider's code means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Delivered,
    /// It may pass.
    Retry,
    /// It will pass in so many milliseconds, not earlier.
    Wait(i64),
    /// The same request will never be accepted.
    Permanent,
}

impl Sent {
    pub(crate) fn new(outcome: Outcome, detail: impl Into<String>) -> Self {
        let (code, excerpt) = (String::new(), String::new());
        Self { outcome, code, detail: detail.into(), excerpt, retry_after_ms: 0 }
    }

    /// Adds what the provider says about it.
    pub(crate) fn because(mut self, provider: &str, words: &str) -> Self {
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        if !words.is_empty() {
            self.detail = format!("{}, {provider}: {}", self.detail, cut(&words, LONGEST_WORDS));
        }
        self
    }

    /// Without `secrets` and personal data: receivers like to quote what they were sent.
    pub(crate) fn cleaned(mut self, secrets: &[String]) -> Self {
        self.detail = clean(&self.detail, secrets);
        self.excerpt = clean(&self.excerpt, secrets);
        truncate(&mut self.excerpt, EXCERPT_BYTES);
        self
    }
}

fn clean(text: &str, secrets: &[String]) -> String {
    let mut text: String = text.chars().filter(|c| !c.is_control() || *c == '\n').collect();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret.as_str(), "***");
    }
    zhili_redact::mask(&text).text.into_owned()
}

/// Cuts a text to at most so many bytes, between characters.
fn truncate(text: &mut String, most: usize) {
    let boundary = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.truncate(boundary.unwrap_or(0));
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Only 2xx is delivered; what may pass is tried again.
    pub(crate) fn judged_by_status(&self) -> Sent {
        let status = self.status;
        let words =
            status.canonical_reason().map(|reason| format!(" {reason}")).unwrap_or_default();
        let detail = format!("HTTP {}{words}", status.as_u16());
        let sent = |outcome, detail| Sent {
            code: status.as_u16().to_string(),
            excerpt: self.text(),
            ..Sent::new(outcome, detail)
        };
        if status.is_success() {
            return sent(Outcome::Delivered, detail);
        }
        if status.is_redirection() {
            let detail = format!("{detail}: redirects are not followed, configure where it leads");
            return sent(Outcome::Rejected, detail);
        }
        let passes = status.is_server_error()
            || matches!(
                status,
                StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
            );
        if !passes {
            return sent(Outcome::Rejected, detail);
        }
        let asked = self.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let asks =
            matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let asked = asked.filter(|_| asks).and_then(|value| retry_after_ms(value, self.at));
        Sent { retry_after_ms: asked.unwrap_or(0), ..sent(Outcome::Failed, detail) }
    }

    /// Judges by the code in one of `fields` of a JSON body, a number or a string; by the status
    /// where there is none. A success without a code is none of `provider`'s.
    pub(crate) fn judged_by(
        &self,
        provider: &str,
        fields: &[&str],
        words: &str,
        meaning: impl Fn(&str) -> Code,
    ) -> Sent {
        let by_status = self.judged_by_status();
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let code = fields.iter().find_map(|field| match &body[*field] {
            Value::Number(code) => Some(code.to_string()),
            Value::String(code) => Some(code.trim().to_owned()),
            _ => None,
        });
        let Some(code) = code else {
            return match by_status.outcome {
                Outcome::Delivered => Sent {
                    outcome: Outcome::Failed,
                    detail: format!("{}, but not an answer of {provider}", by_status.detail),
                    ..by_status
                },
                Outcome::Failed | Outcome::Rejected => by_status,
            };
        };
        let (outcome, retry_after_ms) = match meaning(&code) {
            Code::Delivered if by_status.outcome == Outcome::Delivered => (Outcome::Delivered, 0),
            // A status that says otherwise counts.
            Code::Delivered => (by_status.outcome, by_status.retry_after_ms),
            Code::Retry => (Outcome::Failed, by_status.retry_after_ms),
            Code::Wait(wait_ms) => (Outcome::Failed, wait_ms.max(by_status.retry_after_ms)),
            // A provider that is down may answer with any code.
            Code::Permanent if by_status.outcome == Outcome::Failed => {
                (Outcome::Failed, by_status.retry_after_ms)
            }
            Code::Permanent => (Outcome::Rejected, 0),
        };
        let said = body[words].as_str().unwrap_or_default();
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        let detail = if outcome == Outcome::Delivered {
            by_status.detail
        } else if said.is_empty() {
            format!("{provider} {code}")
        } else {
            format!("{provider} {code}: {}", cut(&said, LONGEST_WORDS))
        };
        Sent { outcome, code, detail, excerpt: by_status.excerpt, retry_after_ms }
    }

    /// `x-ogw-ratelimit-reset` of Feishu's gateway, in seconds.
    pub(crate) fn rate_limit_reset_ms(&self) -> Option<i64> {
        let seconds = self.headers.get("x-ogw-ratelimit-reset")?.to_str().ok()?.trim();
        Some(i64::from(seconds.parse::<u32>().ok()?) * 1_000)
    }
}

/// `Retry-After` as seconds or as a date (RFC 9110, 10.2.3); `None` for anything else.
fn retry_after_ms(value: &str, now: SystemTime) -> Option<i64> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u32>() {
        return Some(i64::from(seconds) * 1_000);
    }
    let wait = httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default();
    i64::try_from(wait.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::channel::sample;

    fn told(status: u16, retry_after: Option<&str>) -> Sent {
        let mut answer = sample::answer(status, "");
        if let Some(value) = retry_after {
            answer.headers.insert(header::RETRY_AFTER, value.parse().unwrap());
        }
        // 1994-11-06 08:49:27 UTC, ten seconds before the date of RFC 9110's example.
        answer.at = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_767);
        answer.judged_by_status()
    }

    #[test]
    fn only_success_is_delivered_and_what_may_pass_is_tried_again() {
        for (statuses, outcome) in [
            (&[200, 201, 202, 204, 299][..], Outcome::Delivered),
            (&[408, 425, 429, 500, 502, 503, 504], Outcome::Failed),
            (&[301, 302, 307, 308, 400, 401, 403, 404, 410, 413, 422], Outcome::Rejected),
        ] {
            for status in statuses {
                assert_eq!(told(*status, None).outcome, outcome, "{status}");
            }
        }
    }

    #[test]
    fn a_receiver_that_is_busy_says_how_long_to_wait() {
        assert_eq!(told(429, Some("120")).retry_after_ms, 120_000);
        assert_eq!(told(503, Some("Sun, 06 Nov 1994 08:49:37 GMT")).retry_after_ms, 10_000);
        assert_eq!(told(503, Some("Sun, 06 Nov 1994 08:49:07 GMT")).retry_after_ms, 0);
        assert_eq!(told(503, Some("soon")).retry_after_ms, 0);
        assert_eq!(told(500, Some("120")).retry_after_ms, 0);
    }

    #[test]
    fn a_status_that_says_otherwise_than_the_code_counts() {
        let judge = |status, body| {
            let code = |code: &str| if code == "0" { Code::Delivered } else { Code::Permanent };
            sample::answer(status, body).judged_by("P", &["errcode"], "errmsg", code).outcome
        };
        assert_eq!(judge(500, r#"{"errcode":0}"#), Outcome::Failed);
        assert_eq!(judge(404, r#"{"errcode":0}"#), Outcome::Rejected);
        assert_eq!(judge(503, r#"{"errcode":7}"#), Outcome::Failed);
        assert_eq!(judge(200, r#"{"errcode":null}"#), Outcome::Failed);
    }

    #[test]
    fn an_excerpt_has_neither_secrets_nor_personal_data_and_is_cut_between_characters() {
        let answer = sample::answer(400, "token t0ken-1 of 13800138000\u{7} is wrong");
        let sent = answer.judged_by_status().because("P", &answer.text());
        let sent = sent.cleaned(&["t0ken-1".to_owned()]);
        assert_eq!(sent.excerpt, "token *** of [PHONE] is wrong");
        assert_eq!(sent.detail, "HTTP 400 Bad Request, P: token *** of [PHONE] is wrong");
        let long = sample::answer(400, &"投".repeat(2_000)).judged_by_status().cleaned(&[]);
        assert_eq!(long.excerpt, "投".repeat(341));
    }
}
