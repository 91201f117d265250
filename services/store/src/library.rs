//! Where libchdb is, and whether this machine can run it.

use std::env;
use std::path::{Path, PathBuf};

/// Version of the library that the fetch step pins; names its folder in the cache.
pub const LIBCHDB_VERSION: &str = "26.7.3";

/// Why there is no libchdb to load. The message says what to do instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MissingLibrary {
    /// libchdb is built for Linux on x86-64 only.
    #[error(
        "libchdb exists for Linux on x86-64 only: give --clickhouse-url of a ClickHouse server"
    )]
    Platform,
    /// libchdb is built for x86-64-v3.
    #[error("libchdb needs a CPU with AVX2: give --clickhouse-url of a ClickHouse server")]
    NoAvx2,
    /// Neither the named file nor the one in the cache exists.
    #[error(
        "no libchdb at {}: run deploy/libchdb/fetch.sh, or give --clickhouse-url of a ClickHouse server",
        path.display()
    )]
    NotFound {
        /// The path that was looked at.
        path: PathBuf,
    },
}

/// Finds libchdb: `named` when given (the flag `--libchdb` or `ZHILI_LIBCHDB`), else the file
/// that `deploy/libchdb/fetch.sh` puts into the cache.
///
/// # Errors
///
/// When the machine cannot run libchdb or the file does not exist.
pub(crate) fn find(named: Option<&Path>) -> Result<PathBuf, MissingLibrary> {
    supported()?;
    let path = named.map_or_else(cached, Path::to_path_buf);
    if path.is_file() { Ok(path) } else { Err(MissingLibrary::NotFound { path }) }
}

/// The library's place in the cache:
/// `${ZHILI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/zhili}/libchdb-26.7.3/libchdb.so`.
pub fn cached() -> PathBuf {
    let folder = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("ZHILI_CACHE")
        .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("zhili")))
        .or_else(|| folder("HOME").map(|home| home.join(".cache/zhili")))
        .unwrap_or_else(|| PathBuf::from(".cache/zhili"))
        .join(format!("libchdb-{LIBCHDB_VERSION}"))
        .join("libchdb.so")
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn supported() -> Result<(), MissingLibrary> {
    if std::arch::is_x86_feature_detected!("avx2") { Ok(()) } else { Err(MissingLibrary::NoAvx2) }
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn supported() -> Result<(), MissingLibrary> {
    Err(MissingLibrary::Platform)
}
