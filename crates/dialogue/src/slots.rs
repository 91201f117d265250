//! Standard phrases that are due, and whether they were said (metrics.md section 3, phrase levels).
//!
//! A run here is a stretch of one side's messages in log order; bots, notes and the system neither
//! end nor begin one.

use serde::{Deserialize, Serialize};

use crate::event::{Act, Acts};
use crate::event_id::EventId;

/// Missed slots of a cycle that a late message may turn out to have said, the latest of them.
const MISSED_KEPT: usize = 8;

/// Agent runs within which empathy and an apology are due.
const RUNS: u32 = 2;

/// A phrase that is due at some point of a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotKind {
    /// Level `basic`: in the first agent run of a cycle.
    Greeting,
    /// Level `professional`: advice in the first answer run after a question or a problem.
    Professional,
    /// Level `emotion`: within two agent runs after a negative customer message.
    Emotion,
    /// Within two agent runs after an agent states a fault of one's own side, that run included.
    Apology,
    /// Level `basic`: in the last agent run before a cycle is resolved.
    Closing,
}

impl SlotKind {
    /// The kind's name in contracts and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Greeting => "greeting",
            Self::Professional => "professional",
            Self::Emotion => "emotion",
            Self::Apology => "apology",
            Self::Closing => "closing",
        }
    }
}

/// A slot that is settled.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settled {
    pub(crate) kind: SlotKind,
    /// Of its kind in the cycle, from 1.
    pub(crate) number: u32,
    /// 0 when it is settled, then one more with each correction.
    pub(crate) revision: u32,
    pub(crate) due_ms: i64,
    /// The message that made it due.
    pub(crate) due_event_id: String,
    /// The message that satisfied it; empty if none did.
    pub(crate) event_id: String,
    /// Who satisfied it, or failed to.
    pub(crate) place: u32,
}

impl Settled {
    pub(crate) fn is_present(&self) -> bool {
        !self.event_id.is_empty()
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Slots {
    side: Side,
    /// Agent runs so far, the current one included.
    runs: u32,
    /// First agent of the current or last agent run.
    place: u32,
    /// That run said more than greetings and holding replies.
    substantive: bool,
    /// The message of that run that took leave.
    farewell: Option<(EventId, u32)>,
    greeting: Option<Box<Due>>,
    professional: Option<Box<Due>>,
    emotion: Option<Box<Due>>,
    apology: Option<Box<Due>>,
    /// How many of each were due so far, those that wait included.
    counts: [u32; 5],
    /// Emotion slots that were due and absent.
    cold: u32,
    /// The latest that were missed before the end of the cycle, in that order.
    missed: Vec<Missed>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Side {
    #[default]
    Nobody,
    Customer,
    Agent,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Due {
    at_ms: i64,
    event_id: EventId,
    /// Agent runs before the first that counts.
    runs_before: u32,
}

/// A slot that was missed, and is not if something sent before comes to light.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Missed {
    kind: SlotKind,
    number: u32,
    due_ms: i64,
    due_event_id: EventId,
    /// When the last run ended that could have said it.
    until_ms: i64,
}

/// A message as slots see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said<'a> {
    pub(crate) sent_ms: i64,
    pub(crate) id: &'a str,
    pub(crate) acts: Acts,
}

/// What says what is due. A closing is due at the end alone.
const SAYS: [(Act, SlotKind); 4] = [
    (Act::Greeting, SlotKind::Greeting),
    (Act::Advice, SlotKind::Professional),
    (Act::Empathy, SlotKind::Emotion),
    (Act::Apology, SlotKind::Apology),
];

impl Slots {
    /// The customer speaks; one slot of a kind waits at a time, so a streak of complaints asks for
    /// one empathic answer. The customer asks, complains or is unhappy if `has_problem`, is unhappy if
    /// `is_negative`.
    pub(crate) fn customer(
        &mut self,
        said: Said<'_>,
        has_problem: bool,
        is_negative: bool,
        settled: &mut dyn FnMut(Settled),
    ) {
        self.end_run(said.sent_ms, settled);
        self.side = Side::Customer;
        if has_problem && self.professional.is_none() {
            self.professional = Some(self.due(SlotKind::Professional, said, self.runs).into());
        }
        if is_negative && self.emotion.is_none() {
            self.emotion = Some(self.due(SlotKind::Emotion, said, self.runs).into());
        }
    }

    /// A person answers.
    pub(crate) fn agent(
        &mut self,
        said: Said<'_>,
        substantive: bool,
        place: u32,
        settled: &mut dyn FnMut(Settled),
    ) {
        if self.side != Side::Agent {
            self.side = Side::Agent;
            self.runs += 1;
            self.place = place;
            (self.substantive, self.farewell) = (false, None);
            if self.runs == 1 {
                self.greeting = Some(self.due(SlotKind::Greeting, said, 0).into());
            }
        }
        self.substantive |= substantive;
        if said.acts.contains(Act::Closing) {
            self.farewell = Some((said.id.into(), place));
        }
        if said.acts.contains(Act::OwnFault) && self.apology.is_none() {
            self.apology = Some(self.due(SlotKind::Apology, said, self.runs - 1).into());
        }
        self.say(said, place, settled);
    }

    /// A person says what is due, if it was due when they said it.
    pub(crate) fn say(&mut self, said: Said<'_>, place: u32, settled: &mut dyn FnMut(Settled)) {
        for (act, kind) in SAYS {
            let is_due = |due: &mut Box<Due>| {
                // Whoever greets first is first, whenever that comes to light.
                kind == SlotKind::Greeting || due.at_ms <= said.sent_ms
            };
            if said.acts.contains(act)
                && let Some(due) = self.waiting(kind).take_if(is_due)
            {
                settled(self.settle(kind, &due, said.id, place));
            }
        }
    }

    /// A person said in time what was found missing, if they did so in the time of it.
    pub(crate) fn correct(&mut self, said: Said<'_>, place: u32, settled: &mut dyn FnMut(Settled)) {
        for (_, kind) in SAYS.into_iter().filter(|&(act, _)| said.acts.contains(act)) {
            let is_said = |missed: &mut Missed| {
                missed.kind == kind
                    && (kind == SlotKind::Greeting || missed.due_ms <= said.sent_ms)
                    && said.sent_ms < missed.until_ms
            };
            for missed in self.missed.extract_if(.., is_said) {
                self.cold = self.cold.saturating_sub(u32::from(kind == SlotKind::Emotion));
                settled(Settled {
                    kind,
                    number: missed.number,
                    revision: 1,
                    due_ms: missed.due_ms,
                    due_event_id: missed.due_event_id.to_string(),
                    event_id: said.id.to_owned(),
                    place,
                });
            }
        }
    }

    /// What the end of the cycle settles. What no agent run had a chance to say is not held against
    /// anybody. Changes nothing: what comes to light later may settle it otherwise.
    pub(crate) fn end(&self, at_ms: i64, resolved: bool) -> Vec<Settled> {
        let mut settled = Vec::new();
        let mut miss = |kind, due: &Due| settled.push(self.settle(kind, due, "", self.place));
        if let Some(due) = &self.greeting {
            miss(SlotKind::Greeting, due);
        }
        if self.side == Side::Agent
            && self.substantive
            && let Some(due) = &self.professional
        {
            miss(SlotKind::Professional, due);
        }
        for (kind, due) in [(SlotKind::Emotion, &self.emotion), (SlotKind::Apology, &self.apology)]
        {
            if let Some(due) = due.as_ref().filter(|due| self.runs > due.runs_before) {
                miss(kind, due);
            }
        }
        if resolved && self.runs > 0 {
            let due = Due { at_ms, event_id: EventId::from(""), runs_before: 0 };
            let (said, place) = match &self.farewell {
                Some((event_id, place)) => (event_id.to_string(), *place),
                None => (String::new(), self.place),
            };
            let closing = self.settle(SlotKind::Closing, &due, &said, place);
            settled.push(Settled { number: 1, ..closing });
        }
        settled
    }

    /// Whether an emotion slot was due and absent, by now or by the end.
    pub(crate) fn is_cold(&self, ended: bool) -> bool {
        let waits = self.emotion.as_ref().is_some_and(|due| self.runs > due.runs_before);
        self.cold > 0 || ended && waits
    }

    /// Every place it refers to is below `places`, and its counts are possible.
    pub(crate) fn is_consistent(&self, places: u32) -> bool {
        let waiting = [&self.greeting, &self.professional, &self.emotion, &self.apology];
        let most = u32::MAX / 2;
        self.place < places
            && self.farewell.as_ref().is_none_or(|(_, place)| *place < places)
            && (self.side != Side::Agent || self.runs > 0)
            && self.runs < most
            && self.counts.iter().all(|&count| count < most)
            && waiting.into_iter().flatten().all(|due| due.runs_before <= self.runs)
            && self.cold < most
            && self.missed.len() <= MISSED_KEPT
    }

    fn end_run(&mut self, at_ms: i64, settled: &mut dyn FnMut(Settled)) {
        if self.side != Side::Agent {
            return;
        }
        self.side = Side::Nobody;
        if let Some(due) = self.greeting.take() {
            self.miss(SlotKind::Greeting, *due, at_ms, settled);
        }
        // A run that only asks to wait is no answer run.
        if self.substantive
            && let Some(due) = self.professional.take()
        {
            self.miss(SlotKind::Professional, *due, at_ms, settled);
        }
        for kind in [SlotKind::Emotion, SlotKind::Apology] {
            let runs = self.runs;
            let is_over = |due: &mut Box<Due>| due.runs_before + RUNS <= runs;
            if let Some(due) = self.waiting(kind).take_if(is_over) {
                self.miss(kind, *due, at_ms, settled);
            }
        }
    }

    fn due(&mut self, kind: SlotKind, said: Said<'_>, runs_before: u32) -> Due {
        self.counts[kind as usize] += 1;
        Due { at_ms: said.sent_ms, event_id: said.id.into(), runs_before }
    }

    fn waiting(&mut self, kind: SlotKind) -> &mut Option<Box<Due>> {
        match kind {
            SlotKind::Greeting => &mut self.greeting,
            SlotKind::Emotion => &mut self.emotion,
            SlotKind::Apology => &mut self.apology,
            // A closing never waits.
            SlotKind::Professional | SlotKind::Closing => &mut self.professional,
        }
    }

    fn miss(&mut self, kind: SlotKind, due: Due, until_ms: i64, settled: &mut dyn FnMut(Settled)) {
        self.cold += u32::from(kind == SlotKind::Emotion);
        settled(self.settle(kind, &due, "", self.place));
        if self.missed.len() == MISSED_KEPT {
            self.missed.remove(0);
        }
        let Due { at_ms: due_ms, event_id: due_event_id, .. } = due;
        let number = self.counts[kind as usize];
        self.missed.reserve_exact(1);
        self.missed.push(Missed { kind, number, due_ms, due_event_id, until_ms });
    }

    fn settle(&self, kind: SlotKind, due: &Due, event_id: &str, place: u32) -> Settled {
        Settled {
            kind,
            number: self.counts[kind as usize],
            revision: 0,
            due_ms: due.at_ms,
            due_event_id: due.event_id.to_string(),
            event_id: event_id.to_owned(),
            place,
        }
    }
}
