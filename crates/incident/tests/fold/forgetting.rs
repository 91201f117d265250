//! People who are to be forgotten.

use zhili_incident::*;

use crate::desk::{Desk, signal, two_steps};

fn of(id: &str, conversation: &str) -> Signal {
    let conversation_id = conversation.to_owned();
    Signal {
        conversation_id,
        excerpt: format!("words in {conversation}"),
        ..signal(id, Severity::High)
    }
}

fn snapshot(desk: &Desk) -> String {
    String::from_utf8_lossy(&desk.partition.snapshot().unwrap_or_default()).into_owned()
}

#[test]
fn nothing_is_left_of_a_conversation_that_is_forgotten() {
    let mut desk = Desk::new(two_steps());
    desk.apply(Entry::Signal(of("s1", "c-gone")));
    desk.apply(Entry::Signal(of("s2", "c-stays")));
    desk.apply(Entry::Presence(Presence {
        tenant: "acme".to_owned(),
        team: "default".to_owned(),
        conversation_id: "c-gone".to_owned(),
        actor: "mei".to_owned(),
        here: true,
        at_ms: None,
    }));
    assert!(snapshot(&desk).contains("c-gone"));
    let gone = |tenant: &str, name: &str| tenant == "acme" && name == "c-gone";
    let erased = desk.partition.erase(gone, &mut desk.events);
    assert_eq!(erased.len(), 1);
    assert!(!snapshot(&desk).contains("c-gone"));
    assert!(snapshot(&desk).contains("words in c-stays"));
    let left: Vec<&str> =
        desk.partition.incidents().map(|incident| &*incident.conversation_id).collect();
    assert_eq!(left, ["c-stays"]);
}

#[test]
fn nobody_is_paged_about_a_conversation_that_is_forgotten() {
    let mut desk = Desk::new(two_steps());
    desk.apply(Entry::Signal(of("s1", "c-gone")));
    desk.partition.erase(|_, name| name == "c-gone", &mut desk.events);
    assert_eq!(desk.wanted(), []);
    assert_eq!(desk.partition.open_count("acme"), 0);
}

#[test]
fn an_incident_that_names_others_goes_on_without_one_that_is_forgotten() {
    let mut desk = Desk::new(two_steps());
    let related = vec!["c-gone".to_owned(), "c-stays".to_owned()];
    desk.apply(Entry::Signal(Signal { related, ..of("s1", "topic:refund") }));
    desk.take_kinds();
    desk.partition.erase(|_, name| name == "c-gone", &mut desk.events);
    assert_eq!(desk.take_kinds(), [EventKind::Updated]);
    let evidence = &desk.incident().evidence[0];
    assert_eq!(evidence.related, ["c-stays"]);
    assert_eq!(evidence.excerpt, "");
}

#[test]
fn another_tenant_of_the_same_names_is_left_alone() {
    let mut desk = Desk::new(two_steps());
    desk.apply(Entry::Signal(of("s1", "c1")));
    let before = desk.partition.snapshot().unwrap();
    desk.partition.erase(|tenant, name| tenant == "other" && name == "c1", &mut desk.events);
    assert_eq!(desk.partition.snapshot().unwrap(), before);
}
