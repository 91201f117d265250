//! The store's command line, shared by `zhili-store` and `zhili store`.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::{Key, StoreConfig, StoreError};

/// How to run a store.
#[derive(Debug, Clone, clap::Args)]
pub struct StoreArguments {
    /// Data folder; made when absent.
    #[arg(long)]
    pub data: PathBuf,
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:7404")]
    pub listen: SocketAddr,
    /// Let `--listen` be an address that other machines reach.
    #[arg(long)]
    pub allow_remote: bool,
    /// The user who may do everything.
    #[arg(long, default_value = "default")]
    pub user: String,
    /// File that holds the user's key; else the key is taken from `ZHILI_STORE_KEY`.
    #[arg(long)]
    pub key_file: Option<PathBuf>,
    /// libchdb.so; else the one that deploy/libchdb/fetch.sh put into the cache.
    #[arg(long, env = "ZHILI_LIBCHDB")]
    pub libchdb: Option<PathBuf>,
    /// Memory of the engine in MiB [default: a quarter of the RAM, at most 2048].
    #[arg(long)]
    pub memory_mib: Option<u64>,
    /// End at once when this process, the store's parent, ends.
    #[arg(long, value_name = "PID")]
    pub die_with_parent: Option<u32>,
}

impl StoreArguments {
    /// The store that the arguments ask for.
    ///
    /// # Errors
    ///
    /// When the key cannot be read or is empty.
    pub fn config(self) -> Result<StoreConfig, StoreError> {
        let key = match self.key_file {
            Some(path) => fs::read_to_string(&path).map_err(|source| StoreError::Io {
                what: "read the key file",
                path,
                source,
            })?,
            None => env::var("ZHILI_STORE_KEY").unwrap_or_default(),
        };
        let mut config = StoreConfig::new(self.data, Key::new(&key)?);
        config.listen = self.listen;
        config.allow_remote = self.allow_remote;
        config.user = self.user;
        config.libchdb = self.libchdb;
        config.die_with_parent = self.die_with_parent;
        if let Some(mib) = self.memory_mib {
            config.limits.memory_bytes = mib << 20;
        }
        Ok(config)
    }
}
