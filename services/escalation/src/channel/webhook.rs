//! Webhooks: a CloudEvent (1.0, structured JSON) whose data is the incident's card, signed as
//! Standard Webhooks has it.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use crate::card::{Card, iso};
use crate::channel::answer::{Answer, Sent};
use crate::signature::{self, Key};

pub(crate) const CONTENT_TYPE: &str = "application/cloudevents+json";

/// The body of a page.
pub(crate) fn body(card: &Card) -> Vec<u8> {
    let time = iso(card.created_at_ms);
    let event = json!({
        "specversion": "1.0",
        "id": card.page_id,
        "source": format!("/zhili/tenants/{}/teams/{}", card.tenant, card.team),
        "type": format!("zhili.incident.v1.{}", card.happened()),
        "subject": card.incident_id,
        "time": time,
        // Where consumers of Standard Webhooks look for it.
        "timestamp": time,
        "datacontenttype": "application/json",
        "data": card.data(),
    });
    event.to_string().into_bytes()
}

/// The headers of an attempt at `timestamp`, seconds since the Unix epoch.
pub(crate) fn headers(id: &str, timestamp: i64, keys: &[Key], body: &[u8]) -> HeaderMap {
    let signature = (!keys.is_empty()).then(|| signature::sign(keys, id, timestamp, body));
    let headers = [
        ("webhook-id", Some(id.to_owned())),
        ("webhook-timestamp", Some(timestamp.to_string())),
        ("webhook-signature", signature),
    ];
    headers
        .into_iter()
        .filter_map(|(name, value)| {
            Some((HeaderName::from_static(name), HeaderValue::try_from(value?).ok()?))
        })
        .collect()
}

/// The status is all that counts.
pub(crate) fn judge(answer: &Answer) -> Sent {
    answer.judged_by_status()
}
