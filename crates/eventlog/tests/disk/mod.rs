//! A disk with faults.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::sync::{Arc, Mutex};

use redb::StorageBackend;
use zhili_eventlog::embedded::EmbeddedLog;
use zhili_eventlog::{Clock, system_clock};

/// Storage whose faults the test chooses. What was written is kept over re-openings, as a disk
/// keeps it; `synced` is what would survive a power cut.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<DiskState>>);

#[derive(Debug, Default)]
struct DiskState {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    /// Largest size; a write beyond it fails as on a full disk.
    capacity: Option<usize>,
    /// So many syncs reach the disk and report an error all the same.
    lies: usize,
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, std::io::Error> {
        Ok(self.0.lock().unwrap().bytes.len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        let state = self.0.lock().unwrap();
        let offset = offset as usize;
        out.copy_from_slice(&state.bytes[offset..offset + out.len()]);
        Ok(())
    }
    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        let mut state = self.0.lock().unwrap();
        if state.capacity.is_some_and(|capacity| len as usize > capacity) {
            return Err(std::io::Error::from(std::io::ErrorKind::StorageFull));
        }
        state.bytes.resize(len as usize, 0);
        Ok(())
    }
    fn sync_data(&self) -> Result<(), std::io::Error> {
        let mut state = self.0.lock().unwrap();
        let bytes = state.bytes.clone();
        state.synced = bytes;
        if state.lies > 0 {
            state.lies -= 1;
            return Err(std::io::Error::other("the answer was lost"));
        }
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        let mut state = self.0.lock().unwrap();
        let offset = offset as usize;
        state.bytes[offset..offset + data.len()].copy_from_slice(data);
        Ok(())
    }
}

impl Disk {
    pub(crate) fn open(&self) -> EmbeddedLog {
        self.open_at(system_clock())
    }

    pub(crate) fn open_at(&self, clock: Clock) -> EmbeddedLog {
        let disk = self.clone();
        EmbeddedLog::open_on(move || disk.clone(), clock).unwrap()
    }

    /// What a machine finds after losing power now.
    pub(crate) fn after_power_cut(&self) -> Self {
        let synced = self.0.lock().unwrap().synced.clone();
        let state = DiskState { bytes: synced.clone(), synced, ..DiskState::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Has no more room than it uses now.
    pub(crate) fn fill(&self) {
        let mut state = self.0.lock().unwrap();
        state.capacity = Some(state.bytes.len());
    }

    /// Has room again.
    pub(crate) fn make_room(&self) {
        self.0.lock().unwrap().capacity = None;
    }

    /// So many syncs from now on reach the disk and report an error all the same.
    pub(crate) fn lie(&self, syncs: usize) {
        self.0.lock().unwrap().lies = syncs;
    }
}
