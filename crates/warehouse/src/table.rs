//! The tables and how one row of each is written.

use std::fmt;

use zhili_eventlog::topics;

use crate::column::{Column, Instant, Word};

/// A table that the sink fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Accepted events with their scores.
    Events,
    /// Customer runs and the agent runs that answer them.
    Turns,
    /// Care cycles.
    Cycles,
    /// Mood and care of care cycles.
    Sessions,
    /// Standard phrases that were due.
    Slots,
    /// Promises with a due time.
    Promises,
    /// Whether the customer of an ended cycle came back.
    Recontacts,
    /// Signals that turned out not to hold.
    Corrections,
    /// What a person should look at.
    Signals,
    /// What happened to incidents.
    Incidents,
    /// Outcomes of pages.
    Deliveries,
    /// Records that cannot be processed.
    DeadLetters,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 12] = [
        Self::Events,
        Self::Turns,
        Self::Cycles,
        Self::Sessions,
        Self::Slots,
        Self::Promises,
        Self::Recontacts,
        Self::Corrections,
        Self::Signals,
        Self::Incidents,
        Self::Deliveries,
        Self::DeadLetters,
    ];

    /// Its name in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Turns => "turns",
            Self::Cycles => "cycles",
            Self::Sessions => "sessions",
            Self::Slots => "slots",
            Self::Promises => "promises",
            Self::Recontacts => "recontacts",
            Self::Corrections => "corrections",
            Self::Signals => "signals",
            Self::Incidents => "incidents",
            Self::Deliveries => "deliveries",
            Self::DeadLetters => "dead_letters",
        }
    }

    /// The topic that feeds it.
    #[must_use]
    pub const fn topic(self) -> &'static str {
        match self {
            Self::Events => topics::SCORES,
            Self::Turns
            | Self::Cycles
            | Self::Sessions
            | Self::Slots
            | Self::Promises
            | Self::Recontacts
            | Self::Corrections => topics::FACTS,
            Self::Signals => topics::ESCALATION,
            Self::Incidents | Self::Deliveries => topics::INCIDENTS,
            Self::DeadLetters => topics::DEAD_LETTERS,
        }
    }

    /// The columns that, with the tenant, name what a row is about, the most telling one last.
    /// Rows of one identity replace each other. None for dead letters, whose identity is a place
    /// in the log.
    #[must_use]
    pub const fn identity(self) -> &'static [&'static str] {
        match self {
            Self::Events => &["source", "event_id"],
            Self::Incidents | Self::Deliveries => &["event_id"],
            Self::Turns
            | Self::Cycles
            | Self::Sessions
            | Self::Slots
            | Self::Promises
            | Self::Recontacts
            | Self::Corrections => &["fact_id"],
            Self::Signals => &["signal_id"],
            Self::DeadLetters => &[],
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a row is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// Whose it is.
    pub tenant: String,
    /// Values of the columns of [`Table::identity`].
    pub parts: Vec<String>,
}

/// The record that a row comes from: the `log_*` columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Identity of the log.
    pub log_id: Word,
    /// Topic.
    pub topic: Word,
    /// Partition.
    pub partition: u32,
    /// Offset.
    pub offset: u64,
    /// Append time.
    pub append_at: Instant,
}

impl Origin {
    /// The value of `precedence`: of two rows of one identity the one appended first stays.
    #[must_use]
    pub const fn precedence(&self) -> i64 {
        -self.append_at.0
    }
}

/// Which rows are meant of a table: those of one record, told apart by their index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowKey {
    /// Offset of the record.
    pub offset: u64,
    /// Index among the record's rows of this table.
    pub index: u16,
}

/// A row that can be written.
pub(crate) trait TableRow {
    const TABLE: Table;
    /// Names and types of all columns, in the order in which `put` writes them.
    fn columns() -> Vec<(&'static str, String)>;
    fn put(&self, origin: &Origin, index: u16, out: &mut Vec<u8>);
    /// See [`Table::identity`].
    fn identity(&self) -> Vec<&str>;
    fn tenant(&self) -> &str;
    /// See [`Table::version`].
    fn version(&self) -> i64;
}

pub(crate) fn origin_columns() -> Vec<(&'static str, String)> {
    vec![
        ("log_id", Word::type_name()),
        ("log_topic", Word::type_name()),
        ("log_partition", u32::type_name()),
        ("log_offset", u64::type_name()),
        ("log_index", u16::type_name()),
        ("log_append_at", Instant::type_name()),
    ]
}

pub(crate) fn put_origin(origin: &Origin, index: u16, out: &mut Vec<u8>) {
    origin.log_id.put(out);
    origin.topic.put(out);
    origin.partition.put(out);
    origin.offset.put(out);
    index.put(out);
    origin.append_at.put(out);
}

/// Defines a row: a struct whose fields are the table's columns after the `log_*` ones, so that
/// names, types and encoding cannot disagree.
macro_rules! table_row {
    (
        $(#[$meta:meta])*
        $name:ident of $table:ident by [$($identity:ident),*], $version:ident { $($field:ident: $type:ty,)* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "the columns are documented in the migrations")]
        pub struct $name {
            $(pub $field: $type,)*
        }

        impl $crate::table::TableRow for $name {
            const TABLE: $crate::Table = $crate::Table::$table;

            fn columns() -> Vec<(&'static str, String)> {
                let mut columns = $crate::table::origin_columns();
                $(columns.push((
                    stringify!($field).trim_start_matches("r#"),
                    <$type as $crate::column::Column>::type_name(),
                ));)*
                columns
            }

            fn put(&self, origin: &$crate::Origin, index: u16, out: &mut Vec<u8>) {
                $crate::table::put_origin(origin, index, out);
                $($crate::column::Column::put(&self.$field, out);)*
            }

            fn identity(&self) -> Vec<&str> {
                vec![$(self.$identity.as_ref()),*]
            }

            fn tenant(&self) -> &str {
                &self.tenant.0
            }

            fn version(&self) -> i64 {
                i64::from(self.$version)
            }
        }
    };
}
pub(crate) use table_row;
