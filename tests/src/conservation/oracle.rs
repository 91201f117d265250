//! The judgement. Pure: it is told everything that was found and says what is wrong with it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;

use super::ledger::{Expected, Ledger, Poison};

/// Examples of violations that are kept; a run that is wrong is mostly wrong the same way.
const EXAMPLES: usize = 20;
/// How long before the moment that a fault is noted by it may already be felt, and after its end
/// still: clocks are read before and after a signal is sent, and a page that left before its
/// sender was killed arrives afterwards.
const SLACK_MS: i64 = 2_000;

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeadLetter {
    /// That of an event, with the hash of what it says.
    Event {
        /// Its id.
        id: String,
        /// See [`super::Event::payload`].
        payload: u64,
        /// Where in the topic of events the record was: partition and offset.
        at: (u32, u64),
    },
    /// That of a record that is none.
    Bytes(Poison),
}

/// A page that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its id; the same for every copy.
    pub page: String,
    /// Conversation that it is about, as its pseudonym.
    pub conversation: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// Something that may make a page arrive once more: a crash, a takeover, an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disturbance {
    /// When it began, milliseconds since the Unix epoch.
    pub began_ms: i64,
    /// When the last of its consequences could begin: the end of a pause, the restart.
    pub ended_ms: i64,
    /// Whether the sender did not hear what became of its pages, so that it may send each as often as it
    /// tries; otherwise once more.
    pub unheard: bool,
}

impl Disturbance {
    fn overlaps(&self, from_ms: i64, to_ms: i64) -> bool {
        self.began_ms - SLACK_MS <= to_ms && from_ms <= self.ended_ms + SLACK_MS
    }
}

/// What is wrong. All zero where nothing is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Acknowledged and neither a row nor a dead letter.
    pub lost: u64,
    /// Rows and dead letters beyond the one that each acknowledged event has.
    pub duplicate_rows: u64,
    /// Rows and dead letters that say something else than what was published.
    pub payload_differences: u64,
    /// Rows and dead letters that nobody published.
    pub strays: u64,
    /// Urgent events without a signal, an incident or a page.
    pub missed_pages: u64,
    /// Incidents beyond the one that each urgent event has.
    pub duplicate_incidents: u64,
    /// Copies of pages beyond the first; no violation while within the bound.
    pub duplicate_pages: u64,
    /// Pages that came more often than the faults in between allow.
    pub pages_over_bound: u64,
    /// Some of the violations in words.
    pub examples: Vec<String>,
}

impl Verdict {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        let Self { duplicate_pages: _, examples: _, .. } = self;
        self.lost
            + self.duplicate_rows
            + self.payload_differences
            + self.strays
            + self.missed_pages
            + self.duplicate_incidents
            + self.pages_over_bound
            == 0
    }
}

/// Hears everything that is there.
pub struct Judge<'a> {
    ledger: &'a Ledger,
    /// Where each event was found; rows and dead letters alike.
    found: HashSet<&'a str>,
    conflicts: BTreeMap<(String, u64), u32>,
    /// Places of records that have a dead letter.
    letters: HashSet<(u32, u64)>,
    poison: HashMap<(u32, u64), &'a Poison>,
    /// Conversation of each urgent event that has a signal.
    signals: HashMap<&'a str, String>,
    incidents: HashMap<String, BTreeSet<String>>,
    pages: BTreeMap<String, (String, Vec<i64>)>,
    verdict: Verdict,
}

impl<'a> Judge<'a> {
    /// Judges by what was acknowledged.
    pub fn new(ledger: &'a Ledger) -> Self {
        let place = |poison: &'a Poison| ((poison.partition, poison.offset), poison);
        Self {
            ledger,
            found: HashSet::new(),
            conflicts: BTreeMap::new(),
            letters: HashSet::new(),
            poison: ledger.poison.iter().map(place).collect(),
            signals: HashMap::new(),
            incidents: HashMap::new(),
            pages: BTreeMap::new(),
            verdict: Verdict::default(),
        }
    }

    /// A row of the table of events.
    pub fn row(&mut self, id: &str, payload: u64) {
        match self.ledger.events.get_key_value(id) {
            Some((id, expected)) => self.event_found(id, *expected, payload, "a row"),
            None => self.stray(&format!("a row of {id}")),
        }
    }

    fn event_found(&mut self, id: &'a str, expected: Expected, payload: u64, what: &str) {
        if !self.found.insert(id) {
            self.verdict.duplicate_rows += 1;
            self.example(format!("{id} is there once more, as {what}"));
        }
        if payload != expected.payload {
            self.verdict.payload_differences += 1;
            self.example(format!("{what} of {id} says something else"));
        }
    }

    fn stray(&mut self, what: &str) {
        self.verdict.strays += 1;
        self.example(format!("nobody published what has {what}"));
    }

    /// A dead letter.
    pub fn dead_letter(&mut self, letter: DeadLetter) {
        let at = match &letter {
            DeadLetter::Event { at, .. } => *at,
            DeadLetter::Bytes(poison) => (poison.partition, poison.offset),
        };
        if !self.letters.insert(at) {
            self.verdict.duplicate_rows += 1;
            self.example(format!("the record at {at:?} has another dead letter: {letter:?}"));
            return;
        }
        match letter {
            DeadLetter::Event { id, payload, .. } => {
                let Some((known, expected)) = self.ledger.events.get_key_value(&*id) else {
                    return self.stray(&format!("a dead letter of {id}"));
                };
                if payload == expected.payload {
                    return self.event_found(known, *expected, payload, "a dead letter");
                }
                let key = (id, payload);
                match self.ledger.conflicts.get(&key).copied() {
                    None => {
                        self.verdict.payload_differences += 1;
                        self.example(format!("a dead letter of {} says something else", key.0));
                    }
                    Some(sent) => {
                        let count = self.conflicts.entry(key.clone()).or_default();
                        *count += 1;
                        if *count > sent {
                            self.verdict.duplicate_rows += 1;
                            self.example(format!(
                                "{} has another dead letter than the {sent} that were sent",
                                key.0
                            ));
                        }
                    }
                }
            }
            DeadLetter::Bytes(found) => match self.poison.get(&at) {
                None if self.ledger.unsure.contains(&found.sha256) => {}
                None => self.stray(&format!("a dead letter of the bytes at {at:?}")),
                Some(sent) if **sent != found => {
                    self.verdict.payload_differences += 1;
                    self.example(format!("the dead letter at {at:?} is of other bytes"));
                }
                Some(_) => {}
            },
        }
    }

    /// A signal of an urgent complaint: the event, and its conversation as a pseudonym.
    pub fn signal(&mut self, event: &str, conversation: &str) {
        if let Some((id, _)) = self.ledger.events.get_key_value(event) {
            self.signals.insert(id, conversation.to_owned());
        }
    }

    /// An incident about a complaint: its id, and its conversation as a pseudonym.
    pub fn incident(&mut self, id: &str, conversation: &str) {
        self.incidents.entry(conversation.to_owned()).or_default().insert(id.to_owned());
    }

    /// A page that arrived.
    pub fn page(&mut self, arrival: Arrival) {
        let (_, times) =
            self.pages.entry(arrival.page).or_insert((arrival.conversation, Vec::new()));
        times.push(arrival.at_ms);
    }

    /// The judgement, with everything that may have made a page come again.
    pub fn verdict(mut self, disturbances: &[Disturbance]) -> Verdict {
        self.judge_events();
        self.judge_incidents();
        for (page, (_, mut times)) in std::mem::take(&mut self.pages) {
            times.sort_unstable();
            self.verdict.duplicate_pages += times.len() as u64 - 1;
            if !within_bound(&times, disturbances) {
                self.verdict.pages_over_bound += 1;
                self.example(format!("page {page} came at {times:?}"));
            }
        }
        self.verdict
    }

    fn judge_events(&mut self) {
        let ledger = self.ledger;
        for id in ledger.events.keys().filter(|id| !self.found.contains(id.as_str())) {
            self.verdict.lost += 1;
            note(&mut self.verdict, format!("{id} is lost"));
        }
        for (id, payload) in ledger.conflicts.keys() {
            if !self.conflicts.contains_key(&(id.clone(), *payload)) {
                self.verdict.lost += 1;
                note(&mut self.verdict, format!("what conflicts with {id} has no dead letter"));
            }
        }
        for at in self.poison.keys().filter(|at| !self.letters.contains(at)) {
            self.verdict.lost += 1;
            note(&mut self.verdict, format!("the bytes at {at:?} have no dead letter"));
        }
    }

    fn judge_incidents(&mut self) {
        let paged: HashSet<&str> = self.pages.values().map(|(about, _)| about.as_str()).collect();
        for (id, _) in self.ledger.events.iter().filter(|(_, expected)| expected.urgent) {
            let Some(conversation) = self.signals.get(id.as_str()) else {
                self.verdict.missed_pages += 1;
                note(&mut self.verdict, format!("{id} is urgent and has no signal"));
                continue;
            };
            let incidents = self.incidents.get(conversation).map_or(0, BTreeSet::len);
            if incidents == 0 || !paged.contains(conversation.as_str()) {
                self.verdict.missed_pages += 1;
                let lacks = if incidents == 0 { "incident" } else { "page" };
                note(&mut self.verdict, format!("{id} is urgent and has no {lacks}"));
            }
            self.verdict.duplicate_incidents += incidents.saturating_sub(1) as u64;
            if incidents > 1 {
                note(&mut self.verdict, format!("{id} has {incidents} incidents"));
            }
        }
    }

    fn example(&mut self, words: String) {
        note(&mut self.verdict, words);
    }
}

fn note(verdict: &mut Verdict, words: String) {
    if verdict.examples.len() < EXAMPLES {
        verdict.examples.push(words);
    }
}

/// At most once more for each disturbance while the page was in flight, never once more without one in
/// between, and as often as it was tried where no attempt was heard of (design.md 7.3).
fn within_bound(times: &[i64], disturbances: &[Disturbance]) -> bool {
    let unheard = |at: i64| disturbances.iter().any(|it| it.unheard && it.overlaps(at, at));
    let between =
        |from: i64, to: i64| disturbances.iter().filter(|it| it.overlaps(from, to)).count();
    let heard: Vec<i64> = times.iter().copied().filter(|at| !unheard(*at)).collect();
    let (Some(first), Some(last)) = (heard.first(), heard.last()) else { return true };
    heard.len() <= 1 + between(*first, *last)
        && heard.windows(2).all(|pair| between(pair[0], pair[1]) > 0)
}

#[cfg(test)]
mod tests;
