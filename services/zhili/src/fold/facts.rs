//! Which of several statements about one thing is in force.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use zhili_dialogue::{Cycle, Fact, FactBody, Output, Signal};

/// What is in force of everything that was stated, by tenant and id.
#[derive(Default)]
pub(super) struct InForce<'o> {
    facts: BTreeMap<(&'o str, &'o str), Statement<'o>>,
    signals: BTreeMap<(&'o str, &'o str), &'o Signal>,
    corrected: BTreeSet<(&'o str, &'o str)>,
}

/// A fact, and what is needed to choose between it and the next.
struct Statement<'o> {
    fact: &'o Fact,
    /// Not stated yet: what would be stated now.
    open: bool,
    /// Revision of the last statement under its id.
    last: u32,
    /// Nobody has folded its conversation anew since.
    current: bool,
}

impl<'o> InForce<'o> {
    /// What `stated` and then `unsettled` leave in force.
    pub(super) fn of(stated: &'o [Output], unsettled: &'o [Output]) -> Self {
        let mut in_force = Self::default();
        for output in stated {
            match output {
                Output::Fact(fact) => in_force.state(fact),
                Output::Signal(signal) => in_force.signal(signal),
                Output::Complaint(_) | Output::Presence(_) => {}
            }
        }
        for output in unsettled {
            if let Output::Fact(fact) = output {
                in_force.leave_open(fact);
            }
        }
        in_force
    }

    /// A conversation that is published again after it was forgotten is folded anew as a historical
    /// one, and states facts under the same ids from revision 0 on. What was found out live
    /// outlives that; then the higher revision counts, then what was stated first. Tables have
    /// the same rule (`precedence` of the warehouse).
    fn state(&mut self, fact: &'o Fact) {
        if let FactBody::Correction(correction) = &fact.body {
            self.corrected.insert((&fact.tenant, &correction.signal_id));
            return;
        }
        let statement = Statement { fact, open: false, last: fact.revision, current: true };
        match self.facts.entry((&fact.tenant, &fact.fact_id)) {
            Entry::Vacant(none) => {
                none.insert(statement);
            }
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                let rank = |fact: &Fact| (!fact.historical, fact.revision);
                if rank(fact) > rank(known.fact) {
                    *known = statement;
                } else {
                    // Revisions of one folding rise.
                    known.current &= fact.revision > known.last;
                    known.last = fact.revision;
                }
            }
        }
    }

    /// What is not settled goes before what the same folding of its conversation stated, and before
    /// nothing else.
    fn leave_open(&mut self, fact: &'o Fact) {
        let statement = Statement { fact, open: true, last: fact.revision, current: true };
        match self.facts.entry((&fact.tenant, &fact.fact_id)) {
            Entry::Vacant(none) => {
                none.insert(statement);
            }
            Entry::Occupied(mut known) => {
                if known.get().current && fact.revision > known.get().last {
                    known.insert(statement);
                }
            }
        }
    }

    fn signal(&mut self, signal: &'o Signal) {
        let known = self.signals.entry((&signal.tenant, &signal.signal_id)).or_insert(signal);
        if known.historical && !signal.historical {
            *known = signal;
        }
    }

    /// Facts by their time, cycles behind the others of theirs; and whether they may still change.
    pub(super) fn facts(&self) -> Vec<(&'o Fact, bool)> {
        let facts = self.facts.values().map(|statement| (statement.fact, statement.open));
        let mut facts: Vec<_> = facts.collect();
        facts.sort_by_key(|(fact, _)| (fact.at_ms, matches!(fact.body, FactBody::Cycle(_))));
        facts
    }

    /// Signals that nothing took back, by their time.
    pub(super) fn signals(&self) -> Vec<&'o Signal> {
        let stays = |(key, _): &(&(&str, &str), &&Signal)| !self.corrected.contains(*key);
        let mut signals: Vec<_> =
            self.signals.iter().filter(stays).map(|(_, signal)| *signal).collect();
        signals.sort_by_key(|signal| signal.effective_ms);
        signals
    }

    /// The cycle of a turn, whose id begins with that of the cycle. Its number would not do: numbers
    /// start again when a conversation left memory.
    pub(super) fn cycle_of(&self, turn: &Fact) -> Option<&'o Cycle> {
        let (cycle_id, _) = turn.fact_id.rsplit_once('/')?;
        match &self.facts.get(&(turn.tenant.as_str(), cycle_id))?.fact.body {
            FactBody::Cycle(cycle) => Some(cycle),
            _ => None,
        }
    }
}
