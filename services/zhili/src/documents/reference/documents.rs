//! What the page tells of: settings of services, the tables of bundles, the columns of an export.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::walk::Document;
use crate::publish::Columns;

/// What a type makes of what it is told.
fn through<T: DeserializeOwned + Serialize>(told: Value) -> Result<Value, String> {
    let read = serde_json::from_value::<T>(told).map_err(|error| error.to_string())?;
    serde_json::to_value(read).map_err(|error| error.to_string())
}

/// The settings of each service, by its name.
pub(super) fn services() -> [(&'static str, Document); 4] {
    fn of<T: DeserializeOwned + Serialize>(service: &'static str, mut filled: Value) -> Document {
        filled["kafka"] = json!({ "tls": {} });
        filled["auth"] = json!({ "oidc": { "login": {} } });
        Document { of: (service, "Settings"), path: "", filled, read: through::<T> }
    }
    let senders = json!([{ "platform": "chatwoot", "secret": "" }]);
    let ingest = json!({ "ingest": { "senders": senders } });
    let escalation = json!({ "escalation": { "default_webhook": {} } });
    [
        ("zhili-ingest", of::<zhili_ingest::Settings>("zhili_ingest", ingest)),
        ("zhili-scoring", of::<zhili_scoring::Settings>("zhili_scoring", json!({}))),
        ("zhili-escalation", of::<zhili_escalation::Settings>("zhili_escalation", escalation)),
        ("zhili-metrics", of::<zhili_metrics::Settings>("zhili_metrics", json!({}))),
    ]
}

/// The tables of a bundle, in the order of the page.
pub(super) fn bundle() -> [Document; 6] {
    fn of<T: DeserializeOwned + Serialize>(
        path: &'static str,
        of: (&'static str, &'static str),
        filled: &str,
    ) -> Document {
        Document { of, path, filled: toml::from_str(filled).unwrap(), read: through::<T> }
    }
    [
        of::<zhili_incident::Config>("escalation", ("zhili_incident", "Config"), ESCALATION),
        of::<zhili_dialogue::Policies>("dialogue", ("zhili_dialogue", "Policies"), DIALOGUE),
        of::<zhili_scoring::CustomerSettings>(
            "customers",
            ("zhili_scoring", "CustomerSettings"),
            "",
        ),
        of::<zhili_dialogue::PulsePolicy>("pulse", ("zhili_dialogue", "PulsePolicy"), ""),
        of::<zhili_scoring::AgentSettings>(
            "agents",
            ("zhili_scoring", "AgentSettings"),
            "scored = true",
        ),
        of::<zhili_scoring::Phrases>("phrases", ("zhili_scoring", "Phrases"), ""),
    ]
}

/// The file of `zhili publish --columns`.
pub(super) fn columns() -> Document {
    let filled = json!({ "columns": {} });
    Document { of: ("zhili", "Columns"), path: "", filled, read: through::<Columns> }
}

/// Every key of this that is not needed can be taken away by itself.
const ESCALATION: &str = r#"
[teams.default.policies.default]
steps = [{ destinations = ["webhook"], on_call = ["night"] }]

[teams.default.schedules.night]
tz = "UTC"
overrides = [{ member = "webhook", starts = "2026-10-01T00:00", ends = "2026-10-02T00:00" }]

[[teams.default.schedules.night.layers]]
members = ["webhook"]
rotation = "weekly"
starts = "2026-01-05T09:00"
only = { tz = "UTC", weekly = { mon = [["09:00", "18:00"]] } }

[teams.default.quiet_hours.webhook]
tz = "UTC"
weekly = { mon = [["22:00", "08:00"]] }

[[teams.default.rules]]
match = {}

[teams.default.silences.move]
match = { queue = ["returns"], family = ["sla"] }
starts = "2026-10-01T00:00:00Z"
ends = "2026-10-02T00:00:00Z"

[teams.default.destinations]
webhook = { webhook = { url = "https://hooks.example" } }
watch = { watch = {} }
dingtalk = { dingtalk = { url = "env:URL" } }
wecom = { wecom = { url = "env:URL" } }
feishu = { feishu = { url = "env:URL" } }
slack = { slack = { url = "env:URL" } }
pagerduty = { pagerduty = { routing_key = "env:KEY" } }
email = { email = { server = "smtp.example:587", from = "a@shop.example", to = ["b@shop.example"] } }
"#;

const DIALOGUE: &str = r#"
[calendars.office]
tz = "UTC"

[policies.standard]
frt = { target_ms = 60000 }
nrt = { target_ms = 60000 }
resolution = { target_ms = 60000 }
silence = {}

[queues.vip]
"#;
