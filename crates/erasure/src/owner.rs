//! The one who does the work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use prost::Message;
use tokio_util::sync::CancellationToken;
use zhili_eventlog::runner::Erasure as Marks;
use zhili_eventlog::{
    Clock, EventLog, LogError, Membership, NewRecord, Purged, ReadLimit, Rebalance, TopicPartition,
    topics,
};
use zhili_proto::conversation::v1 as conversation;
use zhili_proto::escalation::v1 as escalation;
use zhili_proto::privacy::v1::erasure::Stage;
use zhili_proto::privacy::v1::subject::Subject as Who;
use zhili_proto::privacy::v1::{Cut, Erasure, Found, Job};
use zhili_proto::scoring::v1 as scoring;
use zhili_proto::{millis, timestamp};
use zhili_warehouse::erase::{
    Person, STANDS_FOR, conversations_of, erase, rows_of_person, shared_writers, writers_of,
};
use zhili_warehouse::{Layout, Table, Warehouse};

use crate::ErasureError;
use crate::names::Names;
use crate::receipt::{self, Receipt, Signer};
use crate::register::{Register, note_job, partition};
use crate::search::{Cuts, old_snapshots, search, traces_of};

/// Group whose member does the work.
pub const GROUP: &str = "zhili.erasure";

/// The folds: the topic that each reads, its group, and its name in the keys of snapshots.
const FOLDS: [(&str, &str, &str); 4] = [
    (topics::EVENTS, "zhili.scoring", "scoring"),
    (topics::CUSTOMERS, "zhili.scoring.customers", "customers"),
    (topics::PULSE, "zhili.scoring.pulse", "pulse"),
    (topics::ESCALATION, "escalation", "escalation"),
];

/// Group of the sink into ClickHouse.
const SINK: &str = "zhili.metrics";

/// Pause before a step that failed, or that waits for others, is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// The same where every try costs much.
const LATER: Duration = Duration::from_secs(30);
/// Kafka throws whole segments away, and rolls one at least every hour.
const SEGMENT_MS: i64 = 2 * 60 * 60 * 1000;

/// Does the erasures of the register, one after the other.
pub struct Owner {
    log: Arc<dyn EventLog>,
    warehouse: Warehouse,
    layout: Layout,
    signer: Signer,
    clock: Clock,
}

impl Owner {
    /// An owner that signs with `signer`.
    pub fn new(
        log: Arc<dyn EventLog>,
        warehouse: Warehouse,
        layout: Layout,
        signer: Signer,
        clock: Clock,
    ) -> Self {
        Self { log, warehouse, layout, signer, clock }
    }

    /// Works, whenever it is this member's turn, until `shutdown`. What fails is tried again.
    ///
    /// # Errors
    /// When the membership ends for good.
    pub async fn run(self, member: &str, shutdown: CancellationToken) -> Result<(), LogError> {
        while !shutdown.is_cancelled() {
            match self.take_part(member, &shutdown).await {
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, "out of the group of erasures, joining again");
                    pause(AGAIN, &shutdown).await;
                }
                ended => return ended,
            }
        }
        Ok(())
    }

    async fn take_part(&self, member: &str, shutdown: &CancellationToken) -> Result<(), LogError> {
        let membership = Membership {
            group: GROUP.to_owned(),
            member: member.to_owned(),
            topics: vec![topics::ERASURES.to_owned()],
        };
        let mut group = self.log.join(membership).await?;
        loop {
            let change = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                change = group.next() => change?,
            };
            let Rebalance::Assigned(handles) = change else { continue };
            for handle in handles {
                let revoked = handle.revoked();
                let stop = revoked.child_token();
                tokio::select! {
                    () = shutdown.cancelled() => return Ok(()),
                    () = stop.cancelled() => {}
                    worked = self.work() => worked?,
                }
            }
        }
    }

    /// Follows the register and does what it asks for.
    async fn work(&self) -> Result<(), LogError> {
        let mut register = Register::default();
        let mut next = self.log.bounds(&partition()).await?.start;
        let mut not_before: BTreeMap<String, Instant> = BTreeMap::new();
        loop {
            let limit = ReadLimit { wait: AGAIN, ..ReadLimit::default() };
            let batch = self.log.read(&partition(), next, limit).await?;
            for record in &batch.records {
                register.take(record);
            }
            next = batch.next;
            if !batch.caught_up {
                continue;
            }
            let unfinished: Vec<String> = register
                .jobs
                .iter()
                .filter(|(_, job)| stage(job) != Stage::Done)
                .map(|(id, _)| id.clone())
                .collect();
            for id in unfinished {
                if not_before.get(&id).is_some_and(|at| Instant::now() < *at) {
                    continue;
                }
                if let Err(error) = self.go_on(&mut register, &id).await {
                    tracing::warn!(erasure = id, %error, "an erasure cannot go on, trying again");
                    not_before.insert(id, Instant::now() + LATER);
                } else if register.jobs.get(&id).is_some_and(|job| stage(job) == Stage::Removing) {
                    // Something still names the person, and each look reads and writes everything.
                    not_before.insert(id, Instant::now() + LATER);
                }
            }
        }
    }

    /// Takes an erasure as far as it goes.
    async fn go_on(&self, register: &mut Register, id: &str) -> Result<(), ErasureError> {
        while let Some(job) = register.jobs.get(id)
            && stage(job) != Stage::Done
        {
            let step = self.step(job, register).await?;
            let Some(job) = step else { return Ok(()) };
            // A wait is noted once.
            if register.jobs.get(id) == Some(&job) {
                return Ok(());
            }
            note_job(&*self.log, &job).await?;
            let waits = job.erasure.as_ref().is_some_and(|it| !it.waits_for.is_empty());
            tracing::info!(erasure = id, stage = stage(&job).as_str_name(), "an erasure goes on");
            register.jobs.insert(id.to_owned(), job);
            if waits {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What an erasure is after its next step; `None` if only time brings it further.
    async fn step(&self, job: &Job, register: &Register) -> Result<Option<Job>, ErasureError> {
        match stage(job) {
            Stage::Held if register.is_still_held(job) => Ok(None),
            Stage::Requested | Stage::Held | Stage::Unspecified => {
                self.begin(job, register).await.map(Some)
            }
            Stage::Forgetting => self.forget(job).await.map(Some),
            Stage::Removing => self.remove(job).await.map(Some),
            Stage::Waiting => self.wait(job).await,
            Stage::Sealing => {
                // The record with the names was replaced; its bytes go with this.
                self.log.purge(Arc::new(|_, _| false)).await?;
                let mut done = job.clone();
                set(&mut done, Stage::Done, "");
                Ok(Some(done))
            }
            Stage::Done => Ok(None),
        }
    }

    /// Finds whom it is about, unless somebody holds them back.
    async fn begin(&self, job: &Job, register: &Register) -> Result<Job, ErasureError> {
        let (id, tenant) = whose(job);
        let subject = job.subject.as_ref().and_then(|subject| subject.subject.as_ref());
        let who = subject.ok_or_else(|| ErasureError::Incomplete(id.to_owned()))?;
        let known = find(&*self.log, &self.warehouse, tenant, who).await?;
        let mut next = job.clone();
        if let Some(hold) = register.hold_on(tenant, known.names.iter()) {
            set(&mut next, Stage::Held, &format!("the release of hold {}", hold.hold_id));
            return Ok(next);
        }
        let salt: [u8; 32] = rand::random();
        let marks = Marks::new(id, tenant, salt, known.names.iter().map(String::as_str));
        next.marks = Some((&marks).into());
        next.salt = STANDARD.encode(rand::random::<[u8; 32]>());
        know(&mut next, known);
        set(&mut next, Stage::Forgetting, "");
        Ok(next)
    }

    /// Tells the folds, waits until they have forgotten and the sink has written what they said
    /// before.
    async fn forget(&self, job: &Job) -> Result<Job, ErasureError> {
        let (id, tenant) = whose(job);
        let mut next = job.clone();
        let marks = job.marks.clone().ok_or_else(|| ErasureError::Incomplete(id.to_owned()))?;
        let cuts = cuts(job);
        let told = |topic: &str| cuts.keys().any(|place| &*place.topic == topic);
        if !told(topics::EVENTS) {
            for (place, offset) in self.tell(&marks).await? {
                next.cuts.push(cut(&place, offset));
            }
            return Ok(next);
        }
        let mut taken_after = BTreeMap::new();
        for (topic, group, fold) in FOLDS {
            for (place, offset) in cuts.iter().filter(|(place, _)| &*place.topic == topic) {
                if !self.has_passed(group, place, offset + 1).await? {
                    set(
                        &mut next,
                        Stage::Forgetting,
                        &format!("{group} to read {place} up to {offset}"),
                    );
                    return Ok(next);
                }
                taken_after.insert(format!("{fold}/{}", place.partition), *offset);
            }
        }
        if let Some(fold) = old_snapshots(&*self.log, &taken_after).await?.first() {
            set(&mut next, Stage::Forgetting, &format!("fold {fold} to give up its old snapshots"));
            return Ok(next);
        }
        if !told(topics::SCORES) {
            for topic in [
                topics::SCORES,
                topics::FACTS,
                topics::INCIDENTS,
                topics::DEAD_LETTERS,
                topics::SNAPSHOTS,
                topics::AUDIT,
            ] {
                for place in self.partitions(topic).await? {
                    let end = self.log.bounds(&place).await?.end;
                    next.cuts.push(cut(&place, end));
                }
            }
            set(&mut next, Stage::Forgetting, "");
            return Ok(next);
        }
        for topic in zhili_warehouse::sink::TOPICS {
            for (place, offset) in cuts.iter().filter(|(place, _)| &*place.topic == topic) {
                if !self.has_passed(SINK, place, *offset).await? {
                    set(
                        &mut next,
                        Stage::Forgetting,
                        &format!("{SINK} to write {place} up to {offset}"),
                    );
                    return Ok(next);
                }
            }
        }
        // Again, for what came between the first look and the marks.
        if let Some(Who::Customer(_)) = job.subject.as_ref().and_then(|it| it.subject.as_ref())
            && let Some(who) = job.subject.as_ref().and_then(|it| it.subject.as_ref())
        {
            know(&mut next, find(&*self.log, &self.warehouse, tenant, who).await?);
        }
        let names: BTreeSet<String> = next.names.iter().cloned().collect();
        let found = search(&*self.log, &Names::new(&names), &cuts).await?.found;
        let rows = rows_of_person(&self.warehouse, &names, &pairs(&cuts)).await?;
        if let Some(erasure) = &mut next.erasure {
            erasure.removed = Some(Found { records: found, rows });
        }
        set(&mut next, Stage::Removing, "");
        Ok(next)
    }

    /// Removes rows and records, and looks for them again.
    async fn remove(&self, job: &Job) -> Result<Job, ErasureError> {
        let (_, tenant) = whose(job);
        let mut next = job.clone();
        let cuts = cuts(job);
        let names: BTreeSet<String> = job.names.iter().cloned().collect();
        let person = Person {
            tenant: tenant.to_owned(),
            conversations: job.stand_ins.clone(),
            names: names.clone(),
            salt: job.salt.clone(),
            cuts: pairs(&cuts),
        };
        erase(&self.warehouse, &self.layout, &person).await?;
        let condemned = {
            let (names, cuts) = (Names::new(&names), cuts.clone());
            move |place: &TopicPartition, record: &zhili_eventlog::Record| {
                cuts.get(place).is_some_and(|cut| record.offset < *cut)
                    && names.are_in_record(record)
            }
        };
        let purged = self.log.purge(Arc::new(condemned)).await?;
        if purged == Purged::ByRetention {
            let left = search(&*self.log, &Names::new(&names), &cuts).await?.found;
            if !left.is_empty() {
                let mut kept_ms = 0;
                for topic in left.keys() {
                    kept_ms = kept_ms.max(self.log.topic(topic).await?.retention_ms.unwrap_or(0));
                }
                let empty_ms = (self.clock)() + kept_ms + SEGMENT_MS;
                if let Some(erasure) = &mut next.erasure {
                    erasure.log_empty_at = Some(timestamp(empty_ms));
                }
                let topics = left.keys().cloned().collect::<Vec<_>>().join(", ");
                set(&mut next, Stage::Waiting, &format!("the retention of {topics}"));
                return Ok(next);
            }
        }
        self.verify(job).await
    }

    /// Looks again when the log should have thrown everything away.
    async fn wait(&self, job: &Job) -> Result<Option<Job>, ErasureError> {
        let empty_at = job.erasure.as_ref().and_then(|erasure| erasure.log_empty_at.as_ref());
        if empty_at.and_then(millis).is_some_and(|at| (self.clock)() < at) {
            return Ok(None);
        }
        self.verify(job).await.map(Some)
    }

    /// The erasure with its receipt, or what was found of the person that should not be there.
    async fn verify(&self, job: &Job) -> Result<Job, ErasureError> {
        let mut next = job.clone();
        let cuts = cuts(job);
        let names: BTreeSet<String> = job.names.iter().cloned().collect();
        let searched = search(&*self.log, &Names::new(&names), &cuts).await?;
        let rows = rows_of_person(&self.warehouse, &names, &pairs(&cuts)).await?;
        let left: Vec<String> = searched
            .found
            .iter()
            .chain(&rows)
            .map(|(place, count)| format!("{count} in {place}"))
            .collect();
        if !left.is_empty() {
            set(
                &mut next,
                stage(job),
                &format!("what still names the person: {}", left.join(", ")),
            );
            return Ok(next);
        }
        let now_ms = (self.clock)();
        let receipt = receipt_of(job, searched.read, now_ms);
        let signed = self.signer.sign(receipt)?;
        let Some(erasure) = &mut next.erasure else { return Ok(next) };
        erasure.receipt = serde_json::to_string_pretty(&signed)
            .map_err(|error| receipt::ReceiptError::Unreadable(error.to_string()))?;
        erasure.done_at = Some(timestamp(now_ms));
        next.subject = None;
        next.names.clear();
        next.stand_ins.clear();
        next.salt.clear();
        next.cuts.clear();
        set(&mut next, Stage::Sealing, "");
        Ok(next)
    }

    /// Appends the marks to every partition that a fold reads, and says where they are.
    async fn tell(
        &self,
        marks: &zhili_proto::log::v1::Erasure,
    ) -> Result<Vec<(TopicPartition, u64)>, LogError> {
        let mut records = Vec::new();
        for (topic, ..) in FOLDS {
            for place in self.partitions(topic).await? {
                records.push(NewRecord::new(place, None, entry(topic, marks.clone())));
            }
        }
        let places: Vec<TopicPartition> =
            records.iter().map(|record| record.partition.clone()).collect();
        let mut told = Vec::new();
        for (place, result) in places.into_iter().zip(self.log.append(records).await) {
            told.push((place, result?.offset));
        }
        Ok(told)
    }

    async fn partitions(&self, topic: &str) -> Result<Vec<TopicPartition>, LogError> {
        let count = self.log.topic(topic).await?.partitions;
        Ok((0..count).map(|number| TopicPartition::new(topic, number)).collect())
    }

    /// Whether a group has committed everything before an offset.
    async fn has_passed(
        &self,
        group: &str,
        place: &TopicPartition,
        offset: u64,
    ) -> Result<bool, LogError> {
        let start = self.log.bounds(place).await?.start;
        let committed = self.log.committed(group, place).await?;
        let from = committed.map_or(start, |committed| committed.offset).max(start);
        if from >= offset {
            return Ok(true);
        }
        // What lies between may be nothing but gaps, which nobody commits.
        let limit = ReadLimit { records: 1, wait: Duration::ZERO, ..ReadLimit::default() };
        let batch = self.log.read(place, from, limit).await?;
        Ok(batch.records.first().is_none_or(|record| record.offset >= offset)
            && batch.next >= offset)
    }
}

/// What was done and looked for.
fn receipt_of(job: &Job, records_searched: u64, now_ms: i64) -> Receipt {
    let erasure = job.erasure.clone().unwrap_or_default();
    let removed = erasure.removed.unwrap_or_default();
    let marks = job.marks.clone().unwrap_or_default();
    let by_retention = erasure.log_empty_at.is_some();
    let mut not_covered = vec![
        "backups made before: restoring one with this receipt erases the person again".to_owned(),
        "what the publishing platform and others hold, and messages that were sent to people"
            .to_owned(),
        "blocks of removed files on the device until it reuses them: encrypt the volume".to_owned(),
    ];
    if by_retention {
        not_covered.push(
            "records of compacted topics that were replaced, until the broker compacts them"
                .to_owned(),
        );
    }
    let kind = match job.subject.as_ref().and_then(|subject| subject.subject.as_ref()) {
        Some(Who::Conversation(_)) => "conversation",
        _ => "customer",
    };
    Receipt {
        version: 1,
        erasure_id: erasure.erasure_id,
        tenant: erasure.tenant,
        kind: kind.to_owned(),
        conversations: job.stand_ins.len() as u64,
        requested_by: erasure.requested_by,
        requested_at: rfc3339(erasure.requested_at.as_ref().and_then(millis).unwrap_or(0)),
        reason: erasure.reason,
        verified_at: rfc3339(now_ms),
        records_removed: removed.records,
        rows_removed: removed.rows,
        log: if by_retention { "retention" } else { "rewritten" }.to_owned(),
        records_searched,
        tables_searched: Table::ALL.len() as u64,
        marks: receipt::Marks {
            salt: STANDARD.encode(&marks.salt),
            names: marks.names.iter().map(|name| STANDARD.encode(name)).collect(),
        },
        not_covered,
        software: concat!("zhili ", env!("CARGO_PKG_VERSION")).to_owned(),
    }
}

/// Who a subject is, as far as log and tables tell.
struct Known {
    names: BTreeSet<String>,
    conversations: BTreeSet<String>,
}

async fn find(
    log: &dyn EventLog,
    warehouse: &Warehouse,
    tenant: &str,
    who: &Who,
) -> Result<Known, ErasureError> {
    let customer = match who {
        Who::Conversation(conversation) => {
            let conversations = BTreeSet::from([conversation.clone()]);
            return Ok(Known { names: conversations.clone(), conversations });
        }
        Who::Customer(customer) => customer,
    };
    let traces = traces_of(log, tenant, customer).await?;
    let mut conversations = conversations_of(warehouse, tenant, customer).await?;
    conversations.extend(traces.conversations);
    let mut writers = writers_of(warehouse, tenant, &conversations).await?;
    writers.extend(traces.writers);
    writers.retain(|writer| !traces.writers_elsewhere.contains(writer));
    let shared = shared_writers(warehouse, tenant, &writers, &conversations).await?;
    writers.retain(|writer| !shared.contains(writer));
    let mut names = conversations.clone();
    names.extend(writers);
    names.insert(customer.clone());
    Ok(Known { names, conversations })
}

/// What an erasure of a subject would concern.
///
/// # Errors
/// The log cannot be read, or ClickHouse not be asked.
pub async fn dry_run(
    log: &dyn EventLog,
    warehouse: &Warehouse,
    tenant: &str,
    who: &Who,
) -> Result<Found, ErasureError> {
    let known = find(log, warehouse, tenant, who).await?;
    let records = search(log, &Names::new(&known.names), &Cuts::new()).await?.found;
    let rows = rows_of_person(warehouse, &known.names, &[]).await?;
    Ok(Found { records, rows })
}

/// Adds what was found out; what stands for a conversation stays what it is.
fn know(job: &mut Job, known: Known) {
    for conversation in known.conversations {
        job.stand_ins
            .entry(conversation)
            .or_insert_with(|| format!("{STANDS_FOR}{:032x}", rand::random::<u128>()));
    }
    let mut names: BTreeSet<String> = job.names.drain(..).collect();
    names.extend(known.names);
    job.names = names.into_iter().collect();
}

fn stage(job: &Job) -> Stage {
    job.erasure.as_ref().map_or(Stage::Unspecified, Erasure::stage)
}

fn set(job: &mut Job, stage: Stage, waits_for: &str) {
    if let Some(erasure) = &mut job.erasure {
        erasure.set_stage(stage);
        waits_for.clone_into(&mut erasure.waits_for);
    }
}

/// Id and tenant.
fn whose(job: &Job) -> (&str, &str) {
    job.erasure.as_ref().map_or(("", ""), |erasure| (&erasure.erasure_id, &erasure.tenant))
}

fn cut(place: &TopicPartition, offset: u64) -> Cut {
    Cut { topic: place.topic.to_string(), partition: place.partition, offset }
}

fn cuts(job: &Job) -> Cuts {
    let place = |cut: &Cut| TopicPartition::new(cut.topic.as_str(), cut.partition);
    job.cuts.iter().map(|cut| (place(cut), cut.offset)).collect()
}

fn pairs(cuts: &Cuts) -> Vec<(TopicPartition, u64)> {
    cuts.iter().map(|(place, offset)| (place.clone(), *offset)).collect()
}

/// Marks as a record of the topic that a fold reads.
fn entry(topic: &str, marks: zhili_proto::log::v1::Erasure) -> Bytes {
    let bytes = match topic {
        topics::CUSTOMERS => {
            let entry = Some(scoring::customer_entry::Entry::Erasure(marks));
            scoring::CustomerEntry { entry }.encode_to_vec()
        }
        topics::PULSE => {
            let entry = Some(scoring::pulse_entry::Entry::Erasure(marks));
            scoring::PulseEntry { entry }.encode_to_vec()
        }
        topics::ESCALATION => {
            let entry = Some(escalation::log_entry::Entry::Erasure(marks));
            escalation::LogEntry { entry }.encode_to_vec()
        }
        _ => {
            let entry = Some(conversation::log_entry::Entry::Erasure(marks));
            conversation::LogEntry { entry }.encode_to_vec()
        }
    };
    bytes.into()
}

fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map(|at| at.to_string()).unwrap_or_default()
}

async fn pause(how_long: Duration, shutdown: &CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = tokio::time::sleep(how_long) => {}
    }
}
