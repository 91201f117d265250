//! Each service does its work with the rights that `deploy/kafka/acls.tsv` gives it, and asks Kafka for
//! nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use zhili_eventlog::testkit::kafka_server::KafkaServer;
use zhili_runtime::KafkaTls;

use crate::system::{SERVICES, System};
use crate::traffic::samples;
use crate::{TURN, published};

/// Certificates by which a broker knows who is there, all of one issuer and for loopback.
pub(crate) struct Certificates(TempDir);

impl Certificates {
    fn new(names: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "issuer");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let this = Self(folder);
        std::fs::write(this.path("ca.pem"), issuer.pem()).unwrap();
        for name in names {
            let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name.as_str());
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &issuer).unwrap().pem();
            let key = key.serialize_pem();
            std::fs::write(this.path(&format!("{name}.pem")), &certificate).unwrap();
            std::fs::write(this.path(&format!("{name}.key")), &key).unwrap();
            // Kafka's own programs want both in one file.
            std::fs::write(this.path(&format!("{name}.both")), key + &certificate).unwrap();
        }
        this
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// What whoever has this name shows to a broker.
    pub(crate) fn of(&self, name: &str) -> KafkaTls {
        KafkaTls {
            ca: Some(self.path("ca.pem")),
            certificate: Some(self.path(&format!("{name}.pem"))),
            key: Some(self.path(&format!("{name}.key"))),
        }
    }

    /// The same as properties of Kafka's own programs.
    fn properties(&self, name: &str) -> [String; 4] {
        let (both, ca) = (self.path(&format!("{name}.both")), self.path("ca.pem"));
        [
            "ssl.keystore.type=PEM".to_owned(),
            format!("ssl.keystore.location={}", both.display()),
            "ssl.truststore.type=PEM".to_owned(),
            format!("ssl.truststore.location={}", ca.display()),
        ]
    }
}

/// Puts the table in force, with the script that operators use.
fn put_in_force(broker: &KafkaServer, admin: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kafka/acls.sh");
    let put = Command::new(script).arg(broker.bootstrap_servers()).arg(admin).output().unwrap();
    assert!(put.status.success(), "{put:?}");
}

/// A system whose broker lets nobody do what the table does not say.
async fn start() -> Option<System> {
    let services = SERVICES.map(|service| format!("zhili-{service}"));
    let others = ["broker", "admin", "zhili-topics"].map(str::to_owned);
    let certificates = Certificates::new(&[&services[..], &others].concat());
    let mut properties = vec![
        "listeners=SSL://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}".to_owned(),
        "advertised.listeners=SSL://127.0.0.1:{port}".to_owned(),
        "listener.security.protocol.map=SSL:SSL,CONTROLLER:PLAINTEXT".to_owned(),
        "inter.broker.listener.name=SSL".to_owned(),
        "ssl.client.auth=required".to_owned(),
        "ssl.principal.mapping.rules=RULE:^CN=([^,]+).*$/$1/,DEFAULT".to_owned(),
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned(),
        // The last is the broker itself on its way to the controller, which is in the clear here.
        "super.users=User:broker;User:admin;User:ANONYMOUS".to_owned(),
    ];
    properties.extend(certificates.properties("broker"));
    let admin = certificates.path("admin.properties");
    let settings = certificates.properties("admin").join("\n");
    std::fs::write(&admin, format!("security.protocol=SSL\n{settings}\n")).unwrap();
    let properties: Vec<&str> = properties.iter().map(String::as_str).collect();
    System::on(&properties, Some(certificates), |broker| put_in_force(broker, &admin)).await
}

/// What a command prints.
fn said(system: &System, arguments: &[&str]) -> String {
    let output = system.zhili(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}\n{}", system.said());
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_do_their_work_with_the_rights_of_the_table_and_ask_for_no_others() {
    let _turn = TURN.lock().await;
    let Some(mut system) = start().await else { return };
    let files = samples();
    let mut arguments = vec!["publish", "--json"];
    arguments.extend(files.iter().map(String::as_str));
    let accepted = published(&system, &arguments);
    system.until_answers("SELECT count() FROM v_events", &accepted.to_string()).await;
    system.settle().await;

    // What people do with the log.
    let bundle = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    std::fs::write(bundle.path(), "[phrases]\n").unwrap();
    said(&system, &["config", "apply", bundle.path().to_str().unwrap()]);
    said(&system, &["topics"]);
    said(&system, &["dead-letters", "list"]);
    said(&system, &["audit", "--last", "1"]);
    assert!(!said(&system, &["tail", "--last", "100", "--until-now"]).is_empty());
    let customer = "SELECT any(customer) FROM events WHERE customer != ''";
    let customer = system.query(customer).await.unwrap();
    // Everything goes at once but the records of Kafka, which wait for their retention.
    let erased = system.zhili(&["erase", "--customer", &customer, "--wait"]);
    let words = String::from_utf8_lossy(&erased.stderr);
    assert_eq!(erased.status.code(), Some(75), "{words}\n{}", system.said());
    assert!(words.contains("waits for"), "{words}");

    let log = std::fs::read_to_string(system.broker.log_file()).unwrap();
    let denied: Vec<&str> = log.lines().filter(|line| line.contains("Denied")).collect();
    assert!(denied.is_empty(), "{denied:#?}");

    // One that shows the certificate of another service is not let in.
    let (code, words) = system.refusal("scoring", "zhili-scoring.", "zhili-ingest.");
    assert_eq!(code, Some(69), "{words}");
}
