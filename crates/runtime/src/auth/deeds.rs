//! What a caller does with one request, for the audit log.

use std::sync::{Arc, Mutex, PoisonError};

use super::Permission;

/// One thing that somebody has done, or has tried to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// The permission that it needs.
    pub permission: Permission,
    /// What it is about; empty where the request itself says so.
    pub target: String,
}

/// What was done with a request so far. Clones share it, for handlers pass the caller on.
#[derive(Clone, Debug, Default)]
pub(super) struct Deeds(Arc<Mutex<Vec<Deed>>>);

impl Deeds {
    /// A use that is told with its target takes the place of the same one told without.
    pub(super) fn add(&self, permission: Permission, target: String) {
        let mut deeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |deed: &&mut Deed| {
            deed.permission == permission
                && (deed.target.is_empty() || target.is_empty() || deed.target == target)
        };
        match deeds.iter_mut().find(same) {
            Some(deed) if deed.target.is_empty() => deed.target = target,
            Some(_) => {}
            None => deeds.push(Deed { permission, target }),
        }
    }

    pub(super) fn take(&self) -> Vec<Deed> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl PartialEq for Deeds {
    /// Callers are the same whatever they have done.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Deeds {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_use_is_told_once_with_what_it_is_about() {
        let deeds = Deeds::default();
        deeds.add(Permission::Transcripts, String::new());
        deeds.clone().add(Permission::Transcripts, "c-1".to_owned());
        deeds.add(Permission::Transcripts, String::new());
        deeds.add(Permission::Incidents, "i-1".to_owned());
        deeds.add(Permission::Incidents, "i-2".to_owned());
        let told: Vec<_> =
            deeds.take().into_iter().map(|deed| (deed.permission, deed.target)).collect();
        let expected = [
            (Permission::Transcripts, "c-1"),
            (Permission::Incidents, "i-1"),
            (Permission::Incidents, "i-2"),
        ];
        assert_eq!(told, expected.map(|(permission, target)| (permission, target.to_owned())));
        assert!(deeds.take().is_empty());
    }
}
