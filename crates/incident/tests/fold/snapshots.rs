//! Snapshots that can and that cannot be restored.

use zhili_incident::*;

use crate::desk::*;

#[test]
fn a_restored_partition_knows_its_incidents_pages_timers_and_answers() {
    let mut desk = Desk::new(two_steps());
    desk.signal("s1", Severity::High);
    let id = desk.incident().incident_id;
    let (page_id, _) = desk.wanted()[0];
    desk.claim(page_id, 1, "me");
    desk.command_with("k1", 9, Action::Acknowledge, "ann");
    let mut restored =
        Partition::restore(&desk.partition.snapshot().expect("written")).expect("read");
    assert_eq!(restored.get(id), desk.partition.get(id));
    assert_eq!(restored.next_due(), desk.partition.next_due());
    assert_eq!(restored.now_ms(), START);
    assert!(restored.answer(id, "k1").is_some());
    assert_eq!(restored.effects(START, "me", |_, _| false), desk.effects("me"));
    assert_eq!(restored.hash().expect("hashed"), desk.partition.hash().expect("hashed"));
}

#[test]
fn the_hash_tells_states_apart() {
    let mut desk = Desk::new(two_steps());
    let before = desk.partition.hash().expect("hashed");
    desk.jump(1);
    assert_ne!(desk.partition.hash().expect("hashed"), before);
}

#[test]
fn a_damaged_snapshot_or_one_of_another_version_is_an_error() {
    let mut desk = Desk::new(two_steps());
    desk.signal("s1", Severity::High);
    let whole = desk.partition.snapshot().expect("written");
    for length in 1..whole.len() {
        assert!(Partition::restore(&whole[..length]).is_err(), "cut at {length}");
    }
    let longer = [whole.as_slice(), &[0]].concat();
    assert!(matches!(Partition::restore(&longer), Err(SnapshotError::Malformed(_))));
    let other = [&[255], &whole[1..]].concat();
    assert!(matches!(Partition::restore(&other), Err(SnapshotError::Format { found: 255 })));
    assert!(matches!(Partition::restore(&[]), Err(SnapshotError::Format { found: 0 })));
}
