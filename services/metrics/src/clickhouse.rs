use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use zhili_runtime::Failure;
use zhili_runtime::config::Secret;
use zhili_warehouse::{Address, Layout, Retention, Warehouse};

/// Where ClickHouse is and how tables are laid out.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClickHouseSettings {
    /// Such as `http://127.0.0.1:7404` or `https://clickhouse.example:8443`.
    pub url: String,
    /// User.
    pub user: String,
    /// Password, unless it is in a file.
    pub password: Secret,
    /// File of the password.
    pub password_file: Option<PathBuf>,
    /// Database.
    pub database: String,
    /// Name of the cluster to make tables on; one server unless given.
    pub cluster: Option<String>,
    /// Make replicated tables; needs ClickHouse Keeper.
    pub replicated: bool,
    /// Days for which rows are kept, 0 for ever; what is not set stays as it is in the tables.
    pub retention: Retention,
}

impl Default for ClickHouseSettings {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:7404".to_owned(),
            user: "default".to_owned(),
            password: Secret::default(),
            password_file: None,
            database: "zhili".to_owned(),
            cluster: None,
            replicated: false,
            retention: Retention::default(),
        }
    }
}

impl ClickHouseSettings {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// [`Failure::Usage`] for a URL that is none or a file of the password that cannot be read.
    pub fn warehouse(&self) -> Result<Warehouse, Failure> {
        let password = match &self.password_file {
            None => self.password.expose().to_owned(),
            Some(file) => std::fs::read_to_string(file)
                .map_err(|error| {
                    let file = file.display();
                    Failure::Usage(format!("clickhouse.password_file: cannot read {file}: {error}"))
                })?
                .trim()
                .to_owned(),
        };
        let address = Address {
            url: self.url.clone(),
            user: self.user.clone(),
            password,
            database: self.database.clone(),
        };
        Warehouse::new(&address, self.replicated)
            .map_err(|error| Failure::Usage(format!("clickhouse.url: {error}")))
    }

    /// How tables are laid out.
    #[must_use]
    pub fn layout(&self) -> Layout {
        Layout {
            cluster: self.cluster.clone(),
            replicated: self.replicated,
            retention: self.retention.clone(),
        }
    }
}
