//! All incidents as they are told in `zhili.incidents.v1`: what any replica answers from,
//! whoever owns their partition.
//!
//! It holds the records of that log as they are, because it hands them out as they are.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use prost::Message;
use tokio::sync::{broadcast, oneshot, watch};
use zhili_eventlog::{EventLog, LogError, ReadLimit, Record, TopicPartition, topics};
use zhili_incident::{Action, Command, RESOLVED_FOR_MS, SilenceCommand};
use zhili_proto::escalation::v1 as pb;
use zhili_proto::escalation::v1::incident_event::Type;
use zhili_proto::millis;

/// Attempts kept with an incident, the newest; all of them are in the log.
const KEPT_ATTEMPTS: usize = 200;
/// Pauses before a read is tried again, growing from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// An event and its place, as told to watchers.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) partition: usize,
    pub(crate) offset: u64,
    pub(crate) event: Arc<pb::IncidentEvent>,
}

/// The incidents that are open or were resolved less than a day ago.
pub(crate) struct Board {
    log: Arc<dyn EventLog>,
    pub(crate) log_id: String,
    state: RwLock<State>,
    told: broadcast::Sender<Told>,
    /// Changes whenever more has been read.
    moved: watch::Sender<()>,
}

struct State {
    incidents: HashMap<String, Arc<pb::Incident>>,
    silences: HashMap<String, pb::Silence>,
    /// Of the same incidents, at most [`KEPT_ATTEMPTS`] each.
    attempts: HashMap<String, VecDeque<pb::DeliveryAttempt>>,
    /// Resolved incidents by when they are to be forgotten.
    forget: BTreeSet<(i64, String)>,
    partitions: Vec<Place>,
    waiting: HashMap<Asked, Vec<oneshot::Sender<Arc<pb::IncidentEvent>>>>,
}

#[derive(Clone, Copy, Default)]
struct Place {
    next: u64,
    now_ms: i64,
    caught_up: bool,
}

/// What somebody waits for the answer to. Others may have given the same command id to something
/// else, for which theirs is refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asked {
    tenant: String,
    command_id: String,
    actor: String,
    about: About,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum About {
    Incident { incident_id: String, action: Action },
    Silence,
}

impl Asked {
    fn is_answered_by(&self, event: &pb::IncidentEvent) -> bool {
        // A refusal may name neither: whoever asked under that id is meant.
        let named = event.incident.as_ref().map(|incident| incident.incident_id.as_str());
        self.tenant == event.tenant
            && self.command_id == event.command_id
            && self.actor == event.actor
            && match &self.about {
                About::Incident { incident_id, action } => {
                    event.silence.is_none()
                        && named.is_none_or(|named| named == incident_id)
                        && leads_to(action, event.r#type())
                }
                About::Silence => named.is_none(),
            }
    }
}

/// Whether what happened can be what an action led to.
fn leads_to(action: &Action, kind: Type) -> bool {
    match kind {
        Type::Acknowledged => *action == Action::Acknowledge,
        Type::Resolved => *action == Action::Resolve,
        Type::Snoozed => matches!(action, Action::Snooze(_)),
        Type::Reassigned => matches!(action, Action::Reassign(_)),
        Type::FalsePositive => *action == Action::MarkFalsePositive,
        Type::Redelivered => matches!(action, Action::Redeliver(_)),
        Type::Triggered | Type::Escalated => *action == Action::EscalateNow,
        _ => true,
    }
}

impl Board {
    pub(crate) async fn open(log: Arc<dyn EventLog>, buffer: usize) -> Result<Arc<Self>, LogError> {
        let topic = log.topic(topics::INCIDENTS).await?;
        let mut partitions = Vec::new();
        for partition in 0..topic.partitions {
            let start = log.bounds(&place(partition)).await?.start;
            partitions.push(Place { next: start, ..Place::default() });
        }
        let state = State {
            incidents: HashMap::new(),
            silences: HashMap::new(),
            attempts: HashMap::new(),
            forget: BTreeSet::new(),
            partitions,
            waiting: HashMap::new(),
        };
        Ok(Arc::new(Self {
            log,
            log_id: topic.log_id,
            state: RwLock::new(state),
            told: broadcast::Sender::new(buffer.max(1)),
            moved: watch::Sender::new(()),
        }))
    }

    pub(crate) fn partitions(&self) -> u32 {
        self.read().partitions.len() as u32
    }

    /// Follows one partition for ever.
    pub(crate) async fn follow(&self, partition: u32) -> LogError {
        let at = place(partition);
        let mut pause = BACKOFF.0;
        loop {
            let next = self.read().partitions[partition as usize].next;
            match self.log.read(&at, next, ReadLimit::default()).await {
                Ok(batch) => {
                    pause = BACKOFF.0;
                    self.take(partition as usize, batch.records, batch.next, batch.caught_up);
                }
                Err(LogError::OutOfRange { start, .. }) if next < start => {
                    tracing::warn!(partition = %at, next, start, "incident events went before they were read");
                    self.write().partitions[partition as usize].next = start;
                }
                Err(error) if error.is_transient() => {
                    tracing::warn!(partition = %at, %error, "cannot follow the incidents, trying again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(BACKOFF.1);
                }
                // The topic was there when the service started: a broker that does not know it
                // now will know it again, and until then the list goes stale.
                Err(error @ (LogError::UnknownTopic(_) | LogError::UnknownPartition(_))) => {
                    tracing::error!(partition = %at, %error, "cannot follow the incidents, trying again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(BACKOFF.1);
                }
                Err(error) => return error,
            }
        }
    }

    fn take(&self, partition: usize, records: Vec<Record>, next: u64, caught_up: bool) {
        // Before the lock: the readers of other partitions go on meanwhile.
        let decode = |record: Record| {
            let Record { offset, append_ms, value, .. } = record;
            match pb::IncidentEvent::decode(value.as_deref().unwrap_or_default()) {
                Ok(event) => Some((offset, append_ms, event)),
                Err(error) => {
                    tracing::error!(partition, offset, %error, "an incident event cannot be read, passing over it");
                    None
                }
            }
        };
        let events: Vec<_> = records.into_iter().filter_map(decode).collect();
        let mut state = self.write();
        let watched = self.told.receiver_count() > 0;
        for (offset, append_ms, mut event) in events {
            // At the start, when there are most, nobody is told, and nothing is copied.
            let told = watched || !event.command_id.is_empty();
            let incident = if told { event.incident.clone() } else { event.incident.take() };
            state.apply(partition, append_ms, &event, incident);
            if told {
                let event = Arc::new(event);
                state.answer(&event);
                // Whoever was watching may have gone.
                let _ = self.told.send(Told { partition, offset, event });
            }
        }
        let place = &mut state.partitions[partition];
        place.next = place.next.max(next);
        place.caught_up |= caught_up;
        drop(state);
        self.moved.send_replace(());
    }

    /// Whether everything that was there at the start has been read.
    pub(crate) fn is_complete(&self) -> bool {
        self.read().partitions.iter().all(|place| place.caught_up)
    }

    /// Waits until everything is read that the log holds now.
    pub(crate) async fn catch_up(&self) -> Result<(), LogError> {
        let mut ends = Vec::new();
        for partition in 0..self.partitions() {
            ends.push(self.log.bounds(&place(partition)).await?.end);
        }
        let mut moved = self.moved.subscribe();
        loop {
            moved.borrow_and_update();
            if self.read().partitions.iter().zip(&ends).all(|(place, end)| place.next >= *end) {
                return Ok(());
            }
            // The sender lives as long as this.
            let _ = moved.changed().await;
        }
    }

    /// An incident of a tenant.
    pub(crate) fn get(&self, tenant: &str, incident_id: &str) -> Option<Arc<pb::Incident>> {
        let state = self.read();
        state.incidents.get(incident_id).filter(|incident| incident.tenant == tenant).cloned()
    }

    /// What came of the attempts to deliver the pages of an incident, oldest first.
    pub(crate) fn attempts(&self, incident_id: &str) -> Vec<pb::DeliveryAttempt> {
        self.read().attempts.get(incident_id).into_iter().flatten().cloned().collect()
    }

    /// Incidents of a tenant: open ones first, the gravest first and of equally grave ones the
    /// oldest, for it waits longest; then resolved ones, the newest first.
    pub(crate) fn list(&self, tenant: &str, team: &str, all: bool) -> Vec<Arc<pb::Incident>> {
        let state = self.read();
        let mut found: Vec<Arc<pb::Incident>> = state
            .incidents
            .values()
            .filter(|incident| incident.tenant == tenant)
            .filter(|incident| team.is_empty() || incident.team == team)
            .filter(|incident| all || is_open(incident))
            .cloned()
            .collect();
        drop(state);
        found.sort_by(|a, b| {
            order(a).cmp(&order(b)).then_with(|| a.incident_id.cmp(&b.incident_id))
        });
        found
    }

    /// A silence of a tenant that somebody has made.
    pub(crate) fn silence(&self, tenant: &str, silence_id: &str) -> Option<pb::Silence> {
        self.read().silences.get(silence_id).filter(|it| it.tenant == tenant).cloned()
    }

    /// Silences of a tenant that have not ended over a day ago.
    pub(crate) fn silences(&self, tenant: &str) -> Vec<pb::Silence> {
        let state = self.read();
        state.silences.values().filter(|it| it.tenant == tenant).cloned().collect()
    }

    /// What comes after everything that was read so far, and where that is.
    pub(crate) fn watch(&self) -> (broadcast::Receiver<Told>, Vec<u64>) {
        // Under one lock: nothing falls between the two.
        let state = self.read();
        (self.told.subscribe(), state.partitions.iter().map(|place| place.next).collect())
    }

    /// The event that answers a command, once it is read. Ask before the command is appended.
    pub(crate) fn answer(&self, command: &Command) -> oneshot::Receiver<Arc<pb::IncidentEvent>> {
        let incident_id = command.incident_id.clone();
        let about = About::Incident { incident_id, action: command.action.clone() };
        self.wait(&command.tenant, &command.command_id, &command.actor, about)
    }

    /// The same for a command about silences.
    pub(crate) fn answer_about_silence(
        &self,
        command: &SilenceCommand,
    ) -> oneshot::Receiver<Arc<pb::IncidentEvent>> {
        self.wait(&command.tenant, &command.command_id, &command.actor, About::Silence)
    }

    fn wait(
        &self,
        tenant: &str,
        command_id: &str,
        actor: &str,
        about: About,
    ) -> oneshot::Receiver<Arc<pb::IncidentEvent>> {
        let asked = Asked {
            tenant: tenant.to_owned(),
            command_id: command_id.to_owned(),
            actor: actor.to_owned(),
            about,
        };
        let (answer, answered) = oneshot::channel();
        let mut state = self.write();
        let waiting = state.waiting.entry(asked).or_default();
        waiting.retain(|waiting| !waiting.is_closed());
        waiting.push(answer);
        // Those who gave up are forgotten when somebody asks.
        state.waiting.retain(|_, waiting| waiting.iter().any(|waiting| !waiting.is_closed()));
        answered
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes in an event; `incident` is the one that it shows, if it does.
    fn apply(
        &mut self,
        partition: usize,
        append_ms: i64,
        event: &pb::IncidentEvent,
        incident: Option<pb::Incident>,
    ) {
        let place = &mut self.partitions[partition];
        place.now_ms = place.now_ms.max(append_ms).max(event.at_ms);
        // Partitions are read at their own pace; the one furthest ahead is nearest to now.
        let now_ms = self.partitions.iter().map(|place| place.now_ms).max().unwrap_or(0);
        if let Some(incident) = incident {
            if let Some(resolved) = incident.resolved_at.as_ref().and_then(millis) {
                let at = resolved.saturating_add(RESOLVED_FOR_MS);
                self.forget.insert((at, incident.incident_id.clone()));
            }
            if let Some(attempt) = &event.attempt {
                let attempts = self.attempts.entry(incident.incident_id.clone()).or_default();
                if attempts.len() == KEPT_ATTEMPTS {
                    attempts.pop_front();
                }
                attempts.push_back(attempt.clone());
            }
            self.incidents.insert(incident.incident_id.clone(), Arc::new(incident));
        }
        for incident_id in &event.erased_incidents {
            self.incidents.remove(incident_id);
            self.attempts.remove(incident_id);
        }
        while let Some((at, _)) = self.forget.first()
            && *at <= now_ms
            && let Some((_, incident_id)) = self.forget.pop_first()
        {
            self.incidents.remove(&incident_id);
            self.attempts.remove(&incident_id);
        }
        if let Some(silence) = &event.silence {
            self.silences.insert(silence.silence_id.clone(), silence.clone());
            let ended = |it: &pb::Silence| it.ends_at.as_ref().and_then(millis).unwrap_or_default();
            self.silences.retain(|_, it| now_ms < ended(it).saturating_add(RESOLVED_FOR_MS));
        }
    }

    /// Tells those who wait for what an event answers.
    fn answer(&mut self, event: &Arc<pb::IncidentEvent>) {
        if event.command_id.is_empty() {
            return;
        }
        let answered = self.waiting.extract_if(|asked, _| asked.is_answered_by(event));
        for waiting in answered.flat_map(|(_, waiting)| waiting) {
            // Who has given up waiting does not mind.
            let _ = waiting.send(Arc::clone(event));
        }
    }
}

/// Where an incident stands in a list.
fn order(incident: &pb::Incident) -> (bool, Reverse<i32>, i64) {
    let at_ms = incident.triggered_at.as_ref().and_then(millis).unwrap_or_default();
    if is_open(incident) {
        (false, Reverse(incident.severity), at_ms)
    } else {
        (true, Reverse(0), at_ms.saturating_neg())
    }
}

fn is_open(incident: &pb::Incident) -> bool {
    incident.state() != pb::incident::State::Resolved
}

pub(crate) fn place(partition: u32) -> TopicPartition {
    TopicPartition::new(topics::INCIDENTS, partition)
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;
    use zhili_eventlog::embedded::EmbeddedLog;
    use zhili_eventlog::system_clock;

    use super::*;
    use crate::faulty::Faulty;

    #[test]
    fn the_gravest_open_incidents_come_first_and_of_those_the_oldest() {
        use pb::incident::{Severity, State};
        let incident = |id: &str, state: State, severity: Severity, at_ms: i64| pb::Incident {
            incident_id: id.to_owned(),
            state: state.into(),
            severity: severity.into(),
            triggered_at: Some(zhili_proto::timestamp(at_ms)),
            ..pb::Incident::default()
        };
        let mut found = [
            incident("over", State::Resolved, Severity::Critical, 1),
            incident("new warning", State::Triggered, Severity::Warning, 9),
            incident("over lately", State::Resolved, Severity::Warning, 5),
            incident("new high", State::Acknowledged, Severity::High, 8),
            incident("critical", State::Triggered, Severity::Critical, 7),
            incident("old high", State::Triggered, Severity::High, 2),
        ];
        found.sort_by_key(order);
        let order: Vec<&str> = found.iter().map(|incident| incident.incident_id.as_str()).collect();
        let wanted = ["critical", "old high", "new high", "new warning", "over lately", "over"];
        assert_eq!(order, wanted);
    }

    #[tokio::test]
    async fn a_topic_that_cannot_be_found_for_a_while_is_followed_again() {
        let log = EmbeddedLog::open_on(InMemoryBackend::new, system_clock()).unwrap();
        log.ensure_topics(&topics::all(1)).await.unwrap();
        let faulty = Faulty::new(&log);
        let board = Board::open(faulty.clone(), 4).await.unwrap();
        faulty.fail(LogError::UnknownTopic(topics::INCIDENTS.into()));
        faulty.fail(LogError::UnknownPartition(place(0)));
        let complete = async {
            let mut moved = board.moved.subscribe();
            while !board.is_complete() {
                moved.changed().await.unwrap();
            }
        };
        tokio::select! {
            error = board.follow(0) => panic!("it has ended: {error}"),
            () = complete => {}
        }
    }

    #[tokio::test]
    async fn an_answer_goes_to_whoever_asked_for_that_under_a_command_id_of_two() {
        let log = EmbeddedLog::open_on(InMemoryBackend::new, system_clock()).unwrap();
        log.ensure_topics(&topics::all(1)).await.unwrap();
        let board = Board::open(Arc::new(log), 4).await.unwrap();
        let ask = |actor: &str, action| {
            board.answer(&Command {
                command_id: "click".into(),
                tenant: "acme".into(),
                team: "default".into(),
                incident_id: "inc_1".into(),
                expected_version: 0,
                actor: actor.into(),
                note: String::new(),
                action,
            })
        };
        let mut first = ask("ann", Action::Acknowledge);
        let mut again = ask("ann", Action::Acknowledge);
        let mut other = ask("bob", Action::Acknowledge);
        let mut reused = ask("ann", Action::Resolve);
        let event = |kind: Type, actor: &str| {
            Arc::new(pb::IncidentEvent {
                r#type: kind.into(),
                tenant: "acme".into(),
                command_id: "click".into(),
                actor: actor.into(),
                ..pb::IncidentEvent::default()
            })
        };
        board.write().answer(&event(Type::Acknowledged, "ann"));
        assert!(first.try_recv().is_ok() && again.try_recv().is_ok());
        assert!(other.try_recv().is_err() && reused.try_recv().is_err());
        board.write().answer(&event(Type::Refused, "bob"));
        assert_eq!(other.try_recv().unwrap().r#type(), Type::Refused);
        board.write().answer(&event(Type::Refused, "ann"));
        assert_eq!(reused.try_recv().unwrap().r#type(), Type::Refused);
    }
}
