use std::collections::BTreeMap;

use zhili_proto::conversation::v1::{Author, EventType, author, event};
use zhili_proto::scoring::v1::{
    Assessment, ScoredEvent, assessment, complaint, politeness, sentiment,
};

use super::{Poison, instant, optional, required, word, words};
use crate::Origin;
use crate::column::{Instant, Word};
use crate::table::table_row;

table_row! {
    /// A row of `events`.
    EventRow of Events by [source, event_id], precedence {
        precedence: i64,
        tenant: Word,
        source: Word,
        event_id: String,
        conversation_id: String,
        r#type: Word,
        sent_at: Instant,
        received_at: Option<Instant>,
        accepted_at: Instant,
        event_partition: u32,
        event_offset: u64,
        seq: Option<i64>,
        channel: Word,
        queue: Word,
        team: Word,
        scene: Word,
        author: String,
        role: Word,
        subtype: Word,
        customer: String,
        customer_segment: Word,
        vip: bool,
        private: bool,
        text: String,
        content_type: Word,
        lang_hint: Word,
        reply_to: String,
        order_number: String,
        mode: Word,
        status: Word,
        csat_score: Option<f64>,
        csat_max: Option<f64>,
        target: String,
        supersedes: String,
        deletes: String,
        historical: bool,
        attrs: BTreeMap<String, String>,
        voice_begin_ms: Option<i64>,
        voice_end_ms: Option<i64>,
        voice_rate: Option<f64>,
        voice_overlap: Option<bool>,
        asr_confidence: Option<f64>,
        lang: Word,
        sentiment: Word,
        sentiment_value: Option<f64>,
        sentiment_confidence: Option<f64>,
        politeness: Word,
        politeness_score: Option<f64>,
        complaint: Word,
        complaint_category: Word,
        urgent_probability: Option<f64>,
        satisfaction: Word,
        forbidden: bool,
        acts: Vec<Word>,
        evidence_start: Vec<u32>,
        evidence_end: Vec<u32>,
        evidence_class: Vec<Word>,
        evidence_rule: Vec<Word>,
        evidence_points: Vec<f64>,
        evidence_target: Vec<Word>,
        engine: Word,
        library: Word,
    }
}

pub(super) fn row(scored: &ScoredEvent, origin: &Origin) -> Result<EventRow, Poison> {
    let Some(event) = scored.event.clone() else {
        return Err(Poison::invalid("", "event is missing"));
    };
    let tenant = event.tenant.as_str();
    let sent_at = required(tenant, "event.sent_at", event.sent_at.as_ref())?;
    let received_at = optional(tenant, "event.received_at", event.received_at.as_ref())?;
    let accepted_at = instant(tenant, "append_ms", scored.append_ms)?;
    let Author { id: author, role, subtype } = event.author.unwrap_or_default();
    let customer = event.customer.unwrap_or_default();
    let assessment = scored.assessment.clone().unwrap_or_default();
    let Assessment {
        lang,
        sentiment,
        politeness,
        complaint,
        satisfaction,
        forbidden,
        acts,
        evidence,
        engine,
        library,
        ..
    } = assessment;
    let voice = event.voice.as_ref();
    Ok(EventRow {
        precedence: origin.precedence(),
        tenant: event.tenant.into(),
        source: event.source.into(),
        event_id: event.event_id,
        conversation_id: event.conversation_id,
        r#type: word!(EventType, event.r#type),
        sent_at,
        received_at,
        accepted_at,
        event_partition: scored.partition,
        event_offset: scored.offset,
        seq: event.seq,
        channel: event.channel.into(),
        queue: event.queue.into(),
        team: event.team.into(),
        scene: word!(event::Scene, event.scene),
        author,
        role: word!(author::Role, role),
        subtype: word!(author::Subtype, subtype),
        customer: customer.id,
        customer_segment: customer.segment.into(),
        vip: customer.vip,
        private: event.private,
        text: event.text,
        content_type: event.content_type.into(),
        lang_hint: event.lang.into(),
        reply_to: event.reply_to,
        order_number: event.order,
        mode: word!(event::Mode, event.mode),
        status: word!(event::Status, event.status),
        csat_score: event.csat.as_ref().map(|csat| csat.score),
        csat_max: event.csat.as_ref().map(|csat| csat.max),
        target: event.target,
        supersedes: scored.supersedes.clone(),
        deletes: scored.deletes.clone(),
        historical: scored.historical,
        attrs: event.attrs.into_iter().collect(),
        voice_begin_ms: voice.map(|voice| voice.begin_ms),
        voice_end_ms: voice.map(|voice| voice.end_ms),
        voice_rate: voice.map(|voice| voice.rate),
        voice_overlap: voice.map(|voice| voice.overlap),
        asr_confidence: voice.map(|voice| voice.asr_confidence),
        lang: lang.into(),
        sentiment: word!(
            sentiment::Label,
            sentiment.as_ref().map_or(0, |sentiment| sentiment.label)
        ),
        sentiment_value: sentiment.as_ref().map(|sentiment| sentiment.value),
        sentiment_confidence: sentiment.as_ref().map(|sentiment| sentiment.confidence),
        politeness: word!(
            politeness::Label,
            politeness.as_ref().map_or(0, |politeness| politeness.label)
        ),
        politeness_score: politeness.as_ref().map(|politeness| politeness.score),
        complaint: word!(
            complaint::Label,
            complaint.as_ref().map_or(0, |complaint| complaint.label)
        ),
        complaint_category: word!(
            complaint::Category,
            complaint.as_ref().map_or(0, |complaint| complaint.category)
        ),
        urgent_probability: complaint.as_ref().map(|complaint| complaint.probability),
        satisfaction: word!(assessment::Satisfaction, satisfaction),
        forbidden,
        acts: words(acts),
        evidence_start: evidence.iter().map(|one| one.start).collect(),
        evidence_end: evidence.iter().map(|one| one.end).collect(),
        evidence_class: evidence.iter().map(|one| one.class.as_str().into()).collect(),
        evidence_rule: evidence.iter().map(|one| one.rule.as_str().into()).collect(),
        evidence_points: evidence.iter().map(|one| one.points).collect(),
        evidence_target: evidence.iter().map(|one| one.target.as_str().into()).collect(),
        engine: engine.into(),
        library: library.into(),
    })
}
