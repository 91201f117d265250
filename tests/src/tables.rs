//! The tables, asked over ClickHouse's HTTP interface.

use std::time::{Duration, Instant};

use serde_json::Value;

/// A client that knows the address and the key.
#[derive(Clone)]
pub struct Tables {
    http: reqwest::Client,
    url: String,
    key: String,
    patience: Duration,
}

/// Where a row came from; differs between two runs that mean the same.
const ORIGIN: &str = "log_id, log_topic, log_partition, log_offset, log_append_at";

/// Tables whose rows stand for records of the log, and which record it is.
const RECORDS: [&str; 6] = ["events", "turns", "cycles", "signals", "incidents", "deliveries"];
const RECORD: &str = "(log_id, log_topic, log_partition, log_offset, log_index)";

impl Tables {
    /// Of the store at `url`, with its key.
    pub fn new(http: reqwest::Client, url: String, key: String) -> Self {
        Self { http, url, key, patience: Duration::ZERO }
    }

    /// Asks again for so long when there is no answer: a store that meets a part that its disk did
    /// not take ends, and is started again.
    #[must_use]
    pub fn patient(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Runs a query; its rows as JSON objects.
    ///
    /// # Panics
    /// With the store's own words when the query fails.
    pub async fn rows(&self, sql: &str) -> Vec<Value> {
        let text = self.text(&format!("{sql} FORMAT JSONEachRow")).await;
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The number that a query answers with.
    pub async fn number(&self, sql: &str) -> u64 {
        self.text(&format!("{sql} FORMAT TSV")).await.trim().parse().unwrap()
    }

    /// Runs a statement that returns nothing.
    ///
    /// # Panics
    /// With the store's own words when it fails.
    pub async fn run(&self, sql: &str) {
        self.text(sql).await;
    }

    async fn text(&self, sql: &str) -> String {
        let begun = Instant::now();
        loop {
            match self.answer(sql).await {
                Ok(text) => return text,
                Err(why) => assert!(begun.elapsed() < self.patience, "{sql}: {why}"),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn answer(&self, sql: &str) -> Result<String, String> {
        let failed = |error: reqwest::Error| error.to_string();
        let response = self
            .http
            .post(format!("{}/?database=zhili&output_format_json_quote_64bit_integers=0", self.url))
            .header("X-ClickHouse-User", "default")
            .header("X-ClickHouse-Key", &self.key)
            .body(sql.to_owned())
            .send()
            .await
            .map_err(failed)?;
        let status = response.status();
        let text = response.text().await.map_err(failed)?;
        if status.is_success() { Ok(text) } else { Err(text) }
    }

    /// Rows of the last minute that stand for a record that another row stands for, which a merge
    /// may remove before anybody asks again. `None` where nobody answers.
    pub async fn young_duplicates(&self) -> Option<u64> {
        let mut sum = 0;
        for table in RECORDS {
            let sql = format!(
                "SELECT count() - uniqExact({RECORD}) FROM {table} \
                 WHERE log_append_at > now64(3) - INTERVAL 1 MINUTE FORMAT TSV"
            );
            sum += self.answer(&sql).await.ok()?.trim().parse::<u64>().ok()?;
        }
        Some(sum)
    }

    /// Rows and hash of every table, in full.
    pub async fn state(&self) -> Vec<(String, u64, String)> {
        let mut state = Vec::new();
        for view in ["events", "turns", "sessions", "signals", "incidents", "deliveries"] {
            let rows = self.text(&format!("SELECT * FROM v_{view} ORDER BY ALL FORMAT TSV")).await;
            state.push((view.to_owned(), rows.lines().count() as u64, fingerprint(&rows)));
        }
        let rows = self.text("SELECT * FROM dead_letters ORDER BY ALL FORMAT TSV").await;
        state.push(("dead letters".to_owned(), rows.lines().count() as u64, fingerprint(&rows)));
        state
    }

    /// What the events, turns, sessions and signals say, whenever and however often they were
    /// published.
    pub async fn facts(&self) -> Vec<(String, u64, String)> {
        let times_of_events = "received_at, accepted_at, event_partition, event_offset, log_index";
        let mut facts = Vec::new();
        for (view, but) in [
            ("events", format!("{ORIGIN}, {times_of_events}")),
            ("turns", ORIGIN.to_owned()),
            ("sessions", ORIGIN.to_owned()),
        ] {
            let sql =
                format!("SELECT * EXCEPT ({but}) FROM v_{view} ORDER BY ALL FORMAT TSVWithNames");
            let rows = self.text(&sql).await;
            facts.push((view.to_owned(), rows.lines().count() as u64 - 1, fingerprint(&rows)));
        }
        let signals = self
            .text(
                // Bursts are judged in log time, which no two runs share.
                "SELECT signal_id, event_id, kind, category, severity, effective_at, excerpt \
                 FROM v_signals WHERE kind != 'crisis.burst' ORDER BY ALL FORMAT TSV",
            )
            .await;
        let count = signals.lines().count() as u64;
        facts.push(("signals".to_owned(), count, fingerprint(&signals)));
        facts
    }

    /// Rows that stand for one record of the log more than once, over all tables, merged or not.
    pub async fn duplicates(&self) -> u64 {
        let mut sum = 0;
        for table in RECORDS {
            sum += self.number(&format!("SELECT count() - uniqExact({RECORD}) FROM {table}")).await;
        }
        let event = "(tenant, source, event_id)";
        sum + self.number(&format!("SELECT count() - uniqExact({event}) FROM v_events")).await
    }

    /// All rows of all tables, those of the server itself too, by the table's name.
    pub async fn contents(&self) -> Vec<(String, String)> {
        let mut contents = Vec::new();
        let names = "SELECT database || '.' || name FROM system.tables \
             WHERE engine LIKE '%MergeTree%' OR engine LIKE '%Log' OR engine = 'Memory' ORDER BY 1 FORMAT TSV";
        for table in self.text(names).await.lines() {
            let rows = self.text(&format!("SELECT * FROM {table} FORMAT TSVRaw")).await;
            contents.push((table.to_owned(), rows));
        }
        contents
    }

    /// All text of all tables.
    pub async fn everything(&self) -> String {
        let contents = self.contents().await;
        contents
            .iter()
            .fold(String::new(), |all, (table, rows)| all + &format!("{table}\n{rows}\n"))
    }
}

/// A short hash by which two texts can be told apart.
pub fn fingerprint(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
}
