//! Custom bots of Feishu groups, and of Lark ones abroad.
//!
//! Limits of the provider: 100 messages a minute and 5 a second and bot, 20 KB a message. A bot
//! is secured by a signature in the body, within an hour of the provider's clock, or by keywords
//! or source addresses.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use zhili_incident::{Robot, Severity};

use crate::card::Card;
use crate::channel::answer::{Answer, Code, Sent};
use crate::channel::text::{self, Markup, Room};
use crate::channel::words;

/// Bytes of a body, below the provider's 20 KB.
const BUDGET: usize = 18_000;
/// The limit is counted by the minute; full and half hours are the busiest.
const PENALTY_MS: i64 = 60_000;

/// The body of a page, signed for `at_s`, seconds since the Unix epoch, if there is a secret.
pub(crate) fn body(robot: &Robot, card: &Card, secret: Option<&str>, at_s: i64) -> Vec<u8> {
    text::fit(BUDGET, Vec::len, |room| {
        let mut body = write(robot, card, room);
        if let Some(secret) = secret {
            body["timestamp"] = at_s.to_string().into();
            body["sign"] = sign(secret, at_s).into();
        }
        body.to_string().into_bytes()
    })
}

fn write(robot: &Robot, card: &Card, room: Room) -> Value {
    let (language, markup) = (robot.language, Markup::Markdown);
    let colour = match card.severity {
        Severity::Critical => "red",
        Severity::High => "orange",
        Severity::Warning => "yellow",
        Severity::Info => "blue",
    };
    let mut text = text::body(card, language, markup, room);
    let all = robot.mention_all.then_some("all");
    let mentions: Vec<String> = robot
        .mentions
        .iter()
        .map(String::as_str)
        .chain(all)
        .map(|id| format!("<at id={id}></at>"))
        .collect();
    if !mentions.is_empty() {
        text += &format!("\n{}", mentions.join(" "));
    }
    let mut elements = vec![json!({ "tag": "markdown", "content": text })];
    if !card.link.is_empty() {
        elements.push(json!({
            "tag": "action",
            "actions": [{
                "tag": "button",
                "type": "primary",
                "text": { "tag": "plain_text", "content": words::open(language) },
                "url": card.link,
            }],
        }));
    }
    json!({
        "msg_type": "interactive",
        "card": {
            "config": { "wide_screen_mode": true },
            "header": {
                "template": colour,
                "title": { "tag": "plain_text", "content": words::title(card, language) },
            },
            "elements": elements,
        },
    })
}

/// The key is what DingTalk signs, and nothing is signed with it.
fn sign(secret: &str, at_s: i64) -> String {
    let key = format!("{at_s}\n{secret}");
    let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes());
    // HMAC takes keys of any length.
    mac.map(|mac| STANDARD.encode(mac.finalize().into_bytes())).unwrap_or_default()
}

/// Feishu answers 200 or 400 with a `code`, which older bots call `StatusCode`.
pub(crate) fn judge(answer: &Answer) -> Sent {
    answer.judged_by("Feishu", &["code", "StatusCode"], "msg", |code| match code {
        "0" => Code::Delivered,
        // "Frequency limited", of this bot and of the whole platform.
        "11232" | "99991400" => Code::Wait(answer.rate_limit_reset_ms().unwrap_or(PENALTY_MS)),
        // 9499: a body it cannot read; 19021: signature or clock; 19022: source address; 19024:
        // no keyword; 19036: too large.
        _ => Code::Permanent,
    })
}

#[cfg(test)]
mod tests {
    use zhili_incident::Outcome;

    use super::*;
    use crate::channel::sample;
    use crate::vectors;

    #[test]
    fn signs_as_documented() {
        let vectors = vectors::read().feishu;
        assert!(!vectors.is_empty());
        for it in vectors {
            let body = body(&sample::robot(), &sample::card(), Some(&it.secret), it.timestamp);
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["sign"], it.sign);
            assert_eq!(body["timestamp"], it.timestamp.to_string());
        }
    }

    #[test]
    fn the_largest_card_fits_and_keeps_title_and_link() {
        let robot = Robot { mention_all: true, ..sample::robot() };
        let body = body(&robot, &sample::large(), Some("secret"), 1_700_000_000);
        assert!(body.len() <= BUDGET, "{}", body.len());
        let body: Value = serde_json::from_slice(&body).unwrap();
        let title = body["card"]["header"]["title"]["content"].as_str().unwrap();
        assert!(title.contains("监管投诉"), "{title}");
        assert_eq!(body["card"]["elements"][1]["actions"][0]["url"], sample::large().link);
        let text = body["card"]["elements"][0]["content"].as_str().unwrap();
        assert!(text.ends_with("<at id=all></at>"), "{text}");
    }

    #[test]
    fn a_code_counts_by_its_new_and_its_old_name() {
        for (status, body, outcome, wait_ms) in [
            (200, r#"{"code":0,"msg":"success"}"#, Outcome::Delivered, 0),
            (200, r#"{"StatusCode":0,"StatusMessage":"success"}"#, Outcome::Delivered, 0),
            (200, r#"{"code":11232,"msg":"frequency limited"}"#, Outcome::Failed, 60_000),
            (429, r#"{"code":99991400,"msg":"limit"}"#, Outcome::Failed, 60_000),
            (200, r#"{"code":19021,"msg":"sign match fail"}"#, Outcome::Rejected, 0),
            (400, r#"{"code":9499,"msg":"Bad Request"}"#, Outcome::Rejected, 0),
        ] {
            let sent = judge(&sample::answer(status, body));
            assert_eq!((sent.outcome, sent.retry_after_ms), (outcome, wait_ms), "{body}");
        }
        let mut limited = sample::answer(429, r#"{"code":99991400,"msg":"limit"}"#);
        limited.headers.insert("x-ogw-ratelimit-reset", "7".parse().unwrap());
        assert_eq!(judge(&limited).retry_after_ms, 7_000);
    }
}
