//! `zhili replay`: folds the log again and compares with what was stored.
//!
//! Each fold equals a replay of its own input log with the same engine version; this is how
//! somebody can see for themselves.

use std::collections::{BTreeMap, btree_map};

use bytes::Bytes;
use serde_json::json;
use sha2::{Digest, Sha256};
use zhili_eventlog::runner::{Entry, Fold, Outputs, SOURCE, Undecodable};
use zhili_eventlog::{Headers, Record, topics};
use zhili_proto::log::v1::log_service_client::LogServiceClient;
use zhili_proto::log::v1::{GetConfigRequest, ListTopicsRequest, TailRequest};
use zhili_runtime::Failure;
use zhili_scoring::{CustomerFold, DialogueConfig, Engines, PulseFold, ScoringFold};

use crate::client::{Connection, System, print, print_json, said};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    system: System,
    /// `dialogue.horizon_ms` that scoring began with.
    #[arg(long, value_name = "MS", default_value_t = DialogueConfig::default().horizon_ms)]
    horizon_ms: i64,
    /// `dialogue.idle_close_ms` that scoring began with.
    #[arg(long, value_name = "MS", default_value_t = DialogueConfig::default().idle_close_ms)]
    idle_close_ms: i64,
    /// One JSON object instead of words.
    #[arg(long)]
    json: bool,
}

/// Outputs of one topic from one input partition.
#[derive(Clone, Default)]
struct Sum {
    /// Offset of the input record, partition of the output, and hash of key and value. Outputs of
    /// one record to one partition are in order; those to several are read one partition after
    /// another.
    outputs: Vec<(u64, u32, [u8; 32])>,
}

impl Sum {
    fn add(&mut self, offset: u64, partition: u32, key: &[u8], value: &[u8]) {
        let mut hash = Sha256::new();
        for part in [key, value] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        self.outputs.push((offset, partition, hash.finalize().into()));
    }

    fn records(&self) -> usize {
        self.outputs.len()
    }

    /// A hash over all, in the order of the input.
    fn hex(&self) -> String {
        let mut outputs = self.outputs.clone();
        outputs.sort_by_key(|&(offset, partition, _)| (offset, partition));
        let mut hash = Sha256::new();
        for (offset, partition, output) in outputs {
            hash.update(offset.to_le_bytes());
            hash.update(partition.to_le_bytes());
            hash.update(output);
        }
        hash.finalize().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }
}

/// By topic of the input, topic of the output, and partition of the input.
type Sums = BTreeMap<(&'static str, &'static str, u32), Sum>;

/// What each fold of scoring reads and writes.
const FOLDS: [(&str, &[&str]); 3] = [
    (
        topics::EVENTS,
        &[topics::SCORES, topics::FACTS, topics::CUSTOMERS, topics::PULSE, topics::ESCALATION],
    ),
    (topics::CUSTOMERS, &[topics::FACTS, topics::ESCALATION]),
    (topics::PULSE, &[topics::ESCALATION]),
];

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let addresses = arguments.system.addresses()?;
    let connection = arguments.system.connect(&addresses.ingest).await?;
    let partitions = partitions(&connection).await?;
    let Arguments { horizon_ms, idle_close_ms, .. } = arguments;
    let settings = DialogueConfig { horizon_ms, idle_close_ms };
    let engines =
        Engines::new().map_err(|error| Failure::Problems(format!("phrase library: {error}")))?;
    let mut replay = Replay { connection, partitions, sums: Sums::new(), bundles: BTreeMap::new() };
    let conversations = |number| ScoringFold::new(engines.clone(), settings, number);
    replay.fold(FOLDS[0], conversations).await?;
    replay.fold(FOLDS[1], |_| CustomerFold::new()).await?;
    replay.fold(FOLDS[2], |_| PulseFold::new()).await?;
    let stored = replay.stored().await?;
    report(&replay.sums, &stored, partitions, arguments.json)
}

/// Everything folded again.
struct Replay {
    connection: Connection,
    /// Of every keyed topic.
    partitions: u32,
    sums: Sums,
    /// By name.
    bundles: BTreeMap<String, Bytes>,
}

impl Replay {
    async fn fold<F: Fold>(
        &mut self,
        (input, written): (&'static str, &[&'static str]),
        make: impl Fn(u32) -> F,
    ) -> Result<(), Failure> {
        let mut folds: BTreeMap<u32, (F, i64)> = BTreeMap::new();
        for (number, record, ..) in read(&self.connection, input).await? {
            let (fold, now_ms) = folds.entry(number).or_insert_with(|| (make(number), 0));
            *now_ms = (*now_ms).max(record.append_ms);
            let mut outputs = Outputs::new(self.partitions);
            let entry = fold.decode(&record);
            if let Ok(Entry::Tick { at_ms }) = &entry {
                *now_ms = (*now_ms).max(*at_ms);
            }
            if matches!(entry, Err(Undecodable::UnknownKind)) {
                return Err(Failure::Problems("a newer version wrote this log".to_owned()));
            }
            fold.advance(*now_ms, &mut outputs);
            match entry {
                Ok(Entry::Input(input)) => fold.apply(*now_ms, &record, input, &mut outputs),
                Ok(Entry::Marker(marker)) => {
                    let bundle = match self.bundles.entry(marker.bundle.clone()) {
                        btree_map::Entry::Occupied(known) => known.into_mut(),
                        btree_map::Entry::Vacant(new) => {
                            new.insert(bundle(&self.connection, &marker.bundle).await?)
                        }
                    };
                    // One that the fold refused then is refused now.
                    let _ = fold.configure(*now_ms, &marker, bundle, &mut outputs);
                }
                Ok(Entry::Erasure(erasure)) => fold.erase(*now_ms, &erasure, &mut outputs),
                Ok(Entry::Tick { .. }) | Err(_) => {}
            }
            for output in outputs.records() {
                let topic = written.iter().find(|topic| **topic == &*output.partition.topic);
                if let Some(topic) = topic {
                    let key = output.key.as_deref().unwrap_or_default();
                    let value = output.value.as_deref().unwrap_or_default();
                    let sum = self.sums.entry((input, *topic, number)).or_default();
                    sum.add(record.offset, output.partition.partition, key, value);
                }
            }
        }
        Ok(())
    }

    /// What the folds stored, by what each record says that it comes from.
    async fn stored(&self) -> Result<Sums, Failure> {
        let mut stored = Sums::new();
        for topic in
            [topics::SCORES, topics::FACTS, topics::CUSTOMERS, topics::PULSE, topics::ESCALATION]
        {
            for (to, _, headers, key, value) in read(&self.connection, topic).await? {
                // Ticks, markers and what people do come from no fold.
                let Some(source) = headers.text(SOURCE) else { continue };
                let mut parts = source.rsplitn(3, ':');
                let offset = parts.next().and_then(|offset| offset.parse().ok());
                let number = parts.next().and_then(|number| number.parse().ok());
                let named = parts.next().unwrap_or_default();
                let fold = FOLDS
                    .iter()
                    .find(|(input, written)| *input == named && written.contains(&topic));
                let (Some(offset), Some(number), Some((input, _))) = (offset, number, fold) else {
                    continue;
                };
                let sum = stored.entry((*input, topic, number)).or_default();
                sum.add(offset, to, &key, &value);
            }
        }
        Ok(stored)
    }
}

/// A configuration bundle by its name.
async fn bundle(connection: &Connection, name: &str) -> Result<Bytes, Failure> {
    let mut client = LogServiceClient::new(connection.clone());
    let request = GetConfigRequest { bundle: name.to_owned() };
    Ok(client.get_config(request).await.map_err(|status| said(&status))?.into_inner().content)
}

/// How many partitions there are.
///
/// # Errors
/// When the beginning of what is to be folded again is gone.
async fn partitions(connection: &Connection) -> Result<u32, Failure> {
    let mut client = LogServiceClient::new(connection.clone());
    let listed = client.list_topics(ListTopicsRequest {}).await.map_err(|s| said(&s))?;
    let mut partitions = 0;
    for topic in listed.into_inner().topics {
        if !FOLDS.iter().any(|(input, _)| *input == topic.name) {
            continue;
        }
        if topic.partitions.iter().any(|partition| partition.start > 0) {
            return Err(Failure::Problems(format!(
                "{} no longer goes back to its first record, so a replay cannot give all that was stored",
                topic.name
            )));
        }
        partitions = partitions.max(topic.partitions.len() as u32);
    }
    Ok(partitions)
}

type Read = (u32, Record, Headers, Bytes, Bytes);

/// All records of a topic, each partition's in order.
async fn read(connection: &Connection, topic: &str) -> Result<Vec<Read>, Failure> {
    let mut client = LogServiceClient::new(connection.clone());
    let request = TailRequest { topic: topic.to_owned(), last: u64::MAX, until_now: true };
    let mut stream = client.tail(request).await.map_err(|status| said(&status))?.into_inner();
    let mut all = Vec::new();
    while let Some(record) = stream.message().await.map_err(|status| said(&status))? {
        let append_ms = record.append_time.as_ref().and_then(zhili_proto::millis).unwrap_or(0);
        let headers = Headers(record.headers.into_iter().collect());
        let (key, value) = (record.key, record.value);
        let folded = Record {
            offset: record.offset,
            append_ms,
            key: Some(key.clone()),
            value: Some(value.clone()),
            headers: headers.clone(),
        };
        all.push((record.partition, folded, headers, key, value));
    }
    Ok(all)
}

fn report(folded: &Sums, stored: &Sums, partitions: u32, as_json: bool) -> Result<(), Failure> {
    let mut differing = 0;
    let mut rows = Vec::new();
    for (input, topic) in
        FOLDS.iter().flat_map(|(input, written)| written.iter().map(|topic| (*input, *topic)))
    {
        for number in 0..partitions {
            let none = Sum::default();
            let ours = folded.get(&(input, topic, number)).unwrap_or(&none);
            let theirs = stored.get(&(input, topic, number)).unwrap_or(&none);
            let equal = ours.records() == theirs.records() && ours.hex() == theirs.hex();
            differing += usize::from(!equal);
            if as_json {
                rows.push(json!({
                    "from": input, "topic": topic, "partition": number, "equal": equal,
                    "replayed": ours.records(), "stored": theirs.records(), "sha256": ours.hex(),
                }));
            } else {
                let word = if equal { "equal" } else { "DIFFERS" };
                print(&format!(
                    "{input:<18} -> {topic:<19} {number:>3}  {word:<8} {} replayed, {} stored\n",
                    ours.records(),
                    theirs.records()
                ))?;
            }
        }
    }
    if as_json {
        print_json(&json!({"equal": differing == 0, "partitions": rows}))?;
    }
    match differing {
        0 => Ok(()),
        count => Err(Failure::Problems(format!("{count} partitions differ from their replay"))),
    }
}
