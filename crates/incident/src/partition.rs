//! All incidents of one partition of the escalation log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zhili_state::{Open, Parts};

use crate::command::{Answer, Command, Refusal};
use crate::config::{ANY_TENANT, DEFAULT_TEAM};
use crate::configs::{Configs, InForce};
use crate::entry::{Effect, Entry, Ignored};
use crate::event::{EventKind, IncidentEvent};
use crate::health::{DestinationHealth, Health, Unreachable};
use crate::id::{IncidentId, PageId};
use crate::incident::{Incident, RESOLVED_FOR_MS, State};
use crate::index::{Entered, Index, Timer};
use crate::lifecycle::{Context, Tracked};
use crate::pace::{Paces, Place};
use crate::page::{Claim, DeliveryResult, Page, PageState};
use crate::policy::Policy;
use crate::presence::Presences;
use crate::rule;
use crate::signal::{Family, Key, Signal};
use crate::silence::Silences;
use crate::storm::Crowd;
use crate::telling::reply;

/// Everything that outlives a restart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Durable {
    pub(crate) now_ms: i64,
    pub(crate) configs: Configs,
    pub(crate) silences: Silences,
    pub(crate) presences: Presences,
    pub(crate) health: Health,
    pub(crate) paces: Paces,
    pub(crate) replies: u64,
    /// Incidents opened so far.
    pub(crate) opened: u64,
    pub(crate) incidents: Parts<IncidentId, Open<Tracked>>,
}

/// What the transitions of one incident of `$partition` may look at and write to.
macro_rules! context {
    ($partition:expr, $events:expr) => {
        Context {
            now_ms: $partition.durable.now_ms,
            configs: &$partition.durable.configs,
            silences: &$partition.durable.silences,
            presences: &$partition.durable.presences,
            crowds: &$partition.index.crowds,
            health: &mut $partition.durable.health,
            paces: &mut $partition.durable.paces,
            replies: &mut $partition.durable.replies,
            events: $events,
        }
    };
}
pub(crate) use context;

/// The policy of a tenant, team and family.
type PolicyKey = (String, String, Family);

/// All incidents of one partition: a fold of its records and of time.
///
/// Time comes only from the log: `at_ms` is the append time of a record or tick that was read
/// from it, in milliseconds since the Unix epoch, so that a replay does the same. A time
/// earlier than one seen before counts as that one.
#[derive(Debug, Clone, Default)]
pub struct Partition {
    pub(crate) durable: Durable,
    pub(crate) index: Index,
    policies: BTreeMap<PolicyKey, Arc<Policy>>,
}

impl Partition {
    /// A partition before its first record.
    pub fn new() -> Self {
        Self::default()
    }

    /// The latest time seen, milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        self.durable.now_ms
    }

    /// Lets time pass: whatever was due by `at_ms` happens, in order of (due time, id), and is
    /// told in `events`.
    ///
    /// A step that is overdue is taken once and the next one counted from `at_ms`.
    pub fn advance(&mut self, at_ms: i64, events: &mut Vec<IncidentEvent>) {
        self.durable.now_ms = self.durable.now_ms.max(at_ms);
        let now_ms = self.durable.now_ms;
        loop {
            let timer = self.index.timers.first().filter(|timer| timer.due_ms <= now_ms).copied();
            let start = self.index.starts.first().filter(|(due_ms, _)| *due_ms <= now_ms);
            if start.is_some_and(|(due_ms, _)| timer.is_none_or(|timer| *due_ms <= timer.due_ms)) {
                if let Some((_, tenant)) = self.index.starts.pop_first() {
                    self.look_again(&tenant, events);
                }
                continue;
            }
            let Some(timer) = timer else { break };
            let id = timer.incident;
            let Some(tracked) = self.durable.incidents.get_mut(&id) else {
                self.index.timers.remove(&timer);
                continue;
            };
            match timer.page {
                Some(page_id) => {
                    tracked.page_time_passed(page_id, now_ms, &mut self.durable.paces);
                }
                None if tracked.incident.state == State::Resolved => {
                    self.forget(id);
                    continue;
                }
                None => {
                    let mut context = context!(self, events);
                    tracked.time_passed(timer.due_ms, &mut context);
                }
            }
            self.refresh(id);
        }
        self.settle_bundles(events);
    }

    /// Lets time pass to `at_ms`, then folds a record. Tells in `events` what happened, and
    /// returns why the record had no effect if it had none.
    pub fn apply(
        &mut self,
        at_ms: i64,
        entry: Entry,
        events: &mut Vec<IncidentEvent>,
    ) -> Option<Ignored> {
        self.advance(at_ms, events);
        let folded = match entry {
            Entry::Signal(signal) => self.signal(signal, events),
            Entry::Command(command) => {
                self.command(&command, events);
                Ok(())
            }
            Entry::Silence(command) => {
                self.silence(&command, events);
                Ok(())
            }
            Entry::Presence(presence) => {
                self.presence(&presence, events);
                Ok(())
            }
            Entry::Claim(claim) => self.claim(claim),
            Entry::Result(result) => self.result(result, events),
            Entry::Config { tenant, bundle, sequence, config } => {
                self.configure(&tenant, InForce { sequence, bundle, config: Some(config) }, events)
            }
            Entry::NoConfig { tenant, sequence } => self.configure(
                &tenant,
                InForce { sequence, bundle: String::new(), config: None },
                events,
            ),
        };
        self.settle_bundles(events);
        folded.err()
    }

    /// When time changes the state next: by then the owner should have appended a tick.
    pub fn next_due(&self) -> Option<i64> {
        let timer = self.index.timers.first().map(|timer| timer.due_ms);
        let start = self.index.starts.first().map(|(due_ms, _)| *due_ms);
        timer.into_iter().chain(start).min()
    }

    /// What the live owner of the partition should do at `now_ms`, longest waiting first. This
    /// follows from the state alone: after a takeover the new owner asks and gets all that is
    /// open, and on replay nobody asks.
    ///
    /// - `owner`: name of the asking process, as in its claims.
    /// - `now_ms`: the asker's best idea of log time; a send is not offered when its lease is
    ///   over by then. It may be ahead of [`Partition::now_ms`].
    /// - `under_way(page, attempt)`: whether the asker has started that send and not yet read
    ///   its result back. Such a send is neither offered again nor given up when its lease ends,
    ///   because the lease bounds the start of a send, not its end.
    ///
    /// A claim is offered until it is read back; to append it twice is harmless, the first one
    /// counts.
    pub fn effects(
        &self,
        now_ms: i64,
        owner: &str,
        mut under_way: impl FnMut(PageId, u32) -> bool,
    ) -> Vec<Effect<'_>> {
        let mut effects = Vec::new();
        for &(_, page_id) in &self.index.active {
            let Some((incident, page)) = self.page(page_id) else {
                continue;
            };
            let attempt = page.next_attempt();
            match &page.state {
                PageState::Ready { .. } => {
                    effects.push(Effect::Claim { incident, page_id, attempt });
                }
                PageState::Unsettled { owner: claimant, .. }
                    if claimant != owner || !under_way(page_id, page.attempts) =>
                {
                    effects.push(Effect::Claim { incident, page_id, attempt });
                }
                PageState::Sending { owner: claimant, lease_until_ms, .. } => {
                    let (attempt, lease_until_ms) = (page.attempts, *lease_until_ms);
                    let destination = self.durable.configs.destination(
                        &incident.tenant,
                        &incident.team,
                        &page.destination,
                    );
                    if claimant == owner
                        && page.stop.is_none()
                        && now_ms < lease_until_ms
                        && !under_way(page_id, attempt)
                        && let Some(destination) = destination
                    {
                        effects.push(Effect::Send {
                            incident,
                            page,
                            attempt,
                            destination,
                            lease_until_ms,
                            others: self.bundled_with(page_id),
                        });
                    }
                }
                _ => {}
            }
        }
        effects
    }

    /// An incident that is open or was resolved less than [`RESOLVED_FOR_MS`] ago.
    pub fn get(&self, incident_id: IncidentId) -> Option<&Incident> {
        self.durable.incidents.get(&incident_id).map(|tracked| &tracked.incident)
    }

    /// A tenant's incidents, open ones first, newest first among each.
    pub fn list(&self, tenant: &str) -> Vec<&Incident> {
        let mut incidents: Vec<&Incident> =
            self.incidents().filter(|incident| incident.tenant == tenant).collect();
        incidents.sort_by_key(|incident| {
            (!incident.is_open(), std::cmp::Reverse(incident.triggered_at_ms), incident.incident_id)
        });
        incidents
    }

    /// All incidents in memory, by id.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.durable.incidents.values().map(|tracked| &tracked.incident)
    }

    /// Number of a tenant's incidents that are not resolved.
    pub fn open_count(&self, tenant: &str) -> usize {
        self.index.open.get(tenant).map_or(0, BTreeSet::len)
    }

    /// A page and its incident, while it is kept.
    pub fn page(&self, page_id: PageId) -> Option<(&Incident, &Page)> {
        let incident = self.get(*self.index.pages.get(&page_id)?)?;
        Some((incident, incident.page(page_id)?))
    }

    /// Pages, with their incidents, that go together with another one.
    fn bundled_with(&self, leader: PageId) -> Vec<(&Incident, &Page)> {
        let others = self.index.bundled.get(&leader).into_iter().flatten();
        others.filter_map(|&page_id| self.page(page_id)).collect()
    }

    /// The answer that a command got, while it is remembered.
    pub fn answer(&self, incident_id: IncidentId, command_id: &str) -> Option<&Answer> {
        self.durable.incidents.get(&incident_id)?.answer(command_id)
    }

    /// A tenant's teams that pages cannot reach: those that its configuration names, those with
    /// incidents here, and `default`. Empty means that everybody can be reached as far as is
    /// known.
    pub fn unreachable(&self, tenant: &str) -> Vec<Unreachable> {
        let configured = self.durable.configs.of(tenant).map(|(_, config)| config.teams().keys());
        let mut teams: BTreeSet<&str> =
            configured.into_iter().flatten().map(String::as_str).collect();
        let open = self.index.open.get(tenant).into_iter().flatten();
        teams.extend(open.filter_map(|&id| self.get(id)).map(|incident| incident.team.as_str()));
        if teams.is_empty() {
            teams.insert(DEFAULT_TEAM);
        }
        let cause = |team| self.durable.health.unreachable(&self.durable.configs, tenant, team);
        let unreachable = teams.into_iter().filter_map(|team| {
            let (tenant, cause) = (tenant.to_owned(), cause(team)?);
            Some(Unreachable { tenant, team: team.to_owned(), cause })
        });
        unreachable.collect()
    }

    /// Sequence of the configuration that was given last for just this tenant.
    pub fn config_sequence(&self, tenant: &str) -> Option<u64> {
        let configs = &self.durable.configs.by_tenant;
        configs.get(tenant).map(|in_force| in_force.sequence)
    }

    /// What the last sends to a destination came to, if there were any.
    pub fn health(
        &self,
        tenant: &str,
        team: &str,
        destination: &str,
    ) -> Option<&DestinationHealth> {
        self.durable.health.of(tenant, team, destination)
    }

    pub(crate) fn signal(
        &mut self,
        mut signal: Signal,
        events: &mut Vec<IncidentEvent>,
    ) -> Result<(), Ignored> {
        let key = signal.key();
        let fingerprint = signal.fingerprint();
        let of_key: &[IncidentId] = self.index.keys.get(&key).map_or(&[], Vec::as_slice);
        let seen = |id: &IncidentId| {
            self.durable.incidents.get(id).is_some_and(|tracked| tracked.has_seen(fingerprint))
        };
        let opened = signal.incident_id();
        if of_key.iter().any(|id| *id == opened || seen(id)) {
            return Err(Ignored::DuplicateSignal);
        }
        let latest = of_key.last().copied();
        let team = self.durable.configs.team(&signal.tenant, &signal.team);
        let pages = rule::judge(team.map_or(&[], |team| &team.rules), &mut signal);
        let policy = self.policy(&signal.tenant, &signal.team, signal.family);
        let now_ms = self.durable.now_ms;
        let mut context = context!(self, events);
        let joined = latest.and_then(|id| {
            let tracked = self.durable.incidents.get_mut(&id)?;
            let joins = tracked.incident.is_open()
                || signal.historical
                || tracked.cools_down(&signal, now_ms);
            joins.then_some((id, tracked))
        });
        if let Some((id, tracked)) = joined {
            tracked.add(signal, pages, &mut context);
            self.refresh(id);
        } else {
            self.durable.opened += 1;
            let nth = self.durable.opened;
            let tracked = Tracked::open(nth, signal, pages, policy, latest, &mut context);
            self.durable.incidents.insert(opened, tracked);
            self.enter_key(opened);
            self.refresh(opened);
            self.tell_of_storm(opened, events);
        }
        Ok(())
    }

    fn command(&mut self, command: &Command, events: &mut Vec<IncidentEvent>) {
        let mut context = context!(self, events);
        let id = command.incident_id.parse::<IncidentId>().ok();
        let tracked = id.and_then(|id| self.durable.incidents.get_mut(&id)).filter(|tracked| {
            let incident = &tracked.incident;
            incident.tenant == command.tenant
                && (command.team.is_empty() || incident.team == command.team)
        });
        match (tracked, id) {
            (Some(tracked), Some(id)) if !command.command_id.is_empty() => {
                tracked.command(command, &mut context);
                self.refresh(id);
            }
            (found, _) => {
                let refusal = if found.is_some() {
                    Refusal::MissingCommandId
                } else {
                    Refusal::UnknownIncident
                };
                let incident = found.map(|tracked| Arc::new(tracked.incident.clone()));
                let answer = Answer::Refused(refusal);
                reply(EventKind::Refused, command, incident, answer, &mut context);
            }
        }
    }

    fn claim(&mut self, claim: Claim) -> Result<(), Ignored> {
        let id = *self.index.pages.get(&claim.page_id).ok_or(Ignored::UnknownPage)?;
        let tracked = self.durable.incidents.get_mut(&id).ok_or(Ignored::UnknownPage)?;
        let page_id = claim.page_id;
        tracked.claim(claim, self.durable.now_ms)?;
        self.refresh(id);
        self.bundle(page_id);
        Ok(())
    }

    fn result(
        &mut self,
        result: DeliveryResult,
        events: &mut Vec<IncidentEvent>,
    ) -> Result<(), Ignored> {
        let id = *self.index.pages.get(&result.page_id).ok_or(Ignored::UnknownPage)?;
        let tracked = self.durable.incidents.get_mut(&id).ok_or(Ignored::UnknownPage)?;
        let mut context = context!(self, events);
        tracked.result(result, &mut context)?;
        self.refresh(id);
        Ok(())
    }

    fn configure(
        &mut self,
        tenant: &str,
        in_force: InForce,
        events: &mut Vec<IncidentEvent>,
    ) -> Result<(), Ignored> {
        if self.config_sequence(tenant) >= Some(in_force.sequence) {
            return Err(Ignored::OldConfig);
        }
        let configs = &mut self.durable.configs;
        configs.by_tenant.insert(tenant.to_owned(), in_force);
        let configs = &self.durable.configs;
        let concerns =
            |name: &str| name == tenant || (tenant == ANY_TENANT && configs.own(name).is_none());
        self.policies.retain(|(name, _, _), _| !concerns(name));
        self.durable.health.forget(concerns);
        self.durable.paces.retain(|(tenant, team, destination)| {
            configs.destination(tenant, team, destination).is_some()
        });
        let open = self.index.open.iter().filter(|(name, _)| concerns(name));
        let ids: Vec<IncidentId> = open.flat_map(|(_, ids)| ids.iter().copied()).collect();
        for id in ids {
            self.reconfigure(id, events);
        }
        self.enter_starts();
        Ok(())
    }

    fn reconfigure(&mut self, id: IncidentId, events: &mut Vec<IncidentEvent>) {
        let Some(incident) = self.get(id) else { return };
        let (tenant, team, family) =
            (incident.tenant.clone(), incident.team.clone(), incident.family);
        let policy = self.policy(&tenant, &team, family);
        let Some(tracked) = self.durable.incidents.get_mut(&id) else {
            return;
        };
        let mut context = context!(self, events);
        let stranded = tracked.is_stranded(context.configs);
        let lost = tracked.destinations_changed(stranded, &mut context);
        if stranded {
            tracked.policy_changed(policy, lost, &mut context);
        }
        tracked.look_again(&mut context);
        self.refresh(id);
    }

    fn policy(&mut self, tenant: &str, team: &str, family: Family) -> Arc<Policy> {
        let key = (tenant.to_owned(), team.to_owned(), family);
        let configs = &self.durable.configs;
        let policy = self.policies.entry(key);
        Arc::clone(
            policy.or_insert_with(|| Arc::new(Policy::resolve(configs.of(tenant), team, family))),
        )
    }

    /// Enters an incident's timers and pages as they are now.
    pub(crate) fn refresh(&mut self, id: IncidentId) {
        let Some(tracked) = self.durable.incidents.get(&id) else {
            return;
        };
        let incident = &tracked.incident;
        let own_due_ms = match incident.state {
            State::Resolved => incident.resolved_at_ms.map(|at| at + RESOLVED_FOR_MS),
            _ => incident.next_at_ms,
        };
        let own = own_due_ms.map(|due_ms| Timer { due_ms, incident: id, page: None });
        let of_pages = incident.pages.iter().filter_map(|page| {
            Some(Timer { due_ms: page.timer_ms()?, incident: id, page: Some(page.page_id) })
        });
        let active =
            incident.pages.iter().filter_map(|page| Some((page.active_since_ms()?, page.page_id)));
        let crowds = Crowd::counts(incident).then(|| Crowd::of(incident));
        let entered = Entered {
            crowd: crowds,
            timers: own.into_iter().chain(of_pages).collect(),
            active: active.collect(),
            pages: incident.pages.iter().map(|page| page.page_id).collect(),
            waiting: incident.pages.iter().filter_map(|page| waiting(incident, page)).collect(),
            bundled: incident.pages.iter().filter_map(bundled).collect(),
        };
        if let Some(open) = self.index.open.get_mut(&incident.tenant) {
            if incident.is_open() {
                open.insert(id);
            } else {
                open.remove(&id);
            }
        } else if incident.is_open() {
            self.index.open.insert(incident.tenant.clone(), BTreeSet::from([id]));
        }
        self.index.replace(id, entered);
    }

    pub(crate) fn forget(&mut self, id: IncidentId) {
        let Some(tracked) = self.durable.incidents.remove(&id) else {
            return;
        };
        self.index.replace(id, Entered::default());
        self.index.entered.remove(&id);
        let incident = &tracked.incident;
        if let Some(open) = self.index.open.get_mut(&incident.tenant) {
            open.remove(&id);
            if open.is_empty() {
                self.index.open.remove(&incident.tenant);
            }
        }
        let key = key_of(incident);
        if let Some(ids) = self.index.keys.get_mut(&key) {
            ids.retain(|kept| *kept != id);
            if ids.is_empty() {
                self.index.keys.remove(&key);
            }
        }
    }

    pub(crate) fn enter_key(&mut self, id: IncidentId) {
        if let Some(tracked) = self.durable.incidents.get(&id) {
            self.index.keys.entry(key_of(&tracked.incident)).or_default().push(id);
        }
    }
}

fn waiting(incident: &Incident, page: &Page) -> Option<(Place, PageId)> {
    let waits = matches!(page.state, PageState::Waiting { .. });
    let place = || (incident.tenant.clone(), incident.team.clone(), page.destination.clone());
    waits.then(|| (place(), page.page_id))
}

fn bundled(page: &Page) -> Option<(PageId, PageId)> {
    match page.state {
        PageState::Bundled { with } => Some((with, page.page_id)),
        _ => None,
    }
}

fn key_of(incident: &Incident) -> Key {
    Key::of(&incident.tenant, &incident.team, &incident.conversation_id, incident.family)
}
