//! What the live owner of a partition does about its incidents: claims pages that are due, sends
//! those whose claim it has read back, and notes what came of it.
//!
//! A send starts only within the lease of its claim, counted from before the claim was appended
//! on this process's monotonic clock. That is never later than the append, so neither a clock
//! that is off nor a slow read makes two owners send at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::task::TaskTracker;
use tracing::Instrument;
use zhili_eventlog::runner::{Fold, Observation};
use zhili_eventlog::{Clock, EventLog, Headers, LogError, NewRecord, TopicPartition, trace};
use zhili_incident::{
    Claim, DeliveryResult, Destination, Effect, Incident, LEASE_MS, Outcome, Page, PageId, Reason,
    Severity,
};

use crate::card::Card;
use crate::channel::{Send, Sender, Sent};
use crate::convert;
use crate::fold::Incidents;
use crate::link::Links;
use crate::metrics::{self, Metrics};
use crate::reach::Reach;

/// Pauses before an append is tried again, growing from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How long after its claim a send may start.
const LEASE: Duration = Duration::from_millis(LEASE_MS as u64);
/// How often figures about all incidents are taken.
const FIGURES: Duration = Duration::from_secs(1);

/// What the owners of one process share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Pager {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) clock: Clock,
    /// Name of this process in its claims; unique per start.
    pub(crate) name: Arc<str>,
    pub(crate) sender: Sender,
    pub(crate) links: Links,
    pub(crate) max_sends: usize,
    pub(crate) max_sends_per_destination: usize,
    pub(crate) metrics: Metrics,
    pub(crate) reach: Reach,
    /// Sends under way; they end also when their partition has gone to somebody else.
    pub(crate) tasks: TaskTracker,
    pub(crate) under_way: Arc<Mutex<HashMap<Attempt, UnderWay>>>,
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

/// One attempt to send one page.
pub(crate) type Attempt = (PageId, u32);

/// An attempt that this process has begun.
pub(crate) struct UnderWay {
    partition: TopicPartition,
    /// Tenant, team and name.
    destination: (String, String, String),
    /// When its claim was given to the log first.
    claimed: Instant,
    /// When it was given to it last.
    asked: Instant,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The claim is on its way to the log or back.
    Claimed,
    /// The request is on its way, or its result to the log and back.
    Sending,
    /// It was not sent because the lease had ended, or its outcome could not be noted. The fold
    /// will ask for another attempt.
    GivenUp,
}

/// A page whose claim has been read back.
struct Due<'a> {
    incident: &'a Incident,
    page: &'a Page,
    attempt: u32,
    destination: &'a Destination,
    /// Pages that go with it.
    others: Vec<(&'a Incident, &'a Page)>,
    claimed: Instant,
}

/// The owner of one partition.
pub(crate) struct Owner {
    pager: Pager,
    partition: TopicPartition,
    /// The timer that was to fire next when last seen.
    due: Option<i64>,
    figures: Option<Instant>,
}

impl Owner {
    pub(crate) fn new(pager: Pager, partition: TopicPartition) -> Self {
        Self { pager, partition, due: None, figures: None }
    }

    /// Sees a committed state and does what it asks for.
    pub(crate) fn observe(&mut self, fold: &Incidents, seen: &Observation<'_>) {
        self.take_figures(fold, seen);
        let mut under_way = self.pager.lock();
        under_way.retain(|attempt, it| {
            it.partition != self.partition || is_wanted(fold, *attempt, it.stage)
        });
        let effects = fold.partition().effects(seen.now_ms, &self.pager.name, |page, attempt| {
            let known = under_way.get(&(page, attempt));
            known.is_some_and(|it| it.stage == Stage::Sending)
        });
        let mut sends = Vec::new();
        let mut claims = Vec::new();
        for effect in effects {
            match effect {
                // A state of the past would ask for what is settled since.
                Effect::Claim { .. } if !seen.current => {}
                Effect::Claim { incident, page_id, attempt } => {
                    if self.may_claim(&mut under_way, incident, page_id, attempt) {
                        claims.push((
                            incident,
                            Claim { page_id, attempt, owner: self.pager.name.to_string() },
                        ));
                    }
                }
                Effect::Send { incident, page, attempt, destination, others, .. } => {
                    // A claim of ours that this process does not know of cannot be.
                    if let Some(it) = under_way.get_mut(&(page.page_id, attempt))
                        && it.stage == Stage::Claimed
                    {
                        it.stage = Stage::Sending;
                        let claimed = it.claimed;
                        sends.push(Due { incident, page, attempt, destination, others, claimed });
                    }
                }
            }
        }
        drop(under_way);
        for due in sends {
            self.send(fold, due);
        }
        self.claim(fold, claims);
    }

    /// Whether to append this claim now; if so, it is under way.
    fn may_claim(
        &self,
        under_way: &mut HashMap<Attempt, UnderWay>,
        incident: &Incident,
        page_id: PageId,
        attempt: u32,
    ) -> bool {
        if let Some(known) = under_way.get_mut(&(page_id, attempt)) {
            // An append whose outcome is unknown. The lease still counts from the first one.
            let lost = known.stage == Stage::Claimed && known.asked.elapsed() > 2 * LEASE;
            if lost {
                known.asked = Instant::now();
            }
            return lost;
        }
        let Some(page) = incident.page(page_id) else { return false };
        let destination =
            (incident.tenant.clone(), incident.team.clone(), page.destination.clone());
        let same = under_way.values().filter(|it| it.destination == destination).count();
        if under_way.len() >= self.pager.max_sends || same >= self.pager.max_sends_per_destination {
            return false;
        }
        let (partition, stage, now) = (self.partition.clone(), Stage::Claimed, Instant::now());
        let it = UnderWay { partition, destination, claimed: now, asked: now, stage };
        under_way.insert((page_id, attempt), it);
        true
    }

    /// Appends claims, all in one go.
    fn claim(&self, fold: &Incidents, claims: Vec<(&Incident, Claim)>) {
        if claims.is_empty() {
            return;
        }
        let mut appends = Vec::new();
        for (incident, claim) in claims {
            let attempt = (claim.page_id, claim.attempt);
            let (tenant, team) = (&incident.tenant, &incident.team);
            let parent = headers(fold.traceparent(incident.incident_id));
            let value = convert::claim_record(tenant, team, claim);
            appends.push((attempt, record(&self.partition, tenant, team, value, parent)));
        }
        let pager = self.pager.clone();
        pager.tasks.clone().spawn(async move {
            // Appends are not fenced: a claim for a partition that has gone meanwhile would keep
            // its new owner from the page until the lease ends.
            appends.retain(|(attempt, _)| pager.lock().contains_key(attempt));
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
                        pager.lock().remove(&attempt);
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
        let job = Job {
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
        self.pager.tasks.spawn(job.run().instrument(span));
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

/// Whoever owns the partition next claims and counts; what is under way here ends.
impl Drop for Owner {
    fn drop(&mut self) {
        self.pager.measured(&self.partition, None);
        self.pager.reach.seen(&self.partition, Vec::new());
        let partition = &self.partition;
        self.pager.lock().retain(|_, it| it.partition != *partition || it.stage == Stage::Sending);
    }
}

impl Pager {
    fn lock(&self) -> MutexGuard<'_, HashMap<Attempt, UnderWay>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_owned(&self) -> MutexGuard<'_, HashMap<TopicPartition, Figures>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters the figures of a partition, or takes it out.
    fn measured(&self, partition: &TopicPartition, figures: Option<Figures>) {
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

fn record(
    partition: &TopicPartition,
    tenant: &str,
    team: &str,
    value: bytes::Bytes,
    headers: Headers,
) -> NewRecord {
    let key = convert::key(tenant, team);
    NewRecord { partition: partition.clone(), key: Some(key), value: Some(value), headers }
}

/// Whether the fold may still ask about an attempt.
fn is_wanted(fold: &Incidents, (page_id, attempt): Attempt, stage: Stage) -> bool {
    let Some((_, page)) = fold.partition().page(page_id) else { return false };
    let settled = page.log.iter().any(|it| it.attempt == attempt && it.outcome.is_some());
    if page.is_settled() || settled || page.attempts > attempt {
        return false;
    }
    // A claim that did not come back, or that somebody else's came before.
    stage == Stage::Sending || page.attempts == attempt || page.next_attempt() == attempt
}

fn headers(traceparent: Option<&str>) -> Headers {
    let mut headers = Headers::default();
    if let Some(parent) = traceparent {
        headers.push(trace::TRACEPARENT, parent.to_owned());
    }
    headers
}

fn seconds(ms: i64) -> f64 {
    ms.max(0) as f64 / 1_000.0
}

/// One send, from the request to the result in the log.
struct Job {
    pager: Pager,
    partition: TopicPartition,
    tenant: String,
    team: String,
    page_id: PageId,
    attempt: u32,
    destination: Destination,
    card: Card,
    claimed: Instant,
    traceparent: Option<bytes::Bytes>,
    /// When the incident's first signal became true, if this page tells of it.
    triggered_ms: Option<i64>,
}

/// Ends a job in any case, also when it panics: as long as it counts as under way, nobody tries
/// its page again.
struct Ending<'a> {
    job: &'a Job,
    noted: bool,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.job.end(self.noted);
    }
}

impl Job {
    async fn run(self) {
        let mut ending = Ending { job: &self, noted: false };
        let request = Send {
            destination: &self.destination,
            card: &self.card,
            at_ms: (self.pager.clock)(),
            traceparent: self.traceparent.clone(),
        };
        let started = Instant::now();
        let sent = self.pager.sender.send(request, || self.claimed.elapsed() < LEASE).await;
        let Some(sent) = sent else {
            tracing::warn!(
                "the lease ended before the page could be sent, it will be claimed again"
            );
            self.pager.metrics.late_sends.inc();
            return;
        };
        self.count(&sent);
        match sent.outcome {
            Outcome::Delivered => tracing::info!(detail = sent.detail, "page delivered"),
            Outcome::Failed => tracing::warn!(detail = sent.detail, "page failed, trying again"),
            Outcome::Rejected => tracing::error!(detail = sent.detail, "page refused for good"),
        }
        let result = DeliveryResult {
            page_id: self.page_id,
            attempt: self.attempt,
            outcome: sent.outcome,
            detail: sent.detail,
            duration_ms: started.elapsed().as_millis() as i64,
            retry_after_ms: sent.retry_after_ms,
            code: sent.code,
            excerpt: sent.excerpt,
        };
        ending.noted = self.note(result).await;
    }

    /// A noted send counts as under way until its result is read back, by whoever owns the
    /// partition then.
    fn end(&self, noted: bool) {
        let owned = self.pager.lock_owned().contains_key(&self.partition);
        let mut under_way = self.pager.lock();
        let attempt = (self.page_id, self.attempt);
        if !owned {
            under_way.remove(&attempt);
        } else if let Some(it) = under_way.get_mut(&attempt).filter(|_| !noted) {
            it.stage = Stage::GivenUp;
        }
    }

    /// Appends the result until the log has it: without it the page would be sent once more.
    async fn note(&self, result: DeliveryResult) -> bool {
        let value = convert::result_record(&self.tenant, &self.team, result);
        let mut headers = Headers::default();
        if let Some(parent) = &self.traceparent {
            headers.push(trace::TRACEPARENT, parent.clone());
        }
        let record = record(&self.partition, &self.tenant, &self.team, value, headers);
        let mut pause = BACKOFF.0;
        loop {
            match self.pager.log.append(vec![record.clone()]).await.pop() {
                // A second copy of a result has no effect.
                Some(Err(error)) if error.is_transient() => {
                    tracing::warn!(%error, "cannot note what came of a page, trying again");
                }
                // The topic was there when the service started and will be there again.
                Some(Err(error @ (LogError::UnknownTopic(_) | LogError::UnknownPartition(_)))) => {
                    tracing::error!(%error, "cannot note what came of a page, trying again");
                }
                Some(Err(error)) => {
                    tracing::error!(%error, "cannot note what came of a page, it may be sent again");
                    return false;
                }
                Some(Ok(_)) | None => return true,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(BACKOFF.1);
        }
    }

    fn count(&self, sent: &Sent) {
        let channel = self.destination.channel().name();
        let metrics = &self.pager.metrics;
        let outcome = match sent.outcome {
            Outcome::Delivered => metrics::Outcome::Delivered,
            Outcome::Failed => metrics::Outcome::Failed,
            Outcome::Rejected => metrics::Outcome::Rejected,
        };
        let label = metrics::Delivery { channel, outcome };
        metrics.deliveries.get_or_create(&label).inc();
        let channel = metrics::Channel { channel };
        if sent.outcome == Outcome::Delivered {
            metrics.sent.get_or_create(&channel).inc();
            if let Some(since) = self.triggered_ms {
                metrics.signal_to_page.observe(seconds((self.pager.clock)() - since));
            }
        } else {
            metrics.failed.get_or_create(&channel).inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;
    use redb::backends::InMemoryBackend;
    use tokio_util::sync::CancellationToken;
    use zhili_eventlog::embedded::EmbeddedLog;
    use zhili_eventlog::runner::{Bundles, Marker, Outputs};
    use zhili_eventlog::{ReadLimit, Record, system_clock, topics};
    use zhili_incident::Family;

    use super::*;
    use crate::faulty::Faulty;

    fn place() -> TopicPartition {
        TopicPartition::new(topics::ESCALATION, 0)
    }

    async fn log() -> EmbeddedLog {
        let log = EmbeddedLog::open_on(InMemoryBackend::new, system_clock()).unwrap();
        log.ensure_topics(&topics::all(1)).await.unwrap();
        log
    }

    async fn pager(log: Arc<dyn EventLog>, clock: Clock) -> Pager {
        let bundles = Bundles::follow(Arc::clone(&log), CancellationToken::new()).await.unwrap();
        Pager {
            log,
            clock,
            name: Arc::from("one"),
            sender: Sender::new(false, zhili_runtime::config::Secret::default()).unwrap(),
            links: Links::default(),
            max_sends: 8,
            max_sends_per_destination: 8,
            metrics: Metrics::register(&mut Registry::default()),
            reach: Reach::new(bundles),
            tasks: TaskTracker::new(),
            under_way: Arc::default(),
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

    fn see(owner: &mut Owner, fold: &Incidents, now_ms: i64) {
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

    async fn idle(pager: &Pager) {
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

    /// The job of the page of `fold`, once its claim counts as under way and its partition as
    /// owned.
    fn job(pager: &Pager, fold: &mut Incidents, now_ms: i64) -> Job {
        let incident = fold.partition().incidents().next().unwrap();
        let page_id = incident.pages[0].page_id;
        let claim = Claim { page_id, attempt: 1, owner: "one".into() };
        pager.measured(&place(), Some(Figures::default()));
        let claimed = Instant::now();
        let under_way = UnderWay {
            partition: place(),
            destination: ("default".into(), "default".into(), "floor".into()),
            claimed,
            asked: claimed,
            stage: Stage::Sending,
        };
        pager.lock().insert((page_id, 1), under_way);
        let card = Card::of(incident, &incident.pages[0], &[], &Links::default());
        let destination = zhili_incident::Webhook {
            url: "http://[::1]/".into(),
            secret: None,
            allow_private: false,
        };
        let destination = Destination::Webhook(destination);
        apply(fold, now_ms, zhili_incident::Entry::Claim(claim));
        Job {
            pager: pager.clone(),
            partition: place(),
            tenant: "default".into(),
            team: "default".into(),
            page_id,
            attempt: 1,
            // Refused without any request.
            destination,
            card,
            claimed,
            traceparent: None,
            triggered_ms: None,
        }
    }

    #[tokio::test]
    async fn a_send_that_panics_is_given_up_so_that_its_page_is_tried_again() {
        let pager = pager(Arc::new(log().await), Arc::new(|| panic!("as wanted"))).await;
        let mut fold = triggered("http://[::1]/", 0);
        let job = job(&pager, &mut fold, 0);
        let attempt = (job.page_id, job.attempt);
        assert!(tokio::spawn(job.run()).await.unwrap_err().is_panic());
        assert_eq!(pager.lock()[&attempt].stage, Stage::GivenUp);
    }

    #[tokio::test]
    async fn a_result_is_noted_though_the_topic_could_not_be_found_for_a_while() {
        let log = log().await;
        let faulty = Faulty::new(&log);
        let mut pager = pager(Arc::new(log.clone()), system_clock()).await;
        pager.log = faulty.clone();
        let mut fold = triggered("http://[::1]/", 0);
        let job = job(&pager, &mut fold, 0);
        let attempt = (job.page_id, job.attempt);
        faulty.fail(LogError::UnknownTopic(topics::ESCALATION.into()));
        faulty.fail(LogError::UnknownPartition(place()));
        job.run().await;
        assert_eq!(entries(&log).await.len(), 1);
        assert_eq!(pager.lock()[&attempt].stage, Stage::Sending, "until the result is read back");
    }
}
