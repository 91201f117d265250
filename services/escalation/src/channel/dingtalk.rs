//! Custom robots of DingTalk groups.
//!
//! Limits of the provider: 20 messages a minute and robot, beyond which it is deaf for ten
//! minutes; 20,000 bytes a message. A robot is secured by a signature in the query of its
//! address, within an hour of DingTalk's clock, or by keywords or source addresses.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use zhili_incident::Robot;

use crate::card::Card;
use crate::channel::answer::{Answer, Code, Sent};
use crate::channel::text::{self, Markup, Room};
use crate::channel::words;

/// Bytes of a body, below the provider's 20,000.
const BUDGET: usize = 18_000;
/// How long a robot that has said too much is deaf.
const PENALTY_MS: i64 = 10 * 60_000;

/// The body of a page.
pub(crate) fn body(robot: &Robot, card: &Card) -> Vec<u8> {
    text::fit(BUDGET, Vec::len, |room| write(robot, card, room).to_string().into_bytes())
}

fn write(robot: &Robot, card: &Card, room: Room) -> Value {
    let (language, markup) = (robot.language, Markup::Markdown);
    let title = markup.quote(&words::title(card, language));
    let mut text = format!("### {title}\n\n{}", text::body(card, language, markup, room));
    if !card.link.is_empty() {
        text += &format!("\n\n{}", markup.link(words::open(language), &card.link));
    }
    // Who is named in `at` is mentioned only where the text names them as well.
    if !robot.mentions.is_empty() {
        let mentions: Vec<String> = robot.mentions.iter().map(|id| format!("@{id}")).collect();
        text += &format!("\n\n{}", mentions.join(" "));
    }
    json!({
        "msgtype": "markdown",
        "markdown": { "title": title, "text": text },
        "at": { "atUserIds": robot.mentions, "isAtAll": robot.mention_all },
    })
}

/// The address with the signature of `at_ms`, milliseconds since the Unix epoch.
pub(crate) fn signed_url(url: &str, secret: &str, at_ms: i64) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    let sign = sign(secret, at_ms);
    // Of base64's characters these three mean something in a query.
    let sign = sign.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("{url}{separator}timestamp={at_ms}&sign={sign}")
}

fn sign(secret: &str, at_ms: i64) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map(|mut mac| {
        mac.update(format!("{at_ms}\n{secret}").as_bytes());
        mac.finalize().into_bytes()
    });
    // HMAC takes keys of any length.
    mac.map(|mac| STANDARD.encode(mac)).unwrap_or_default()
}

/// DingTalk answers 200 to everything; what came of it is `errcode`.
pub(crate) fn judge(answer: &Answer) -> Sent {
    answer.judged_by("DingTalk", &["errcode"], "errmsg", |code| match code {
        "0" => Code::Delivered,
        // "The robot is sending too fast."
        "130101" => Code::Wait(PENALTY_MS),
        // "The system is busy."
        "-1" => Code::Retry,
        // 310000: no keyword, signature or source address that it knows; 460101: too large.
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
        let vectors = vectors::read().dingtalk;
        assert!(!vectors.is_empty());
        for it in vectors {
            assert_eq!(sign(&it.secret, it.timestamp_ms), it.sign);
            let url = signed_url("https://h/send?access_token=t", &it.secret, it.timestamp_ms);
            let (_, sign) = url.split_once("&sign=").unwrap();
            assert_eq!(sign.replace("%2F", "/").replace("%3D", "="), it.sign);
            assert!(url.starts_with("https://h/send?access_token=t&timestamp=1700000000000&"));
        }
    }

    #[test]
    fn people_are_mentioned_in_the_text_and_beside_it() {
        let robot = Robot { mentions: vec!["u1".into(), "u2".into()], ..sample::robot() };
        let body: Value = serde_json::from_slice(&body(&robot, &sample::card())).unwrap();
        assert!(body["markdown"]["text"].as_str().unwrap().ends_with("@u1 @u2"));
        assert_eq!(body["at"], json!({ "atUserIds": ["u1", "u2"], "isAtAll": false }));
    }

    #[test]
    fn the_largest_card_fits_and_keeps_title_and_link() {
        let body = body(&sample::robot(), &sample::large());
        assert!(body.len() <= BUDGET, "{}", body.len());
        let text = String::from_utf8(body).unwrap();
        assert!(text.contains("监管投诉") && text.contains(&sample::large().link), "{text}");
    }

    #[test]
    fn an_error_code_counts_whatever_the_status_and_however_it_is_spelled() {
        for (body, outcome, wait_ms) in [
            (r#"{"errcode":0,"errmsg":"ok"}"#, Outcome::Delivered, 0),
            (r#"{"errcode":"0","errmsg":"ok"}"#, Outcome::Delivered, 0),
            (r#"{"errcode":130101,"errmsg":"send too fast"}"#, Outcome::Failed, 600_000),
            (r#"{"errcode":"130101","errmsg":"send too fast"}"#, Outcome::Failed, 600_000),
            (r#"{"errcode":-1,"errmsg":"busy"}"#, Outcome::Failed, 0),
            (r#"{"errcode":310000,"errmsg":"sign not match"}"#, Outcome::Rejected, 0),
            (r#"{"errcode":460101,"errmsg":"too large"}"#, Outcome::Rejected, 0),
            // A proxy that answers in the place of DingTalk.
            ("<html>", Outcome::Failed, 0),
            ("", Outcome::Failed, 0),
        ] {
            let sent = judge(&sample::answer(200, body));
            assert_eq!((sent.outcome, sent.retry_after_ms), (outcome, wait_ms), "{body}");
        }
        let sent = judge(&sample::answer(200, r#"{"errcode":310000,"errmsg":"sign not match"}"#));
        assert_eq!(
            (sent.code.as_str(), sent.detail.as_str()),
            ("310000", "DingTalk 310000: sign not match")
        );
    }
}
