//! What the live owner of a partition does about its incidents: claims pages that are due, and
//! sends those whose claim it has read back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use zhili_eventlog::runner::{Fold, Observation};
use zhili_eventlog::{Clock, EventLog, Headers, LogError, NewRecord, TopicPartition, trace};
use zhili_incident::{Claim, Incident, Reason, Severity};

use crate::attempts::{Attempt, Attempts, Due, Todo, View};
use crate::card::Card;
use crate::channel::Courier;
use crate::convert;
use crate::delivery::Delivery;
use crate::fold::Incidents;
use crate::link::Links;
use crate::metrics::{self, Metrics};
use crate::reach::Reach;

/// How often figures about all incidents are taken.
const FIGURES: Duration = Duration::from_secs(1);

/// What the owners of one process share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Pager<C> {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) clock: Clock,
    /// Name of this process in its claims; unique per start.
    pub(crate) name: Arc<str>,
    pub(crate) courier: C,
    pub(crate) links: Links,
    pub(crate) metrics: Metrics,
    pub(crate) reach: Reach,
    /// Sends under way; they end also when their partition has gone to somebody else.
    pub(crate) tasks: TaskTracker,
    /// Of all partitions owned here.
    pub(crate) attempts: Arc<Mutex<Attempts>>,
    /// Of each partition owned here, for the figures over all of them.
    pub(crate) owned: Arc<Mutex<HashMap<TopicPartition, Figures>>>,
}

/// What is measured of one partition.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    /// Open incidents by severity, in the order of [`SEVERITIES`].
    open: [i64; SEVERITIES.len()],
    /// How overdue the oldest timer is that has not fired.
    overdue_s: f64,
}

pub(crate) const SEVERITIES: [Severity; 4] =
    [Severity::Info, Severity::Warning, Severity::High, Severity::Critical];

/// The owner of one partition.
pub(crate) struct Owner<C> {
    pager: Pager<C>,
    partition: TopicPartition,
    /// The timer that was to fire next when last seen.
    due: Option<i64>,
    figures: Option<Instant>,
}

impl<C: Courier> Owner<C> {
    pub(crate) fn new(pager: Pager<C>, partition: TopicPartition) -> Self {
        Self { pager, partition, due: None, figures: None }
    }

    /// Sees a committed state and does what it asks for.
    pub(crate) fn observe(&mut self, fold: &Incidents, seen: &Observation<'_>) {
        self.take_figures(fold, seen);
        let view = View {
            partition: &self.partition,
            incidents: fold.partition(),
            now_ms: seen.now_ms,
            current: seen.current,
            owner: &self.pager.name,
        };
        let Todo { claims, sends } = self.pager.lock().begin(&view, Instant::now());
        for due in sends {
            self.send(fold, due);
        }
        self.claim(fold, claims);
    }

    /// Appends claims, all in one go.
    fn claim(&self, fold: &Incidents, claims: Vec<(&Incident, Attempt)>) {
        if claims.is_empty() {
            return;
        }
        let mut appends = Vec::new();
        for (incident, (page_id, attempt)) in claims {
            let claim = Claim { page_id, attempt, owner: self.pager.name.to_string() };
            let (tenant, team) = (&incident.tenant, &incident.team);
            let parent = headers(fold.traceparent(incident.incident_id));
            let value = convert::claim_record(tenant, team, claim);
            appends
                .push(((page_id, attempt), record(&self.partition, tenant, team, value, parent)));
        }
        let pager = self.pager.clone();
        pager.tasks.clone().spawn(async move {
            // Appends are not fenced: a claim for a partition that has gone meanwhile would keep
            // its new owner from the page until the lease ends.
            appends.retain(|(attempt, _)| pager.lock().is_begun(*attempt));
            if appends.is_empty() {
                return;
            }
            let (attempts, records): (Vec<_>, Vec<_>) = appends.into_iter().unzip();
            let results = pager.log.append(records).await;
            for (attempt, result) in attempts.into_iter().zip(results) {
                match result {
                    Ok(_) => {
                        pager.metrics.claims.inc();
                    }
                    // It may come back all the same; if not, its entry goes with its lease.
                    Err(error @ LogError::Ambiguous(_)) => {
                        tracing::warn!(page = %attempt.0, %error, "cannot tell whether a page was claimed");
                    }
                    Err(error) => {
                        tracing::warn!(page = %attempt.0, %error, "cannot claim a page, trying again");
                        pager.lock().not_claimed(attempt);
                    }
                }
            }
        });
    }

    /// Starts a send and sees it to its end.
    fn send(&self, fold: &Incidents, due: Due<'_>) {
        let Due { incident, page, attempt, destination, others, claimed } = due;
        let incoming = headers(fold.traceparent(incident.incident_id));
        let span = tracing::info_span!(
            "page",
            otel.kind = "client",
            page = %page.page_id,
            incident = %incident.incident_id,
            destination = page.destination,
            attempt,
        );
        trace::continue_from(&span, &incoming);
        let first = incident.evidence.first();
        let delivery = Delivery {
            pager: self.pager.clone(),
            partition: self.partition.clone(),
            tenant: incident.tenant.clone(),
            team: incident.team.clone(),
            page_id: page.page_id,
            attempt,
            destination: destination.clone(),
            card: Card::of(incident, page, &others, &self.pager.links),
            claimed,
            traceparent: trace::traceparent_of(&span, &incoming),
            triggered_ms: first
                .filter(|_| page.reason == Reason::Triggered)
                .map(|signal| signal.effective_ms),
        };
        self.pager.tasks.spawn(delivery.run().instrument(span));
    }

    fn take_figures(&mut self, fold: &Incidents, seen: &Observation<'_>) {
        let clock_ms = (self.pager.clock)();
        let due = fold.next_due();
        if let Some(fired) = self.due.filter(|before| *before <= seen.now_ms && due != self.due) {
            self.pager.metrics.timer_lateness.observe(seconds(clock_ms - fired));
        }
        self.due = due;
        if self.figures.is_some_and(|at| at.elapsed() < FIGURES) {
            return;
        }
        self.figures = Some(Instant::now());
        let overdue_s = due.map_or(0.0, |due| seconds(clock_ms - due));
        let mut figures = Figures { overdue_s, ..Figures::default() };
        let mut tenants = std::collections::BTreeSet::new();
        for incident in fold.partition().incidents().filter(|incident| incident.is_open()) {
            figures.open[incident.severity as usize] += 1;
            tenants.insert(incident.tenant.as_str());
        }
        self.pager.measured(&self.partition, Some(figures));
        let unreachable = tenants.iter().flat_map(|tenant| fold.partition().unreachable(tenant));
        self.pager.reach.seen(&self.partition, unreachable.collect());
    }
}

impl<C> Drop for Owner<C> {
    fn drop(&mut self) {
        self.pager.measured(&self.partition, None);
        self.pager.reach.seen(&self.partition, Vec::new());
        self.pager.lock().leave(&self.partition);
    }
}

impl<C> Pager<C> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lock_owned(&self) -> MutexGuard<'_, HashMap<TopicPartition, Figures>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters the figures of a partition, or takes it out.
    pub(crate) fn measured(&self, partition: &TopicPartition, figures: Option<Figures>) {
        let mut owned = self.lock_owned();
        match figures {
            Some(figures) => owned.insert(partition.clone(), figures),
            None => owned.remove(partition),
        };
        for severity in SEVERITIES {
            let sum = owned.values().map(|figures| figures.open[severity as usize]).sum();
            let label = metrics::Severity { severity: convert::severity_name(severity) };
            self.metrics.open.get_or_create(&label).set(sum);
        }
        let overdue_s = owned.values().map(|figures| figures.overdue_s).fold(0.0, f64::max);
        self.metrics.overdue.set(overdue_s);
    }
}

pub(crate) fn record(
    partition: &TopicPartition,
    tenant: &str,
    team: &str,
    value: bytes::Bytes,
    headers: Headers,
) -> NewRecord {
    let key = convert::key(tenant, team);
    NewRecord { partition: partition.clone(), key: Some(key), value: Some(value), headers }
}

fn headers(traceparent: Option<&str>) -> Headers {
    let mut headers = Headers::default();
    if let Some(parent) = traceparent {
        headers.push(trace::TRACEPARENT, parent.to_owned());
    }
    headers
}

pub(crate) fn seconds(ms: i64) -> f64 {
    ms.max(0) as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;
    use redb::backends::InMemoryBackend;
    use tokio_util::sync::CancellationToken;
    use zhili_eventlog::embedded::EmbeddedLog;
    use zhili_eventlog::runner::{Bundles, Marker, Outputs};
    use zhili_eventlog::{ReadLimit, Record, system_clock, topics};
    use zhili_incident::{Destination, Family, LEASE_MS};

    use super::*;
    use crate::attempts::Limits;
    use crate::channel::Sender;
    use crate::faulty::Faulty;

    fn place() -> TopicPartition {
        TopicPartition::new(topics::ESCALATION, 0)
    }

    async fn log() -> EmbeddedLog {
        let log = EmbeddedLog::open_on(InMemoryBackend::new, system_clock()).unwrap();
        log.ensure_topics(&topics::all(1)).await.unwrap();
        log
    }

    async fn pager(log: Arc<dyn EventLog>, clock: Clock) -> Pager<Sender> {
        let bundles = Bundles::follow(Arc::clone(&log), CancellationToken::new()).await.unwrap();
        Pager {
            log,
            clock,
            name: Arc::from("one"),
            courier: Sender::new(false, zhili_runtime::config::Secret::default()).unwrap(),
            links: Links::default(),
            metrics: Metrics::register(&mut Registry::default()),
            reach: Reach::new(bundles),
            tasks: TaskTracker::new(),
            attempts: Arc::new(Mutex::new(Attempts::new(Limits { all: 8, per_destination: 8 }))),
            owned: Arc::default(),
        }
    }

    /// A fold with one incident, whose page goes to `url`.
    fn triggered(url: &str, now_ms: i64) -> Incidents {
        let mut fold = Incidents::default();
        let mut outputs = Outputs::new(1);
        let bundle = format!("escalation.teams.default.destinations.floor.webhook.url = '{url}'");
        let marker = Marker { tenant: "default".into(), bundle: String::new(), sequence: 1 };
        fold.configure(now_ms, &marker, bundle.as_bytes(), &mut outputs).unwrap();
        let signal = zhili_incident::Signal {
            signal_id: "s1".into(),
            tenant: "default".into(),
            team: "default".into(),
            conversation_id: "c1".into(),
            family: Family::Complaint,
            kind: "urgent_complaint".into(),
            category: "regulator".into(),
            severity: Severity::High,
            event_id: "e1".into(),
            effective_ms: now_ms,
            probability: 0.9,
            rules: Vec::new(),
            related: Vec::new(),
            excerpt: String::new(),
            agent: String::new(),
            customer: String::new(),
            channel: String::new(),
            queue: String::new(),
            historical: false,
            engine: String::new(),
            background: zhili_incident::Background::default(),
        };
        apply(&mut fold, now_ms, zhili_incident::Entry::Signal(signal));
        fold
    }

    fn apply(fold: &mut Incidents, now_ms: i64, entry: zhili_incident::Entry) {
        let record = Record {
            offset: 0,
            append_ms: now_ms,
            key: None,
            value: None,
            headers: Headers::default(),
        };
        fold.apply(now_ms, &record, entry, &mut Outputs::new(1));
    }

    fn see(owner: &mut Owner<Sender>, fold: &Incidents, now_ms: i64) {
        let partition = place();
        owner.observe(
            fold,
            &Observation { partition: &partition, now_ms, caught_up: true, current: true },
        );
    }

    async fn entries(log: &dyn EventLog) -> Vec<Record> {
        let limit = ReadLimit { wait: Duration::ZERO, ..ReadLimit::default() };
        log.read(&place(), 0, limit).await.unwrap().records
    }

    async fn idle(pager: &Pager<Sender>) {
        pager.tasks.close();
        pager.tasks.wait().await;
    }

    #[tokio::test]
    async fn nothing_is_claimed_for_a_partition_that_has_gone() {
        let log = log().await;
        for goes in [false, true] {
            let pager = pager(Arc::new(log.clone()), system_clock()).await;
            let now_ms = (pager.clock)();
            let mut owner = Owner::new(pager.clone(), place());
            see(&mut owner, &triggered("http://127.0.0.1:9/", now_ms), now_ms);
            let before = entries(&log).await.len();
            let owner = (!goes).then_some(owner);
            idle(&pager).await;
            assert_eq!(entries(&log).await.len() - before, usize::from(!goes));
            drop(owner);
        }
    }

    /// What the owner would begin now, claims and number of sends.
    fn begin(pager: &Pager<Sender>, fold: &Incidents, now_ms: i64) -> (Vec<Attempt>, usize) {
        let (partition, incidents) = (place(), fold.partition());
        let view = View { partition: &partition, incidents, now_ms, current: true, owner: "one" };
        let todo = pager.lock().begin(&view, Instant::now());
        (todo.claims.into_iter().map(|(_, attempt)| attempt).collect(), todo.sends.len())
    }

    /// The delivery of the page of `fold`, which is refused without any request, once its claim
    /// has been read back by the owner of its partition.
    fn delivery(pager: &Pager<Sender>, fold: &mut Incidents, now_ms: i64) -> Delivery<Sender> {
        pager.measured(&place(), Some(Figures::default()));
        let (page_id, attempt) = begin(pager, fold, now_ms).0[0];
        let claim = Claim { page_id, attempt, owner: "one".into() };
        apply(fold, now_ms, zhili_incident::Entry::Claim(claim));
        assert_eq!(begin(pager, fold, now_ms).1, 1);
        let incident = fold.partition().incidents().next().unwrap();
        let url = "http://[::1]/".into();
        let destination = zhili_incident::Webhook { url, secret: None, allow_private: false };
        Delivery {
            pager: pager.clone(),
            partition: place(),
            tenant: "default".into(),
            team: "default".into(),
            page_id,
            attempt,
            destination: Destination::Webhook(destination),
            card: Card::of(incident, &incident.pages[0], &[], &Links::default()),
            claimed: Instant::now(),
            traceparent: None,
            triggered_ms: None,
        }
    }

    #[tokio::test]
    async fn a_send_that_panics_is_given_up_so_that_its_page_is_tried_again() {
        let pager = pager(Arc::new(log().await), Arc::new(|| panic!("as wanted"))).await;
        let mut fold = triggered("http://[::1]/", 0);
        let delivery = delivery(&pager, &mut fold, 0);
        let (page_id, attempt) = (delivery.page_id, delivery.attempt);
        assert!(tokio::spawn(delivery.run()).await.unwrap_err().is_panic());
        fold.advance(LEASE_MS, &mut Outputs::new(1));
        assert_eq!(begin(&pager, &fold, LEASE_MS).0, [(page_id, attempt + 1)]);
    }

    #[tokio::test]
    async fn a_result_is_noted_though_the_topic_could_not_be_found_for_a_while() {
        let log = log().await;
        let faulty = Faulty::new(&log);
        let mut pager = pager(Arc::new(log.clone()), system_clock()).await;
        pager.log = faulty.clone();
        let mut fold = triggered("http://[::1]/", 0);
        let delivery = delivery(&pager, &mut fold, 0);
        faulty.fail(LogError::UnknownTopic(topics::ESCALATION.into()));
        faulty.fail(LogError::UnknownPartition(place()));
        delivery.run().await;
        assert_eq!(entries(&log).await.len(), 1);
        fold.advance(LEASE_MS, &mut Outputs::new(1));
        let again = begin(&pager, &fold, LEASE_MS).0;
        assert_eq!(again, [], "it is under way until the result is read back");
    }
}
