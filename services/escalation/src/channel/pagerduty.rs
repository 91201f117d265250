//! PagerDuty, Events API v2: an incident of ours triggers one of theirs, whose `dedup_key` is
//! the incident's id, so that later steps add to it instead of opening another, and that an
//! acknowledgement and the end of ours are those of theirs.
//!
//! Limits of the provider: 1,024 characters of a summary, 255 of a `dedup_key`, 512 KB a
//! message; 429 and 5xx are worth another try, nothing else is.

use serde_json::{Value, json};
use zhili_incident::{Language, Outcome, Pagerduty, Reason, Severity};

use crate::card::{Card, iso};
use crate::channel::answer::{Answer, Sent};
use crate::channel::text::cut;
use crate::channel::words;

const SUMMARY: usize = 1_024;

/// The body of a page.
pub(crate) fn body(pagerduty: &Pagerduty, routing_key: &str, card: &Card) -> Vec<u8> {
    let event_action = match card.reason {
        Reason::Acknowledged => "acknowledge",
        Reason::Resolved => "resolve",
        _ => "trigger",
    };
    if card.reason.is_news() {
        let body = json!({
            "routing_key": routing_key,
            "event_action": event_action,
            "dedup_key": card.incident_id,
        });
        return Value::to_string(&body).into_bytes();
    }
    let language: Language = pagerduty.language;
    let severity = match card.severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::High => "error",
        Severity::Critical => "critical",
    };
    let summary = format!("{} {}", words::title(card, language), card.excerpt);
    let mut body = json!({
        "routing_key": routing_key,
        "event_action": event_action,
        "dedup_key": card.incident_id,
        "client": "Zhili",
        "payload": {
            "summary": cut(summary.trim(), SUMMARY),
            "source": format!("/zhili/tenants/{}/teams/{}", card.tenant, card.team),
            "severity": severity,
            "timestamp": iso(card.triggered_at_ms),
            "component": card.queue,
            "group": card.team,
            "class": card.kind,
            "custom_details": card.data(),
        },
    });
    if !card.link.is_empty() {
        body["client_url"] = card.link.as_str().into();
        body["links"] = json!([{ "href": card.link, "text": words::open(language) }]);
    }
    Value::to_string(&body).into_bytes()
}

/// 202 is taken; 400 says what is wrong in `message` and `errors`.
pub(crate) fn judge(answer: &Answer) -> Sent {
    let sent = answer.judged_by_status();
    if sent.outcome == Outcome::Delivered {
        return sent;
    }
    let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let word = |field: &str| said[field].as_str().unwrap_or_default().to_owned();
    let errors = said["errors"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let words: Vec<String> =
        std::iter::once(word("message")).chain(errors.map(str::to_owned)).collect();
    sent.because("PagerDuty", &words.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::sample;

    fn pagerduty() -> Pagerduty {
        serde_json::from_str(r#"{"routing_key": "env:PD"}"#).unwrap()
    }

    #[test]
    fn all_pages_of_an_incident_belong_to_one_incident_there() {
        let card = sample::large();
        let body: Value = serde_json::from_slice(&body(&pagerduty(), "key", &card)).unwrap();
        assert_eq!(
            (&body["routing_key"], &body["event_action"]),
            (&"key".into(), &"trigger".into())
        );
        assert_eq!(body["dedup_key"], card.incident_id);
        assert_eq!(body["payload"]["severity"], "error");
        let summary = body["payload"]["summary"].as_str().unwrap();
        assert!(summary.chars().count() <= SUMMARY && summary.contains("regulator"), "{summary}");
        assert!(body.to_string().len() < 512_000);
    }

    #[test]
    fn an_acknowledgement_and_an_end_name_the_incident_and_say_nothing_else() {
        for (reason, action) in
            [(Reason::Acknowledged, "acknowledge"), (Reason::Resolved, "resolve")]
        {
            let card = Card { reason, ..sample::large() };
            let body: Value = serde_json::from_slice(&body(&pagerduty(), "key", &card)).unwrap();
            let expected = json!({
                "routing_key": "key",
                "event_action": action,
                "dedup_key": card.incident_id,
            });
            assert_eq!(body, expected);
        }
    }

    #[test]
    fn what_is_wrong_is_told_and_only_what_may_pass_is_tried_again() {
        for (status, outcome) in [
            (202, Outcome::Delivered),
            (400, Outcome::Rejected),
            (429, Outcome::Failed),
            (503, Outcome::Failed),
        ] {
            assert_eq!(judge(&sample::answer(status, "{}")).outcome, outcome, "{status}");
        }
        let body = r#"{"status":"invalid event","message":"Event object is invalid","errors":["'routing_key' is invalid"]}"#;
        let sent = judge(&sample::answer(400, body));
        assert!(sent.detail.contains("'routing_key' is invalid"), "{}", sent.detail);
    }
}
