//! Incoming webhooks of Slack.
//!
//! Limits of the provider: about one message a second, with short bursts; 50 blocks, 150
//! characters of a header, 3,000 of a section, about 13,000 in all.

use serde_json::{Value, json};
use zhili_incident::{Outcome, Robot};

use crate::card::Card;
use crate::channel::answer::{Answer, Sent};
use crate::channel::text::{self, Markup, Room, cut};
use crate::channel::words;

/// Characters of a section, all of a card but its title.
const BUDGET: usize = 2_900;
const HEADER: usize = 150;

/// The body of a page.
pub(crate) fn body(robot: &Robot, card: &Card) -> Vec<u8> {
    let characters = |text: &String| text.chars().count();
    let text = text::fit(BUDGET, characters, |room| write(robot, card, room));
    let title = words::title(card, robot.language);
    let mut blocks = vec![json!({
        "type": "header",
        "text": { "type": "plain_text", "text": cut(&title, HEADER) },
    })];
    if !text.is_empty() {
        blocks.push(json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } }));
    }
    if !card.link.is_empty() {
        blocks.push(json!({
            "type": "actions",
            "elements": [{
                "type": "button",
                "style": "primary",
                "text": { "type": "plain_text", "text": words::open(robot.language) },
                "url": card.link,
            }],
        }));
    }
    // `text` is what a notification on a phone shows.
    let body: Value = json!({ "text": Markup::Mrkdwn.quote(&title), "blocks": blocks });
    body.to_string().into_bytes()
}

fn write(robot: &Robot, card: &Card, room: Room) -> String {
    let mut text = text::body(card, robot.language, Markup::Mrkdwn, room);
    let mut mentions: Vec<String> = robot.mentions.iter().map(|id| format!("<@{id}>")).collect();
    if robot.mention_all {
        mentions.push("<!channel>".to_owned());
    }
    if !mentions.is_empty() {
        text += &format!("\n{}", mentions.join(" "));
    }
    text
}

/// Slack answers 200 `ok`, or a status with a word for what was wrong.
pub(crate) fn judge(answer: &Answer) -> Sent {
    let mut sent = answer.judged_by_status();
    let word = answer.text();
    if sent.outcome == Outcome::Delivered && word.trim() != "ok" {
        sent.outcome = Outcome::Rejected;
    }
    if sent.outcome != Outcome::Delivered {
        sent = sent.because("Slack", &word);
    }
    sent
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::sample;

    #[test]
    fn the_largest_card_fits_and_keeps_title_mentions_and_link() {
        let robot = Robot { mentions: vec!["U1".into()], mention_all: true, ..sample::robot() };
        let body: Value = serde_json::from_slice(&body(&robot, &sample::large())).unwrap();
        let section = body["blocks"][1]["text"]["text"].as_str().unwrap();
        assert!(section.chars().count() <= BUDGET);
        assert!(section.ends_with("<@U1> <!channel>"), "{section}");
        assert!(body["blocks"][0]["text"]["text"].as_str().unwrap().contains("监管投诉"));
        assert_eq!(body["blocks"][2]["elements"][0]["url"], sample::large().link);
        assert!(body.to_string().chars().count() < 12_000);
    }

    #[test]
    fn only_ok_is_delivered() {
        assert_eq!(judge(&sample::answer(200, "ok")).outcome, Outcome::Delivered);
        for (status, word, outcome) in [
            (200, "invalid_blocks", Outcome::Rejected),
            (400, "invalid_payload", Outcome::Rejected),
            (404, "no_service", Outcome::Rejected),
            (500, "rollup_error", Outcome::Failed),
        ] {
            let sent = judge(&sample::answer(status, word));
            assert_eq!(sent.outcome, outcome, "{word}");
            assert!(sent.detail.contains(word), "{}", sent.detail);
        }
        let mut limited = sample::answer(429, "rate_limited");
        limited.headers.insert("retry-after", "30".parse().unwrap());
        let sent = judge(&limited);
        assert_eq!((sent.outcome, sent.retry_after_ms), (Outcome::Failed, 30_000));
    }
}
