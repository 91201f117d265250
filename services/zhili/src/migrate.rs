//! `zhili migrate`: brings the schema in ClickHouse up to date.

use zhili_runtime::Failure;
use zhili_runtime::config::Secret;
use zhili_warehouse::{Address, Layout, Retention, Warehouse, check_windows, migrate};

use crate::client::{System, print};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    system: System,
    /// ClickHouse, as http://HOST:PORT or https://HOST:PORT; else the store of the running system.
    #[arg(long)]
    clickhouse_url: Option<String>,
    /// User.
    #[arg(long, default_value = "default")]
    clickhouse_user: String,
    /// Password; else the token of the data folder.
    #[arg(long, env = "ZHILI_CLICKHOUSE_PASSWORD", hide_env_values = true)]
    clickhouse_password: Option<Secret>,
    /// Cluster to run every statement on.
    #[arg(long)]
    cluster: Option<String>,
    /// Make replicated tables; needs ClickHouse Keeper.
    #[arg(long)]
    replicated: bool,
    /// Keep what people wrote for so many days, 0 for ever; rows stay. Else as it is.
    #[arg(long, value_name = "DAYS")]
    keep_texts: Option<u32>,
    /// Keep events, turns and cycles for so many days, 0 for ever; else as it is.
    #[arg(long, value_name = "DAYS")]
    keep_conversations: Option<u32>,
    /// Keep signals, incidents and deliveries for so many days, 0 for ever; else as it is.
    #[arg(long, value_name = "DAYS")]
    keep_incidents: Option<u32>,
    /// Keep dead letters for so many days, 0 for ever; else as it is.
    #[arg(long, value_name = "DAYS")]
    keep_dead_letters: Option<u32>,
    /// Keep scores of exams and reviews for so many days, 0 for ever; else as it is.
    #[arg(long, value_name = "DAYS")]
    keep_scores: Option<u32>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let url = match arguments.clickhouse_url {
        Some(url) => url,
        None => arguments.system.addresses()?.store,
    };
    let password = match arguments.clickhouse_password {
        Some(password) => password,
        None => arguments.system.token()?,
    };
    let password = password.expose().to_owned();
    let user = arguments.clickhouse_user;
    let address = Address { url, user, password, database: "zhili".to_owned() };
    let warehouse = Warehouse::new(&address, arguments.replicated)
        .map_err(|error| Failure::Usage(format!("--clickhouse-url: {error}")))?;
    let layout = Layout {
        cluster: arguments.cluster,
        replicated: arguments.replicated,
        retention: Retention {
            texts: arguments.keep_texts,
            conversations: arguments.keep_conversations,
            incidents: arguments.keep_incidents,
            dead_letters: arguments.keep_dead_letters,
            scores: arguments.keep_scores,
        },
    };
    let failed = |error: zhili_warehouse::WarehouseError| {
        let message = error.to_string();
        if error.is_transient() {
            Failure::Unavailable(message)
        } else {
            Failure::Problems(message)
        }
    };
    let migrated = migrate(&warehouse, &layout).await.map_err(failed)?;
    check_windows(&warehouse).await.map_err(failed)?;
    for name in &migrated.applied {
        print(&format!("applied {name}\n"))?;
    }
    print(&format!("the schema is at version {}\n", migrated.version))
}
