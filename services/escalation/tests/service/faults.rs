//! Receivers of every bad kind: whatever they do, a page ends at them or it has visibly failed and
//! the fallback was paged.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;
use zhili_proto::escalation::v1 as pb;
use zhili_proto::escalation::v1::incident_event::Type;
use zhili_proto::escalation::v1::log_entry::Entry;

use crate::bench::Bench;
use crate::receiver::{Answer, Receiver};

/// Longer than the delay of the only step.
const STEP_MS: i64 = 61_000;
/// After so long no page is tried any more.
const DAY_MS: i64 = 24 * 60 * 60_000;
/// More answers of one kind than there are attempts.
const ALWAYS: usize = 8;

/// What a receiver does.
#[derive(Debug, Clone, Copy)]
enum Does {
    /// Answers like this so often, then takes whatever comes.
    Answers(Answer, usize),
    /// As `Answers`, with status 200 and this body.
    Says(&'static str, usize),
    /// Reads, and never answers.
    IsSilent,
    /// Never comes to the end of the first line.
    Drips,
    /// Ends every connection after it has read from it.
    HangsUp,
    /// Does not listen.
    IsAway,
    /// Speaks HTTP where TLS is expected.
    SpeaksPlainly,
    /// Has a certificate that nobody has signed.
    IsNotTrusted,
}

/// What must come of a page.
#[derive(Debug, Clone, Copy)]
enum Ends {
    /// It arrives with this attempt, if these times pass after the ones before.
    Delivered(&'static [i64]),
    /// The receiver refuses it for good: it has failed with these words, and nothing is waited for
    /// longer than the step's own time.
    Refused(&'static str),
    /// It is tried for a day, while others are paged, and has failed then.
    GivenUp(&'static str),
}

type Case = (&'static str, Does, Ends);

const HTTP: &[Case] = &[
    ("webhook", Does::Answers((500, None), 2), Ends::Delivered(&[3_000, 7_000])),
    ("webhook", Does::Answers((429, Some("200")), 1), Ends::Delivered(&[201_000])),
    ("webhook", Does::Answers((503, Some("20")), 1), Ends::Delivered(&[21_000])),
    ("webhook", Does::Answers((404, None), ALWAYS), Ends::Refused("HTTP 404")),
    ("webhook", Does::Answers((410, None), ALWAYS), Ends::Refused("HTTP 410")),
    ("webhook", Does::Answers((307, None), ALWAYS), Ends::Refused("redirects are not followed")),
    ("webhook", Does::Answers((500, None), ALWAYS), Ends::GivenUp("HTTP 500")),
    ("dingtalk", Does::Says(r#"{"errcode":-1,"errmsg":"busy"}"#, 1), Ends::Delivered(&[3_000])),
    (
        "dingtalk",
        Does::Says(r#"{"errcode":130101,"errmsg":"too fast"}"#, 1),
        Ends::Delivered(&[601_000]),
    ),
    (
        "dingtalk",
        Does::Says(r#"{"errcode":310000,"errmsg":"sign not match"}"#, ALWAYS),
        Ends::Refused("310000"),
    ),
    (
        "dingtalk",
        Does::Says(r#"{"errcode":130101,"errmsg":"too fast"}"#, ALWAYS),
        Ends::GivenUp("130101"),
    ),
    ("wecom", Does::Says(r#"{"errcode":45009,"errmsg":"freq"}"#, 1), Ends::Delivered(&[66_000])),
    (
        "wecom",
        Does::Says(r#"{"errcode":93000,"errmsg":"invalid"}"#, ALWAYS),
        Ends::Refused("93000"),
    ),
    ("feishu", Does::Says(r#"{"code":11232,"msg":"frequency"}"#, 1), Ends::Delivered(&[66_000])),
    ("feishu", Does::Says(r#"{"code":19024,"msg":"keyword"}"#, ALWAYS), Ends::Refused("19024")),
    ("feishu", Does::Says("<html>welcome</html>", ALWAYS), Ends::GivenUp("not an answer")),
    ("slack", Does::Answers((429, Some("30")), 1), Ends::Delivered(&[31_000])),
    ("slack", Does::Says("no_service", ALWAYS), Ends::Refused("no_service")),
    ("pagerduty", Does::Answers((429, None), 1), Ends::Delivered(&[3_000])),
    ("pagerduty", Does::Answers((400, None), ALWAYS), Ends::Refused("HTTP 400")),
];

const CONNECTIONS: &[Case] = &[
    ("webhook", Does::IsSilent, Ends::GivenUp("no answer within 8 s")),
    ("dingtalk", Does::Drips, Ends::GivenUp("no answer within 8 s")),
    ("webhook", Does::HangsUp, Ends::GivenUp("the connection ended")),
    ("slack", Does::IsAway, Ends::GivenUp("connection refused")),
    ("webhook", Does::SpeaksPlainly, Ends::GivenUp("no secure connection")),
    ("feishu", Does::IsNotTrusted, Ends::GivenUp("certificate")),
];

/// A receiver that does so, and its address.
async fn receiver(does: Does) -> (String, Box<dyn std::any::Any + Send>) {
    if let Does::Answers(..) | Does::Says(..) = does {
        let receiver = Receiver::start().await;
        match does {
            Does::Answers(answer, times) => receiver.answer(&vec![answer; times]),
            Does::Says(body, times) => (0..times).for_each(|_| receiver.say(body)),
            _ => {}
        }
        return (format!("http://{}", receiver.address), Box::new(receiver));
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let scheme = match does {
        Does::SpeaksPlainly | Does::IsNotTrusted => "https",
        _ => "http",
    };
    let address = format!("{scheme}://localhost:{port}");
    if let Does::IsAway = does {
        return (address, Box::new(()));
    }
    let serving = async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(mistreat(stream, does));
        }
    };
    (address, Box::new(AbortOnDropHandle::new(tokio::spawn(serving))))
}

async fn mistreat(mut stream: TcpStream, does: Does) {
    if let Does::IsNotTrusted = does {
        // Whoever does not trust it ends the connection.
        let _ = tls().accept(stream).await;
        return;
    }
    let _ = stream.read(&mut [0; 16 << 10]).await;
    match does {
        Does::IsSilent => std::future::pending().await,
        Does::SpeaksPlainly => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        }
        Does::Drips => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx-slow: ").await;
            while stream.write_all(b"a").await.is_ok() {
                // A receiver of this kind lives in real time, as the patience of the sender does.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        _ => {}
    }
}

fn tls() -> tokio_rustls::TlsAcceptor {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key.unwrap());
    tokio_rustls::TlsAcceptor::from(Arc::new(config.unwrap()))
}

/// A step of a minute at the receiver, and the bench's own one as the fallback.
async fn bench(kind: &str, address: &str) -> Bench {
    let bench = Bench::new().await;
    let path = if kind == "slack" { "/slack/x" } else { "/x" };
    let key = if kind == "pagerduty" { "routing_key = 'env:PATH'\n" } else { "" };
    let settings = format!(
        "[escalation.teams.default.destinations.bad.{kind}]\n\
         url = '{address}{path}'\nallow_private = true\n{key}\
         {}\
         [escalation.teams.default.policies.default]\n\
         repeat = 0\nfallback = ['floor']\n\
         steps = [{{ destinations = ['bad'], delay_ms = 60000 }}]\n",
        bench.floor()
    );
    bench.configure("default", &settings).await;
    bench
}

async fn attempted(bench: &Bench, attempt: u32) {
    bench
        .entry(|entry| match entry {
            Entry::Result(result) => result.attempt == attempt,
            _ => false,
        })
        .await;
}

async fn told(bench: &Bench, kind: Type) -> pb::IncidentEvent {
    let about_bad = |event: &pb::IncidentEvent| {
        event.r#type() == kind
            && event.page.as_ref().is_none_or(|page| page.destination == "bad")
            && event.incident.is_some()
    };
    bench.event(about_bad).await
}

async fn fallback_is_paged(bench: &Bench) -> pb::IncidentEvent {
    let page = bench.receiver.next().await.json();
    assert_eq!(page["data"]["page"]["reason"], "fallback");
    told(bench, Type::Exhausted).await
}

async fn check((kind, does, ends): Case) {
    let (address, _receiver) = receiver(does).await;
    let bench = bench(kind, &address).await;
    let service = bench.start().await;
    bench.signal(bench.urgent("s1", "c1")).await;
    let case = format!("{kind} {does:?}");
    match ends {
        Ends::Delivered(waits) => {
            for (attempt, wait_ms) in (1..).zip(waits) {
                attempted(&bench, attempt).await;
                bench.wait_ms(*wait_ms);
            }
            let paged = told(&bench, Type::Paged).await.page.unwrap();
            assert_eq!(paged.attempts as usize, 1 + waits.len(), "{case}");
        }
        Ends::Refused(why) => {
            let failed = told(&bench, Type::DeliveryFailed).await;
            assert!(failed.note.contains(why), "{case}: {}", failed.note);
            assert_eq!(failed.page.unwrap().attempts, 1, "{case}");
            bench.wait_ms(STEP_MS);
            fallback_is_paged(&bench).await;
        }
        Ends::GivenUp(why) => {
            attempted(&bench, 1).await;
            bench.wait_ms(STEP_MS);
            let incident = fallback_is_paged(&bench).await.incident.unwrap();
            let path = format!("/v1/incidents/{}", incident.incident_id);
            service.until(&path, |body| body["attempts"].to_string().contains(why)).await;
            bench.wait_ms(DAY_MS);
            let failed = told(&bench, Type::DeliveryFailed).await;
            let why_at_last = &failed.note;
            assert!(why_at_last.contains(why), "{case}: {why_at_last}");
            let page = failed.page.unwrap();
            assert!(page.detail.starts_with("given up"), "{case}: {}", page.detail);
        }
    }
    service.stop().await;
}

/// All at once: most of the time is spent on waiting for what never comes.
async fn check_all(cases: &[Case]) {
    futures::future::join_all(cases.iter().map(|case| check(*case))).await;
}

#[tokio::test]
async fn whatever_a_receiver_answers_the_page_ends_there_or_the_fallback_is_paged() {
    check_all(HTTP).await;
}

#[tokio::test]
async fn whatever_a_connection_does_the_page_has_visibly_failed_and_the_fallback_is_paged() {
    check_all(CONNECTIONS).await;
}
