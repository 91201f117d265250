//! One notification to one destination: claimed, sent, tried again, settled.
//!
//! A page is sent in two phases. When it is due, a process that wants to send it appends a
//! [`Claim`]; it sends only after it has read its own claim back, and starts within
//! [`LEASE_MS`] of the claim's append time. A claim without a result by then has an unknown
//! outcome: the page may be claimed again, with the next attempt number and the same id.

use serde::{Deserialize, Serialize};

use crate::entry::Ignored;
use crate::id::{PageId, digest};

/// From the append time of a claim, the time in which its send must have started.
pub const LEASE_MS: i64 = 3_000;
/// Waits between attempts that failed; the last one repeats.
pub const RETRY_MS: [i64; 6] = [2_000, 5_000, 15_000, 30_000, 60_000, 120_000];
/// Longest wait that a receiver can ask for.
pub const LONGEST_RETRY_AFTER_MS: i64 = 60 * 60_000;
/// A page that could not be delivered in this time has failed.
pub const LONGEST_TRY_MS: i64 = 24 * 60 * 60_000;
/// Attempts kept with a page, the newest; all are counted.
pub const KEPT_ATTEMPTS: usize = 10;

/// The intent of a process to send a page, appended to the log before the send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The page.
    pub page_id: PageId,
    /// One more than the attempts before.
    pub attempt: u32,
    /// The claiming process; unique per start, so that a restarted process does not take its
    /// predecessor's sends for its own.
    pub owner: String,
}

/// What came of an attempt, appended to the log after the send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryResult {
    /// The page.
    pub page_id: PageId,
    /// The attempt.
    pub attempt: u32,
    /// What came of it.
    pub outcome: Outcome,
    /// HTTP status or a short cause.
    pub detail: String,
    /// How long the send took, milliseconds.
    pub duration_ms: i64,
    /// The receiver asked to wait this long before the next try; 0 if it did not.
    pub retry_after_ms: i64,
    /// The receiver's own code for what came of it; empty if it gave none.
    pub code: String,
    /// The start of its answer, without personal data and secrets.
    pub excerpt: String,
}

/// Outcome of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The receiver has it.
    Delivered,
    /// Worth another try at this destination.
    Failed,
    /// Never going to work at this destination.
    Rejected,
}

/// How a page reaches its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// A signed HTTP request.
    Webhook,
    /// The event stream; delivered with the event that tells of the page.
    Watch,
    /// The destination was no longer configured when its turn came.
    Unknown,
    /// A robot of a DingTalk group.
    Dingtalk,
    /// A robot of a WeCom group.
    Wecom,
    /// A robot of a Feishu or Lark group.
    Feishu,
    /// An incoming webhook of Slack.
    Slack,
    /// PagerDuty, Events API v2.
    Pagerduty,
    /// Mail by SMTP.
    Email,
}

impl Channel {
    /// The name used on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Watch => "watch",
            Self::Unknown => "unknown",
            Self::Dingtalk => "dingtalk",
            Self::Wecom => "wecom",
            Self::Feishu => "feishu",
            Self::Slack => "slack",
            Self::Pagerduty => "pagerduty",
            Self::Email => "email",
        }
    }
}

/// Why somebody is paged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The incident was triggered.
    Triggered,
    /// Nobody acknowledged in the time of the step before.
    NextStep,
    /// No page of the step before could be delivered.
    StepFailed,
    /// The policy started again.
    Repeat,
    /// The policy has come to its end.
    Fallback,
    /// The severity rose.
    SeverityRise,
    /// The acknowledgement timed out.
    AckTimeout,
    /// A snooze has ended.
    SnoozeEnded,
    /// What suppressed the incident has ended.
    Released,
    /// A person wants this destination to answer for it.
    Reassigned,
    /// A person wants the next step now.
    EscalatedNow,
    /// The team can be reached since the last change of its configuration, or all destinations
    /// of the policy before are gone.
    Reconfigured,
    /// Somebody answers for the incident; only programs that keep incidents of their own are told.
    Acknowledged,
    /// The incident is over; only such programs are told.
    Resolved,
}

impl Reason {
    /// Whether nobody is to do anything: it tells what has become of the incident.
    pub fn is_news(self) -> bool {
        matches!(self, Self::Acknowledged | Self::Resolved)
    }

    /// The name used on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Triggered => "triggered",
            Self::NextStep => "next_step",
            Self::StepFailed => "step_failed",
            Self::Repeat => "repeat",
            Self::Fallback => "fallback",
            Self::SeverityRise => "severity_rise",
            Self::AckTimeout => "ack_timeout",
            Self::SnoozeEnded => "snooze_ended",
            Self::Released => "released",
            Self::Reassigned => "reassigned",
            Self::EscalatedNow => "escalated_now",
            Self::Reconfigured => "reconfigured",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }
}

/// Where a page is on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageState {
    /// Waits for its next attempt.
    Pending {
        /// When it becomes ready.
        not_before_ms: i64,
    },
    /// Wants to be claimed.
    Ready {
        /// Since when.
        since_ms: i64,
    },
    /// Claimed; the owner may start the send until the lease ends.
    Sending {
        /// The process that claimed it.
        owner: String,
        /// Append time of the claim.
        claimed_at_ms: i64,
        /// End of the lease.
        lease_until_ms: i64,
    },
    /// The lease has ended and there is no result: the send is still under way, or its outcome
    /// will never be known.
    Unsettled {
        /// The process that claimed it.
        owner: String,
        /// Append time of the claim.
        claimed_at_ms: i64,
    },
    /// The receiver has it.
    Delivered,
    /// It could not be delivered.
    Failed,
    /// It was no longer needed before it was delivered.
    Cancelled,
    /// Wants to be claimed, but its destination has no room.
    Waiting {
        /// When there may be some.
        not_before_ms: i64,
    },
    /// Goes together with another page to the same destination, and is delivered with it.
    Bundled {
        /// The page that is claimed and sent for both.
        with: PageId,
    },
}

/// Why a page needs no further attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// Somebody answers for the incident.
    Acknowledged,
    /// Somebody comes back to the incident later.
    Snoozed,
    /// Somebody else is to answer for the incident.
    Reassigned,
    /// The incident is not to page for a while.
    Suppressed,
    /// The destination has quiet hours.
    Quiet,
    /// The incident is over.
    Resolved,
    /// The same destination is paged anew by a later step.
    Superseded,
}

impl Stop {
    fn words(self) -> &'static str {
        match self {
            Self::Acknowledged => "the incident was acknowledged",
            Self::Snoozed => "the incident was snoozed",
            Self::Reassigned => "the incident was reassigned",
            Self::Suppressed => "the incident was suppressed",
            Self::Quiet => "quiet hours",
            Self::Resolved => "the incident was resolved",
            Self::Superseded => "a later step pages the same destination",
        }
    }
}

/// One try to deliver a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// From 1.
    pub attempt: u32,
    /// The process that claimed it.
    pub owner: String,
    /// Append time of the claim.
    pub claimed_at_ms: i64,
    /// Append time of the result.
    pub settled_at_ms: Option<i64>,
    /// What came of it; absent while it is under way, and for ever if nobody knows.
    pub outcome: Option<Outcome>,
    /// HTTP status or a short cause.
    pub detail: String,
    /// How long the send took, milliseconds.
    pub duration_ms: i64,
    /// The receiver's own code; empty if it gave none.
    pub code: String,
    /// The start of its answer; kept with the newest attempt alone.
    pub excerpt: String,
}

/// One notification to one destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The same on every attempt and after every replay.
    pub page_id: PageId,
    /// Name of the destination in the team.
    pub destination: String,
    /// How it is sent.
    pub channel: Channel,
    /// Where it is on its way.
    pub state: PageState,
    /// Why it is sent.
    pub reason: Reason,
    /// Pass of the policy that it belongs to, as [`crate::Incident::pass`] was then.
    pub pass: u32,
    /// Step that it belongs to; the number of steps for the fallback.
    pub step: u32,
    /// When it became due first.
    pub created_at_ms: i64,
    /// Attempts claimed so far.
    pub attempts: u32,
    /// The newest of them, oldest first, at most [`KEPT_ATTEMPTS`].
    pub log: Vec<Attempt>,
    /// What was learnt last: a status, a cause, why it was cancelled.
    pub detail: String,
    /// Set when no attempt will follow the one under way.
    pub stop: Option<Stop>,
    /// The page that this one repeats because a person wants it; it has no part in the policy.
    pub redelivery_of: Option<PageId>,
}

/// What a result meant for its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// The receiver has it.
    Delivered,
    /// No attempt follows.
    Failed,
    /// It was no longer needed.
    Cancelled,
    /// Another attempt follows, or this one's successor is under way.
    Open,
}

impl Page {
    /// No attempt is under way and none follows.
    pub fn is_settled(&self) -> bool {
        matches!(self.state, PageState::Delivered | PageState::Failed | PageState::Cancelled)
    }

    /// Whether the policy calls somebody with it. Another one repeats a page because a person wants
    /// it, or tells what has become of the incident.
    pub fn is_of_policy(&self) -> bool {
        self.redelivery_of.is_none() && !self.reason.is_news()
    }

    /// The attempt that a claim would have to name now.
    pub fn next_attempt(&self) -> u32 {
        self.attempts.saturating_add(1)
    }

    /// Append time of the newest claim.
    pub fn claimed_at_ms(&self) -> Option<i64> {
        self.log.last().map(|attempt| attempt.claimed_at_ms)
    }

    /// When time changes its state.
    pub(crate) fn timer_ms(&self) -> Option<i64> {
        match self.state {
            PageState::Pending { not_before_ms } | PageState::Waiting { not_before_ms } => {
                Some(not_before_ms)
            }
            PageState::Sending { lease_until_ms, .. } => Some(lease_until_ms),
            _ => None,
        }
    }

    /// When it began to want something of its owner, if it does.
    pub(crate) fn active_since_ms(&self) -> Option<i64> {
        match self.state {
            PageState::Ready { since_ms } => Some(since_ms),
            PageState::Sending { claimed_at_ms, .. }
            | PageState::Unsettled { claimed_at_ms, .. } => Some(claimed_at_ms),
            _ => None,
        }
    }

    /// Whether it is due but for the limits of its destination.
    pub(crate) fn wants_turn(&self) -> bool {
        matches!(self.state, PageState::Pending { .. } | PageState::Waiting { .. })
    }

    /// Becomes ready, or waits until its destination has room.
    pub(crate) fn turn(&mut self, taken: Result<(), i64>, now_ms: i64) {
        self.state = match taken {
            Ok(()) => PageState::Ready { since_ms: now_ms },
            Err(not_before_ms) => PageState::Waiting { not_before_ms },
        };
    }

    /// Its lease has ended.
    pub(crate) fn lease_ended(&mut self) {
        if let PageState::Sending { owner, claimed_at_ms, .. } = &mut self.state {
            if let Some(stop) = self.stop {
                self.state = PageState::Cancelled;
                self.detail = format!("outcome unknown; {}", stop.words());
            } else {
                self.state = PageState::Unsettled {
                    owner: std::mem::take(owner),
                    claimed_at_ms: *claimed_at_ms,
                };
            }
        }
    }

    pub(crate) fn claim(&mut self, claim: Claim, now_ms: i64) -> Result<(), Ignored> {
        match self.state {
            PageState::Ready { .. } | PageState::Unsettled { .. } => {}
            PageState::Pending { .. } | PageState::Waiting { .. } => {
                return Err(Ignored::ClaimTooEarly);
            }
            _ => return Err(Ignored::StaleClaim),
        }
        if claim.attempt != self.next_attempt() {
            return Err(Ignored::StaleClaim);
        }
        self.attempts = claim.attempt;
        if self.log.len() == KEPT_ATTEMPTS {
            self.log.remove(0);
        }
        for earlier in &mut self.log {
            earlier.excerpt.clear();
        }
        self.log.push(Attempt {
            attempt: claim.attempt,
            owner: claim.owner.clone(),
            claimed_at_ms: now_ms,
            settled_at_ms: None,
            outcome: None,
            detail: String::new(),
            duration_ms: 0,
            code: String::new(),
            excerpt: String::new(),
        });
        self.state = PageState::Sending {
            owner: claim.owner,
            claimed_at_ms: now_ms,
            lease_until_ms: now_ms + LEASE_MS,
        };
        Ok(())
    }

    /// Folds a result. One of an earlier attempt can still say that the page has arrived, but
    /// not how the attempt under way will end.
    pub(crate) fn settle(
        &mut self,
        result: DeliveryResult,
        now_ms: i64,
    ) -> Result<Settled, Ignored> {
        if result.attempt == 0 || result.attempt > self.attempts {
            return Err(Ignored::UnclaimedAttempt);
        }
        if let Some(attempt) = self.log.iter_mut().find(|kept| kept.attempt == result.attempt) {
            if attempt.outcome.is_some() {
                return Err(Ignored::DuplicateResult);
            }
            attempt.outcome = Some(result.outcome);
            attempt.settled_at_ms = Some(now_ms);
            attempt.detail.clone_from(&result.detail);
            attempt.duration_ms = result.duration_ms;
            attempt.code.clone_from(&result.code);
            attempt.excerpt.clone_from(&result.excerpt);
        }
        if self.state == PageState::Delivered {
            return Ok(Settled::Open);
        }
        if result.outcome == Outcome::Delivered {
            self.state = PageState::Delivered;
            self.detail = result.detail;
            return Ok(Settled::Delivered);
        }
        if result.attempt < self.attempts || self.is_settled() {
            return Ok(Settled::Open);
        }
        self.detail = result.detail;
        if result.outcome == Outcome::Rejected {
            self.state = PageState::Failed;
            return Ok(Settled::Failed);
        }
        if let Some(stop) = self.stop {
            return Ok(self.give_up(stop));
        }
        if now_ms - self.created_at_ms >= LONGEST_TRY_MS {
            self.state = PageState::Failed;
            self.detail = format!("given up (attempts: {}, last: {})", self.attempts, self.detail);
            return Ok(Settled::Failed);
        }
        let wait_ms = retry_wait_ms(self.page_id, self.attempts)
            .max(result.retry_after_ms.min(LONGEST_RETRY_AFTER_MS));
        self.state = PageState::Pending { not_before_ms: now_ms + wait_ms };
        Ok(Settled::Open)
    }

    /// Makes no further attempt. One that may be on the wire is left to end.
    pub(crate) fn stop(&mut self, stop: Stop) -> Settled {
        match self.state {
            PageState::Pending { .. }
            | PageState::Ready { .. }
            | PageState::Waiting { .. }
            | PageState::Bundled { .. } => self.give_up(stop),
            // Its lease has ended, so if it was ever sent, the outcome is not known.
            PageState::Unsettled { .. } => {
                self.stop = Some(stop);
                self.state = PageState::Cancelled;
                self.detail = format!("outcome unknown; {}", stop.words());
                Settled::Cancelled
            }
            PageState::Sending { .. } => {
                self.stop = Some(stop);
                Settled::Open
            }
            PageState::Delivered | PageState::Failed | PageState::Cancelled => Settled::Open,
        }
    }

    /// A page that was tried in vain and is replaced by a later one has failed; one that nobody
    /// needs any more is cancelled.
    fn give_up(&mut self, stop: Stop) -> Settled {
        self.stop = Some(stop);
        if stop == Stop::Superseded && self.attempts > 0 {
            self.state = PageState::Failed;
            self.detail =
                format!("{} (attempts: {}, last: {})", stop.words(), self.attempts, self.detail);
            return Settled::Failed;
        }
        self.state = PageState::Cancelled;
        stop.words().clone_into(&mut self.detail);
        Settled::Cancelled
    }

    pub(crate) fn fail(&mut self, detail: &str) {
        self.state = PageState::Failed;
        detail.clone_into(&mut self.detail);
    }
}

/// Wait after the failure of an attempt: the schedule, spread by up to a fifth to either side
/// so that pages that failed together do not return together. The spread comes from a hash, so
/// that a replay waits as long.
pub fn retry_wait_ms(page_id: PageId, attempt: u32) -> i64 {
    let step = (attempt.max(1) as usize - 1).min(RETRY_MS.len() - 1);
    let hash = digest("jitter", &[&page_id.0, &attempt.to_le_bytes()]);
    let spread = i64::from(u16::from_le_bytes([hash[0], hash[1]])) % 401 - 200;
    RETRY_MS[step] + RETRY_MS[step] * spread / 1_000
}
