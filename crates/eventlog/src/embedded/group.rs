//! Who owns which partition. Lives in the writer thread, so a change of ownership and a commit
//! can never overtake one another.

use std::collections::BTreeMap;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Topic number and partition.
pub(super) type Slot = (u32, u32);

/// A member is told of a change.
pub(super) enum Change {
    Assigned(Vec<Grant>),
    Revoked(Vec<Slot>),
}

/// The right to commit in one partition.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) slot: Slot,
    pub(super) epoch: u64,
    pub(super) revoked: CancellationToken,
}

#[derive(Default)]
pub(super) struct Groups {
    groups: BTreeMap<String, Group>,
    /// Epochs are never reused, over all groups.
    last_epoch: u64,
}

#[derive(Default)]
struct Group {
    members: BTreeMap<String, Member>,
    grants: BTreeMap<Slot, (String, Grant)>,
}

struct Member {
    slots: Vec<Slot>,
    changes: mpsc::UnboundedSender<Change>,
    /// Tells two members of the same name apart.
    id: u64,
}

impl Groups {
    /// Adds a member; one of the same name is replaced at once (static membership).
    pub(super) fn join(
        &mut self,
        group: &str,
        member: &str,
        id: u64,
        slots: Vec<Slot>,
        changes: mpsc::UnboundedSender<Change>,
    ) {
        let entry = self.groups.entry(group.to_owned()).or_default();
        if entry.members.remove(member).is_some() {
            entry.revoke(|(owner, _)| owner == member);
        }
        entry.members.insert(member.to_owned(), Member { slots, changes, id });
        entry.rebalance(&mut self.last_epoch);
    }

    pub(super) fn leave(&mut self, group: &str, member: &str, id: u64) {
        let Some(entry) = self.groups.get_mut(group) else {
            return;
        };
        if entry.members.get(member).is_none_or(|current| current.id != id) {
            return;
        }
        entry.members.remove(member);
        entry.revoke(|(owner, _)| owner == member);
        entry.rebalance(&mut self.last_epoch);
    }

    /// Ends the ownership of a partition and gives it out again, under another epoch. It may well
    /// go to the same member.
    pub(super) fn lose(&mut self, group: &str, slot: Slot) {
        let Some(entry) = self.groups.get_mut(group) else {
            return;
        };
        let Some((owner, grant)) = entry.grants.remove(&slot) else {
            return;
        };
        grant.revoked.cancel();
        if let Some(member) = entry.members.get(&owner) {
            // A member that is gone will leave in its own time.
            let _ = member.changes.send(Change::Revoked(vec![slot]));
        }
        entry.rebalance(&mut self.last_epoch);
    }

    /// Whether a commit under this epoch may pass.
    pub(super) fn owns(&self, group: &str, slot: Slot, epoch: u64) -> bool {
        self.groups
            .get(group)
            .and_then(|group| group.grants.get(&slot))
            .is_some_and(|(_, grant)| grant.epoch == epoch)
    }
}

impl Group {
    fn revoke(&mut self, which: impl Fn(&(String, Grant)) -> bool) {
        self.grants.retain(|_, grant| {
            let revoked = which(grant);
            if revoked {
                grant.1.revoked.cancel();
            }
            !revoked
        });
    }

    /// Shares the slots out evenly, moving as few as possible.
    fn rebalance(&mut self, last_epoch: &mut u64) {
        let mut wanted: BTreeMap<String, Vec<Slot>> =
            self.members.keys().map(|name| (name.clone(), Vec::new())).collect();
        let mut slots: Vec<Slot> =
            self.members.values().flat_map(|member| member.slots.iter().copied()).collect();
        slots.sort_unstable();
        slots.dedup();
        let share = slots.len().div_ceil(self.members.len().max(1));
        let mut homeless = Vec::new();
        for slot in slots {
            let owner = self.grants.get(&slot).map(|(owner, _)| owner);
            match owner.and_then(|owner| wanted.get_mut(owner)) {
                Some(kept) if kept.len() < share => kept.push(slot),
                _ => homeless.push(slot),
            }
        }
        for slot in homeless {
            let least = wanted
                .iter_mut()
                .filter(|(name, _)| self.members[*name].slots.contains(&slot))
                .min_by_key(|(_, slots)| slots.len());
            if let Some((_, slots)) = least {
                slots.push(slot);
            }
        }

        for (name, member) in &self.members {
            let keep = &wanted[name];
            let gone: Vec<Slot> = self
                .grants
                .iter()
                .filter(|(slot, (owner, _))| owner == name && !keep.contains(slot))
                .map(|(slot, _)| *slot)
                .collect();
            for slot in &gone {
                if let Some((_, grant)) = self.grants.remove(slot) {
                    grant.revoked.cancel();
                }
            }
            if !gone.is_empty() {
                // A member that is gone will leave in its own time.
                let _ = member.changes.send(Change::Revoked(gone));
            }
        }
        for (name, member) in &self.members {
            let mut fresh = Vec::new();
            for slot in &wanted[name] {
                if self.grants.contains_key(slot) {
                    continue;
                }
                *last_epoch += 1;
                let grant =
                    Grant { slot: *slot, epoch: *last_epoch, revoked: CancellationToken::new() };
                self.grants.insert(*slot, (name.clone(), grant.clone()));
                fresh.push(grant);
            }
            if !fresh.is_empty() {
                let _ = member.changes.send(Change::Assigned(fresh));
            }
        }
    }
}
