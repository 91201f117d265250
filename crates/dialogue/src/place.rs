//! Who is in charge of a conversation, and where.

use serde::{Deserialize, Serialize};

/// Agent, channel, queue and team, each possibly empty. One allocation: a conversation keeps a
/// place for every combination that its turns refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    joined: Box<str>,
    /// Where agent, channel and queue end.
    ends: [u32; 3],
}

impl Place {
    pub(crate) fn new(agent: &str, channel: &str, queue: &str, team: &str) -> Self {
        let ends =
            [agent.len(), agent.len() + channel.len(), agent.len() + channel.len() + queue.len()];
        Self {
            joined: [agent, channel, queue, team].concat().into(),
            ends: ends.map(|end| end as u32),
        }
    }

    pub(crate) fn is(&self, agent: &str, channel: &str, queue: &str, team: &str) -> bool {
        self.agent() == agent
            && self.channel() == channel
            && self.queue() == queue
            && self.team() == team
    }

    /// The same with nobody in charge.
    pub(crate) fn without_agent(&self) -> Self {
        Self::new("", self.channel(), self.queue(), self.team())
    }

    pub(crate) fn agent(&self) -> &str {
        self.part(0, self.ends[0])
    }

    pub(crate) fn channel(&self) -> &str {
        self.part(self.ends[0], self.ends[1])
    }

    pub(crate) fn queue(&self) -> &str {
        self.part(self.ends[1], self.ends[2])
    }

    pub(crate) fn team(&self) -> &str {
        self.part(self.ends[2], self.joined.len() as u32)
    }

    fn part(&self, begin: u32, end: u32) -> &str {
        // Out of range only in a damaged snapshot.
        self.joined.get(begin as usize..end as usize).unwrap_or("")
    }
}
