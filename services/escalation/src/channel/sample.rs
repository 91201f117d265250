//! Cards and answers for the tests of channels.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use zhili_incident::{Family, Language, Reason, Robot, Severity, Speaker, State};

use crate::card::{Card, Message, Next, Why};
use crate::channel::answer::Answer;

pub(crate) fn card() -> Card {
    Card {
        incident_id: "inc_aaaaaaaaaaaaaaaaaaaaaaaaaa".into(),
        version: 1,
        state: State::Triggered,
        severity: Severity::High,
        family: Family::Complaint,
        kind: "urgent_complaint".into(),
        category: "regulator".into(),
        reasons: vec![Why {
            rule: "regulator.12315".into(),
            event_id: "e1".into(),
            probability: 0.97,
            engine: "test".into(),
        }],
        excerpt: "我要打12315投诉你们".into(),
        messages: vec![said("e1", "我要打12315投诉你们")],
        signals: 1,
        tenant: "acme".into(),
        team: "default".into(),
        conversation_id: "c1".into(),
        customer: "u_1".into(),
        tier: "vip".into(),
        agent: "a_1".into(),
        queue: "returns".into(),
        channel: "app".into(),
        triggered_at_ms: 1_767_225_600_000,
        previous: None,
        page_id: "ntf_aaaaaaaaaaaaaaaaaaaaaaaaaa".into(),
        destination: "floor".into(),
        reason: Reason::Triggered,
        redelivery_of: None,
        created_at_ms: 1_767_225_600_000,
        policy: "default".into(),
        step: 1,
        steps: 2,
        pass: 1,
        next_at_ms: Some(1_767_225_660_000),
        next: Some(Next { destinations: vec!["managers".into()], after_ms: 60_000 }),
        link: "https://zhili.example/incidents/inc_aaaaaaaaaaaaaaaaaaaaaaaaaa".into(),
        others: Vec::new(),
        is_test: false,
    }
}

/// As much as a card can hold.
pub(crate) fn large() -> Card {
    let message = |n: usize| said(&format!("e{n}"), &"投诉……".repeat(125));
    let why = |n: usize| Why {
        rule: format!("{}.rule.{n}", "complaint".repeat(20)),
        event_id: format!("e{n}"),
        probability: 0.97,
        engine: "test".into(),
    };
    Card {
        messages: (1..=6).map(message).collect(),
        reasons: (1..=20).map(why).collect(),
        excerpt: "投诉……".repeat(125),
        signals: 500,
        ..card()
    }
}

fn said(event_id: &str, text: &str) -> Message {
    Message {
        event_id: event_id.into(),
        speaker: Some(Speaker::Customer),
        text: text.into(),
        sentiment: Some(-0.8),
    }
}

pub(crate) fn robot() -> Robot {
    Robot {
        url: "https://robot.example/send".into(),
        secret: None,
        mentions: Vec::new(),
        mention_all: false,
        language: Language::Zh,
        allow_private: false,
    }
}

pub(crate) fn answer(status: u16, body: &str) -> Answer {
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::from(body.to_owned()),
        at: SystemTime::UNIX_EPOCH,
    }
}
