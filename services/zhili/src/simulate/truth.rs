//! What is true of a simulated conversation, known because it was made so.
//!
//! Times are those of `metrics.md` section 2, in order of `sent_at`. A late message is always a
//! human reply: for those the corrected facts equal the order of sending.

use serde::Serialize;

/// One line of the truth file: a conversation.
#[derive(Debug, Default, Serialize)]
pub(super) struct Truth {
    pub(super) tenant: String,
    pub(super) conversation_id: String,
    pub(super) customer: String,
    pub(super) lang: &'static str,
    pub(super) channel: &'static str,
    pub(super) queue: &'static str,
    /// Distinct events, those that are dropped by contract included.
    pub(super) events: u32,
    /// Of these, messages.
    pub(super) messages: u32,
    pub(super) cycles: Vec<Cycle>,
    pub(super) urgent: Vec<Urgent>,
    /// Agents' messages with wording that is never acceptable.
    pub(super) forbidden: Vec<String>,
    /// Messages with personal data.
    pub(super) personal: Vec<Personal>,
    /// Delivered once more, one entry for each time.
    pub(super) duplicates: Vec<String>,
    /// Delivered after something that was sent later.
    pub(super) late: Vec<String>,
    /// Acknowledged and dropped by contract.
    pub(super) dropped: Vec<String>,
}

/// A message that must raise an urgent signal.
#[derive(Debug, Serialize)]
pub(super) struct Urgent {
    pub(super) event_id: String,
    pub(super) category: &'static str,
}

/// A message whose personal data must not be stored.
#[derive(Debug, Serialize)]
pub(super) struct Personal {
    pub(super) event_id: String,
    pub(super) value: String,
}

/// One care cycle. A time that does not exist is null.
#[derive(Debug, Default, Serialize)]
pub(super) struct Cycle {
    pub(super) started_ms: i64,
    /// Null if the platform never said that it ended.
    pub(super) ended_ms: Option<i64>,
    pub(super) resolved: bool,
    pub(super) reopened: bool,
    /// `frt.any.v1`.
    pub(super) frt_any_ms: Option<i64>,
    /// `frt.human.v1`.
    pub(super) frt_human_ms: Option<i64>,
    /// `frt.substantive.v1`.
    pub(super) frt_substantive_ms: Option<i64>,
    pub(super) turns: Vec<Turn>,
    #[serde(skip)]
    open: Option<Open>,
    #[serde(skip)]
    handoff_ms: Option<i64>,
    #[serde(skip)]
    first_customer_ms: Option<i64>,
    #[serde(skip)]
    human_start_ms: Option<i64>,
}

/// A customer's run and its answer.
#[derive(Debug, Serialize)]
pub(super) struct Turn {
    pub(super) first_event_id: String,
    pub(super) last_event_id: String,
    /// Null if nobody answered.
    pub(super) answer_event_id: Option<String>,
    /// `rt.first_unanswered.v1`.
    pub(super) rt_first_unanswered_ms: Option<i64>,
    /// `rt.last_msg.v1`.
    pub(super) rt_last_msg_ms: Option<i64>,
    /// `rt.human.v1`.
    pub(super) rt_human_ms: Option<i64>,
    pub(super) customer_messages: u32,
}

#[derive(Debug)]
struct Open {
    first_event_id: String,
    last_event_id: String,
    first_ms: i64,
    last_ms: i64,
    messages: u32,
}

impl Cycle {
    pub(super) fn new(started_ms: i64, reopened: bool) -> Self {
        Self { started_ms, reopened, ..Self::default() }
    }

    /// The customer wrote something that waits for an answer.
    pub(super) fn question(&mut self, at: i64, event_id: &str) {
        self.first_customer_ms.get_or_insert(at);
        match &mut self.open {
            Some(open) => {
                open.last_ms = at;
                event_id.clone_into(&mut open.last_event_id);
                open.messages += 1;
            }
            None => {
                self.open = Some(Open {
                    first_event_id: event_id.to_owned(),
                    last_event_id: event_id.to_owned(),
                    first_ms: at,
                    last_ms: at,
                    messages: 1,
                });
            }
        }
    }

    /// A machine said something to the customer.
    pub(super) fn machine(&mut self, at: i64) {
        if let (None, Some(start)) = (self.frt_any_ms, self.start_ms()) {
            self.frt_any_ms = Some(at - start);
        }
    }

    /// A person said something to the customer.
    pub(super) fn human(&mut self, at: i64, event_id: &str, substantive: bool) {
        self.machine(at);
        if let Some(start) = self.start_ms() {
            let start = *self.human_start_ms.get_or_insert(start);
            self.frt_human_ms.get_or_insert(at - start);
            if substantive {
                self.frt_substantive_ms.get_or_insert(at - start);
            }
        }
        if let Some(open) = self.open.take() {
            let handed_over = self.handoff_ms.unwrap_or(open.first_ms).max(open.first_ms);
            self.turns.push(Turn {
                rt_first_unanswered_ms: Some(at - open.first_ms),
                rt_last_msg_ms: Some(at - open.last_ms),
                rt_human_ms: Some(at - handed_over),
                answer_event_id: Some(event_id.to_owned()),
                first_event_id: open.first_event_id,
                last_event_id: open.last_event_id,
                customer_messages: open.messages,
            });
        }
    }

    pub(super) fn handoff(&mut self, at: i64) {
        self.handoff_ms = Some(at);
    }

    /// The platform ended it, or nothing more comes.
    pub(super) fn end(&mut self, at: Option<i64>, resolved: bool) {
        (self.ended_ms, self.resolved) = (at, resolved);
        if let Some(open) = self.open.take() {
            self.turns.push(Turn {
                first_event_id: open.first_event_id,
                last_event_id: open.last_event_id,
                answer_event_id: None,
                rt_first_unanswered_ms: None,
                rt_last_msg_ms: None,
                rt_human_ms: None,
                customer_messages: open.messages,
            });
        }
    }

    /// Where the next first reply starts to count.
    fn start_ms(&self) -> Option<i64> {
        let first = self.first_customer_ms?;
        Some(self.handoff_ms.map_or(first, |handoff| handoff.max(first)))
    }
}
