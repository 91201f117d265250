//! Takes a person out of the rows and leaves the figures.
//!
//! Of every row of an erased conversation a copy is written in which nothing tells of whom it was;
//! then the rows themselves are deleted, and what ClickHouse keeps of deleted rows is waited for.
//! Copies name the same records of the log, so that an audit finds no holes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use zhili_eventlog::TopicPartition;

use crate::rows::columns;
use crate::{Layout, Table, Warehouse, WarehouseError};

/// What every id of a conversation that was erased begins with; no pseudonym does.
pub const STANDS_FOR: &str = "x_";

/// Names that one statement looks for: ClickHouse searches for at most 255 at once.
const NAMES_AT_ONCE: usize = 200;

/// How long parts that were replaced may stay on disk before the erasure tries again.
const PARTS_PATIENCE: Duration = Duration::from_secs(120);

/// The last day that there is: no record is appended on it.
const NO_DAY: &str = "2149-06-06";

/// Who is to be taken out of the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Whose customer it is.
    pub tenant: String,
    /// Pseudonyms of the conversations, and what stands for each from now on: [`STANDS_FOR`] and
    /// random characters.
    pub conversations: BTreeMap<String, String>,
    /// All pseudonyms of the person, those of conversations among them.
    pub names: BTreeSet<String>,
    /// Under what ids of events, facts and signals are hashed; random, and thrown away afterwards.
    pub salt: String,
    /// Where each partition of the log begins to tell of what was collected anew.
    pub cuts: Vec<(TopicPartition, u64)>,
}

/// Rows of each table, by its name.
pub type RowCounts = BTreeMap<String, u64>;

/// What a column of an erased conversation becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It tells nothing of the person.
    Stays,
    /// Nothing.
    Emptied,
    /// What stands for the conversation.
    StandsFor,
    /// A hash, the same for the same id in every table.
    Hashed,
    /// `conversation/cycle/...`: the first two parts replaced.
    FactId,
    /// Emptied where the customer wrote it.
    EmptiedOfCustomers,
}

/// What becomes of a column of text; a test asks this of every one that there is.
fn fate(table: Table, column: &str) -> Option<Fate> {
    let identity_of_incidents = matches!(table, Table::Incidents | Table::Deliveries);
    Some(match column {
        "conversation_id" => Fate::StandsFor,
        "fact_id" => Fate::FactId,
        // It names what happened to an incident.
        "event_id" if identity_of_incidents => Fate::Stays,
        "event_id" | "reply_to" | "target" | "supersedes" | "deletes" | "signal_id"
        | "first_event_id" | "last_event_id" | "answer_event_id" | "due_event_id"
        | "made_event_id" => Fate::Hashed,
        "author" => Fate::EmptiedOfCustomers,
        "text" | "excerpt" | "customer" | "order_number" | "attrs" | "note" | "related" => {
            Fate::Emptied
        }
        // Places, people of the company, words of the engine.
        "log_id" | "log_topic" | "tenant" | "source" | "type" | "channel" | "queue" | "team"
        | "scene" | "role" | "subtype" | "customer_segment" | "content_type" | "lang_hint"
        | "mode" | "status" | "lang" | "sentiment" | "politeness" | "complaint"
        | "complaint_category" | "satisfaction" | "acts" | "evidence_class" | "evidence_rule"
        | "evidence_target" | "engine" | "library" | "agent" | "stint_agents" | "sla_nrt"
        | "sla_frt" | "sla_resolution" | "topic" | "slot" | "promise" | "state" | "kind"
        | "family" | "category" | "severity" | "rules" | "incident_id" | "actor" | "command_id"
        | "owner" | "policy" => Fate::Stays,
        _ => return None,
    })
}

fn expression(table: Table, column: &str) -> String {
    let hashed = |of: &str, length: u8| {
        format!("substring(lower(hex(SHA256(concat({{salt:String}}, {of})))), 1, {length})")
    };
    match fate(table, column).unwrap_or(Fate::Stays) {
        Fate::Stays => format!("r.`{column}`"),
        Fate::Emptied if column == "attrs" => "map()".to_owned(),
        Fate::Emptied if column == "related" => "emptyArrayString()".to_owned(),
        Fate::Emptied => "''".to_owned(),
        Fate::EmptiedOfCustomers => format!("if(r.role = 'customer', '', r.`{column}`)"),
        Fate::StandsFor => "e.stands_for".to_owned(),
        Fate::Hashed => {
            format!("if(r.`{column}` = '', '', {})", hashed(&format!("r.`{column}`"), 32))
        }
        Fate::FactId => format!(
            "arrayStringConcat(arrayMap((part, at) -> multiIf(at = 1, e.stands_for, at = 2, {}, part), \
             splitByChar('/', r.`{column}`) AS parts, arrayEnumerate(parts)), '/')",
            hashed("part", 16)
        ),
    }
}

/// Tables whose rows belong to a conversation.
fn of_conversations() -> impl Iterator<Item = Table> {
    Table::ALL.into_iter().filter(|table| !matches!(table, Table::Deliveries | Table::DeadLetters))
}

/// The conversations in which a tenant's customer is known by a pseudonym.
///
/// # Errors
/// ClickHouse cannot be asked.
pub async fn conversations_of(
    warehouse: &Warehouse,
    tenant: &str,
    customer: &str,
) -> Result<BTreeSet<String>, WarehouseError> {
    let mut found = BTreeSet::new();
    for table in of_conversations() {
        if !columns(table).iter().any(|(name, _)| *name == "customer") {
            continue;
        }
        let query = warehouse
            .written(&format!(
                "SELECT DISTINCT conversation_id FROM {table} \
                 WHERE tenant = {{tenant:String}} AND customer = {{customer:String}}"
            ))
            .param("tenant", tenant)
            .param("customer", customer);
        let doing = format!("look for conversations of a customer in {table}");
        found.extend(warehouse.run(&doing, query.fetch_all::<String>()).await?);
    }
    // A row of which the customer was taken already.
    found.retain(|conversation| !conversation.starts_with(STANDS_FOR));
    Ok(found)
}

/// Pseudonyms of a tenant's customers, conversations and writing customers in the tables.
///
/// # Errors
/// ClickHouse cannot be asked.
pub async fn people_of(
    warehouse: &Warehouse,
    tenant: &str,
) -> Result<BTreeSet<String>, WarehouseError> {
    let mut found = BTreeSet::new();
    for table in of_conversations() {
        for column in ["conversation_id", "customer", "author"] {
            if !columns(table).iter().any(|(name, _)| *name == column) {
                continue;
            }
            let query = warehouse
                .written(&format!(
                    "SELECT DISTINCT {column} FROM {table} WHERE tenant = {{tenant:String}}"
                ))
                .param("tenant", tenant);
            let doing = format!("list whom {table} names");
            found.extend(warehouse.run(&doing, query.fetch_all::<String>()).await?);
        }
    }
    Ok(found)
}

/// The pseudonyms under which customers wrote in conversations.
///
/// # Errors
/// ClickHouse cannot be asked.
pub async fn writers_of(
    warehouse: &Warehouse,
    tenant: &str,
    conversations: &BTreeSet<String>,
) -> Result<BTreeSet<String>, WarehouseError> {
    let mut found = BTreeSet::new();
    let conversations: Vec<&str> = conversations.iter().map(String::as_str).collect();
    for some in conversations.chunks(NAMES_AT_ONCE) {
        let query = warehouse
            .written(
                "SELECT DISTINCT author FROM events WHERE tenant = {tenant:String} \
                 AND conversation_id IN {some:Array(String)} AND role = 'customer' AND author != ''",
            )
            .param("tenant", tenant)
            .param("some", some);
        found.extend(warehouse.run("look for who wrote", query.fetch_all::<String>()).await?);
    }
    Ok(found)
}

/// Of pseudonyms of writers those that wrote in other conversations too, such as one that a
/// platform gives to all customers: they tell of nobody.
///
/// # Errors
/// ClickHouse cannot be asked.
pub async fn shared_writers(
    warehouse: &Warehouse,
    tenant: &str,
    writers: &BTreeSet<String>,
    conversations: &BTreeSet<String>,
) -> Result<BTreeSet<String>, WarehouseError> {
    let mut found = BTreeSet::new();
    let writers: Vec<&str> = writers.iter().map(String::as_str).collect();
    for some in writers.chunks(NAMES_AT_ONCE) {
        let query = warehouse
            .written(
                "SELECT DISTINCT author, conversation_id FROM events \
                 WHERE tenant = {tenant:String} AND author IN {some:Array(String)}",
            )
            .param("tenant", tenant)
            .param("some", some);
        let pairs: Vec<(String, String)> =
            warehouse.run("look for who else wrote", query.fetch_all()).await?;
        let elsewhere = pairs.into_iter().filter(|(_, conversation)| {
            !conversations.contains(conversation) && !conversation.starts_with(STANDS_FOR)
        });
        found.extend(elsewhere.map(|(writer, _)| writer));
    }
    Ok(found)
}

/// How many rows name the person, by table: those of records before the cuts, and of partitions
/// without one all. A table without an entry has none.
///
/// # Errors
/// ClickHouse cannot be asked.
pub async fn rows_of_person(
    warehouse: &Warehouse,
    names: &BTreeSet<String>,
    cuts: &[(TopicPartition, u64)],
) -> Result<RowCounts, WarehouseError> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let Before { condition: before, places, offsets } = Before::new(cuts);
    let mut counts = RowCounts::new();
    for table in Table::ALL {
        let text: Vec<String> = columns(table)
            .iter()
            .filter(|(_, kind)| kind.contains("String"))
            .map(|(name, _)| format!("toString(`{name}`)"))
            .collect();
        let days: Vec<String> = warehouse
            .run(
                &format!("list the days of {table}"),
                warehouse
                    .written(&format!(
                        "SELECT DISTINCT toString(toDate(log_append_at)) AS day FROM {table} ORDER BY day"
                    ))
                    .fetch_all(),
            )
            .await?;
        // A day at a time: a whole table may take longer than a statement may.
        for day in days {
            for some in names.chunks(NAMES_AT_ONCE) {
                let query = warehouse
                    .written(&format!(
                        "SELECT count() FROM {table} WHERE toDate(log_append_at) = toDate({{day:String}}) \
                         AND {before} \
                         AND multiSearchAny(concat({}), {{some:Array(String)}})",
                        text.join(", ' ', ")
                    ))
                    .param("places", &places)
                    .param("offsets", &offsets)
                    .param("day", &day)
                    .param("some", some);
                let found: u64 =
                    warehouse.run(&format!("search {table}"), query.fetch_one()).await?;
                if found > 0 {
                    *counts.entry(table.name().to_owned()).or_default() += found;
                }
            }
        }
    }
    Ok(counts)
}

/// A condition on rows: that their record lies before the cut of its partition, if that has one.
pub(crate) struct Before {
    /// Names the parameters `places` and `offsets`.
    pub(crate) condition: &'static str,
    pub(crate) places: Vec<String>,
    pub(crate) offsets: Vec<u64>,
}

impl Before {
    pub(crate) fn new(cuts: &[(TopicPartition, u64)]) -> Self {
        let condition = if cuts.is_empty() {
            "1"
        } else {
            "log_offset < transform(concat(log_topic, '[', toString(log_partition), ']'), \
             {places:Array(String)}, {offsets:Array(UInt64)}, 18446744073709551615)"
        };
        let places = cuts.iter().map(|(place, _)| place.to_string()).collect();
        Self { condition, places, offsets: cuts.iter().map(|(_, offset)| *offset).collect() }
    }
}

/// Takes the person out of every row and waits until no file holds the rows as they were. May be
/// repeated, also after it was cut off anywhere, with the same [`Person`].
///
/// Returns the rows that were replaced, by table.
///
/// # Errors
/// ClickHouse cannot be reached, refuses, or keeps files of the old rows for longer than
/// [`WarehouseError::Busy`] says.
pub async fn erase(
    warehouse: &Warehouse,
    layout: &Layout,
    person: &Person,
) -> Result<RowCounts, WarehouseError> {
    if layout.cluster.is_some() || layout.replicated {
        return Err(WarehouseError::Refused {
            doing: "erase a person".to_owned(),
            cause: "the tables are on a cluster, for which this was not built".to_owned(),
        });
    }
    let replaced = rows_of_person(warehouse, &person.names, &person.cuts).await?;
    if !replaced.is_empty() {
        list(warehouse, person).await?;
        let result = replace_all(warehouse, person, &replaced).await;
        warehouse
            .execute("drop the list of who is erased", "DROP TABLE IF EXISTS erasing SYNC")
            .await?;
        result?;
    }
    parts_are_gone(warehouse).await?;
    Ok(replaced)
}

/// Puts who is erased into a table in memory: the text of a mutation stays on disk for long.
async fn list(warehouse: &Warehouse, person: &Person) -> Result<(), WarehouseError> {
    let doing = "list who is erased";
    for statement in [
        "DROP TABLE IF EXISTS erasing SYNC",
        "CREATE TABLE erasing (tenant String, name String, stands_for String) ENGINE = Memory",
    ] {
        warehouse.execute(doing, statement).await?;
    }
    let names: Vec<(&str, &str)> = person
        .names
        .iter()
        .map(|name| (name.as_str(), person.conversations.get(name).map_or("", String::as_str)))
        .collect();
    for some in names.chunks(NAMES_AT_ONCE) {
        let (names, stands_for): (Vec<&str>, Vec<&str>) = some.iter().copied().unzip();
        let query = warehouse
            .client()
            .query(
                "INSERT INTO erasing SELECT {tenant:String}, pair.1, pair.2 FROM \
                 (SELECT arrayJoin(arrayZip({names:Array(String)}, {stands_for:Array(String)})) AS pair)",
            )
            .param("tenant", &person.tenant)
            .param("names", names)
            .param("stands_for", stands_for);
        warehouse.run(doing, query.execute()).await?;
    }
    Ok(())
}

async fn replace_all(
    warehouse: &Warehouse,
    person: &Person,
    concerned: &RowCounts,
) -> Result<(), WarehouseError> {
    for table in of_conversations().filter(|table| concerned.contains_key(table.name())) {
        let names: Vec<String> =
            columns(table).iter().map(|(name, _)| format!("`{name}`")).collect();
        let becomes: Vec<String> =
            columns(table).iter().map(|(name, _)| expression(table, name)).collect();
        let record = "log_id, log_topic, log_partition, log_offset, log_index";
        let query = warehouse
            .client()
            .query(&format!(
                "INSERT INTO {table} ({}) SELECT {} FROM {table} AS r \
                 INNER JOIN erasing AS e ON r.tenant = e.tenant AND r.conversation_id = e.name \
                 WHERE ({record}) NOT IN (SELECT {record} FROM {table} WHERE conversation_id IN \
                 (SELECT stands_for FROM erasing WHERE stands_for != ''))",
                names.join(", "),
                becomes.join(", ")
            ))
            .with_setting("insert_deduplicate", "0")
            .with_setting("optimize_on_insert", "0")
            .with_setting("max_partitions_per_insert_block", "0")
            .param("salt", &person.salt);
        warehouse
            .run(&format!("write rows of {table} without the person"), query.execute())
            .await?;
        let theirs = "DELETE WHERE (tenant, conversation_id) IN (SELECT tenant, name FROM erasing)";
        mutate(warehouse, table, theirs).await?;
    }
    if concerned.contains_key(Table::Signals.name()) {
        // Signals about many conversations name some of them, and have words of one.
        let without_them = "UPDATE related = arrayFilter(name -> NOT has(\
                            (SELECT groupArray(name) FROM erasing), name), related), excerpt = '' \
                            WHERE hasAny(related, (SELECT groupArray(name) FROM erasing))";
        mutate(warehouse, Table::Signals, without_them).await?;
    }
    if concerned.contains_key(Table::DeadLetters.name()) {
        let names_them = "DELETE WHERE arrayExists(name -> position(concat(payload, detail), name) > 0, \
                          (SELECT groupArray(name) FROM erasing))";
        mutate(warehouse, Table::DeadLetters, names_them).await?;
    }
    Ok(())
}

/// Changes or deletes rows, and waits for it.
async fn mutate(warehouse: &Warehouse, table: Table, how: &str) -> Result<(), WarehouseError> {
    let doing = format!("take a person out of {table}");
    // What replaces the old parts is on disk before they go, so they need not stay for safety.
    let settings = format!(
        "ALTER TABLE {table} MODIFY SETTING old_parts_lifetime = 1, \
         min_rows_to_fsync_after_merge = 1, fsync_part_directory = 1"
    );
    warehouse.execute(&doing, &settings).await?;
    let query = warehouse
        .client()
        .query(&format!("ALTER TABLE {table} {how}"))
        .with_setting("mutations_sync", "2")
        .with_setting("allow_nondeterministic_mutations", "1");
    warehouse.run(&doing, query.execute()).await
}

/// Waits until the parts that are not in use any more by now are off the disk.
async fn parts_are_gone(warehouse: &Warehouse) -> Result<(), WarehouseError> {
    let doing = "remove the files of deleted rows";
    let unused = || {
        let query = warehouse
            .client()
            .query(
                "SELECT concat(table, '/', name) FROM system.parts \
                 WHERE database = {database:String} AND table IN {tables:Array(String)} AND active = 0",
            )
            .param("database", warehouse.database())
            // Others, such as that of migrations, have no days.
            .param("tables", Table::ALL.map(Table::name).as_slice());
        warehouse.run(doing, query.fetch_all::<String>())
    };
    let old: BTreeSet<String> = unused().await?.into_iter().collect();
    let deadline = Instant::now() + PARTS_PATIENCE;
    loop {
        let left: Vec<String> =
            unused().await?.into_iter().filter(|part| old.contains(part)).collect();
        if left.is_empty() {
            break;
        }
        if Instant::now() > deadline {
            let cause = format!("{} unused parts are still on disk", left.len());
            return Err(WarehouseError::Busy { doing: doing.to_owned(), cause });
        }
        sleep(Duration::from_millis(500)).await;
        // In the background ClickHouse comes round to it within minutes. Whoever drops a partition,
        // be it one that nothing is in, has it done at once.
        let tables: BTreeSet<&str> =
            left.iter().filter_map(|part| part.split('/').next()).collect();
        for table in tables {
            let nothing = format!("ALTER TABLE {table} DROP PARTITION '{NO_DAY}'");
            warehouse.execute(doing, &nothing).await?;
        }
    }
    for table in Table::ALL {
        warehouse
            .execute(
                doing,
                &format!(
                    "ALTER TABLE {table} RESET SETTING old_parts_lifetime, \
                     min_rows_to_fsync_after_merge, fsync_part_directory"
                ),
            )
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_every_column_of_text_it_is_decided_what_becomes_of_it() {
        for table in of_conversations() {
            for (column, kind) in columns(table) {
                if kind.contains("String") {
                    assert!(fate(table, column).is_some(), "{table}.{column} may name a person");
                }
            }
        }
    }

    #[test]
    fn every_table_of_conversations_says_of_which_a_row_is() {
        for table in of_conversations() {
            assert!(columns(table).iter().any(|(name, _)| *name == "conversation_id"), "{table}");
        }
    }
}
