use zhili_proto::escalation::v1::{Family, Signal, incident};

use super::{Poison, instant, word, words};
use crate::Origin;
use crate::column::{Instant, Word};
use crate::table::table_row;

table_row! {
    /// A row of `signals`.
    SignalRow of Signals by [signal_id], precedence {
        precedence: i64,
        tenant: Word,
        team: Word,
        signal_id: String,
        conversation_id: String,
        family: Word,
        kind: Word,
        category: Word,
        severity: Word,
        event_id: String,
        effective_at: Instant,
        probability: f64,
        rules: Vec<Word>,
        related: Vec<String>,
        excerpt: String,
        agent: String,
        customer: String,
        channel: Word,
        queue: Word,
        historical: bool,
        engine: Word,
    }
}

pub(super) fn row(signal: Signal, origin: &Origin) -> Result<SignalRow, Poison> {
    let effective_at = instant(&signal.tenant, "signal.effective_ms", signal.effective_ms)?;
    Ok(SignalRow {
        precedence: origin.precedence(),
        tenant: signal.tenant.into(),
        team: signal.team.into(),
        signal_id: signal.signal_id,
        conversation_id: signal.conversation_id,
        family: word!(Family, signal.family),
        kind: signal.kind.into(),
        category: signal.category.into(),
        severity: word!(incident::Severity, signal.severity),
        event_id: signal.event_id,
        effective_at,
        probability: signal.probability,
        rules: words(signal.rules),
        related: signal.related,
        excerpt: signal.excerpt,
        agent: signal.agent,
        customer: signal.customer,
        channel: signal.channel.into(),
        queue: signal.queue.into(),
        historical: signal.historical,
        engine: signal.engine.into(),
    })
}
