//! The owner dies at every boundary around a write to the log.

use zhili_escalation::Config;
use zhili_eventlog::testkit::fused::Fuse;
use zhili_proto::escalation::v1::incident_event::Type;

use crate::bench::Bench;

/// Lets the service go until its page is told as delivered or the fuse blows.
async fn until_paged_or_dead(bench: &Bench, fuse: &std::sync::Arc<Fuse>) {
    let service = bench.start_with(fuse, Config::default()).await;
    tokio::select! {
        _ = bench.told(Type::Paged, "c1") => {}
        () = fuse.blown() => {}
    }
    service.kill().await;
}

#[tokio::test]
async fn a_page_survives_the_death_of_its_sender_anywhere_with_one_extra_copy_at_most() {
    let clean = Bench::with_floor().await;
    clean.signal(clean.urgent("s1", "c1")).await;
    let fuse = Fuse::never();
    until_paged_or_dead(&clean, &fuse).await;
    let boundaries = fuse.passed();
    assert!(boundaries >= 10, "{boundaries}");
    let expected = clean.receiver.next().await.id().to_owned();

    for boundary in 0..boundaries {
        let bench = Bench::with_floor().await;
        bench.signal(bench.urgent("s1", "c1")).await;
        until_paged_or_dead(&bench, &Fuse::at(boundary)).await;
        // Long enough for the lease of the dead.
        bench.wait_ms(4_000);
        until_paged_or_dead(&bench, &Fuse::never()).await;
        let received = bench.receiver.rest().await;
        assert!(!received.is_empty(), "lost by dying at boundary {boundary}");
        assert!(received.len() <= 2, "{} copies at boundary {boundary}", received.len());
        assert!(received.iter().all(|page| page.id() == expected));
        let paged = bench.events().await.into_iter().filter(|event| event.r#type() == Type::Paged);
        assert_eq!(paged.count(), 1, "boundary {boundary}");
    }
}

#[tokio::test]
async fn another_replica_answers_and_takes_over() {
    let bench = Bench::with_floor().await;
    let config = |member: &str| Config { member: member.to_owned(), ..Config::default() };
    let one = bench.start_with(&Fuse::never(), config("one")).await;
    let two = bench.start_with(&Fuse::never(), config("two")).await;
    bench.signal(bench.urgent("s1", "c1")).await;
    let incident = bench.told(Type::Paged, "c1").await.incident.unwrap();
    let path = format!("/v1/incidents/{}:acknowledge", incident.incident_id);
    for service in [&one, &two] {
        let (status, answer) = service.post(&path, serde_json::json!({})).await;
        assert_eq!(status, 200, "{answer}");
    }
    one.kill().await;
    bench.signal(bench.urgent("s2", "c2")).await;
    let incident = bench.told(Type::Paged, "c2").await.incident.unwrap();
    let path = format!("/v1/incidents/{}:resolve", incident.incident_id);
    assert_eq!(two.post(&path, serde_json::json!({})).await.0, 200);
    let received = bench.receiver.rest().await;
    assert_eq!(received.len(), 2, "each page was sent once");
}

#[tokio::test]
async fn a_page_claimed_by_a_replica_that_died_is_sent_by_another_after_the_lease() {
    let bench = Bench::with_floor().await;
    let config = |member: &str| Config { member: member.to_owned(), ..Config::default() };
    let fuse = Fuse::never();
    let one = bench.start_until_claim(&fuse, config("one")).await;
    bench.signal(bench.urgent("s1", "c1")).await;
    fuse.blown().await;
    one.kill().await;
    assert!(bench.receiver.rest().await.is_empty(), "it died before it knew that it may send");
    let _two = bench.start_with(&Fuse::never(), config("two")).await;
    bench.wait_ms(4_000);
    let page = bench.told(Type::Paged, "c1").await.page.unwrap();
    assert_eq!(page.attempts, 2);
    assert_eq!(bench.receiver.rest().await.len(), 1);
}
