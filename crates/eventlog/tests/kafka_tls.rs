//! The connection to Kafka is encrypted and the broker's certificate is verified.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use zhili_eventlog::kafka::{KafkaConfig, KafkaLog, Security};
use zhili_eventlog::testkit::kafka_server::{KafkaServer, skip_or_fail};
use zhili_eventlog::topics::{Cleanup, TopicSpec};
use zhili_eventlog::{EventLog, LogError, NewRecord, TopicPartition};

fn keytool(arguments: &[&str], store: &Path) {
    let made = Command::new("keytool")
        .args(arguments)
        .args(["-storetype", "PKCS12", "-storepass", "secret", "-keystore"])
        .arg(store)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}

/// A key with a certificate for `name`, signed by itself, which is also the authority to trust.
fn certificate(folder: &Path, file: &str, name: &str) -> (PathBuf, PathBuf) {
    let (store, pem) = (folder.join(format!("{file}.p12")), folder.join(format!("{file}.pem")));
    let name = format!("SAN={name}");
    let make = ["-genkeypair", "-alias", "broker", "-keyalg", "EC", "-dname", "CN=broker", "-ext"];
    keytool(&[&make[..], &[name.as_str()]].concat(), &store);
    let file = pem.display().to_string();
    keytool(&["-exportcert", "-rfc", "-alias", "broker", "-file", &file], &store);
    (store, pem)
}

fn start(store: &Path, authority: &Path) -> Option<KafkaServer> {
    let (store, authority) = (store.display(), authority.display());
    let properties = [
        "listeners=SSL://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}".to_owned(),
        "advertised.listeners=SSL://127.0.0.1:{port}".to_owned(),
        "listener.security.protocol.map=SSL:SSL,CONTROLLER:PLAINTEXT".to_owned(),
        "inter.broker.listener.name=SSL".to_owned(),
        format!("ssl.keystore.location={store}"),
        "ssl.keystore.type=PKCS12".to_owned(),
        "ssl.keystore.password=secret".to_owned(),
        // The broker is a client of itself; what it verifies is not what is tested.
        format!("ssl.truststore.location={authority}"),
        "ssl.truststore.type=PEM".to_owned(),
        "ssl.endpoint.identification.algorithm=".to_owned(),
    ];
    let properties: Vec<&str> = properties.iter().map(String::as_str).collect();
    KafkaServer::start(&properties).inspect_err(skip_or_fail).ok()
}

fn config(server: &KafkaServer, security: Security) -> KafkaConfig {
    KafkaConfig {
        replication_factor: 1,
        min_insync_replicas: 1,
        request_timeout: Duration::from_secs(20),
        security,
        ..KafkaConfig::new(server.bootstrap_servers())
    }
}

fn trusting(authority: &Path) -> Security {
    Security::Tls { ca: Some(authority.to_owned()), client: None }
}

async fn refusal(server: &KafkaServer, security: Security) -> LogError {
    let config =
        KafkaConfig { request_timeout: Duration::from_secs(1), ..config(server, security) };
    KafkaLog::connect(config).await.err().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_broker_with_a_trusted_certificate_for_its_name_is_spoken_to() {
    if Command::new("keytool").arg("-help").output().is_err() {
        // The broker itself says that it cannot be run without a JDK.
        drop(start(Path::new(""), Path::new("")));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (store, authority) = certificate(folder.path(), "broker", "IP:127.0.0.1");
    let (_, stranger) = certificate(folder.path(), "stranger", "IP:127.0.0.1");
    let Some(server) = start(&store, &authority) else {
        return;
    };

    let log = KafkaLog::connect(config(&server, trusting(&authority))).await;
    let log = log.unwrap();
    let topic = TopicSpec { name: "tls", partitions: 1, cleanup: Cleanup::Compact };
    log.ensure_topics(&[topic]).await.unwrap();
    let at = TopicPartition::new("tls", 0);
    let record = NewRecord::new(at, Bytes::from("k"), Bytes::from("v"));
    log.append(vec![record]).await[0].as_ref().unwrap();

    let error = refusal(&server, trusting(&stranger)).await;
    assert!(error.to_string().contains("certificate"), "{error}");
    let error = refusal(&server, Security::Plaintext).await;
    assert!(matches!(error, LogError::Unavailable(_)), "{error}");
    drop(server);

    let (store, authority) = certificate(folder.path(), "elsewhere", "IP:127.0.0.2");
    let Some(server) = start(&store, &authority) else {
        return;
    };
    let error = refusal(&server, trusting(&authority)).await;
    assert!(error.to_string().contains("certificate"), "{error}");
}
