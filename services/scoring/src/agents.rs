//! Whether the agents of a tenant are scored, and what is left of a statement where they are not:
//! nothing that rates one of them or says whose it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zhili_dialogue::{CareStatement, FactBody, Output, SignalKind};
use zhili_eventlog::runner::Bundles;

use crate::bundle::{AgentSettings, Bundle};
use crate::engines::ANY_TENANT;

/// What tenants say of it. Who says nothing is treated as tenant `*` says, and scored if that says
/// nothing either.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scored(BTreeMap<String, bool>);

impl Scored {
    pub(crate) fn set(&mut self, tenant: &str, settings: Option<AgentSettings>) {
        match settings {
            Some(AgentSettings { scored }) => self.0.insert(tenant.to_owned(), scored),
            None => self.0.remove(tenant),
        };
    }

    pub(crate) fn are(&self, tenant: &str) -> bool {
        self.0.get(tenant).or_else(|| self.0.get(ANY_TENANT)).copied().unwrap_or(true)
    }

    /// An output as its tenant may have it; `None` if nothing is left of it.
    pub(crate) fn heed(&self, output: Output) -> Option<Output> {
        let tenant = match &output {
            Output::Fact(it) => &it.tenant,
            Output::Signal(it) => &it.tenant,
            Output::Complaint(it) => &it.tenant,
            Output::Presence(it) => &it.tenant,
        };
        if self.are(tenant) { Some(output) } else { unscored(output) }
    }
}

/// Whether the agents of a tenant are scored now, for requests that no fold answers.
pub(crate) fn scored_in_force(bundles: &Bundles, tenant: &str) -> bool {
    let of = |tenant: &str| {
        let bundle = bundles.get(&bundles.head(tenant)?.bundle)?;
        Some(Bundle::parse(&bundle).ok()?.agents?.scored)
    };
    of(tenant).or_else(|| of(ANY_TENANT)).unwrap_or(true)
}

fn unscored(mut output: Output) -> Option<Output> {
    match &mut output {
        Output::Fact(fact) => {
            fact.agent.clear();
            match &mut fact.body {
                FactBody::Slot(_) => return None,
                FactBody::Session(session) => {
                    session.stints.clear();
                    // What the customer did stays.
                    let care = std::mem::take(&mut session.care);
                    let CareStatement { complaint, urgent, topic, .. } = care;
                    session.care =
                        CareStatement { complaint, urgent, topic, ..CareStatement::default() };
                }
                FactBody::Turn(_)
                | FactBody::Cycle(_)
                | FactBody::Promise(_)
                | FactBody::Recontact(_)
                | FactBody::Correction(_) => {}
            }
        }
        Output::Signal(signal) if signal.kind == SignalKind::ForbiddenWording => return None,
        Output::Signal(signal) => signal.agent.clear(),
        Output::Complaint(complaint) => complaint.agent.clear(),
        Output::Presence(_) => {}
    }
    Some(output)
}
