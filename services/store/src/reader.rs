//! Users who see the rows of one tenant: `reader_TENANT`, for dashboards and people with SQL.
//!
//! The engine has no users of its own here, so every statement of a reader runs with a filter for
//! each table (`additional_table_filters`) and `readonly = 1`, under which it can change neither.
//! What goes around a filter is refused: functions in the place of tables (`merge` reads below the
//! filter, `mergeTreeIndex` shows keys) and `PREWHERE`, which is evaluated before it. `WHERE` would
//! be as well when the engine moves it there, so that it may not: an error that depends on a value
//! (`throwIf`) would tell of rows that are not shown.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use crate::Key;
use crate::chdb::Connection;
use crate::exception::{Code, Exception};
use crate::sql::{Kind, Lexer, Statement};

const PREFIX: &str = "reader_";

/// Tables of the engine that tell nothing of what is in others.
const HARMLESS: &str = "'one', 'numbers', 'columns', 'databases', 'functions', 'data_type_families', \
     'formats', 'time_zones'";

/// Functions in the place of tables that read no table, or read it as any statement does.
const HARMLESS_FUNCTIONS: [&str; 9] = [
    "format",
    "generaterandom",
    "generate_series",
    "generateseries",
    "null",
    "numbers",
    "values",
    "view",
    "zeros",
];

/// Settings that a reader may give: bounds of a statement, and how its result is written.
const SETTINGS: [&str; 10] = [
    "cancel_http_readonly_queries_on_client_close",
    "date_time_output_format",
    "extremes",
    "max_block_size",
    "max_execution_time",
    "max_result_bytes",
    "max_result_rows",
    "max_threads",
    "result_overflow_mode",
    "session_timezone",
];
const OUTPUT_SETTINGS: &str = "output_format_";

/// The key of a tenant's reader in a store that has this key: derived from it, so that nothing has
/// to be kept for it, and of no use for another tenant or the store itself.
#[must_use]
pub fn reader_key(store: &Key, tenant: &str) -> String {
    let mut material = store.as_bytes().to_vec();
    material.push(0);
    material.extend_from_slice(tenant.as_bytes());
    URL_SAFE_NO_PAD
        .encode(blake3::derive_key("zhili-store 2026-11 key of a tenant's reader", &material))
}

/// Name of a tenant's reader.
#[must_use]
pub fn reader_name(tenant: &str) -> String {
    format!("{PREFIX}{tenant}")
}

/// Somebody who sees the rows of one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reader {
    tenant: String,
}

impl Reader {
    /// The reader that a user's name and key are those of.
    pub(crate) fn recognise(user: &str, key: &str, store: &Key) -> Option<Self> {
        let tenant = user.strip_prefix(PREFIX)?;
        let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        if !(1..=64).contains(&tenant.len()) || !tenant.bytes().all(plain) {
            return None;
        }
        let right = reader_key(store, tenant).as_bytes().ct_eq(key.as_bytes());
        bool::from(right).then(|| Self { tenant: tenant.to_owned() })
    }

    /// Refuses what is not a question, or goes around the filters. `canonical` is the engine's own
    /// rendering of the statement: no comments, one way of quoting.
    pub(crate) fn admit(
        connection: &mut Connection,
        statement: &Statement,
        settings: &[(String, String)],
        canonical: &str,
    ) -> Result<(), Exception> {
        let refuse = |what: std::fmt::Arguments<'_>| {
            Err(Exception::new(Code::AccessDenied, format_args!("a reader may not {what}")))
        };
        if !matches!(statement, Statement::Select { .. }) {
            return refuse(format_args!("do this: use SELECT"));
        }
        let known = |name: &str| SETTINGS.contains(&name) || name.starts_with(OUTPUT_SETTINGS);
        if let Some((name, _)) = settings.iter().find(|(name, _)| !known(name)) {
            return refuse(format_args!("set {name}"));
        }
        let query = "SELECT lower(name) FROM system.table_functions";
        let (functions, _) = connection.query(query, "TSVRaw", &[])?;
        let functions = String::from_utf8_lossy(&functions);
        let functions: Vec<&str> = functions.lines().collect();
        let text = canonical.as_bytes();
        let tokens: Vec<_> = Lexer::new(text).collect();
        for (index, token) in tokens.iter().enumerate() {
            let name = match token.kind {
                Kind::Word => &canonical[token.span.clone()],
                Kind::Quoted => canonical[token.span.clone()].trim_matches(['`', '"']),
                Kind::Text | Kind::Symbol(_) => continue,
            };
            let name = name.to_ascii_lowercase();
            if token.kind == Kind::Word && name == "prewhere" {
                return refuse(format_args!("use PREWHERE: use WHERE"));
            }
            let called = tokens.get(index + 1).is_some_and(|it| it.kind == Kind::Symbol(b'('));
            let harmless = HARMLESS_FUNCTIONS.contains(&name.as_str());
            if called && !harmless && functions.contains(&name.as_str()) {
                return refuse(format_args!("use the function {name}"));
            }
        }
        Ok(())
    }

    /// The settings under which a statement shows this tenant's rows only, in the order in which
    /// they are to be set. They are made for each statement, so that a table that was made just now
    /// has a filter too; one without a tenant shows nothing.
    pub(crate) fn settings(
        &self,
        connection: &mut Connection,
    ) -> Result<[(&'static str, String); 4], Exception> {
        // The engine looks a table up by its full name, with quotes where they are needed.
        let query = format!(
            "SELECT toString(CAST((groupArray(k), groupArray(f)) AS Map(String, String))) FROM \
             (SELECT arrayJoin([concat(database, '.', name), concat(database, '.`', name, '`')]) \
             AS k, if((database, name) IN (SELECT database, table FROM system.columns \
             WHERE name = 'tenant' AND type IN ('String', 'LowCardinality(String)')), \
             'tenant = \\'{}\\'', '0') AS f FROM system.tables \
             WHERE NOT (database = 'system' AND name IN ({HARMLESS})))",
            self.tenant
        );
        let (filters, _) = connection.query(&query, "TSVRaw", &[])?;
        let filters = String::from_utf8_lossy(&filters).trim_end().to_owned();
        Ok([
            ("optimize_move_to_prewhere", "0".to_owned()),
            ("query_plan_merge_filters", "0".to_owned()),
            ("additional_table_filters", filters),
            ("readonly", "1".to_owned()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_readers_key_opens_one_tenant_of_one_store() {
        let (store, other) = (Key::new("k").unwrap(), Key::new("other").unwrap());
        let key = reader_key(&store, "shop");
        let opens = |user: &str, store: &Key| Reader::recognise(user, &key, store).is_some();
        assert!(opens("reader_shop", &store));
        for (user, store) in [
            ("reader_till", &store),
            ("reader_", &store),
            ("shop", &store),
            ("reader_shop' OR 1", &store),
            ("reader_shop", &other),
        ] {
            assert!(!opens(user, store), "{user}");
        }
        assert_eq!(Reader::recognise("reader_shop", "k", &store), None);
    }
}
