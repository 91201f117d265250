//! ClickHouse on one machine: libchdb behind ClickHouse's HTTP interface.
