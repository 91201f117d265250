//! Rows of one table, encoded once, so that the same bytes can be sent again under the same token.

use std::collections::HashSet;
use std::ops::Range;

use bytes::Bytes;

use crate::column::{put_bytes, put_length};
use crate::rows::{Row, columns};
use crate::{Origin, RowKey, Table};

/// Rows being gathered for one INSERT into one table.
#[derive(Clone, Debug)]
pub struct Block {
    table: Table,
    bytes: Vec<u8>,
    rows: Vec<(RowKey, Range<usize>)>,
}

impl Block {
    /// No rows.
    #[must_use]
    pub fn new(table: Table) -> Self {
        Self { table, bytes: Vec::new(), rows: Vec::new() }
    }

    /// Adds a row of this block's table; `index` tells the rows of one record apart.
    pub fn push(&mut self, row: &Row, origin: &Origin, index: u16) {
        debug_assert_eq!(row.table(), self.table);
        let start = self.bytes.len();
        row.put(origin, index, &mut self.bytes);
        let key = RowKey { offset: origin.offset, index };
        self.rows.push((key, start..self.bytes.len()));
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> Table {
        self.table
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Bytes of the encoded rows.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Which rows, in order.
    pub fn keys(&self) -> impl Iterator<Item = RowKey> {
        self.rows.iter().map(|(key, _)| *key)
    }

    /// The rows that are not among `landed`, as they were encoded.
    #[must_use]
    pub fn without(&self, landed: &HashSet<RowKey>) -> Self {
        let mut rest = Self::new(self.table);
        for (key, range) in &self.rows {
            if !landed.contains(key) {
                let start = rest.bytes.len();
                rest.bytes.extend_from_slice(&self.bytes[range.clone()]);
                rest.rows.push((*key, start..rest.bytes.len()));
            }
        }
        rest
    }

    /// The block as the body of an INSERT in the format `RowBinaryWithNamesAndTypes`: the server
    /// refuses it by name if a column is of another type, rather than storing nonsense.
    #[must_use]
    pub fn body(&self) -> Bytes {
        let columns = columns(self.table);
        let mut body = Vec::with_capacity(self.bytes.len() + columns.len() * 40);
        put_length(columns.len(), &mut body);
        for (name, _) in &columns {
            put_bytes(name.as_bytes(), &mut body);
        }
        for (_, r#type) in &columns {
            put_bytes(r#type.as_bytes(), &mut body);
        }
        body.extend_from_slice(&self.bytes);
        body.into()
    }

    /// The statement that goes with [`Block::body`].
    #[must_use]
    pub fn statement(&self) -> String {
        let names: Vec<String> =
            columns(self.table).iter().map(|(name, _)| format!("`{name}`")).collect();
        format!(
            "INSERT INTO {} ({}) FORMAT RowBinaryWithNamesAndTypes",
            self.table,
            names.join(", ")
        )
    }
}
