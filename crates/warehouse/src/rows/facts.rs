use zhili_proto::scoring::v1::{Fact, Sla, fact, promise, sla};

use super::{Poison, Row, instant, word};
use crate::Origin;
use crate::column::{Instant, Word};
use crate::table::table_row;

table_row! {
    /// A row of `turns`.
    TurnRow of Turns by [fact_id], precedence {
        precedence: i64,
        revision: u32,
        tenant: Word,
        conversation_id: String,
        fact_id: String,
        at: Instant,
        engine: Word,
        agent: String,
        customer: String,
        channel: Word,
        queue: Word,
        team: Word,
        historical: bool,
        cycle: u32,
        turn: u32,
        first_event_id: String,
        last_event_id: String,
        answer_event_id: String,
        started_at: Instant,
        rt_first_unanswered_ms: Option<i64>,
        rt_last_msg_ms: Option<i64>,
        rt_human_ms: Option<i64>,
        business_rt_first_unanswered_ms: Option<i64>,
        business_rt_last_msg_ms: Option<i64>,
        business_rt_human_ms: Option<i64>,
        sla_nrt: Word,
        sla_nrt_target_ms: Option<i64>,
        sla_nrt_due_at: Option<Instant>,
        customer_messages: u32,
    }
}

table_row! {
    /// A row of `cycles`.
    CycleRow of Cycles by [fact_id], precedence {
        precedence: i64,
        revision: u32,
        tenant: Word,
        conversation_id: String,
        fact_id: String,
        at: Instant,
        engine: Word,
        agent: String,
        customer: String,
        channel: Word,
        queue: Word,
        team: Word,
        historical: bool,
        cycle: u32,
        started_at: Instant,
        ended_at: Option<Instant>,
        frt_any_ms: Option<i64>,
        frt_human_ms: Option<i64>,
        frt_substantive_ms: Option<i64>,
        frt_join_ms: Option<i64>,
        business_frt_any_ms: Option<i64>,
        business_frt_human_ms: Option<i64>,
        business_frt_substantive_ms: Option<i64>,
        sla_frt: Word,
        sla_frt_target_ms: Option<i64>,
        sla_frt_due_at: Option<Instant>,
        sla_resolution: Word,
        sla_resolution_target_ms: Option<i64>,
        sla_resolution_due_at: Option<Instant>,
        silences_agent: u32,
        silences_agent_ms: i64,
        silences_customer: u32,
        silences_customer_ms: i64,
        silences_restated: u32,
        resolved: bool,
        provisional: bool,
        reopened: bool,
        handed_over: bool,
        bot_served: bool,
        turns: u32,
        unanswered: u32,
    }
}

table_row! {
    /// A row of `sessions`.
    SessionRow of Sessions by [fact_id], precedence {
        precedence: i64,
        revision: u32,
        tenant: Word,
        conversation_id: String,
        fact_id: String,
        at: Instant,
        engine: Word,
        agent: String,
        customer: String,
        channel: Word,
        queue: Word,
        team: Word,
        historical: bool,
        cycle: u32,
        sentiments: u32,
        positive: u32,
        negative: u32,
        mood_begin: Option<f64>,
        mood_end: Option<f64>,
        cl5: Option<f64>,
        cl5_progressive: Option<f64>,
        gc100: Option<f64>,
        unhappy: bool,
        converted: Option<bool>,
        aggravations: u32,
        complaint: bool,
        urgent: bool,
        topic: Word,
        identified: Option<bool>,
        felt: Option<bool>,
        solved: Option<bool>,
        followed_up: Option<bool>,
        soothing: Option<u32>,
        agent_messages: u32,
        holding: u32,
        first_is_holding: Option<bool>,
        empathy100: Option<f64>,
        open_questions: u32,
        closed_questions: u32,
        clarifying_questions: u32,
        follow_up_questions: u32,
        stint_agents: Vec<String>,
        stint_messages: Vec<u32>,
        stint_active_ms: Vec<i64>,
        stint_mechanical: Vec<u32>,
    }
}

table_row! {
    /// A row of `slots`.
    SlotRow of Slots by [fact_id], precedence {
        precedence: i64,
        revision: u32,
        tenant: Word,
        conversation_id: String,
        fact_id: String,
        at: Instant,
        engine: Word,
        agent: String,
        customer: String,
        channel: Word,
        queue: Word,
        team: Word,
        historical: bool,
        cycle: u32,
        slot: Word,
        due_event_id: String,
        present: bool,
        event_id: String,
    }
}

table_row! {
    /// A row of `promises`.
    PromiseRow of Promises by [fact_id], precedence {
        precedence: i64,
        revision: u32,
        tenant: Word,
        conversation_id: String,
        fact_id: String,
        at: Instant,
        engine: Word,
        agent: String,
        customer: String,
        channel: Word,
        queue: Word,
        team: Word,
        historical: bool,
        promise: Word,
        due_at: Instant,
        made_event_id: String,
        state: Word,
        settled_at: Option<Instant>,
        event_id: String,
    }
}

table_row! {
    /// A row of `recontacts`.
    RecontactRow of Recontacts by [fact_id], precedence {
        precedence: i64,
        revision: u32,
        tenant: Word,
        conversation_id: String,
        fact_id: String,
        at: Instant,
        engine: Word,
        agent: String,
        customer: String,
        channel: Word,
        queue: Word,
        team: Word,
        historical: bool,
        ended_at: Instant,
        resolved: bool,
        next_at: Option<Instant>,
        reopened_at: Option<Instant>,
        settled: bool,
    }
}

table_row! {
    /// A row of `corrections`.
    CorrectionRow of Corrections by [fact_id], precedence {
        precedence: i64,
        tenant: Word,
        conversation_id: String,
        fact_id: String,
        at: Instant,
        signal_id: String,
        kind: Word,
    }
}

/// Bits of an append time in milliseconds: enough until the year 2109.
const APPEND_BITS: u32 = 42;
/// Bits of a revision; a fact with more corrections than this can count has other problems.
const REVISION_BITS: u32 = 20;

/// Which of several statements about one fact stays. A conversation that is published again after
/// it was forgotten is folded anew as a historical one, from whatever part of it is published, and
/// states facts under the same ids: what was found out live must outlive that.
fn precedence(fact: &Fact, origin: &Origin) -> i64 {
    let live = i64::from(!fact.historical) << (APPEND_BITS + REVISION_BITS - 1);
    let revision = i64::from(fact.revision).min((1 << (REVISION_BITS - 1)) - 1) << APPEND_BITS;
    let earlier = (1 << APPEND_BITS) - 1 - origin.append_at.0.clamp(0, (1 << APPEND_BITS) - 1);
    live + revision + earlier
}

/// State, target and due time of a target; empty and NULL where there is none.
fn target(
    tenant: &str,
    field: &str,
    target: Option<Sla>,
) -> Result<(Word, Option<i64>, Option<Instant>), Poison> {
    let Some(target) = target else { return Ok((Word::default(), None, None)) };
    let due_at = target.due_ms.map(|ms| instant(tenant, field, ms)).transpose()?;
    Ok((word!(sla::State, target.state), Some(target.target_ms), due_at))
}

pub(super) fn row(fact: Fact, origin: &Origin) -> Result<Row, Poison> {
    let precedence = precedence(&fact, origin);
    let tenant = fact.tenant.as_str();
    let at = instant(tenant, "at_ms", fact.at_ms)?;
    match fact.fact {
        Some(fact::Fact::Turn(turn)) => {
            let (sla_nrt, sla_nrt_target_ms, sla_nrt_due_at) =
                target(tenant, "turn.sla_nrt.due_ms", turn.sla_nrt)?;
            Ok(Row::Turn(Box::new(TurnRow {
                precedence,
                revision: fact.revision,
                started_at: instant(tenant, "turn.started_ms", turn.started_ms)?,
                tenant: fact.tenant.into(),
                conversation_id: fact.conversation_id,
                fact_id: fact.fact_id,
                at,
                engine: fact.engine.into(),
                agent: fact.agent,
                customer: fact.customer,
                channel: fact.channel.into(),
                queue: fact.queue.into(),
                team: fact.team.into(),
                historical: fact.historical,
                cycle: turn.cycle,
                turn: turn.turn,
                first_event_id: turn.first_event_id,
                last_event_id: turn.last_event_id,
                answer_event_id: turn.answer_event_id,
                rt_first_unanswered_ms: turn.rt_first_unanswered_ms,
                rt_last_msg_ms: turn.rt_last_msg_ms,
                rt_human_ms: turn.rt_human_ms,
                business_rt_first_unanswered_ms: turn.business_rt_first_unanswered_ms,
                business_rt_last_msg_ms: turn.business_rt_last_msg_ms,
                business_rt_human_ms: turn.business_rt_human_ms,
                sla_nrt,
                sla_nrt_target_ms,
                sla_nrt_due_at,
                customer_messages: turn.customer_messages,
            })))
        }
        Some(fact::Fact::Cycle(cycle)) => {
            let (sla_frt, sla_frt_target_ms, sla_frt_due_at) =
                target(tenant, "cycle.sla_frt.due_ms", cycle.sla_frt)?;
            let (sla_resolution, sla_resolution_target_ms, sla_resolution_due_at) =
                target(tenant, "cycle.sla_resolution.due_ms", cycle.sla_resolution)?;
            Ok(Row::Cycle(Box::new(CycleRow {
                precedence,
                revision: fact.revision,
                started_at: instant(tenant, "cycle.started_ms", cycle.started_ms)?,
                ended_at: cycle
                    .ended_ms
                    .map(|ms| instant(tenant, "cycle.ended_ms", ms))
                    .transpose()?,
                tenant: fact.tenant.into(),
                conversation_id: fact.conversation_id,
                fact_id: fact.fact_id,
                at,
                engine: fact.engine.into(),
                agent: fact.agent,
                customer: fact.customer,
                channel: fact.channel.into(),
                queue: fact.queue.into(),
                team: fact.team.into(),
                historical: fact.historical,
                cycle: cycle.cycle,
                frt_any_ms: cycle.frt_any_ms,
                frt_human_ms: cycle.frt_human_ms,
                frt_substantive_ms: cycle.frt_substantive_ms,
                frt_join_ms: cycle.frt_join_ms,
                business_frt_any_ms: cycle.business_frt_any_ms,
                business_frt_human_ms: cycle.business_frt_human_ms,
                business_frt_substantive_ms: cycle.business_frt_substantive_ms,
                sla_frt,
                sla_frt_target_ms,
                sla_frt_due_at,
                sla_resolution,
                sla_resolution_target_ms,
                sla_resolution_due_at,
                silences_agent: cycle.silences_agent,
                silences_agent_ms: cycle.silences_agent_ms,
                silences_customer: cycle.silences_customer,
                silences_customer_ms: cycle.silences_customer_ms,
                silences_restated: cycle.silences_restated,
                resolved: cycle.resolved,
                provisional: cycle.provisional,
                reopened: cycle.reopened,
                handed_over: cycle.handed_over,
                bot_served: cycle.bot_served,
                turns: cycle.turns,
                unanswered: cycle.unanswered,
            })))
        }
        Some(fact::Fact::Session(session)) => Ok(Row::Session(Box::new(SessionRow {
            precedence,
            revision: fact.revision,
            tenant: fact.tenant.into(),
            conversation_id: fact.conversation_id,
            fact_id: fact.fact_id,
            at,
            engine: fact.engine.into(),
            agent: fact.agent,
            customer: fact.customer,
            channel: fact.channel.into(),
            queue: fact.queue.into(),
            team: fact.team.into(),
            historical: fact.historical,
            cycle: session.cycle,
            sentiments: session.sentiments,
            positive: session.positive,
            negative: session.negative,
            mood_begin: session.mood_begin,
            mood_end: session.mood_end,
            cl5: session.cl5,
            cl5_progressive: session.cl5_progressive,
            gc100: session.gc100,
            unhappy: session.unhappy,
            converted: session.converted,
            aggravations: session.aggravations,
            complaint: session.complaint,
            urgent: session.urgent,
            topic: session.topic.into(),
            identified: session.identified,
            felt: session.felt,
            solved: session.solved,
            followed_up: session.followed_up,
            soothing: session.soothing,
            agent_messages: session.agent_messages,
            holding: session.holding,
            first_is_holding: session.first_is_holding,
            empathy100: session.empathy100,
            open_questions: session.open_questions,
            closed_questions: session.closed_questions,
            clarifying_questions: session.clarifying_questions,
            follow_up_questions: session.follow_up_questions,
            stint_messages: session.stints.iter().map(|stint| stint.messages).collect(),
            stint_active_ms: session.stints.iter().map(|stint| stint.active_ms).collect(),
            stint_mechanical: session.stints.iter().map(|stint| stint.mechanical).collect(),
            stint_agents: session.stints.into_iter().map(|stint| stint.agent).collect(),
        }))),
        Some(fact::Fact::Slot(slot)) => Ok(Row::Slot(Box::new(SlotRow {
            precedence,
            revision: fact.revision,
            tenant: fact.tenant.into(),
            conversation_id: fact.conversation_id,
            fact_id: fact.fact_id,
            at,
            engine: fact.engine.into(),
            agent: fact.agent,
            customer: fact.customer,
            channel: fact.channel.into(),
            queue: fact.queue.into(),
            team: fact.team.into(),
            historical: fact.historical,
            cycle: slot.cycle,
            slot: slot.kind.into(),
            due_event_id: slot.due_event_id,
            present: slot.present,
            event_id: slot.event_id,
        }))),
        Some(fact::Fact::Promise(promise)) => Ok(Row::Promise(Box::new(PromiseRow {
            due_at: instant(tenant, "promise.due_ms", promise.due_ms)?,
            settled_at: promise
                .settled_ms
                .map(|ms| instant(tenant, "promise.settled_ms", ms))
                .transpose()?,
            state: word!(promise::State, promise.state),
            precedence,
            revision: fact.revision,
            tenant: fact.tenant.into(),
            conversation_id: fact.conversation_id,
            fact_id: fact.fact_id,
            at,
            engine: fact.engine.into(),
            agent: fact.agent,
            customer: fact.customer,
            channel: fact.channel.into(),
            queue: fact.queue.into(),
            team: fact.team.into(),
            historical: fact.historical,
            promise: promise.kind.into(),
            made_event_id: promise.made_event_id,
            event_id: promise.event_id,
        }))),
        Some(fact::Fact::Recontact(recontact)) => {
            let optional =
                |field, ms: Option<i64>| ms.map(|ms| instant(tenant, field, ms)).transpose();
            Ok(Row::Recontact(Box::new(RecontactRow {
                ended_at: instant(tenant, "recontact.ended_ms", recontact.ended_ms)?,
                next_at: optional("recontact.next_ms", recontact.next_ms)?,
                reopened_at: optional("recontact.reopened_ms", recontact.reopened_ms)?,
                precedence,
                revision: fact.revision,
                tenant: fact.tenant.into(),
                conversation_id: fact.conversation_id,
                fact_id: fact.fact_id,
                at,
                engine: fact.engine.into(),
                agent: fact.agent,
                customer: fact.customer,
                channel: fact.channel.into(),
                queue: fact.queue.into(),
                team: fact.team.into(),
                historical: fact.historical,
                resolved: recontact.resolved,
                settled: recontact.settled,
            })))
        }
        Some(fact::Fact::Correction(correction)) => Ok(Row::Correction(Box::new(CorrectionRow {
            precedence,
            tenant: fact.tenant.into(),
            conversation_id: fact.conversation_id,
            fact_id: fact.fact_id,
            at,
            signal_id: correction.signal_id,
            kind: correction.kind.into(),
        }))),
        None => Err(Poison::invalid(
            tenant,
            "fact is missing or of a kind that this version does not know",
        )),
    }
}
