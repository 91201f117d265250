//! `zhili pseudonym-key`: makes the keys of pseudonyms, replaces and retires them.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use jiff::Timestamp;
use serde::Serialize;
use zhili_redact::{KeyRing, PseudonymKey, RingKey, Scope};
use zhili_runtime::Failure;
use zhili_runtime::auth::{lock, write_private};

use crate::client::{print, print_json};
use crate::files::{Folder, read_keys};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Data folder whose keys these are.
    #[arg(long, default_value = ".zhili", env = "ZHILI_DATA", global = true)]
    data: PathBuf,
    /// File of the keys, such as that of a cluster's secret; else that of the data folder.
    #[arg(long, value_name = "FILE", global = true)]
    file: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write a file with a first key.
    New,
    /// Put a new key in use. Customers keep their names under the former ones, too, so that repeat
    /// contacts still join.
    Rotate {
        /// After a leak: new names for conversations, agents and events, too. Open conversations
        /// begin anew, figures of agents do not join.
        #[arg(long)]
        everything: bool,
    },
    /// List the keys and what becomes of them; what they are is not shown.
    List {
        /// One JSON object a key.
        #[arg(long)]
        json: bool,
    },
    /// Name customers by a key no longer. It stays, to find whom it named.
    Retire {
        /// Number of the key.
        key: u32,
        /// Even if repeat contacts are cut by it.
        #[arg(long)]
        now: bool,
        /// Drop the key: nobody is found by it any more.
        #[arg(long)]
        remove: bool,
    },
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { data, file, action } = arguments;
    let file = file.unwrap_or_else(|| Folder::new(data).pseudonym_key());
    let now_ms = Timestamp::now().as_millisecond();
    match action {
        Action::New => {
            let _alone = lock(&file)?;
            if file.exists() {
                let message = format!("{} is there already: give another file", file.display());
                return Err(Failure::Usage(message));
            }
            write_private(&file, &rand::random::<[u8; 32]>())
        }
        Action::Rotate { everything } => {
            let scope = if everything { Scope::Everything } else { Scope::Customers };
            let number = change(&file, |ring| {
                let secret = PseudonymKey::new(rand::random());
                ring.rotate(secret, scope, now_ms)
                    .map_err(|error| Failure::Usage(error.to_string()))
            })?;
            print(&format!("key {number} is in use; ingest reads it without a restart\n"))
        }
        Action::List { json } => {
            let ring = read_keys(&file)?;
            ring.keys().iter().try_for_each(|key| {
                let shown = Shown::of(key, &ring, now_ms);
                if json { print_json(&shown) } else { print(&shown.line()) }
            })
        }
        Action::Retire { key, now, remove } => change(&file, |ring| {
            let usage = |error: zhili_redact::RingError| Failure::Usage(error.to_string());
            let is_retired = ring.keys().iter().any(|it| it.number == key && it.retired);
            if !now && !is_retired && ring.retires_ms(key).is_some_and(|at_ms| now_ms < at_ms) {
                return Err(Failure::TryAgain(format!(
                    "repeat contacts need key {key} until {}; --now cuts them",
                    shown(ring.retires_ms(key)).unwrap_or_default()
                )));
            }
            ring.retire(key).map_err(usage)?;
            if remove { ring.remove(key).map_err(usage) } else { Ok(()) }
        }),
    }
}

/// Changes the ring of a file, alone, or leaves it as it is.
fn change<T>(
    file: &Path,
    change: impl FnOnce(&mut KeyRing) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let _alone = lock(file)?;
    let mut ring = read_keys(file)?;
    let changed = change(&mut ring)?;
    write_private(file, ring.to_text().as_bytes())?;
    Ok(changed)
}

/// A key as it is listed.
#[derive(Serialize)]
struct Shown {
    key: u32,
    /// Absent for the key of a system that never replaced one.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    names: &'static str,
    /// `newest`, `joined`, `retired`.
    state: &'static str,
    /// Repeat contacts are stated under it.
    speaks: bool,
    /// Until when repeat contacts need it.
    #[serde(skip_serializing_if = "Option::is_none")]
    needed_until: Option<String>,
}

impl Shown {
    fn of(key: &RingKey, ring: &KeyRing, now_ms: i64) -> Self {
        let is_newest = ring.keys().last().is_some_and(|last| last.number == key.number);
        let needed_ms = ring.retires_ms(key.number).filter(|_| !key.retired);
        Self {
            key: key.number,
            since: shown(Some(key.since_ms).filter(|since_ms| *since_ms > 0)),
            names: key.scope.name(),
            state: match (is_newest, key.retired) {
                (true, _) => "newest",
                (false, false) => "joined",
                (false, true) => "retired",
            },
            speaks: ring.speaking(now_ms) == key.number,
            needed_until: shown(needed_ms),
        }
    }

    fn line(&self) -> String {
        let since = self.since.as_deref().unwrap_or("ever");
        let mut line =
            format!("{:<4} since {since:<20} for {:<10} {:<7}", self.key, self.names, self.state);
        if self.speaks {
            line += " speaks";
        }
        if let Some(until) = &self.needed_until {
            line += &format!(" needed until {until}");
        }
        format!("{}\n", line.trim_end())
    }
}

/// A time for people, to the second.
fn shown(at_ms: Option<i64>) -> Option<String> {
    let at = Timestamp::from_second(at_ms?.div_euclid(1000)).ok()?;
    Some(at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use zhili_dialogue::{Config, Customers};

    #[test]
    fn a_key_is_joined_for_as_long_as_something_may_be_said_of_a_contact() {
        let lasts_ms = Customers::SETTLES_MS + Config::default().idle_close_ms;
        assert!(lasts_ms <= zhili_redact::JOIN_WINDOW_MS);
    }

    #[test]
    fn a_ring_is_written_for_its_owner_alone_and_a_refusal_leaves_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pseudonym.key");
        let run = |action| run(Arguments { data: folder.path().into(), file: None, action });
        run(Action::New).unwrap();
        assert_eq!(run(Action::New).unwrap_err().code(), 64);
        run(Action::Rotate { everything: false }).unwrap();
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let before = std::fs::read(&file).unwrap();
        let retire = |now, remove| Action::Retire { key: 1, now, remove };
        assert_eq!(run(retire(false, false)).unwrap_err().code(), 75, "it is needed");
        assert_eq!(run(retire(true, true)).unwrap_err().code(), 64, "it names conversations");
        assert_eq!(std::fs::read(&file).unwrap(), before);
        run(retire(true, false)).unwrap();
        run(Action::Rotate { everything: true }).unwrap();
        run(retire(false, true)).unwrap();
        let numbers: Vec<u32> =
            read_keys(&file).unwrap().keys().iter().map(|key| key.number).collect();
        assert_eq!(numbers, [2, 3]);
    }
}
