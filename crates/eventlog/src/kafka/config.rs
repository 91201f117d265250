use std::path::PathBuf;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::MAX_RECORD_BYTES;

/// Largest batch of records as it goes over the wire: one largest record and its framing.
pub(super) const MAX_MESSAGE_BYTES: usize = MAX_RECORD_BYTES + (64 << 10);

/// How often a client looks whether it still knows a broker; see `Contact`.
const LOOK: Duration = Duration::from_secs(3);

/// How to reach a Kafka cluster and what to ask of it.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// `host:port` of some brokers, separated by commas; the others are found through them.
    pub bootstrap_servers: String,
    /// Whether and how the connection is protected.
    pub security: Security,
    /// Name of this process in the brokers' logs and quotas.
    pub client_id: String,
    /// Whether members keep their partitions while they are away for less than the session
    /// timeout. A member that leaves for good then holds its partitions for that long.
    pub static_membership: bool,
    /// Copies of every partition of the topics that are created.
    pub replication_factor: u16,
    /// Copies that must have a record before it counts as stored.
    pub min_insync_replicas: u16,
    /// How records are packed.
    pub compression: Compression,
    /// How long a record may wait for others to share its request, on the way to the broker.
    pub linger: Duration,
    /// How long a broker holds an idle fetch open. It bounds how late the end of a partition is
    /// noticed, not how late a record arrives.
    pub fetch_wait: Duration,
    /// How long a request to a broker may take.
    pub request_timeout: Duration,
    /// How long an append is tried before its outcome is reported as unknown.
    pub delivery_timeout: Duration,
    /// How long a member may be silent before its partitions go to the others. Brokers accept 6 s
    /// and more unless `group.min.session.timeout.ms` is lowered.
    pub session_timeout: Duration,
    /// How long a transaction may stay open. It bounds how long readers of its partitions and the
    /// next owner of its positions wait for a member that was killed in the middle and did not
    /// come back.
    pub transaction_timeout: Duration,
}

/// Protection of the connection to the brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// None: loopback and trusted networks only.
    Plaintext,
    /// TLS; the brokers' certificates and host names are always verified.
    Tls {
        /// File of the authorities to trust (PEM); the system's when absent.
        ca: Option<PathBuf>,
        /// Certificate to present and its key, where the brokers ask for one.
        client: Option<ClientCertificate>,
    },
}

/// What a client shows to brokers that ask for a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// File of the certificate (PEM).
    pub certificate: PathBuf,
    /// File of its private key (PEM).
    pub key: PathBuf,
}

/// How batches of records are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// Quick.
    Lz4,
    /// Small.
    Zstd,
}

impl Compression {
    const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl KafkaConfig {
    /// The defaults, for a cluster of at least three brokers.
    #[must_use]
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            security: Security::Plaintext,
            client_id: "zhili".to_owned(),
            static_membership: true,
            replication_factor: 3,
            min_insync_replicas: 2,
            compression: Compression::Lz4,
            // Records of one append travel together anyway when the broker is the bottleneck.
            linger: Duration::ZERO,
            // Ten empty fetches a second and broker at rest.
            fetch_wait: Duration::from_millis(100),
            // Brokers give up on a follower after 30 s (replica.lag.time.max.ms) and on a request
            // to it after the same; less would take a slow election for an outage.
            request_timeout: Duration::from_secs(30),
            // Below the 65 s of an HTTP publisher's own timeout, above one election.
            delivery_timeout: Duration::from_secs(45),
            // The failover time; Kafka's own default of 45 s is for consumers that pause to work.
            session_timeout: Duration::from_secs(10),
            transaction_timeout: Duration::from_secs(15),
        }
    }

    /// Settings of every client.
    pub(super) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        // rdkafka asks the `log` crate otherwise, which nobody sets up here.
        config.set_log_level(RDKafkaLogLevel::Info);
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", &self.client_id)
            .set("socket.nagle.disable", "true")
            .set("socket.timeout.ms", millis(self.request_timeout))
            .set("message.max.bytes", MAX_MESSAGE_BYTES.to_string())
            // A broker that restarts is back within seconds: look often, not after up to 10 s.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            // The first retry of a transaction's requests is the common case (a partition's
            // previous transaction is still being completed), and the default of 100 ms shows.
            .set("retry.backoff.ms", "10")
            .set("retry.backoff.max.ms", "1000");
        match &self.security {
            Security::Plaintext => {
                config.set("security.protocol", "plaintext");
            }
            Security::Tls { ca, client } => {
                config
                    .set("security.protocol", "ssl")
                    .set("enable.ssl.certificate.verification", "true")
                    .set("ssl.endpoint.identification.algorithm", "https")
                    // OpenSSL is linked statically and does not know the system's folder.
                    .set(
                        "ssl.ca.location",
                        ca.as_ref().map_or("probe".to_owned(), |path| path.display().to_string()),
                    );
                if let Some(client) = client {
                    config
                        .set("ssl.certificate.location", client.certificate.display().to_string())
                        .set("ssl.key.location", client.key.display().to_string());
                }
            }
        }
        config
    }

    /// Settings of the producer behind `append`.
    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("compression.type", self.compression.name())
            .set("linger.ms", millis(self.linger))
            .set("delivery.timeout.ms", millis(self.delivery_timeout))
            .set("statistics.interval.ms", millis(LOOK))
            .set("queue.buffering.max.kbytes", "131072");
        config
    }

    /// Settings of a member's transactional producer.
    pub(super) fn transactional_producer(&self, group: &str, member: &str) -> ClientConfig {
        let mut config = self.producer();
        config
            // Stable, so that a restarted process fences the one it replaces and settles its
            // open transaction at once.
            .set("transactional.id", format!("{group}-{member}"))
            .set("transaction.timeout.ms", millis(self.transaction_timeout))
            // librdkafka refuses a record or a request that may outlive its transaction.
            .set("delivery.timeout.ms", millis(self.transaction_timeout))
            .set("socket.timeout.ms", millis(self.request_timeout.min(self.transaction_timeout)))
            // A commit flushes; waiting for more would only delay it.
            .set("linger.ms", "0");
        config
    }

    /// Settings of a consumer that is told what to read, or that asks for a group's positions.
    pub(super) fn reader(&self, group: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            // A position outside of the log means lost input: never jump over it.
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("allow.auto.create.topics", "false")
            .set("fetch.wait.max.ms", millis(self.fetch_wait))
            .set("fetch.error.backoff.ms", "50")
            // Per partition: what is prefetched while the fold works on what it has.
            .set("queued.min.messages", "10000")
            .set("queued.max.messages.kbytes", "8192")
            .set("fetch.queue.backoff.ms", "20");
        config
    }

    /// Settings of a member's consumer.
    pub(super) fn member(&self, group: &str, member: &str) -> ClientConfig {
        let mut config = self.reader(group);
        config
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", millis(self.session_timeout))
            .set("statistics.interval.ms", millis(LOOK))
            // Four chances before the session ends; also how soon a member hears of a rebalance.
            .set("heartbeat.interval.ms", millis(self.session_timeout / 4));
        if self.static_membership {
            config.set("group.instance.id", member);
        }
        config
    }
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}
