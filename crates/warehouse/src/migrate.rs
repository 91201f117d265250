//! The database's schema, brought up to date by numbered migrations.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::client::{MAX_EXECUTION, REQUEST_TIMEOUT, Warehouse};
use crate::scores::OUTSIDE_SCORES;
use crate::{Table, WarehouseError};

/// How many INSERT tokens a table remembers. A token must outlive the latest moment at which an
/// INSERT that was given up can still land; see [`check_windows`].
pub const DEDUPLICATION_WINDOW: u64 = 10_000;

/// Most INSERTs per second that one table sees from all sinks together.
pub const INSERTS_PER_SECOND: f64 = 4.0;

/// How the schema is laid out where it lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Name of the cluster on which every statement is to run; `None` on one server.
    pub cluster: Option<String>,
    /// Replicated tables; needs ClickHouse Keeper.
    pub replicated: bool,
    /// When rows are thrown away.
    pub retention: Retention,
}

/// Days for which rows are kept after their record was appended to the log, 0 for ever. `None`
/// leaves the table as it is, so that whoever says nothing undoes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// What people wrote: texts, excerpts, notes, order numbers, attributes. They are emptied and
    /// their rows stay.
    pub texts: Option<u32>,
    /// Events and what was found out about conversations.
    pub conversations: Option<u32>,
    /// Signals, incidents and deliveries.
    pub incidents: Option<u32>,
    /// Dead letters.
    pub dead_letters: Option<u32>,
    /// Scores of people by exams and reviews, after they were brought in.
    pub scores: Option<u32>,
}

impl Retention {
    const fn days(&self, table: Table) -> Option<u32> {
        match table {
            Table::Events
            | Table::Turns
            | Table::Cycles
            | Table::Sessions
            | Table::Slots
            | Table::Promises
            | Table::Recontacts
            | Table::Corrections => self.conversations,
            Table::Signals | Table::Incidents | Table::Deliveries => self.incidents,
            Table::DeadLetters => self.dead_letters,
        }
    }
}

/// One step of the schema.
#[derive(Clone, Copy, Debug)]
struct Migration {
    version: u32,
    /// Programs whose newest migration is this one, or a later one, go on with a database to which
    /// this step was applied: what they read is there, and what they do not write has a default.
    oldest: u32,
    name: &'static str,
    text: &'static str,
}

macro_rules! migrations {
    ($($version:literal $name:literal for $oldest:literal,)*) => {
        &[$(Migration {
            version: $version,
            oldest: $oldest,
            name: $name,
            text: include_str!(concat!("../migrations/", $name, ".sql")),
        },)*]
    };
}

const MIGRATIONS: &[Migration] = migrations! {
    1 "0001_tables" for 1,
    2 "0002_views" for 2,
    3 "0003_facts" for 3,
    4 "0004_recontacts" for 3,
    5 "0005_care" for 4,
    6 "0006_identity" for 4,
    7 "0007_rollups" for 4,
};

impl Migration {
    /// SHA-256 of the text, lower-case hex. Of the text and not of what is made of it: the
    /// layout's parameters may change.
    fn checksum(&self) -> String {
        use std::fmt::Write;
        Sha256::digest(self.text.as_bytes()).iter().fold(String::new(), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
    }

    /// The statements, with the layout filled in.
    fn statements(&self, database: &str, layout: &Layout) -> Vec<String> {
        let code: String = self
            .text
            .lines()
            .filter(|line| !line.trim_start().starts_with("--"))
            .flat_map(|line| [line, "\n"])
            .collect();
        layout
            .render(&code, database)
            .split(";\n")
            .map(str::trim)
            .filter(|statement| !statement.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

impl Layout {
    fn on_cluster(&self) -> String {
        self.cluster.as_ref().map(|cluster| format!("ON CLUSTER {cluster}")).unwrap_or_default()
    }

    fn table_settings(&self) -> String {
        if self.replicated {
            // The time limit must not cut the window short of a late INSERT either; a week is far
            // beyond any.
            format!(
                "replicated_deduplication_window = {DEDUPLICATION_WINDOW}, \
                 replicated_deduplication_window_seconds = 604800"
            )
        } else {
            // One server has no replica to recover from: an acknowledged INSERT is on disk.
            format!(
                "non_replicated_deduplication_window = {DEDUPLICATION_WINDOW}, \
                 fsync_after_insert = 1"
            )
        }
    }

    fn engine(&self) -> &'static str {
        // The path and replica name come from the server's defaults, which use its macros.
        if self.replicated { "ReplicatedReplacingMergeTree" } else { "ReplacingMergeTree" }
    }

    fn merge_tree(&self) -> &'static str {
        if self.replicated { "ReplicatedMergeTree" } else { "MergeTree" }
    }

    fn render(&self, text: &str, database: &str) -> String {
        let mut out = text
            .replace("{db}", database)
            .replace("{on_cluster}", &self.on_cluster())
            .replace("{table_settings}", &self.table_settings())
            .replace("{merge_tree}", self.merge_tree());
        while let Some(start) = out.find("{replacing ") {
            let Some(length) = out[start..].find('}') else {
                break;
            };
            let version = out[start + "{replacing ".len()..start + length].to_owned();
            out.replace_range(start..=start + length, &format!("{}({version})", self.engine()));
        }
        out
    }

    fn check(&self, database: &str) -> Result<(), WarehouseError> {
        plain("the database's name", database)?;
        self.cluster.as_deref().map_or(Ok(()), |cluster| plain("the cluster's name", cluster))
    }
}

/// Names go into statements as they are, so they must be plain.
fn plain(what: &'static str, value: &str) -> Result<(), WarehouseError> {
    let good = !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if good { Ok(()) } else { Err(WarehouseError::NotAName { what, value: value.to_owned() }) }
}

/// What [`migrate`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Names of the migrations applied now, in order.
    pub applied: Vec<&'static str>,
    /// The schema's version.
    pub version: u32,
}

/// Creates the database if need be and applies the migrations that it lacks, then sets the
/// retention. Repeating it, also from several processes at once, has no further effect.
///
/// # Errors
/// A migration that was applied and changed since, a database of a newer version that says that it is
/// not for this one, or ClickHouse's refusal.
pub async fn migrate(warehouse: &Warehouse, layout: &Layout) -> Result<Migrated, WarehouseError> {
    let database = warehouse.database();
    layout.check(database)?;
    let on_cluster = layout.on_cluster();
    let server = warehouse.without_database();
    server
        .execute(
            "create the database",
            &format!("CREATE DATABASE IF NOT EXISTS {database} {on_cluster}"),
        )
        .await?;
    server
        .execute("create the table of migrations", &layout.render(MIGRATIONS_TABLE, database))
        .await?;
    server
        .execute("extend the table of migrations", &layout.render(MIGRATIONS_OLDEST, database))
        .await?;
    let applied = applied(warehouse).await?;
    for migration in MIGRATIONS {
        if let Some(applied) = applied.get(&migration.version)
            && applied.checksum != migration.checksum()
        {
            return Err(WarehouseError::MigrationChanged { name: migration.name.to_owned() });
        }
    }
    let newest = MIGRATIONS.last().map_or(0, |migration| migration.version);
    let newer = applied.range(newest + 1..);
    for (&version, Applied { oldest, .. }) in newer {
        if *oldest > newest {
            return Err(WarehouseError::MigrationUnknown { version });
        }
        tracing::warn!(
            version,
            "the database was migrated by a newer version, and is used as it is"
        );
    }
    let mut done = Vec::new();
    for migration in MIGRATIONS {
        if applied.contains_key(&migration.version) {
            continue;
        }
        let doing = format!("apply migration {}", migration.name);
        for statement in migration.statements(database, layout) {
            warehouse.execute(&doing, &statement).await?;
        }
        warehouse
            .execute(
                &doing,
                &format!(
                    "INSERT INTO {database}.migrations \
                     (version, name, checksum, applied_at, oldest) \
                     VALUES ({}, '{}', '{}', now64(3), {})",
                    migration.version,
                    migration.name,
                    migration.checksum(),
                    migration.oldest
                ),
            )
            .await?;
        done.push(migration.name);
    }
    retain(warehouse, layout).await?;
    retain_texts(warehouse, layout).await?;
    Ok(Migrated { applied: done, version: newest })
}

const MIGRATIONS_TABLE: &str = "CREATE TABLE IF NOT EXISTS {db}.migrations {on_cluster}
(
    version UInt32,
    name String,
    checksum String COMMENT 'SHA-256 of the file',
    applied_at DateTime64(3, 'UTC')
)
ENGINE = {replacing applied_at}
ORDER BY version
SETTINGS {table_settings}
COMMENT 'Migrations that were applied'";

/// What was applied by programs that did not say is for none older than them.
const MIGRATIONS_OLDEST: &str = "ALTER TABLE {db}.migrations {on_cluster}
ADD COLUMN IF NOT EXISTS oldest UInt32 DEFAULT version
COMMENT 'Programs whose newest migration is this one or a later one can use the database'";

#[derive(clickhouse::Row, Deserialize)]
struct Applied {
    version: u32,
    checksum: String,
    oldest: u32,
}

async fn applied(warehouse: &Warehouse) -> Result<BTreeMap<u32, Applied>, WarehouseError> {
    let query = warehouse.client().query("SELECT version, checksum, oldest FROM migrations FINAL");
    let rows: Vec<Applied> =
        warehouse.run("read the applied migrations", query.fetch_all()).await?;
    Ok(rows.into_iter().map(|row| (row.version, row)).collect())
}

/// Columns of what people wrote; payloads of dead letters go with their rows.
const TEXTS: [(Table, &str); 5] = [
    (Table::Events, "text"),
    (Table::Events, "order_number"),
    (Table::Events, "attrs"),
    (Table::Signals, "excerpt"),
    (Table::Incidents, "note"),
];

/// Brings the TTL of columns of text to what the layout says, where it differs.
async fn retain_texts(warehouse: &Warehouse, layout: &Layout) -> Result<(), WarehouseError> {
    let Some(days) = layout.retention.texts else {
        return Ok(());
    };
    let (database, on_cluster) = (warehouse.database(), layout.on_cluster());
    for (table, column) in TEXTS {
        let doing = format!("set the retention of {table}.{column}");
        let query = warehouse
            .client()
            .query(
                "SELECT create_table_query FROM system.tables \
                 WHERE database = {database:String} AND name = {table:String}",
            )
            .param("database", database)
            .param("table", table.name());
        let made: String = warehouse.run(&doing, query.fetch_one()).await?;
        let declared = made.split_once(&format!("`{column}` ")).map_or("", |(_, rest)| rest);
        let kept = declared.split(", `").next().unwrap_or_default();
        let change = match days {
            0 if kept.contains(" TTL ") => "REMOVE TTL".to_owned(),
            0 => continue,
            days if kept.contains(&format!("toIntervalDay({days})")) => continue,
            days => format!("TTL toDateTime(log_append_at) + toIntervalDay({days})"),
        };
        let statement =
            format!("ALTER TABLE {database}.{table} {on_cluster} MODIFY COLUMN {column} {change}");
        warehouse.execute(&doing, &statement).await?;
    }
    Ok(())
}

/// Brings the tables' TTL to what the layout says, where it differs.
async fn retain(warehouse: &Warehouse, layout: &Layout) -> Result<(), WarehouseError> {
    let database = warehouse.database();
    let on_cluster = layout.on_cluster();
    let fed = Table::ALL.map(|table| (table.name(), "log_append_at", layout.retention.days(table)));
    let brought_in = (OUTSIDE_SCORES, "brought_at", layout.retention.scores);
    for (table, since, days) in fed.into_iter().chain([brought_in]) {
        let Some(days) = days else {
            continue;
        };
        let engine = engine_of(warehouse, table).await?;
        let change = match days {
            0 if engine.contains(" TTL ") => "REMOVE TTL".to_owned(),
            0 => continue,
            days if engine.contains(&format!("toIntervalDay({days})")) => continue,
            days => format!("MODIFY TTL toDateTime({since}) + toIntervalDay({days})"),
        };
        warehouse
            .execute(
                &format!("set the retention of {table}"),
                &format!("ALTER TABLE {database}.{table} {on_cluster} {change}"),
            )
            .await?;
    }
    Ok(())
}

async fn engine_of(warehouse: &Warehouse, table: &str) -> Result<String, WarehouseError> {
    let query = warehouse
        .client()
        .query(
            "SELECT engine_full FROM system.tables \
             WHERE database = {database:String} AND name = {table:String}",
        )
        .param("database", warehouse.database())
        .param("table", table);
    let engine: Option<String> =
        warehouse.run(&format!("look at table {table}"), query.fetch_optional()).await?;
    engine.ok_or_else(|| WarehouseError::Refused {
        doing: format!("look at table {table}"),
        cause: format!(
            "table {}.{table} does not exist; run `zhili migrate`",
            warehouse.database()
        ),
    })
}

/// Tokens that a table must remember so that an INSERT given up by the client is recognised when
/// it lands late: ten times those of the longest time it can take.
fn needed_window() -> u64 {
    let longest = (REQUEST_TIMEOUT + MAX_EXECUTION).as_secs_f64();
    (10.0 * INSERTS_PER_SECOND * longest).ceil() as u64
}

/// Asserts that every table exists and remembers enough INSERT tokens. To be called before a sink
/// starts.
pub async fn check_windows(warehouse: &Warehouse) -> Result<(), WarehouseError> {
    let needed = needed_window();
    for table in Table::ALL {
        let engine = engine_of(warehouse, table.name()).await?;
        let actual = window(&engine);
        if actual < needed {
            return Err(WarehouseError::WindowTooSmall { table, actual, needed });
        }
    }
    Ok(())
}

/// The deduplication window that a table's engine clause sets; 0 when it sets none, which is the
/// server's default for tables that are not replicated.
fn window(engine: &str) -> u64 {
    engine
        .split("deduplication_window = ")
        .nth(1)
        .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_grow_by_one_and_begin_the_file_names() {
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.version as usize, index + 1);
            assert!((1..=migration.version).contains(&migration.oldest));
            assert!(migration.name.starts_with(&format!("{:04}_", migration.version)));
        }
    }

    #[test]
    fn no_parameter_is_left_over_in_a_rendered_statement() {
        let cluster = Layout {
            cluster: Some("main".into()),
            replicated: true,
            retention: Retention::default(),
        };
        for layout in [Layout::default(), cluster] {
            for migration in MIGRATIONS {
                for statement in migration.statements("zhili", &layout) {
                    assert!(!statement.contains('{'), "{statement}");
                    let begins = |word: &str| statement.starts_with(word);
                    assert!(begins("CREATE ") || begins("ALTER TABLE "), "{statement}");
                    assert_eq!(
                        statement.contains("ON CLUSTER main"),
                        layout.cluster.is_some(),
                        "{statement}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_cluster_gets_replicated_engines_with_the_same_version_column() {
        let layout = Layout { replicated: true, ..Layout::default() };
        let rendered = layout.render("ENGINE = {replacing precedence}", "zhili");
        assert_eq!(rendered, "ENGINE = ReplicatedReplacingMergeTree(precedence)");
    }

    #[test]
    fn the_window_covers_ten_times_the_longest_insert() {
        assert_eq!(needed_window(), 5_000);
        assert!(DEDUPLICATION_WINDOW >= needed_window());
        let settings = Layout::default().table_settings();
        assert_eq!(window(&settings), DEDUPLICATION_WINDOW);
        assert_eq!(window("ReplacingMergeTree(precedence) ORDER BY a"), 0);
    }

    #[test]
    fn a_name_that_could_end_a_statement_is_refused() {
        assert!(Layout::default().check("zhili_test1").is_ok());
        for name in ["", "a b", "a;b", "a`b", "数据"] {
            assert!(Layout::default().check(name).is_err(), "{name}");
        }
    }
}
