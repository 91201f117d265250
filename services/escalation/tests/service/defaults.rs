//! The webhook that needs no bundle.

use standardwebhooks::Webhook;
use zhili_escalation::{Config, DefaultWebhook, Published, publish_default};
use zhili_eventlog::testkit::fused::Fuse;
use zhili_eventlog::topics;
use zhili_runtime::config::Secret;

use crate::bench::{Bench, SECRET};

fn config(bench: &Bench, path: &str) -> Config {
    Config {
        default_webhook: Some(DefaultWebhook {
            url: Secret::new(format!("http://{}/{path}", bench.receiver.address)),
            secret: Secret::new(SECRET),
            allow_private: true,
        }),
        ..Config::default()
    }
}

#[tokio::test]
async fn the_default_webhook_pages_every_tenant_without_settings_of_its_own() {
    let bench = Bench::new().await;
    let _service = bench.start_with(&Fuse::never(), config(&bench, "a")).await;
    // Settings of other services do not count as one's own.
    bench.configure("default", "[scoring]\nhorizon = 1").await;
    bench.signal(bench.urgent("s1", "c1")).await;
    let page = bench.receiver.next().await;
    assert_eq!(page.json()["data"]["page"]["destination"], "default_webhook");
    Webhook::new(SECRET).unwrap().verify(&page.body, &page.headers).unwrap();
    // The secret itself is nowhere in the log.
    for value in bench.all(topics::CONFIG).await {
        assert!(!String::from_utf8_lossy(&value).contains(SECRET));
    }
}

#[tokio::test]
async fn the_default_is_published_when_it_differs_and_taken_back_when_it_goes() {
    let bench = Bench::new().await;
    bench.configure("*", "[scoring]\nhorizon = 1").await;
    let publish = async |config: &Config| publish_default(&bench.log, config, 0).await.unwrap();
    let first = config(&bench, "a");
    assert_eq!(publish(&first).await, Published::Changed);
    assert_eq!(publish(&first).await, Published::Unchanged);
    let records = bench.all(topics::CONFIG).await;
    assert_eq!(publish(&config(&bench, "b")).await, Published::Changed);
    assert_eq!(publish(&Config::default()).await, Published::Withdrawn);
    assert_eq!(publish(&Config::default()).await, Published::Unchanged);
    let after = bench.all(topics::CONFIG).await;
    assert!(after.len() > records.len());
    // What others had put there has stayed.
    let last = after.iter().rev().find(|value| value.windows(9).any(|w| w == b"[scoring]"));
    let last = String::from_utf8_lossy(last.unwrap()).into_owned();
    assert!(last.contains("horizon = 1"), "{last}");
}

#[tokio::test]
async fn settings_written_by_hand_stay_when_there_is_no_default() {
    let bench = Bench::new().await;
    bench.configure("*", &bench.floor()).await;
    let published = publish_default(&bench.log, &Config::default(), 0).await.unwrap();
    assert_eq!(published, Published::Unchanged);
}
