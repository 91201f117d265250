//! Signatures that others have computed, for tests.

use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct Vectors {
    pub(crate) standard_webhooks: Vec<StandardWebhook>,
    pub(crate) dingtalk: Vec<Dingtalk>,
    pub(crate) feishu: Vec<Feishu>,
}

#[derive(Deserialize)]
pub(crate) struct StandardWebhook {
    pub(crate) source: String,
    pub(crate) secret: String,
    pub(crate) id: String,
    pub(crate) timestamp: i64,
    pub(crate) body: String,
    pub(crate) signature: String,
}

#[derive(Deserialize)]
pub(crate) struct Dingtalk {
    pub(crate) secret: String,
    pub(crate) timestamp_ms: i64,
    pub(crate) sign: String,
}

#[derive(Deserialize)]
pub(crate) struct Feishu {
    pub(crate) secret: String,
    pub(crate) timestamp: i64,
    pub(crate) sign: String,
}

pub(crate) fn read() -> Vectors {
    serde_json::from_str(include_str!("../tests/data/signatures.json")).unwrap()
}
