//! A card as text, within the size that a channel takes.
//!
//! What does not fit goes in this order: words of messages, the messages, the rules, other
//! incidents, the other facts. Title and link always stay.

use zhili_incident::Language;

use crate::card::Card;
use crate::channel::words;

/// How a channel writes what is not plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Markup {
    /// Markdown as DingTalk, WeCom and Feishu understand it.
    Markdown,
    /// Slack's mrkdwn.
    Mrkdwn,
    /// Nothing.
    Plain,
}

impl Markup {
    pub(crate) fn bold(self, text: &str) -> String {
        match self {
            Self::Markdown => format!("**{text}**"),
            Self::Mrkdwn => format!("*{text}*"),
            Self::Plain => text.to_owned(),
        }
    }

    pub(crate) fn link(self, label: &str, url: &str) -> String {
        match self {
            Self::Markdown => format!("[{label}]({url})"),
            Self::Mrkdwn => format!("<{url}|{label}>"),
            Self::Plain => format!("{label}: {url}"),
        }
    }

    /// Between two lines, so that they stay two.
    fn line_break(self) -> &'static str {
        match self {
            Self::Markdown => "  \n",
            Self::Mrkdwn | Self::Plain => "\n",
        }
    }

    /// Text of somebody else, who must not mention the group, link to a site or draw a picture
    /// in it. None of the providers documents an escape that all of their clients honour, so the
    /// characters that mean something are replaced by their full-width forms.
    pub(crate) fn quote(self, text: &str) -> String {
        let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if self == Self::Plain {
            return one_line.chars().filter(|c| !c.is_control()).collect();
        }
        // A bare address becomes a link by itself.
        let text = one_line.replace("://", "：//");
        let inert = |c: char| match c {
            '@' => '＠',
            '<' => '＜',
            '>' => '＞',
            '[' => '［',
            ']' => '］',
            '*' => '＊',
            '`' => '｀',
            '~' => '～',
            '#' => '＃',
            '|' => '｜',
            '\\' => '＼',
            '&' => '＆',
            other => other,
        };
        text.chars().filter(|c| !c.is_control()).map(inert).collect()
    }
}

/// How much of a card is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Characters of each message; 0 leaves the messages out.
    pub(crate) message: usize,
    pub(crate) rules: usize,
    pub(crate) facts: usize,
    /// Incidents told of with this one that are named; all are counted in the title.
    pub(crate) others: usize,
}

/// From everything to nothing, each smaller than the one before.
const ROOMS: [Room; 17] = {
    const fn room(message: usize, rules: usize, facts: usize) -> Room {
        Room { message, rules, facts, others: 200 }
    }
    const fn few(others: usize, facts: usize) -> Room {
        Room { message: 0, rules: 0, facts, others }
    }
    [
        room(500, 20, usize::MAX),
        room(300, 20, usize::MAX),
        room(200, 20, usize::MAX),
        room(120, 20, usize::MAX),
        room(60, 20, usize::MAX),
        room(30, 20, usize::MAX),
        room(0, 20, usize::MAX),
        room(0, 10, usize::MAX),
        room(0, 5, usize::MAX),
        room(0, 2, usize::MAX),
        room(0, 0, usize::MAX),
        few(50, usize::MAX),
        few(20, usize::MAX),
        few(10, 6),
        few(5, 6),
        few(3, 3),
        few(0, 0),
    ]
};

/// The first that fits of what `write` makes of ever less room; the last one if none does.
pub(crate) fn fit<T>(budget: usize, size: impl Fn(&T) -> usize, write: impl Fn(Room) -> T) -> T {
    let [most, rest @ ..] = ROOMS;
    let mut written = write(most);
    for room in rest {
        if size(&written) <= budget {
            break;
        }
        written = write(room);
    }
    written
}

/// Everything between title and link.
pub(crate) fn body(card: &Card, language: Language, markup: Markup, room: Room) -> String {
    let mut lines = Vec::new();
    for (label, value) in words::facts(card, language).into_iter().take(room.facts) {
        lines.push(labelled(markup, language, label, &markup.quote(&value)));
    }
    let rules: Vec<String> = card
        .reasons
        .iter()
        .take(room.rules)
        .map(|why| markup.quote(&words::rule(&why.rule, why.probability, &why.event_id, language)))
        .collect();
    if !rules.is_empty() {
        lines.push(labelled(markup, language, words::rules(language), &rules.join("; ")));
    }
    if room.message > 0 && !card.messages.is_empty() {
        lines.push(labelled(markup, language, words::messages(language), ""));
        let messages = card.messages.iter().map(|message| {
            words::message(message.speaker, &cut(&message.text, room.message), language)
        });
        lines.extend(messages.map(|text| format!("> {}", markup.quote(&text))));
    }
    let others = card.others.iter().take(room.others).map(|other| {
        let line = markup.quote(&words::other(other, language));
        if other.link.is_empty() { line } else { markup.link(&line, &other.link) }
    });
    let others: Vec<String> = others.map(|line| format!("- {line}")).collect();
    if !others.is_empty() {
        lines.push(labelled(markup, language, words::others(language), ""));
        lines.extend(others);
    }
    lines.join(markup.line_break())
}

fn labelled(markup: Markup, language: Language, label: &str, value: &str) -> String {
    let colon = if language == Language::Zh { "：" } else { ":" };
    let space = if language == Language::Zh || value.is_empty() { "" } else { " " };
    format!("{}{space}{value}", markup.bold(&format!("{label}{colon}")))
}

/// At most so many characters, with an ellipsis if there were more.
pub(crate) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => {
            let kept: String = text.chars().take(most.saturating_sub(1)).collect();
            format!("{kept}…")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::Other;
    use crate::channel::sample;

    #[test]
    fn what_does_not_fit_goes_in_order_and_the_size_never_grows() {
        let card = sample::large();
        let written = |room| body(&card, Language::Zh, Markup::Markdown, room);
        let sizes: Vec<usize> = ROOMS.iter().map(|room| written(*room).len()).collect();
        assert!(sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
        let at = |budget| fit(budget, String::len, written);
        assert!(at(usize::MAX).contains("……"), "the whole message");
        let without_messages = at(sizes[6]);
        assert!(!without_messages.contains("……") && without_messages.contains("rule.20"));
        let without_rules = at(sizes[10]);
        assert!(!without_rules.contains("rule.1") && without_rules.contains("returns"));
        assert_eq!(at(0), "");
    }

    #[test]
    fn incidents_told_of_with_another_are_counted_and_named_as_far_as_there_is_room() {
        let other = |number: usize| Other {
            incident_id: format!("inc_{number}"),
            severity: zhili_incident::Severity::Critical,
            family: zhili_incident::Family::Complaint,
            about: "legal".into(),
            conversation_id: format!("c{number}"),
            link: format!("https://zhili.example/{number}"),
        };
        let card = Card { others: (0..300).map(other).collect(), ..sample::large() };
        assert!(words::title(&card, Language::Zh).ends_with("另有 300 起"));
        let written = |room| body(&card, Language::Zh, Markup::Markdown, room);
        let text = fit(4_000, String::len, written);
        assert!(text.len() <= 4_000, "{}", text.len());
        assert!(
            text.contains("[【严重】客户投诉：法律诉讼 c0 inc_0](https://zhili.example/0)"),
            "{text}"
        );
        assert!(!text.contains("c50"), "{text}");
    }

    #[test]
    fn a_customer_cannot_mention_link_or_draw() {
        let text = "@all <at id=all></at> <!channel> [x](https://evil.example) ![](http://p) `a` &";
        for markup in [Markup::Markdown, Markup::Mrkdwn] {
            let quoted = markup.quote(text);
            for harmful in ["@", "<", ">", "[", "]", "://", "`", "&"] {
                assert!(!quoted.contains(harmful), "{quoted}");
            }
        }
        assert_eq!(Markup::Plain.quote("a\r\nBcc: b\u{7}"), "a Bcc: b");
    }

    #[test]
    fn a_cut_text_ends_with_an_ellipsis_between_characters() {
        assert_eq!(cut("投诉你们", 4), "投诉你们");
        assert_eq!(cut("投诉你们", 3), "投诉…");
        assert_eq!(cut("👨‍👩‍👧", 1), "…");
    }
}
