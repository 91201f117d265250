//! What a page says, whatever channel it goes through: the facts of an incident that somebody
//! needs to decide what to do first.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use zhili_incident::{Family, Incident, Page, Reason, Said, Severity, Signal, Speaker, State};

use crate::convert::severity_name;
use crate::link::Links;

/// Rules named on a card; a person reads the first few.
const MOST_REASONS: usize = 20;
/// Characters of a masked excerpt, as signals are cut to. The limit holds a card far below the
/// 20 kB that receivers of Standard Webhooks accept.
const EXCERPT_CHARS: usize = 500;
/// Messages quoted on a card, the newest.
const MOST_MESSAGES: usize = 6;

/// A card follows from the incident and the page alone, not from the attempt, so repeated
/// attempts of an unchanged incident say the same.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Card {
    pub(crate) incident_id: String,
    pub(crate) version: u64,
    pub(crate) state: State,
    pub(crate) severity: Severity,
    pub(crate) family: Family,
    pub(crate) kind: String,
    pub(crate) category: String,
    /// Why it was raised, newest first.
    pub(crate) reasons: Vec<Why>,
    /// Words of the newest signal of the highest severity: why somebody should look now.
    pub(crate) excerpt: String,
    /// The last masked messages of the conversation, oldest first; where nothing tells them, those
    /// that raised signals.
    pub(crate) messages: Vec<Message>,
    pub(crate) signals: u64,
    pub(crate) tenant: String,
    pub(crate) team: String,
    pub(crate) conversation_id: String,
    pub(crate) customer: String,
    /// `vip`, else the segment of the customer; empty if the platform says nothing.
    pub(crate) tier: String,
    pub(crate) agent: String,
    pub(crate) queue: String,
    pub(crate) channel: String,
    pub(crate) triggered_at_ms: i64,
    /// The incident of the same conversation and family before this one.
    pub(crate) previous: Option<String>,
    pub(crate) page_id: String,
    pub(crate) destination: String,
    pub(crate) reason: Reason,
    /// The page that this one repeats because a person wants it.
    pub(crate) redelivery_of: Option<String>,
    /// When the page became due.
    pub(crate) created_at_ms: i64,
    pub(crate) policy: String,
    /// From 1; one more than `steps` for the fallback.
    pub(crate) step: u32,
    pub(crate) steps: usize,
    /// Passes through the policy, from 1.
    pub(crate) pass: u32,
    pub(crate) next_at_ms: Option<i64>,
    /// Who is paged next and how long after this page, if nobody acknowledges.
    pub(crate) next: Option<Next>,
    /// Where a person sees the incident; empty for nowhere.
    pub(crate) link: String,
    /// Incidents whose pages had no room of their own at the destination: this one tells of
    /// them as well.
    pub(crate) others: Vec<Other>,
    /// It is about nothing: somebody tries the destination out.
    pub(crate) is_test: bool,
}

/// An incident that is told of with another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Other {
    pub(crate) incident_id: String,
    pub(crate) severity: Severity,
    pub(crate) family: Family,
    /// Category, or kind where there is none.
    pub(crate) about: String,
    pub(crate) conversation_id: String,
    pub(crate) link: String,
}

/// Why a signal was raised.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Why {
    pub(crate) rule: String,
    pub(crate) event_id: String,
    pub(crate) probability: f64,
    pub(crate) engine: String,
}

/// A masked message of the conversation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    pub(crate) event_id: String,
    /// `None` if it is not known here.
    pub(crate) speaker: Option<Speaker>,
    pub(crate) text: String,
    /// Of a customer's message, -1 to 1.
    pub(crate) sentiment: Option<f64>,
}

/// The step after this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) destinations: Vec<String>,
    pub(crate) after_ms: i64,
}

impl Card {
    pub(crate) fn of(
        incident: &Incident,
        page: &Page,
        others: &[(&Incident, &Page)],
        links: &Links,
    ) -> Self {
        let text = |part: fn(&Signal) -> &String| {
            let newest = incident.evidence.iter().rev().map(|signal| part(signal));
            newest.into_iter().find(|value| !value.is_empty()).cloned().unwrap_or_default()
        };
        let shown = incident.evidence.iter().max_by_key(|signal| signal.severity);
        let incident_id = incident.incident_id.to_string();
        Self {
            version: incident.version,
            state: incident.state,
            severity: incident.severity,
            family: incident.family,
            kind: incident.kind.clone(),
            category: incident.category.clone(),
            reasons: reasons(incident),
            excerpt: shown.map(|signal| cut(&signal.excerpt)).unwrap_or_default(),
            messages: messages(incident),
            signals: incident.signals,
            tenant: incident.tenant.clone(),
            team: incident.team.clone(),
            conversation_id: incident.conversation_id.clone(),
            customer: text(|signal| &signal.customer),
            tier: text(|signal| &signal.background.customer_tier),
            agent: text(|signal| &signal.agent),
            queue: text(|signal| &signal.queue),
            channel: text(|signal| &signal.channel),
            triggered_at_ms: incident.triggered_at_ms,
            previous: incident.previous.map(|id| id.to_string()),
            page_id: page.page_id.to_string(),
            destination: page.destination.clone(),
            reason: page.reason,
            redelivery_of: page.redelivery_of.map(|id| id.to_string()),
            created_at_ms: page.created_at_ms,
            policy: incident.policy.name.clone(),
            step: page.step + 1,
            steps: incident.policy.steps.len(),
            pass: page.pass + 1,
            next_at_ms: incident.next_at_ms,
            next: next(incident, page),
            link: links.of(&incident.tenant, &incident_id, page),
            others: others.iter().map(|(other, of)| Other::of(other, of, links)).collect(),
            is_test: false,
            incident_id,
        }
    }

    /// A card for trying a destination out, told from others by `number`.
    pub(crate) fn test(
        tenant: &str,
        team: &str,
        destination: &str,
        at_ms: i64,
        number: u64,
    ) -> Self {
        Self {
            incident_id: format!("test_{number:016x}"),
            version: 0,
            state: State::Triggered,
            severity: Severity::Info,
            family: Family::Complaint,
            kind: "test".to_owned(),
            category: String::new(),
            reasons: Vec::new(),
            excerpt: String::new(),
            messages: Vec::new(),
            signals: 0,
            tenant: tenant.to_owned(),
            team: team.to_owned(),
            conversation_id: String::new(),
            customer: String::new(),
            tier: String::new(),
            agent: String::new(),
            queue: String::new(),
            channel: String::new(),
            triggered_at_ms: at_ms,
            previous: None,
            page_id: format!("ntf_test_{number:016x}"),
            destination: destination.to_owned(),
            reason: Reason::Triggered,
            redelivery_of: None,
            created_at_ms: at_ms,
            policy: String::new(),
            step: 0,
            steps: 0,
            pass: 1,
            next_at_ms: None,
            next: None,
            link: String::new(),
            others: Vec::new(),
            is_test: true,
        }
    }

    /// Sentiment of the customer's messages among [`messages`](Self::messages), oldest first.
    pub(crate) fn sentiments(&self) -> impl Iterator<Item = f64> {
        self.messages.iter().filter_map(|message| message.sentiment)
    }

    /// The incident had been open for so long when the page became due.
    pub(crate) fn waited_ms(&self) -> i64 {
        self.created_at_ms.saturating_sub(self.triggered_at_ms).max(0)
    }

    /// What has happened to the incident that this page is about, as the last word of an event
    /// type.
    pub(crate) fn happened(&self) -> &'static str {
        if self.is_test {
            return "test";
        }
        match self.reason {
            Reason::Triggered
            | Reason::SeverityRise
            | Reason::AckTimeout
            | Reason::SnoozeEnded
            | Reason::Released
            | Reason::Reconfigured => "triggered",
            Reason::Reassigned => "reassigned",
            Reason::NextStep | Reason::StepFailed | Reason::Repeat | Reason::EscalatedNow => {
                "escalated"
            }
            Reason::Fallback => "exhausted",
            Reason::Acknowledged => "acknowledged",
            Reason::Resolved => "resolved",
        }
    }

    /// The card for programs.
    pub(crate) fn data(&self) -> Value {
        let reasons: Vec<Value> = self
            .reasons
            .iter()
            .map(|why| {
                json!({
                    "rule": why.rule,
                    "event_id": why.event_id,
                    "probability": why.probability,
                    "engine": why.engine,
                })
            })
            .collect();
        let messages: Vec<Value> = self
            .messages
            .iter()
            .map(|message| {
                json!({
                    "event_id": message.event_id,
                    "speaker": message.speaker.map(Speaker::name),
                    "text": message.text,
                    "sentiment": message.sentiment,
                })
            })
            .collect();
        let next = self
            .next
            .as_ref()
            .map(|next| json!({ "destinations": next.destinations, "after_ms": next.after_ms }));
        let mut data = json!({
            "incident_id": self.incident_id,
            "version": self.version,
            "state": self.state.name(),
            "severity": severity_name(self.severity),
            "family": self.family.name(),
            "kind": self.kind,
            "category": self.category,
            "reasons": reasons,
            "excerpt": self.excerpt,
            "messages": messages,
            "signals": self.signals,
            "tenant": self.tenant,
            "team": self.team,
            "conversation_id": self.conversation_id,
            "customer": self.customer,
            "customer_tier": self.tier,
            "agent": self.agent,
            "queue": self.queue,
            "channel": self.channel,
            "triggered_at": iso(self.triggered_at_ms),
            "waited_ms": self.waited_ms(),
            "previous_incident_id": self.previous,
            "page": {
                "destination": self.destination,
                "reason": self.reason.name(),
            },
            "policy": {
                "name": self.policy,
                "step": self.step,
                "steps": self.steps,
                "pass": self.pass,
                "next_at": self.next_at_ms.map(iso),
                "next": next,
            },
        });
        if let Some(page_id) = &self.redelivery_of {
            data["page"]["redelivery_of"] = page_id.as_str().into();
        }
        if !self.link.is_empty() {
            data["link"] = self.link.as_str().into();
        }
        data
    }
}

impl Other {
    fn of(incident: &Incident, page: &Page, links: &Links) -> Self {
        let incident_id = incident.incident_id.to_string();
        let about = if incident.category.is_empty() { &incident.kind } else { &incident.category };
        Self {
            severity: incident.severity,
            family: incident.family,
            about: about.clone(),
            conversation_id: incident.conversation_id.clone(),
            link: links.of(&incident.tenant, &incident_id, page),
            incident_id,
        }
    }
}

fn reasons(incident: &Incident) -> Vec<Why> {
    let mut seen = BTreeSet::new();
    let rules = incident
        .evidence
        .iter()
        .rev()
        .flat_map(|signal| signal.rules.iter().map(move |rule| (rule, signal)));
    rules
        .filter(|(rule, _)| seen.insert(rule.as_str()))
        .take(MOST_REASONS)
        .map(|(rule, signal)| Why {
            rule: rule.clone(),
            event_id: signal.event_id.clone(),
            probability: signal.probability,
            engine: signal.engine.clone(),
        })
        .collect()
}

fn messages(incident: &Incident) -> Vec<Message> {
    let said = incident.evidence.last().map(|newest| newest.background.said.as_slice());
    if let Some(said @ [_, ..]) = said {
        let message = |said: &Said| Message {
            event_id: said.event_id.clone(),
            speaker: Some(said.speaker),
            text: cut(&said.text),
            sentiment: said.sentiment,
        };
        return said[said.len().saturating_sub(MOST_MESSAGES)..].iter().map(message).collect();
    }
    let mut seen = BTreeSet::new();
    let mut messages: Vec<Message> = incident
        .evidence
        .iter()
        .rev()
        // One message may raise several signals.
        .filter(|signal| !signal.excerpt.is_empty() && seen.insert(signal.event_id.as_str()))
        .take(MOST_MESSAGES)
        .map(|signal| Message {
            event_id: signal.event_id.clone(),
            speaker: None,
            text: cut(&signal.excerpt),
            sentiment: None,
        })
        .collect();
    messages.reverse();
    messages
}

/// The next step of the pass that the page belongs to, the first step again, or the fallback.
fn next(incident: &Incident, page: &Page) -> Option<Next> {
    let current = page.pass == incident.pass && page.step == incident.step;
    if !current || incident.exhausted.is_some() || incident.state != State::Triggered {
        return None;
    }
    let steps = &incident.policy.steps;
    let after_ms = steps.get(page.step as usize)?.delay_ms;
    let destinations = match steps.get(page.step as usize + 1) {
        Some(step) => &step.destinations,
        None if incident.repeats_left > 0 => &steps.first()?.destinations,
        None => &incident.policy.fallback,
    };
    Some(Next { destinations: destinations.clone(), after_ms }).filter(|_| !destinations.is_empty())
}

fn cut(text: &str) -> String {
    text.chars().take(EXCERPT_CHARS).collect()
}

/// ISO 8601 in UTC with milliseconds.
pub(crate) fn iso(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map(|time| format!("{time:.3}")).unwrap_or_default()
}
