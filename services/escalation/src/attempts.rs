//! The attempts that a process has begun, and what it may begin next. Pure: incidents and times
//! come in, claims and sends to be made come out.
//!
//! An attempt is begun when its claim is given to the log. It is sent once the claim has been
//! read back, within the lease, and it is over when the fold knows what came of it.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use zhili_eventlog::TopicPartition;
use zhili_incident::{Destination, Effect, Incident, LEASE_MS, Page, PageId, Partition};

/// How long after its claim a send may start.
const LEASE: Duration = Duration::from_millis(LEASE_MS as u64);
/// After that time a claim that has not come back is taken for lost and given to the log again.
const LOST: Duration = Duration::from_millis(2 * LEASE_MS as u64);

/// One attempt to send one page.
pub(crate) type Attempt = (PageId, u32);

/// Whether a send may start at `now`, whose claim was given to the log at `claimed`. That is never
/// later than the append, so neither a clock that is off nor a slow read makes two owners send at
/// once.
pub(crate) fn in_lease(claimed: Instant, now: Instant) -> bool {
    now.saturating_duration_since(claimed) < LEASE
}

/// How many attempts may be under way at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) all: usize,
    pub(crate) per_destination: usize,
}

/// The state of a partition as its owner sees it.
pub(crate) struct View<'a> {
    pub(crate) partition: &'a TopicPartition,
    pub(crate) incidents: &'a Partition,
    /// Largest log time seen, milliseconds since the Unix epoch.
    pub(crate) now_ms: i64,
    /// Whether this is the state of now: one of the past would ask for what is settled since.
    pub(crate) current: bool,
    /// Name of the process in its claims.
    pub(crate) owner: &'a str,
}

/// What the owner of a partition should do now.
#[derive(Default)]
pub(crate) struct Todo<'a> {
    pub(crate) claims: Vec<(&'a Incident, Attempt)>,
    pub(crate) sends: Vec<Due<'a>>,
}

/// A page whose claim has been read back.
pub(crate) struct Due<'a> {
    pub(crate) incident: &'a Incident,
    pub(crate) page: &'a Page,
    pub(crate) attempt: u32,
    pub(crate) destination: &'a Destination,
    /// Pages that go with it.
    pub(crate) others: Vec<(&'a Incident, &'a Page)>,
    /// When the claim was given to the log first.
    pub(crate) claimed: Instant,
}

/// The attempts of all partitions that a process has begun.
pub(crate) struct Attempts {
    limits: Limits,
    begun: HashMap<Attempt, Begun>,
}

struct Begun {
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

impl Attempts {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, begun: HashMap::new() }
    }

    /// What to do about a partition at `now`. What is returned counts as begun.
    pub(crate) fn begin<'a>(&mut self, view: &View<'a>, now: Instant) -> Todo<'a> {
        self.begun.retain(|attempt, it| {
            it.partition != *view.partition || is_wanted(view.incidents, *attempt, it.stage)
        });
        let sending = |page, attempt| {
            self.begun.get(&(page, attempt)).is_some_and(|it| it.stage == Stage::Sending)
        };
        let effects = view.incidents.effects(view.now_ms, view.owner, sending);
        let mut todo = Todo::default();
        for effect in effects {
            match effect {
                Effect::Claim { .. } if !view.current => {}
                Effect::Claim { incident, page_id, attempt } => {
                    let attempt = (page_id, attempt);
                    if self.may_claim(view.partition, incident, attempt, now) {
                        todo.claims.push((incident, attempt));
                    }
                }
                Effect::Send { incident, page, attempt, destination, others, .. } => {
                    // A claim of ours that this process does not know of cannot be.
                    if let Some(it) = self.begun.get_mut(&(page.page_id, attempt))
                        && it.stage == Stage::Claimed
                    {
                        it.stage = Stage::Sending;
                        let claimed = it.claimed;
                        let due = Due { incident, page, attempt, destination, others, claimed };
                        todo.sends.push(due);
                    }
                }
            }
        }
        todo
    }

    /// Whether to append a claim now; if so, it is begun.
    fn may_claim(
        &mut self,
        partition: &TopicPartition,
        incident: &Incident,
        attempt: Attempt,
        now: Instant,
    ) -> bool {
        if let Some(known) = self.begun.get_mut(&attempt) {
            // An append whose outcome is unknown. The lease still counts from the first one.
            let waited = now.saturating_duration_since(known.asked);
            let lost = known.stage == Stage::Claimed && waited > LOST;
            if lost {
                known.asked = now;
            }
            return lost;
        }
        let Some(page) = incident.page(attempt.0) else { return false };
        let destination =
            (incident.tenant.clone(), incident.team.clone(), page.destination.clone());
        let same = self.begun.values().filter(|it| it.destination == destination).count();
        if self.begun.len() >= self.limits.all || same >= self.limits.per_destination {
            return false;
        }
        let (partition, stage) = (partition.clone(), Stage::Claimed);
        let it = Begun { partition, destination, claimed: now, asked: now, stage };
        self.begun.insert(attempt, it);
        true
    }

    /// Whether a claim that was to be appended still should be.
    pub(crate) fn is_begun(&self, attempt: Attempt) -> bool {
        self.begun.contains_key(&attempt)
    }

    /// A claim is surely not in the log.
    pub(crate) fn not_claimed(&mut self, attempt: Attempt) {
        self.begun.remove(&attempt);
    }

    /// A send has ended. One whose result is `noted` in the log counts as under way until that is
    /// read back, by whoever owns the partition then; `owned` is whether this process does.
    pub(crate) fn ended(&mut self, attempt: Attempt, noted: bool, owned: bool) {
        if !owned {
            self.begun.remove(&attempt);
        } else if let Some(it) = self.begun.get_mut(&attempt).filter(|_| !noted) {
            it.stage = Stage::GivenUp;
        }
    }

    /// A partition is no longer owned. Whoever owns it next claims and counts; only what is on the
    /// wire goes on.
    pub(crate) fn leave(&mut self, partition: &TopicPartition) {
        self.begun.retain(|_, it| it.partition != *partition || it.stage == Stage::Sending);
    }
}

/// Whether the fold may still ask about an attempt.
fn is_wanted(incidents: &Partition, (page_id, attempt): Attempt, stage: Stage) -> bool {
    let Some((_, page)) = incidents.page(page_id) else { return false };
    let settled = page.log.iter().any(|it| it.attempt == attempt && it.outcome.is_some());
    if page.is_settled() || settled || page.attempts > attempt {
        return false;
    }
    // A claim that did not come back, or that somebody else's came before.
    stage == Stage::Sending || page.attempts == attempt || page.next_attempt() == attempt
}

#[cfg(test)]
mod tests {
    use zhili_eventlog::topics;
    use zhili_incident::{Claim, Config, Entry, Family, Severity, Signal};

    use super::*;

    const START: i64 = 1_767_225_600_000;
    const WIDE: Limits = Limits { all: 8, per_destination: 8 };

    fn place() -> TopicPartition {
        TopicPartition::new(topics::ESCALATION, 0)
    }

    /// As many open incidents, each with a page to one webhook.
    fn incidents(count: u32) -> Partition {
        let config = r#"{"teams": {"default": {"destinations": {
            "floor": {"webhook": {"url": "https://hooks.example/floor"}}}}}}"#;
        let config: Config = serde_json::from_str(config).unwrap();
        let mut partition = Partition::new();
        let (tenant, bundle) = ("acme".to_owned(), "b".to_owned());
        let config = Entry::Config { tenant, bundle, sequence: 1, config };
        partition.apply(START, config, &mut Vec::new());
        for number in 0..count {
            let signal = Signal {
                signal_id: format!("s{number}"),
                tenant: "acme".into(),
                team: "default".into(),
                conversation_id: format!("c{number}"),
                family: Family::Complaint,
                kind: "urgent_complaint".into(),
                category: "regulator".into(),
                severity: Severity::High,
                event_id: String::new(),
                effective_ms: START,
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
            partition.apply(START, Entry::Signal(signal), &mut Vec::new());
        }
        partition
    }

    fn begin(
        attempts: &mut Attempts,
        incidents: &Partition,
        now: Instant,
    ) -> (Vec<Attempt>, usize) {
        let (partition, now_ms) = (place(), incidents.now_ms());
        let view = View { partition: &partition, incidents, now_ms, current: true, owner: "one" };
        let todo = attempts.begin(&view, now);
        (todo.claims.into_iter().map(|(_, attempt)| attempt).collect(), todo.sends.len())
    }

    fn claim(incidents: &mut Partition, (page_id, attempt): Attempt) {
        let claim = Claim { page_id, attempt, owner: "one".into() };
        incidents.apply(incidents.now_ms(), Entry::Claim(claim), &mut Vec::new());
    }

    #[test]
    fn a_page_is_claimed_once_and_sent_once_when_the_claim_is_read_back() {
        let (mut attempts, mut incidents) = (Attempts::new(WIDE), incidents(1));
        let now = Instant::now();
        let (claims, sends) = begin(&mut attempts, &incidents, now);
        assert_eq!((claims.len(), sends), (1, 0));
        assert_eq!(begin(&mut attempts, &incidents, now), (Vec::new(), 0));
        claim(&mut incidents, claims[0]);
        assert_eq!(begin(&mut attempts, &incidents, now), (Vec::new(), 1));
        assert_eq!(begin(&mut attempts, &incidents, now), (Vec::new(), 0));
    }

    #[test]
    fn a_claim_that_does_not_come_back_is_repeated_and_its_lease_counts_from_the_first() {
        let (mut attempts, mut incidents) = (Attempts::new(WIDE), incidents(1));
        let first = Instant::now();
        let (claims, _) = begin(&mut attempts, &incidents, first);
        assert_eq!(begin(&mut attempts, &incidents, first + LOST).0, []);
        let again = first + LOST + Duration::from_millis(1);
        assert_eq!(begin(&mut attempts, &incidents, again).0, claims);
        claim(&mut incidents, claims[0]);
        let partition = place();
        let view = View {
            partition: &partition,
            incidents: &incidents,
            now_ms: START,
            current: true,
            owner: "one",
        };
        let due = &attempts.begin(&view, again).sends[0];
        assert_eq!(due.claimed, first);
        assert!(!in_lease(due.claimed, again), "another owner may have sent it since");
    }

    #[test]
    fn a_claim_under_the_name_of_this_process_that_it_has_not_made_is_not_sent() {
        let mut incidents = incidents(1);
        let page_id = incidents.incidents().next().unwrap().pages[0].page_id;
        claim(&mut incidents, (page_id, 1));
        assert_eq!(begin(&mut Attempts::new(WIDE), &incidents, Instant::now()).1, 0);
    }

    #[test]
    fn no_more_is_begun_than_the_limits_allow() {
        for limits in [Limits { all: 3, per_destination: 8 }, Limits { all: 8, per_destination: 3 }]
        {
            let (mut attempts, mut incidents) = (Attempts::new(limits), incidents(5));
            let (claims, _) = begin(&mut attempts, &incidents, Instant::now());
            assert_eq!(claims.len(), 3, "{limits:?}");
            claim(&mut incidents, claims[0]);
            assert_eq!(begin(&mut attempts, &incidents, Instant::now()).0, [], "{limits:?}");
            attempts.not_claimed(claims[1]);
            assert_eq!(begin(&mut attempts, &incidents, Instant::now()).0, [claims[1]]);
        }
    }

    #[test]
    fn a_state_of_the_past_claims_nothing() {
        let incidents = incidents(1);
        let partition = place();
        let view = View {
            partition: &partition,
            incidents: &incidents,
            now_ms: START,
            current: false,
            owner: "one",
        };
        let todo = Attempts::new(WIDE).begin(&view, Instant::now());
        assert!(todo.claims.is_empty());
    }

    #[test]
    fn what_is_on_the_wire_outlives_the_ownership_of_its_partition() {
        let (mut attempts, mut incidents) = (Attempts::new(WIDE), incidents(2));
        let (claims, _) = begin(&mut attempts, &incidents, Instant::now());
        claim(&mut incidents, claims[0]);
        assert_eq!(begin(&mut attempts, &incidents, Instant::now()).1, 1);
        attempts.leave(&place());
        assert!(attempts.is_begun(claims[0]) && !attempts.is_begun(claims[1]));
        attempts.ended(claims[0], true, false);
        assert!(!attempts.is_begun(claims[0]));
    }

    #[test]
    fn a_send_that_was_called_off_is_tried_again_after_its_lease() {
        let (mut attempts, mut incidents) = (Attempts::new(WIDE), incidents(1));
        let (claims, _) = begin(&mut attempts, &incidents, Instant::now());
        claim(&mut incidents, claims[0]);
        begin(&mut attempts, &incidents, Instant::now());
        incidents.advance(START + LEASE_MS, &mut Vec::new());
        assert_eq!(begin(&mut attempts, &incidents, Instant::now()).0, [], "it may still end");
        attempts.ended(claims[0], false, true);
        let (page_id, attempt) = claims[0];
        let next = begin(&mut attempts, &incidents, Instant::now()).0;
        assert_eq!(next, [(page_id, attempt + 1)]);
    }
}
