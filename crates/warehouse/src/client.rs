//! ClickHouse over HTTP: one client for the store of one machine and for a cluster.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use clickhouse::{Client, Compression};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use tokio::time::timeout;
use zhili_eventlog::TopicPartition;

use crate::block::Block;
use crate::sink::OffsetRange;
use crate::{Identity, RowKey, Table, WarehouseError};

/// Longest wait for a TCP connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for an answer: just above [`MAX_EXECUTION`], so that the server gives up first
/// and the client hears how it ended.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(65);
/// Keeps a statement with its parameters below ClickHouse's 256 KiB of query text.
const IDENTITIES_AT_ONCE: usize = 1_000;

/// How long the server may work on one statement (`max_execution_time`).
pub const MAX_EXECUTION: Duration = Duration::from_secs(60);

/// Where ClickHouse is and who asks.
#[derive(Clone)]
pub struct Address {
    /// Such as `http://127.0.0.1:7404`.
    pub url: String,
    /// User.
    pub user: String,
    /// Password or key.
    pub password: String,
    /// Database; `zhili` unless there is a reason.
    pub database: String,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Address")
            .field("url", &self.url)
            .field("user", &self.user)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

/// Whether the URL asks for TLS.
fn is_secure(url: &str) -> Result<bool, WarehouseError> {
    let parsed: http::Uri = url.parse().map_err(|error| invalid(url, format!("{error}")))?;
    let secure = match parsed.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(invalid(url, "it does not begin with http:// or https://".into())),
    };
    if parsed.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(invalid(url, "give user and password by their own settings".into()));
    }
    if !matches!(parsed.path(), "" | "/") || parsed.query().is_some() {
        return Err(invalid(url, "it ends after the port".into()));
    }
    Ok(secure)
}

fn invalid(url: &str, cause: String) -> WarehouseError {
    // A password in it is not for logs.
    let url = url.rsplit_once('@').map_or(url, |(_, host)| host).to_owned();
    WarehouseError::InvalidUrl { url, cause }
}

/// What the sink needs of ClickHouse.
#[async_trait]
pub trait Tables: Send + Sync + 'static {
    /// Which rows of a range of one partition the table holds.
    async fn landed(
        &self,
        table: Table,
        log_id: &str,
        partition: &TopicPartition,
        range: OffsetRange,
    ) -> Result<HashSet<RowKey>, WarehouseError>;

    /// For each of the identities that has a row, the version of the one that stays.
    async fn staying(
        &self,
        table: Table,
        identities: &[Identity],
    ) -> Result<HashMap<Identity, i64>, WarehouseError>;

    /// Writes a block as one INSERT. A token that the table has seen has no further effect.
    async fn insert(&self, token: &str, block: &Block) -> Result<(), WarehouseError>;
}

/// A connection to Zhili's database. Cheap to clone.
#[derive(Clone)]
pub struct Warehouse {
    client: Client,
    database: String,
    replicated: bool,
}

impl Warehouse {
    /// A client; nothing is sent yet. `replicated` as in [`crate::Layout`]. An `https` server must
    /// show a certificate that this machine's roots vouch for (`SSL_CERT_FILE` names others).
    ///
    /// # Errors
    /// [`WarehouseError::InvalidUrl`] for a URL that is none, and when there are no roots.
    pub fn new(address: &Address, replicated: bool) -> Result<Self, WarehouseError> {
        let secure = is_secure(&address.url)?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_keepalive(Some(Duration::from_secs(60)));
        let mut builder = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
        // ClickHouse closes idle connections after 3 s.
        builder.pool_idle_timeout(Duration::from_secs(2));
        let client = if secure {
            connector.enforce_http(false);
            let provider = rustls::crypto::ring::default_provider();
            let tls = HttpsConnectorBuilder::new()
                .with_provider_and_native_roots(provider)
                .map_err(|error| invalid(&address.url, format!("cannot load roots: {error}")))?
                .https_only()
                .enable_http1()
                .wrap_connector(connector);
            Client::with_http_client(builder.build(tls))
        } else {
            Client::with_http_client(builder.build(connector))
        };
        let client = client
            .with_url(&address.url)
            .with_user(&address.user)
            .with_password(&address.password)
            .with_database(&address.database)
            .with_compression(Compression::Lz4)
            .with_setting("max_execution_time", MAX_EXECUTION.as_secs().to_string())
            .with_product_info("zhili", env!("CARGO_PKG_VERSION"));
        Ok(Self { client, database: address.database.clone(), replicated })
    }

    /// The client itself, for statements that have no function here.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Name of the database.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The same connection, for statements that must not name a database that may not exist yet.
    pub(crate) fn without_database(&self) -> Self {
        Self { client: self.client.clone().with_database("default"), ..self.clone() }
    }

    /// A question about what was written. Of a replicated table it is asked of a replica that
    /// has every INSERT that was acknowledged: one that lags behind would show holes, and what
    /// was written would be written again.
    pub(crate) fn written(&self, statement: &str) -> clickhouse::query::Query {
        self.whole(self.client.query(statement))
    }

    /// The same of a question whose answer counts only if all of it is there.
    pub(crate) fn whole(&self, query: clickhouse::query::Query) -> clickhouse::query::Query {
        if self.replicated {
            return query.with_setting("select_sequential_consistency", "1");
        }
        query
    }

    /// A statement that writes; on replicas as many must have it as [`Self::written`] relies on.
    pub(crate) fn writing(&self, statement: &str) -> clickhouse::query::Query {
        let query = self.whole(self.client.query(statement));
        if self.replicated {
            return query
                .with_setting("insert_quorum", "auto")
                .with_setting("insert_quorum_parallel", "0");
        }
        query
    }

    /// Runs a statement that returns nothing.
    pub(crate) async fn execute(&self, doing: &str, statement: &str) -> Result<(), WarehouseError> {
        self.run(doing, self.client.query_raw(statement).execute()).await
    }

    /// Bounds a request and names what it was for when it fails.
    pub(crate) async fn run<T>(
        &self,
        doing: &str,
        request: impl Future<Output = clickhouse::error::Result<T>>,
    ) -> Result<T, WarehouseError> {
        match timeout(REQUEST_TIMEOUT, request).await {
            Ok(answer) => answer.map_err(|error| WarehouseError::from_client(doing, &error)),
            Err(_) => Err(WarehouseError::Unavailable {
                doing: doing.to_owned(),
                cause: format!("no answer within {} s", REQUEST_TIMEOUT.as_secs()),
            }),
        }
    }
}

#[derive(clickhouse::Row, Deserialize)]
struct Staying {
    whose: String,
    parts: Vec<String>,
    newest: i64,
}

#[async_trait]
impl Tables for Warehouse {
    async fn landed(
        &self,
        table: Table,
        log_id: &str,
        partition: &TopicPartition,
        range: OffsetRange,
    ) -> Result<HashSet<RowKey>, WarehouseError> {
        let query = self
            .written(&format!(
                "SELECT log_offset, log_index FROM {table} \
                 WHERE log_id = {{log_id:String}} AND log_topic = {{topic:String}} \
                 AND log_partition = {{partition:UInt32}} \
                 AND log_offset BETWEEN {{first:UInt64}} AND {{last:UInt64}}"
            ))
            .param("log_id", log_id)
            .param("topic", &*partition.topic)
            .param("partition", partition.partition)
            .param("first", range.first)
            .param("last", range.last);
        let doing = format!("read which rows of {partition} table {table} holds");
        let rows = self.run(&doing, query.fetch_all::<(u64, u16)>()).await?;
        Ok(rows.into_iter().map(|(offset, index)| RowKey { offset, index }).collect())
    }

    async fn staying(
        &self,
        table: Table,
        identities: &[Identity],
    ) -> Result<HashMap<Identity, i64>, WarehouseError> {
        let mut found = HashMap::new();
        let Some(telling) = table.identity().last() else {
            return Ok(found);
        };
        let columns: Vec<String> =
            table.identity().iter().map(|column| format!("toString({column})")).collect();
        let columns = columns.join(", ");
        for wanted in identities.chunks(IDENTITIES_AT_ONCE) {
            let telling_values: Vec<&str> =
                wanted.iter().filter_map(|identity| identity.parts.last().map(|p| &**p)).collect();
            let query = self
                .written(&format!(
                    "SELECT toString(tenant) AS whose, [{columns}] AS parts, \
                     max(precedence) AS newest FROM {table} \
                     WHERE {telling} IN {{wanted:Array(String)}} GROUP BY whose, parts"
                ))
                .param("wanted", telling_values);
            let doing = format!("read which rows of table {table} stay");
            let rows: Vec<Staying> = self.run(&doing, query.fetch_all()).await?;
            found.extend(rows.into_iter().map(|Staying { whose: tenant, parts, newest }| {
                (Identity { tenant, parts }, newest)
            }));
        }
        Ok(found)
    }

    async fn insert(&self, token: &str, block: &Block) -> Result<(), WarehouseError> {
        let mut insert = self
            .client
            .insert_formatted_with(block.statement())
            .with_setting("insert_deduplicate", "1")
            .with_setting("insert_deduplication_token", token)
            .with_setting("async_insert", "0")
            // Rows of one identity stay apart in the part that they arrive in, so that what
            // landed can be told by offset.
            .with_setting("optimize_on_insert", "0")
            // After a long pause one block may hold records of more days than the default of 100.
            .with_setting("max_partitions_per_insert_block", "0");
        if self.replicated {
            insert = insert
                .with_setting("insert_quorum", "auto")
                // One after the other, without which no replica can say that it has them all.
                .with_setting("insert_quorum_parallel", "0");
        }
        let body = block.body();
        let request = async move {
            insert.send(body).await?;
            insert.end().await
        };
        let doing = format!("insert {} rows into {}", block.rows(), block.table());
        self.run(&doing, request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    fn address(url: &str) -> Address {
        Address {
            url: url.to_owned(),
            user: "default".into(),
            password: String::new(),
            database: "zhili".into(),
        }
    }

    /// The first bytes that a client of this kind sends.
    async fn first_bytes(scheme: &str, replicated: bool) -> Vec<u8> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let warehouse = Warehouse::new(&address(&url), replicated).unwrap();
        let asking = tokio::spawn(async move {
            let partition = TopicPartition::new("zhili.scores.v1", 0);
            let range = OffsetRange { first: 0, last: 1 };
            warehouse.landed(Table::Events, "log", &partition, range).await
        });
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = vec![0; 4_096];
        let length = stream.read(&mut bytes).await.unwrap();
        bytes.truncate(length);
        drop(stream);
        assert!(asking.await.unwrap().unwrap_err().is_transient());
        bytes
    }

    #[tokio::test]
    async fn an_https_url_is_spoken_to_in_tls() {
        // A handshake record.
        assert_eq!(first_bytes("https", false).await[0], 0x16);
        assert!(first_bytes("http", false).await.starts_with(b"POST "));
    }

    #[tokio::test]
    async fn a_replicated_table_is_asked_on_a_replica_that_has_every_insert() {
        let asked = String::from_utf8(first_bytes("http", true).await).unwrap();
        assert!(asked.contains("select_sequential_consistency=1"), "{asked}");
        let asked = String::from_utf8(first_bytes("http", false).await).unwrap();
        assert!(!asked.contains("select_sequential_consistency"), "{asked}");
    }

    #[test]
    fn a_url_that_is_none_is_refused_without_its_password() {
        for url in
            ["", "clickhouse", "clickhouse:8123", "tcp://a:9000", "http://a/b", "http://a/?x=1"]
        {
            assert!(Warehouse::new(&address(url), false).is_err(), "{url}");
        }
        let refused = Warehouse::new(&address("http://u:secret@a:8123"), false).err().unwrap();
        assert!(!refused.to_string().contains("secret"), "{refused}");
        assert!(Warehouse::new(&address("http://a:8123/"), false).is_ok());
    }
}
