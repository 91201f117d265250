//! What agents say: standard phrases that nobody or everybody uses, and the wording that was found.

use serde::Deserialize;

use super::Dimension;
use super::registry::{events_of_range, said_by_people};
use super::scope::{Filter, interactive, length, narrowed};
use crate::{Warehouse, WarehouseError};

/// Most wordings of one answer.
const MOST: u32 = 500;

/// How often a standard phrase was said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clickhouse::Row, Deserialize)]
pub struct Said {
    /// Which of the phrases that were asked about, from 1.
    pub place: u64,
    /// Messages that hold it.
    pub messages: u64,
    /// Conversations that they are in.
    pub conversations: u64,
    /// Agents who said it.
    pub agents: u64,
    /// When it was last said, milliseconds since the Unix epoch.
    pub last_ms: i64,
}

/// Wording that the scores of agents' messages rest on.
#[derive(Clone, Debug, PartialEq, clickhouse::Row, Deserialize)]
pub struct Wording {
    /// What it does: `greeting`, `empathy`, `blunt`, ...
    pub class: String,
    /// The words, or how they begin.
    pub rule: String,
    /// How often it was found.
    pub uses: u64,
    /// Conversations that it was found in.
    pub conversations: u64,
    /// Agents who said it.
    pub agents: u64,
    /// Points that it brought, in all.
    pub points: f64,
}

/// A library of phrases by which messages were scored.
#[derive(Clone, Debug, PartialEq, Eq, clickhouse::Row, Deserialize)]
pub struct Library {
    /// Hash of it.
    pub library: String,
    /// When the first message was scored by it, milliseconds since the Unix epoch.
    pub first_ms: i64,
    /// And the last one.
    pub last_ms: i64,
}

/// What agents of a tenant said in a range.
#[derive(Clone, Debug, PartialEq)]
pub struct PhraseUse {
    /// Messages of people to customers.
    pub messages: u64,
    /// Conversations that they are in.
    pub conversations: u64,
    /// Standard phrases that were said, those of the question that are not here were not.
    pub said: Vec<Said>,
    /// The most used first, at most 500.
    pub wordings: Vec<Wording>,
    /// The last one used first.
    pub libraries: Vec<Library>,
}

#[derive(clickhouse::Row, Deserialize)]
struct Totals {
    messages: u64,
    conversations: u64,
}

/// What is the same in two spellings of the same words: letters and digits, in lower case.
fn letters(words: &str) -> String {
    words.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// A pattern of `LIKE` for the fixed words of a phrase in their order; gaps are in braces. Absent
/// for a phrase without words.
fn pattern(phrase: &str) -> Option<String> {
    let fixed = phrase.split('{').enumerate().map(|(n, part)| match (n, part.split_once('}')) {
        (0, _) | (_, None) => part,
        (_, Some((_, after))) => after,
    });
    // Letters and digits need no escape in a pattern.
    let fixed: Vec<String> = fixed.map(letters).filter(|part| !part.is_empty()).collect();
    (!fixed.is_empty()).then(|| format!("%{}%", fixed.join("%")))
}

/// What agents of a tenant said; of `filter` agent, channel, queue and team. A phrase of `phrases`
/// was said by a message that holds its fixed words in their order, signs, spaces and case aside.
///
/// # Errors
/// A range that makes no sense, another filter, and what ClickHouse says.
pub async fn phrase_use(
    warehouse: &Warehouse,
    tenant: &str,
    from_ms: i64,
    to_ms: i64,
    filter: &Filter,
    phrases: &[&str],
) -> Result<PhraseUse, WarehouseError> {
    length(from_ms, to_ms)?;
    let allowed = [Dimension::Agent, Dimension::Channel, Dimension::Queue, Dimension::Team];
    let narrowed = narrowed("phrases", filter, &allowed)?;
    let patterns: Vec<String> =
        phrases.iter().map(|phrase| pattern(phrase).unwrap_or_default()).collect();
    let messages = format!(
        "{} WHERE {}{}",
        events_of_range!(),
        said_by_people!(),
        narrowed.replace(" agent = ", " author = ")
    );
    let bound = |statement: &str| {
        let query = interactive(warehouse, statement)
            .param("tenant", tenant)
            .param("from", from_ms)
            .param("to", to_ms)
            .param("patterns", &patterns)
            .param("most", MOST);
        filter.given().fold(query, |query, (dimension, value)| {
            query.param(&format!("only_{}", dimension.word()), value)
        })
    };
    let totals = bound(&format!(
        "SELECT count() AS messages, uniqExact(conversation_id) AS conversations FROM {messages}"
    ));
    let said = bound(&format!(
        "SELECT toUInt64(place) AS place, count() AS messages, \
         uniqExact(conversation_id) AS conversations, uniqExact(author) AS agents, \
         toUnixTimestamp64Milli(max(sent_at)) AS last_ms \
         FROM (SELECT conversation_id, author, sent_at, \
         lowerUTF8(replaceRegexpAll(text, '[^\\\\p{{L}}\\\\p{{N}}]', '')) AS words FROM {messages}) \
         ARRAY JOIN arrayFilter(n -> words LIKE {{patterns:Array(String)}}[n], \
         range(1, length({{patterns:Array(String)}}) + 1)) AS place \
         GROUP BY place ORDER BY place"
    ));
    let wordings = bound(&format!(
        "SELECT toString(found.1) AS class, toString(found.2) AS rule, count() AS uses, \
         uniqExact(conversation_id) AS conversations, uniqExact(author) AS agents, \
         sum(found.3) AS points \
         FROM (SELECT conversation_id, author, \
         arrayJoin(arrayFilter(one -> one.4 = 'politeness' AND one.1 NOT IN ('head', 'rule'), \
         arrayZip(evidence_class, evidence_rule, evidence_points, evidence_target))) AS found \
         FROM {messages}) \
         GROUP BY class, rule ORDER BY uses DESC, class, rule LIMIT {{most:UInt32}}"
    ));
    let libraries = bound(
        "SELECT toString(library) AS library, toUnixTimestamp64Milli(min(accepted_at)) AS first_ms, \
         toUnixTimestamp64Milli(max(accepted_at)) AS last_ms \
         FROM events WHERE tenant = {tenant:String} AND library != '' \
         GROUP BY library ORDER BY last_ms DESC LIMIT {most:UInt32}",
    );
    let (totals, said, wordings, libraries): (Totals, _, _, _) = tokio::try_join!(
        warehouse.run("count what agents said", totals.fetch_one()),
        warehouse.run("count standard phrases", said.fetch_all()),
        warehouse.run("count wordings", wordings.fetch_all()),
        warehouse.run("list libraries", libraries.fetch_all()),
    )?;
    let Totals { messages, conversations } = totals;
    Ok(PhraseUse { messages, conversations, said, wordings, libraries })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_is_looked_for_by_its_fixed_words() {
        let of = |phrase| pattern(phrase).unwrap();
        assert_eq!(of("您好，我是{工号}号客服{姓名}。"), "%您好我是%号客服%");
        assert_eq!(of("{name}, Thank you!"), "%thankyou%");
        assert_eq!(of("100% sure_thing"), "%100surething%");
        assert_eq!(pattern("{…}。"), None);
    }
}
