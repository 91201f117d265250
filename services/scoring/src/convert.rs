//! Between the contract's types and those of the pure crates. Nothing else knows both.

mod many;
mod print;

use zhili_dialogue as dialogue;
use zhili_proto::conversation::v1 as conversation;
use zhili_proto::escalation::v1 as escalation;
use zhili_proto::scoring::v1 as scoring;
use zhili_tone as tone;

pub(crate) use many::{contact, count, dialogue_contact, dialogue_count};

/// What the engine is asked about an event: who wrote it. `None` for what it does not judge.
pub(crate) fn judged_role(event: &conversation::Event) -> Option<tone::Role> {
    use conversation::EventType;
    if !matches!(event.r#type(), EventType::Message | EventType::Edit) {
        return None;
    }
    tone_role(event.author.as_ref()?.role())
}

pub(crate) fn tone_role(role: conversation::author::Role) -> Option<tone::Role> {
    match role {
        conversation::author::Role::Customer => Some(tone::Role::Customer),
        conversation::author::Role::Agent => Some(tone::Role::Agent),
        _ => None,
    }
}

pub(crate) fn assessment(
    assessment: &tone::Assessment,
    engine: &tone::Engine,
) -> scoring::Assessment {
    use scoring::assessment::Satisfaction;
    let satisfaction = match assessment.satisfaction {
        None => Satisfaction::Unspecified,
        Some(tone::Polarity::Neg) => Satisfaction::Dissatisfied,
        Some(tone::Polarity::Neutral) => Satisfaction::Indifferent,
        Some(tone::Polarity::Pos) => Satisfaction::Satisfied,
    };
    scoring::Assessment {
        lang: assessment.lang.as_str().to_owned(),
        sentiment: assessment.sentiment.map(|sentiment| scoring::Sentiment {
            label: match sentiment.label {
                tone::Polarity::Neg => scoring::sentiment::Label::Neg,
                tone::Polarity::Neutral => scoring::sentiment::Label::Neutral,
                tone::Polarity::Pos => scoring::sentiment::Label::Pos,
            }
            .into(),
            value: sentiment.value,
            confidence: sentiment.confidence,
        }),
        politeness: assessment.politeness.map(|politeness| scoring::Politeness {
            label: match politeness.label {
                tone::PolitenessLabel::Impolite => scoring::politeness::Label::Impolite,
                tone::PolitenessLabel::Neutral => scoring::politeness::Label::Neutral,
                tone::PolitenessLabel::Polite => scoring::politeness::Label::Polite,
            }
            .into(),
            score: politeness.score,
        }),
        complaint: assessment.complaint.map(|complaint| scoring::Complaint {
            label: match complaint.label {
                tone::ComplaintLabel::Normal => scoring::complaint::Label::Normal,
                tone::ComplaintLabel::Complaint => scoring::complaint::Label::Complaint,
                tone::ComplaintLabel::Urgent => scoring::complaint::Label::Urgent,
            }
            .into(),
            category: complaint
                .category
                .map_or(scoring::complaint::Category::Unspecified, complaint_category)
                .into(),
            probability: complaint.probability,
            dissatisfaction: complaint.dissatisfaction,
        }),
        satisfaction: satisfaction.into(),
        forbidden: assessment.forbidden,
        acts: assessment.acts.iter().map(|act| act.as_str().to_owned()).collect(),
        evidence: assessment.evidence.iter().map(evidence).collect(),
        engine: engine.version().to_owned(),
        library: engine.library_hash().to_owned(),
        promises: assessment.promises.iter().map(promise).collect(),
        question: assessment.question.map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        topic: assessment.topic.unwrap_or_default().to_owned(),
    }
}

fn promise(promise: &tone::Promise) -> scoring::SaidPromise {
    use scoring::said_promise::{Day, Due, Kind, Weekday};
    let due = match promise.due {
        tone::Due::Within { ms } => Some(Due::WithinMs(ms)),
        tone::Due::WorkDays { days } => Some(Due::WorkDays(days)),
        tone::Due::Day { days, minute } => Some(Due::Day(Day { days, minute: minute.into() })),
        tone::Due::Weekday { weeks, weekday, minute } => Some(Due::Weekday(Weekday {
            weeks: weeks.into(),
            weekday: weekday.into(),
            minute: minute.into(),
        })),
        tone::Due::Vague => None,
    };
    scoring::SaidPromise {
        kind: match promise.kind {
            tone::PromiseKind::Callback => Kind::Callback,
            tone::PromiseKind::Refund => Kind::Refund,
            tone::PromiseKind::Ship => Kind::Ship,
            tone::PromiseKind::Solve => Kind::Solve,
            tone::PromiseKind::Reply => Kind::Reply,
            tone::PromiseKind::Other => Kind::Other,
        }
        .into(),
        start: promise.start as u32,
        end: promise.end as u32,
        due,
    }
}

fn evidence(evidence: &tone::Evidence) -> scoring::Evidence {
    scoring::Evidence {
        start: evidence.start as u32,
        end: evidence.end as u32,
        class: evidence.class.to_owned(),
        rule: evidence.rule.to_string(),
        points: evidence.points,
        target: evidence.target.as_str().to_owned(),
    }
}

pub(crate) fn suggestion(suggestion: &tone::Suggestion<'_>) -> scoring::Suggestion {
    use scoring::suggestion::Level;
    use scoring::suggestion_reason::Kind;
    let phrase = suggestion.phrase;
    let reason = |(why, points): &(tone::Why, f64)| {
        let (kind, example) = match why {
            tone::Why::Said(example) => (Kind::Said, *example),
            tone::Why::Scene => (Kind::Scene, ""),
            tone::Why::Instead(example) => (Kind::Instead, *example),
            tone::Why::Mood => (Kind::Mood, ""),
        };
        scoring::SuggestionReason {
            kind: kind.into(),
            example: example.to_owned(),
            points: *points,
        }
    };
    scoring::Suggestion {
        id: phrase.id.to_owned(),
        scene: phrase.scene.to_owned(),
        level: match phrase.level {
            tone::Level::Basic => Level::Basic,
            tone::Level::Professional => Level::Professional,
            tone::Level::Emotion => Level::Emotion,
        }
        .into(),
        text: phrase.text.to_owned(),
        lang: if phrase.chinese { "zh" } else { "en" }.to_owned(),
        score: suggestion.score,
        reasons: suggestion.reasons.iter().map(reason).collect(),
    }
}

fn complaint_category(category: tone::UrgentCategory) -> scoring::complaint::Category {
    use scoring::complaint::Category;
    match category {
        tone::UrgentCategory::Regulator => Category::Regulator,
        tone::UrgentCategory::Legal => Category::Legal,
        tone::UrgentCategory::Media => Category::Media,
        tone::UrgentCategory::Police => Category::Police,
        tone::UrgentCategory::Safety => Category::Safety,
        tone::UrgentCategory::Loss => Category::Loss,
        tone::UrgentCategory::Repeat => Category::Repeat,
        tone::UrgentCategory::Crisis => Category::Crisis,
    }
}

fn urgent_category(category: tone::UrgentCategory) -> dialogue::UrgentCategory {
    match category {
        tone::UrgentCategory::Regulator => dialogue::UrgentCategory::Regulator,
        tone::UrgentCategory::Legal => dialogue::UrgentCategory::Legal,
        tone::UrgentCategory::Media => dialogue::UrgentCategory::Media,
        tone::UrgentCategory::Police => dialogue::UrgentCategory::Police,
        tone::UrgentCategory::Safety => dialogue::UrgentCategory::Safety,
        tone::UrgentCategory::Loss => dialogue::UrgentCategory::Loss,
        tone::UrgentCategory::Repeat => dialogue::UrgentCategory::Repeat,
        tone::UrgentCategory::Crisis => dialogue::UrgentCategory::Crisis,
    }
}

/// Acts that the conversation fold looks at.
fn act(act: tone::Act) -> Option<dialogue::Act> {
    Some(match act {
        tone::Act::Greeting => dialogue::Act::Greeting,
        tone::Act::Thanks => dialogue::Act::Thanks,
        tone::Act::Closing => dialogue::Act::Closing,
        tone::Act::Apology => dialogue::Act::Apology,
        tone::Act::Empathy => dialogue::Act::Empathy,
        tone::Act::Advice => dialogue::Act::Advice,
        tone::Act::OwnFault => dialogue::Act::OwnFault,
        tone::Act::Promise => dialogue::Act::Promise,
        tone::Act::Acknowledge => dialogue::Act::Acknowledge,
        tone::Act::Holding | tone::Act::Refusal | tone::Act::Question | tone::Act::Offer => {
            return None;
        }
    })
}

fn sentiment(sentiment: tone::Sentiment) -> dialogue::Sentiment {
    dialogue::Sentiment {
        label: match sentiment.label {
            tone::Polarity::Neg => dialogue::Polarity::Negative,
            tone::Polarity::Neutral => dialogue::Polarity::Neutral,
            tone::Polarity::Pos => dialogue::Polarity::Positive,
        },
        // Values come in whole thousandths.
        thousandths: (sentiment.value * 1000.0).round() as i16,
    }
}

/// A promise that has a time.
fn promised(promise: &tone::Promise) -> Option<dialogue::Promise> {
    let kind = match promise.kind {
        tone::PromiseKind::Callback => dialogue::PromiseKind::Callback,
        tone::PromiseKind::Refund => dialogue::PromiseKind::Refund,
        tone::PromiseKind::Ship => dialogue::PromiseKind::Ship,
        tone::PromiseKind::Solve => dialogue::PromiseKind::Solve,
        tone::PromiseKind::Reply => dialogue::PromiseKind::Reply,
        tone::PromiseKind::Other => dialogue::PromiseKind::Other,
    };
    let due = match promise.due {
        tone::Due::Within { ms } => dialogue::PromiseDue::Within(ms),
        tone::Due::WorkDays { days } => dialogue::PromiseDue::WorkDays(days),
        tone::Due::Day { days, minute } => dialogue::PromiseDue::Day { days, minute },
        tone::Due::Weekday { weeks, weekday, minute } => {
            dialogue::PromiseDue::Weekday { weeks, weekday, minute }
        }
        tone::Due::Vague => return None,
    };
    Some(dialogue::Promise { kind, due })
}

/// What the conversation fold needs to know of a text.
fn marks(assessment: &tone::Assessment) -> dialogue::Marks<'_> {
    let urgent = assessment
        .complaint
        .filter(|complaint| complaint.label == tone::ComplaintLabel::Urgent)
        .map(|complaint| dialogue::Urgent {
            category: complaint.category.map(urgent_category),
            probability: complaint.probability,
        });
    let target = if urgent.is_some() { tone::Target::Urgency } else { tone::Target::Politeness };
    let mut rules: Vec<&str> = if urgent.is_some() || assessment.forbidden {
        let behind = |evidence: &&tone::Evidence| evidence.target == target;
        assessment.evidence.iter().filter(behind).map(|evidence| &*evidence.rule).collect()
    } else {
        Vec::new()
    };
    rules.dedup();
    dialogue::Marks {
        greeting_only: assessment.is_greeting_only(),
        holding_only: assessment.is_holding_only(),
        acts: assessment.acts.iter().filter_map(act).collect(),
        // Of the text itself, which is not here.
        print: None,
        question: assessment.question.map(|kind| match kind {
            tone::QuestionKind::Open => dialogue::QuestionKind::Open,
            tone::QuestionKind::Closed => dialogue::QuestionKind::Closed,
            tone::QuestionKind::Clarifying => dialogue::QuestionKind::Clarifying,
        }),
        sentiment: assessment.sentiment.map(sentiment),
        complaint: assessment
            .complaint
            .is_some_and(|complaint| complaint.label != tone::ComplaintLabel::Normal),
        impolite: assessment
            .politeness
            .is_some_and(|politeness| politeness.label == tone::PolitenessLabel::Impolite),
        topic: assessment.topic.unwrap_or_default(),
        promises: assessment.promises.iter().filter_map(promised).collect(),
        thanks_or_farewell_only: assessment.is_thanks_or_farewell_only(),
        urgent,
        forbidden: assessment.forbidden,
        rules,
    }
}

/// The event as the conversation fold sees it; `None` if its type is not one that is folded,
/// which ingest does not let through.
pub(crate) fn dialogue_event<'a>(
    event: &'a conversation::Event,
    assessment: Option<&'a tone::Assessment>,
) -> Option<dialogue::Event<'a>> {
    use conversation::EventType;
    let target = event.target.as_str();
    let kind = match event.r#type() {
        EventType::Message => dialogue::EventKind::Message,
        EventType::Edit => dialogue::EventKind::Edit { target },
        EventType::Delete => dialogue::EventKind::Delete { target },
        EventType::Join => dialogue::EventKind::Join,
        EventType::Leave => dialogue::EventKind::Leave,
        EventType::Handoff => dialogue::EventKind::Handoff,
        EventType::Assign => dialogue::EventKind::Assign,
        EventType::Status => dialogue::EventKind::Status(match event.status() {
            conversation::event::Status::Open => dialogue::Status::Open,
            conversation::event::Status::Resolved => dialogue::Status::Resolved,
            conversation::event::Status::Reopened => dialogue::Status::Reopened,
            conversation::event::Status::Closed => dialogue::Status::Closed,
            conversation::event::Status::Unspecified => return None,
        }),
        EventType::Csat => {
            let csat = event.csat.as_ref()?;
            dialogue::EventKind::Csat { score: csat.score, max: csat.max }
        }
        EventType::Typing | EventType::Unspecified => return None,
    };
    let sent_ms = event.sent_at.as_ref().and_then(zhili_proto::millis)?;
    let author = event.author.as_ref().and_then(author);
    let by_agent = author.is_some_and(|author| author.role == dialogue::Role::Agent);
    Some(dialogue::Event {
        tenant: &event.tenant,
        source: &event.source,
        event_id: &event.event_id,
        conversation_id: &event.conversation_id,
        kind,
        sent_ms,
        author,
        private: event.private,
        mode: match event.mode() {
            conversation::event::Mode::Backfill => dialogue::Mode::Backfill,
            _ => dialogue::Mode::Live,
        },
        channel: &event.channel,
        queue: &event.queue,
        team: &event.team,
        customer: event.customer.as_ref().map_or("", |customer| &customer.id),
        former: event.customer.as_ref().map_or_else(dialogue::Former::default, |customer| {
            dialogue::Former { ids: &customer.former_ids, speaker: customer.speaker }
        }),
        fingerprint: fingerprint(event),
        marks: dialogue::Marks {
            print: by_agent.then(|| print::print(&event.conversation_id, &event.text)).flatten(),
            ..assessment.map(marks).unwrap_or_default()
        },
    })
}

fn author(author: &conversation::Author) -> Option<dialogue::Author<'_>> {
    use conversation::author::{Role, Subtype};
    let role = match author.role() {
        Role::Customer => dialogue::Role::Customer,
        Role::Agent => dialogue::Role::Agent,
        Role::Bot => dialogue::Role::Bot,
        Role::System => dialogue::Role::System,
        Role::Supervisor => dialogue::Role::Supervisor,
        Role::Unspecified => return None,
    };
    let subtype = match author.subtype() {
        Subtype::Unspecified => dialogue::Subtype::None,
        Subtype::Auto => dialogue::Subtype::Auto,
        Subtype::Assist => dialogue::Subtype::Assist,
        Subtype::Template => dialogue::Subtype::Template,
        Subtype::Ai => dialogue::Subtype::Ai,
    };
    Some(dialogue::Author { id: &author.id, role, subtype })
}

/// What makes two events of one identity the same: type, author and text, lengths included so
/// that no two different ones meet. Of a customer the role alone: published again after the key of
/// pseudonyms was replaced, the message has another id.
fn fingerprint(event: &conversation::Event) -> [u8; 16] {
    let customer = conversation::author::Role::Customer as i32;
    let (id, role) = event.author.as_ref().map_or(("", 0), |author| {
        (if author.role == customer { "" } else { author.id.as_str() }, author.role)
    });
    let mut hasher = blake3::Hasher::new();
    hasher.update(&event.r#type.to_le_bytes()).update(&role.to_le_bytes());
    for part in [id, &event.text, &event.target] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hasher.update(&event.status.to_le_bytes());
    let mut fingerprint = [0; 16];
    fingerprint.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    fingerprint
}

pub(crate) fn fact(fact: dialogue::Fact, engine: &str) -> scoring::Fact {
    let body = match fact.body {
        dialogue::FactBody::Turn(turn) => scoring::fact::Fact::Turn(scoring::Turn {
            cycle: turn.cycle,
            turn: turn.turn,
            first_event_id: turn.first_event_id,
            last_event_id: turn.last_event_id,
            answer_event_id: turn.answer_event_id,
            started_ms: turn.started_ms,
            rt_first_unanswered_ms: turn.rt_first_unanswered_ms,
            rt_last_msg_ms: turn.rt_last_msg_ms,
            rt_human_ms: turn.rt_human_ms,
            customer_messages: turn.customer_messages,
            answered_ms: turn.answered_ms,
            business_rt_first_unanswered_ms: turn.business.rt_first_unanswered_ms,
            business_rt_last_msg_ms: turn.business.rt_last_msg_ms,
            business_rt_human_ms: turn.business.rt_human_ms,
            sla_nrt: turn.sla_nrt.map(sla),
        }),
        dialogue::FactBody::Cycle(cycle) => scoring::fact::Fact::Cycle(scoring::Cycle {
            cycle: cycle.cycle,
            started_ms: cycle.started_ms,
            ended_ms: cycle.ended_ms,
            frt_any_ms: cycle.frt_any_ms,
            frt_human_ms: cycle.frt_human_ms,
            frt_substantive_ms: cycle.frt_substantive_ms,
            resolved: cycle.resolved,
            provisional: cycle.provisional,
            reopened: cycle.reopened,
            turns: cycle.turns,
            unanswered: cycle.unanswered,
            frt_join_ms: cycle.frt_join_ms,
            business_frt_any_ms: cycle.business.frt_any_ms,
            business_frt_human_ms: cycle.business.frt_human_ms,
            business_frt_substantive_ms: cycle.business.frt_substantive_ms,
            sla_frt: cycle.sla_frt.map(sla),
            sla_resolution: cycle.sla_resolution.map(sla),
            silences_agent: cycle.silences.agent,
            silences_agent_ms: cycle.silences.agent_ms,
            silences_customer: cycle.silences.customer,
            silences_customer_ms: cycle.silences.customer_ms,
            silences_restated: cycle.silences.restated,
            handed_over: cycle.handed_over,
            bot_served: cycle.bot_served,
        }),
        dialogue::FactBody::Session(fact) => scoring::fact::Fact::Session(session(fact)),
        dialogue::FactBody::Slot(slot) => scoring::fact::Fact::Slot(scoring::Slot {
            cycle: slot.cycle,
            kind: slot.kind.name().to_owned(),
            due_ms: slot.due_ms,
            due_event_id: slot.due_event_id,
            present: slot.present,
            event_id: slot.event_id,
        }),
        dialogue::FactBody::Promise(fact) => scoring::fact::Fact::Promise(promise_fact(fact)),
        dialogue::FactBody::Recontact(fact) => scoring::fact::Fact::Recontact(scoring::Recontact {
            ended_ms: fact.ended_ms,
            resolved: fact.resolved,
            next_ms: fact.next_ms,
            reopened_ms: fact.reopened_ms,
            settled: fact.settled,
        }),
        dialogue::FactBody::Correction(correction) => {
            scoring::fact::Fact::Correction(scoring::Correction {
                signal_id: correction.signal_id,
                kind: correction.kind.name().to_owned(),
            })
        }
    };
    scoring::Fact {
        tenant: fact.tenant,
        conversation_id: fact.conversation_id,
        fact_id: fact.fact_id,
        revision: fact.revision,
        at_ms: fact.at_ms,
        engine: engine.to_owned(),
        agent: fact.agent,
        customer: fact.customer,
        channel: fact.channel,
        queue: fact.queue,
        team: fact.team,
        historical: fact.historical,
        fact: Some(body),
    }
}

fn session(session: dialogue::Session) -> scoring::Session {
    let (mood, care) = (session.mood, session.care);
    scoring::Session {
        cycle: session.cycle,
        started_ms: session.started_ms,
        sentiments: mood.messages,
        positive: mood.positive,
        negative: mood.negative,
        mood_begin: mood.begin,
        mood_end: mood.end,
        cl5: mood.cl5,
        cl5_progressive: mood.progressive,
        gc100: mood.gc100,
        unhappy: mood.unhappy,
        converted: mood.converted,
        aggravations: mood.aggravations,
        complaint: care.complaint,
        urgent: care.urgent,
        topic: care.topic,
        identified: care.identified,
        felt: care.felt,
        solved: care.solved,
        followed_up: care.followed_up,
        soothing: care.soothing.map(u32::from),
        agent_messages: care.messages,
        holding: care.holding,
        first_is_holding: care.first_is_holding,
        empathy100: care.empathy100,
        open_questions: care.open_questions,
        closed_questions: care.closed_questions,
        clarifying_questions: care.clarifying_questions,
        follow_up_questions: care.follow_up_questions,
        stints: session
            .stints
            .into_iter()
            .map(|stint| scoring::Stint {
                agent: stint.agent,
                messages: stint.messages,
                active_ms: stint.active_ms,
                mechanical: stint.mechanical,
            })
            .collect(),
    }
}

fn promise_fact(promise: dialogue::PromiseFact) -> scoring::Promise {
    use scoring::promise::State;
    let state = match promise.state {
        dialogue::PromiseState::Pending => State::Pending,
        dialogue::PromiseState::Kept => State::Kept,
        dialogue::PromiseState::Broken => State::Broken,
        dialogue::PromiseState::Unknown => State::Unknown,
        dialogue::PromiseState::NotFollowed => State::NotFollowed,
    };
    scoring::Promise {
        kind: promise.kind.name().to_owned(),
        made_ms: promise.made_ms,
        due_ms: promise.due_ms,
        made_event_id: promise.made_event_id,
        state: state.into(),
        settled_ms: promise.settled_ms,
        event_id: promise.event_id,
    }
}

fn sla(sla: dialogue::Sla) -> scoring::Sla {
    use scoring::sla::State;
    let state = match sla.state {
        dialogue::SlaState::Pending => State::Pending,
        dialogue::SlaState::Warned => State::Warned,
        dialogue::SlaState::Breached => State::Breached,
        dialogue::SlaState::Met => State::Met,
        dialogue::SlaState::Cancelled => State::Cancelled,
    };
    scoring::Sla { state: state.into(), target_ms: sla.target_ms, due_ms: sla.due_ms }
}

pub(crate) fn presence(presence: dialogue::Presence) -> escalation::Presence {
    let dialogue::Presence { tenant, conversation_id, team: of, supervisor, here, at_ms } =
        presence;
    escalation::Presence { tenant, team: team(of), conversation_id, actor: supervisor, here, at_ms }
}

pub(crate) fn signal(signal: dialogue::Signal, text: &str, engine: &str) -> escalation::Signal {
    use escalation::incident::Severity;
    escalation::Signal {
        signal_id: signal.signal_id,
        tenant: signal.tenant,
        team: team(signal.team),
        conversation_id: signal.conversation_id,
        family: match signal.family {
            dialogue::Family::Complaint => escalation::Family::Complaint,
            dialogue::Family::Wording => escalation::Family::Wording,
            dialogue::Family::Sla => escalation::Family::Sla,
            dialogue::Family::Crisis => escalation::Family::Crisis,
        }
        .into(),
        kind: signal.kind.name().to_owned(),
        category: signal.category,
        severity: match signal.severity {
            dialogue::Severity::Info => Severity::Info,
            dialogue::Severity::Warning => Severity::Warning,
            dialogue::Severity::High => Severity::High,
            dialogue::Severity::Critical => Severity::Critical,
        }
        .into(),
        event_id: signal.event_id,
        effective_ms: signal.effective_ms,
        probability: signal.probability,
        rules: signal.rules,
        excerpt: excerpt(text),
        agent: signal.agent,
        customer: signal.customer,
        channel: signal.channel,
        queue: signal.queue,
        historical: signal.historical,
        engine: engine.to_owned(),
        related: signal.related,
        customer_tier: String::new(),
        said: Vec::new(),
    }
}

/// Everything belongs to a team, so that its policies apply.
fn team(name: String) -> String {
    if name.is_empty() { "default".to_owned() } else { name }
}

/// The first 500 characters, as the contract has it.
fn excerpt(text: &str) -> String {
    match text.char_indices().nth(500) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
