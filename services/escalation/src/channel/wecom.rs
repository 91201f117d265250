//! Robots of WeCom groups.
//!
//! Limits of the provider: 20 messages a minute and robot, 4,096 bytes of Markdown. The key in
//! the address is all that secures a robot.

use serde_json::{Value, json};
use zhili_incident::Robot;

use crate::card::Card;
use crate::channel::answer::{Answer, Code, Sent};
use crate::channel::text::{self, Markup, Room};
use crate::channel::words;

/// Bytes of the Markdown, below the provider's 4,096.
const BUDGET: usize = 4_000;
/// The limit is counted by the minute.
const PENALTY_MS: i64 = 60_000;

/// The body of a page.
pub(crate) fn body(robot: &Robot, card: &Card) -> Vec<u8> {
    let content = text::fit(BUDGET, String::len, |room| write(robot, card, room));
    let body: Value = json!({ "msgtype": "markdown", "markdown": { "content": content } });
    body.to_string().into_bytes()
}

fn write(robot: &Robot, card: &Card, room: Room) -> String {
    let (language, markup) = (robot.language, Markup::Markdown);
    let title = markup.quote(&words::title(card, language));
    let mut text = format!("### {title}\n{}", text::body(card, language, markup, room));
    if !card.link.is_empty() {
        text += &format!("\n{}", markup.link(words::open(language), &card.link));
    }
    if !robot.mentions.is_empty() {
        let mentions: Vec<String> = robot.mentions.iter().map(|id| format!("<@{id}>")).collect();
        text += &format!("\n{}", mentions.join(" "));
    }
    text
}

/// WeCom answers 200 to everything; what came of it is `errcode`.
pub(crate) fn judge(answer: &Answer) -> Sent {
    answer.judged_by("WeCom", &["errcode"], "errmsg", |code| match code {
        "0" => Code::Delivered,
        // "API frequency out of limit" and "concurrent calls out of limit".
        "45009" | "45033" => Code::Wait(PENALTY_MS),
        // "The system is busy."
        "-1" => Code::Retry,
        // 93000: no such key; 40058: a parameter that is wrong or too long.
        _ => Code::Permanent,
    })
}

#[cfg(test)]
mod tests {
    use zhili_incident::Outcome;

    use super::*;
    use crate::channel::sample;

    #[test]
    fn the_largest_card_fits_and_keeps_title_mentions_and_link() {
        let robot = Robot { mentions: vec!["zhang".into()], ..sample::robot() };
        let body: Value = serde_json::from_slice(&body(&robot, &sample::large())).unwrap();
        let content = body["markdown"]["content"].as_str().unwrap();
        assert!(content.len() <= BUDGET, "{}", content.len());
        assert!(content.contains("监管投诉") && content.contains(&sample::large().link));
        assert!(content.ends_with("<@zhang>"), "{content}");
    }

    #[test]
    fn a_robot_that_has_said_too_much_is_left_alone_for_a_minute() {
        let sent = judge(&sample::answer(200, r#"{"errcode":45009,"errmsg":"freq"}"#));
        assert_eq!((sent.outcome, sent.retry_after_ms), (Outcome::Failed, 60_000));
        let sent = judge(&sample::answer(200, r#"{"errcode":93000,"errmsg":"invalid webhook"}"#));
        assert_eq!(sent.outcome, Outcome::Rejected);
        let sent = judge(&sample::answer(200, r#"{"errcode":0,"errmsg":"ok"}"#));
        assert_eq!(sent.outcome, Outcome::Delivered);
    }
}
