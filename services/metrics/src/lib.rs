//! Moves facts into ClickHouse and answers questions about them.
