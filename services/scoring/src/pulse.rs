//! The fold of `zhili.pulse.v1`: many complaints about one thing at once.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use zhili_dialogue::{Count, Output, Pulse};
use zhili_eventlog::Record;
use zhili_eventlog::runner::{Entry, Erasure, Fold, Frozen, Marker, Outputs, Undecodable};
use zhili_proto::log::v1::Tick;
use zhili_proto::scoring::v1::{PulseEntry, pulse_entry};

use crate::bundle::Bundle;
use crate::{convert, records};

/// Tenants of one partition.
#[derive(Clone)]
pub struct PulseFold {
    version: Arc<str>,
    pulse: Pulse,
}

impl Default for PulseFold {
    fn default() -> Self {
        Self::new()
    }
}

impl PulseFold {
    /// The fold of a partition that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        let state = Pulse::STATE_VERSION;
        let version = Arc::from(format!("pulse {}; state {state}", env!("CARGO_PKG_VERSION")));
        Self { version, pulse: Pulse::new() }
    }
}

fn entry(entry: pulse_entry::Entry) -> Bytes {
    PulseEntry { entry: Some(entry) }.encode_to_vec().into()
}

impl Fold for PulseFold {
    type Input = Count;

    fn name(&self) -> &'static str {
        "pulse"
    }

    fn engine(&self) -> &str {
        &self.version
    }

    fn decode(&self, record: &Record) -> Result<Entry<Count>, Undecodable> {
        records::decode(record, |decoded: PulseEntry| {
            Some(match decoded.entry? {
                pulse_entry::Entry::Tick(tick) => Entry::Tick { at_ms: tick.at_ms },
                pulse_entry::Entry::Marker(marker) => Entry::Marker(records::marker(marker)),
                pulse_entry::Entry::Erasure(erasure) => return records::erasure(erasure),
                pulse_entry::Entry::Count(count) => Entry::Input(convert::dialogue_count(count)),
            })
        })
    }

    fn encode_tick(&self, at_ms: i64) -> Bytes {
        entry(pulse_entry::Entry::Tick(Tick { at_ms }))
    }

    fn encode_marker(&self, marker: &Marker) -> Bytes {
        entry(pulse_entry::Entry::Marker(records::marker_record(marker)))
    }

    /// Nothing comes with time alone: a burst begins and gets worse with a count.
    fn advance(&mut self, _: i64, _: &mut Outputs) {}

    fn apply(&mut self, now_ms: i64, _: &Record, count: Count, outputs: &mut Outputs) {
        let mut stated: Vec<Output> = Vec::new();
        self.pulse.apply(now_ms, &count, &mut stated);
        for output in stated {
            records::emit(output, &self.version, outputs);
        }
    }

    fn configure(
        &mut self,
        _: i64,
        marker: &Marker,
        bundle: &[u8],
        _: &mut Outputs,
    ) -> Result<(), String> {
        let bundle = Bundle::parse(bundle).map_err(|error| error.to_string())?;
        self.pulse.configure(&marker.tenant, marker.sequence, bundle.pulse);
        Ok(())
    }

    fn erase(&mut self, _: i64, erasure: &Erasure, _: &mut Outputs) {
        self.pulse.erase(|tenant, name| erasure.names(tenant, name));
    }

    fn config_sequence(&self, tenant: &str) -> u64 {
        self.pulse.config_sequence(tenant)
    }

    fn next_due(&self) -> Option<i64> {
        None
    }

    fn freeze(&self) -> Frozen {
        // A few hundred things of each tenant at most.
        let pulse = self.pulse.clone();
        Box::new(move || pulse.snapshot())
    }

    fn load(&mut self, state: &[u8]) -> Result<(), String> {
        self.pulse = Pulse::restore(state).map_err(|error| error.to_string())?;
        Ok(())
    }

    fn hash(&mut self) -> [u8; 32] {
        blake3::hash(&self.save()).into()
    }
}
