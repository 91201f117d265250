//! The fold of `zhili.customers.v1`: who comes back, and who complains again.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use serde::{Deserialize, Serialize};
use zhili_dialogue::{Contact, Customers, Output};
use zhili_eventlog::Record;
use zhili_eventlog::runner::{Entry, Erasure, Fold, Frozen, Marker, Outputs, Undecodable};
use zhili_proto::log::v1::Tick;
use zhili_proto::scoring::v1::{CustomerEntry, customer_entry};
use zhili_state::encode;

use crate::agents::Scored;
use crate::bundle::Bundle;
use crate::{convert, records};

/// Changes with what is saved beside customers.
const STATE_VERSION: u16 = 1;

/// State as it is saved.
#[derive(Serialize, Deserialize)]
struct Saved {
    customers: Vec<u8>,
    scored: Scored,
}

/// Customers of one partition.
#[derive(Clone)]
pub struct CustomerFold {
    version: Arc<str>,
    customers: Customers,
    /// Tenants whose agents are scored.
    scored: Scored,
    /// Kept so that a batch does not allocate it anew.
    stated: Vec<Output>,
}

impl Default for CustomerFold {
    fn default() -> Self {
        Self::new()
    }
}

impl CustomerFold {
    /// The fold of a partition that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        let state = Customers::STATE_VERSION;
        let version = Arc::from(format!(
            "customers {}; state {state}.{STATE_VERSION}",
            env!("CARGO_PKG_VERSION")
        ));
        let (customers, scored) = (Customers::new(), Scored::default());
        Self { version, customers, scored, stated: Vec::new() }
    }

    fn state(&mut self, outputs: &mut Outputs) {
        for output in self.stated.drain(..).filter_map(|output| self.scored.heed(output)) {
            records::emit(output, &self.version, outputs);
        }
    }
}

fn entry(entry: customer_entry::Entry) -> Bytes {
    CustomerEntry { entry: Some(entry) }.encode_to_vec().into()
}

impl Fold for CustomerFold {
    type Input = Contact;

    fn name(&self) -> &'static str {
        "customers"
    }

    fn engine(&self) -> &str {
        &self.version
    }

    fn decode(&self, record: &Record) -> Result<Entry<Contact>, Undecodable> {
        records::decode(record, |decoded: CustomerEntry| match decoded.entry? {
            customer_entry::Entry::Tick(tick) => Some(Entry::Tick { at_ms: tick.at_ms }),
            customer_entry::Entry::Marker(marker) => Some(Entry::Marker(records::marker(marker))),
            customer_entry::Entry::Erasure(erasure) => records::erasure(erasure),
            customer_entry::Entry::Contact(contact) => {
                convert::dialogue_contact(contact).map(Entry::Input)
            }
        })
    }

    fn encode_tick(&self, at_ms: i64) -> Bytes {
        entry(customer_entry::Entry::Tick(Tick { at_ms }))
    }

    fn encode_marker(&self, marker: &Marker) -> Bytes {
        entry(customer_entry::Entry::Marker(records::marker_record(marker)))
    }

    fn advance(&mut self, now_ms: i64, outputs: &mut Outputs) {
        self.customers.advance(now_ms, &mut self.stated);
        self.state(outputs);
    }

    fn apply(&mut self, now_ms: i64, _: &Record, contact: Contact, outputs: &mut Outputs) {
        self.customers.apply(now_ms, contact, &mut self.stated);
        self.state(outputs);
    }

    fn configure(
        &mut self,
        now_ms: i64,
        marker: &Marker,
        bundle: &[u8],
        outputs: &mut Outputs,
    ) -> Result<(), String> {
        let bundle = Bundle::parse(bundle).map_err(|error| error.to_string())?;
        let policy = bundle.customers.map(|customers| customers.repeat);
        let Marker { tenant, sequence, .. } = marker;
        if *sequence > self.customers.config_sequence(tenant) {
            self.scored.set(tenant, bundle.agents);
        }
        self.customers.configure(now_ms, tenant, *sequence, policy, &mut self.stated);
        self.state(outputs);
        Ok(())
    }

    fn erase(&mut self, _: i64, erasure: &Erasure, _: &mut Outputs) {
        self.customers.erase(|tenant, name| erasure.names(tenant, name));
    }

    fn config_sequence(&self, tenant: &str) -> u64 {
        self.customers.config_sequence(tenant)
    }

    fn next_due(&self) -> Option<i64> {
        self.customers.next_due()
    }

    fn freeze(&self) -> Frozen {
        let (frozen, scored) = (self.customers.freeze(), self.scored.clone());
        Box::new(move || encode(&Saved { customers: frozen.to_bytes(), scored }, Vec::new()))
    }

    fn load(&mut self, state: &[u8]) -> Result<(), String> {
        let saved: Saved = postcard::from_bytes(state).map_err(|error| error.to_string())?;
        self.customers = Customers::restore(&saved.customers).map_err(|error| error.to_string())?;
        self.scored = saved.scored;
        Ok(())
    }

    fn hash(&mut self) -> [u8; 32] {
        blake3::hash(&encode(&(self.customers.hash(), &self.scored), Vec::new())).into()
    }
}
