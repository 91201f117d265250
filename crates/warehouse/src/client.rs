//! ClickHouse over HTTP: one client for the store of one machine and for a cluster.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use clickhouse::{Client, Compression};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;
use zhili_eventlog::TopicPartition;

use crate::block::Block;
use crate::sink::OffsetRange;
use crate::{RowKey, Table, WarehouseError};

/// Longest wait for a TCP connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for an answer: just above [`MAX_EXECUTION`], so that the server gives up first
/// and the client hears how it ended.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(65);
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
    /// A client; nothing is sent yet. `replicated` as in [`crate::Layout`].
    #[must_use]
    pub fn new(address: &Address, replicated: bool) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_keepalive(Some(Duration::from_secs(60)));
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            // ClickHouse closes idle connections after 3 s.
            .pool_idle_timeout(Duration::from_secs(2))
            .build(connector);
        let client = Client::with_http_client(http)
            .with_url(&address.url)
            .with_user(&address.user)
            .with_password(&address.password)
            .with_database(&address.database)
            .with_compression(Compression::Lz4)
            .with_setting("max_execution_time", MAX_EXECUTION.as_secs().to_string())
            .with_product_info("zhili", env!("CARGO_PKG_VERSION"));
        Self { client, database: address.database.clone(), replicated }
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

    /// Whether ClickHouse answers and knows us.
    pub async fn ping(&self) -> Result<(), WarehouseError> {
        let server = self.without_database();
        server.run("answer", server.client.query("SELECT 1").fetch_one::<u8>()).await.map(|_| ())
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
            .client
            .query(&format!(
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
            insert = insert.with_setting("insert_quorum", "auto");
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
