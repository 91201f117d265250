//! ClickHouse: migrations, rows, the exactly-once sink, typed queries.
