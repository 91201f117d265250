//! Calendars and policies in files: TOML, YAML or JSON by the ending of the name.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;
use zhili_dialogue::{Calendar, Policies, Policy};
use zhili_runtime::Failure;

/// The settings of two files, either of which may be missing.
pub(super) fn policies(
    policy: Option<&Path>,
    calendar: Option<&Path>,
) -> Result<Option<Policies>, Failure> {
    if policy.is_none() && calendar.is_none() {
        return Ok(None);
    }
    let given: Option<Calendar> = calendar.map(read).transpose()?;
    let Some(path) = policy else {
        return one(Policy::default(), given, calendar.unwrap_or(Path::new(""))).map(Some);
    };
    let value: Value = read(path)?;
    let whole = value.get("dialogue").cloned().unwrap_or(value);
    let is_whole = ["policies", "calendars", "queues"].iter().any(|key| whole.get(key).is_some());
    if !is_whole {
        return one(parse(whole, path)?, given, path).map(Some);
    }
    if given.is_some() {
        let message = format!("{} has calendars of its own: leave --calendar out", path.display());
        return Err(Failure::Usage(message));
    }
    parse(whole, path).map(Some)
}

fn one(policy: Policy, calendar: Option<Calendar>, path: &Path) -> Result<Policies, Failure> {
    Policies::one(policy, calendar).map_err(|error| wrong(path, &error))
}

fn parse<T: DeserializeOwned>(value: Value, path: &Path) -> Result<T, Failure> {
    serde_json::from_value(value).map_err(|error| wrong(path, &error))
}

fn wrong(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::Problems(format!("{}: {error}", path.display()))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::Io(format!("cannot read {}: {error}", path.display())))?;
    match path.extension().and_then(std::ffi::OsStr::to_str) {
        Some("toml") => toml::from_str(&text).map_err(|error| wrong(path, &error)),
        Some("json") => serde_json::from_str(&text).map_err(|error| wrong(path, &error)),
        _ => serde_saphyr::from_str(&text).map_err(|error| wrong(path, &error)),
    }
}
