//! One of the brokers of a run, with a way to it and a disk below it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::process::{Process, command};
use super::proxy::Proxy;
use crate::free_ports;

/// A broker that is a controller, too. Clients and the other brokers reach it over `way`; controllers speak to
/// each other past it.
pub(crate) struct Broker {
    pub(crate) way: Proxy,
    pub(crate) disk: Option<Disk>,
    folder: PathBuf,
    /// Of the way, of the broker and of the controller are this and the two after it.
    base: u16,
}

impl Broker {
    /// With its topics in `folder`, which `disk` is mounted on; not started.
    pub(crate) async fn new(folder: PathBuf, disk: Option<Disk>) -> Self {
        let base = free_ports();
        Self { way: Proxy::start(base, base + 1).await, disk, folder, base }
    }

    /// Where it is found.
    pub(crate) fn advertised(&self) -> String {
        format!("127.0.0.1:{}", self.base)
    }
}

/// The program of the broker of a number, with its words in a file.
pub(crate) fn process(brokers: &[Broker], number: u16, words: PathBuf) -> Process {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kafka/run.sh");
    let broker = &brokers[usize::from(number)];
    let [data, port, controller] = [
        broker.folder.join("kafka").display().to_string(),
        (broker.base + 1).to_string(),
        (broker.base + 2).to_string(),
    ];
    let mut voters = String::new();
    for (id, broker) in brokers.iter().enumerate() {
        let comma = if id == 0 { "" } else { "," };
        write!(voters, "{comma}{id}@127.0.0.1:{}", broker.base + 2).unwrap();
    }
    // Not on the disk that is filled: what the controllers agreed on is another matter.
    let metadata = broker.folder.with_extension("metadata");
    let properties = [
        format!("node.id={number}"),
        format!("controller.quorum.voters={voters}"),
        format!("advertised.listeners=PLAINTEXT://{}", broker.advertised()),
        format!("metadata.log.dir={}", metadata.display()),
        // As design.md has it in production.
        "default.replication.factor=3".to_owned(),
        "min.insync.replicas=2".to_owned(),
        "offsets.topic.replication.factor=3".to_owned(),
        "transaction.state.log.replication.factor=3".to_owned(),
        "transaction.state.log.min.isr=2".to_owned(),
        "share.coordinator.state.topic.replication.factor=3".to_owned(),
        // A broker that stands still loses what it leads, and comes back, while the run goes on.
        "broker.session.timeout.ms=6000".to_owned(),
        "replica.lag.time.max.ms=8000".to_owned(),
    ];
    let process = Process::new(format!("broker-{number}"), words, move || {
        let mut command = command(&script);
        command.args(["--tied", "--keep", &data, &port, &controller]).args(&properties);
        command
    });
    process.within("java")
}
