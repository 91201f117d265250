//! From a token and the provider's keys to a principal. Pure: the time is given.

use std::collections::BTreeSet;

use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use serde_json::{Map, Value};

use super::settings::OidcSettings;
use crate::auth::{Principal, Role, Tenant};

/// Longest token that is looked at.
const LONGEST: usize = 16 << 10;
/// Longest name of a caller.
const LONGEST_NAME: usize = 128;

/// Why a token opens nothing. For the log: whoever brings it is told nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it is no token that can be read")]
    Unreadable,
    #[error("its algorithm {0:?} is none that counts")]
    Algorithm(Algorithm),
    /// The provider may have it by now.
    #[error("it is signed with a key that the provider is not known to have")]
    UnknownKey,
    #[error("{0}")]
    Wrong(String),
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    Early,
    #[error("claim {0}: {1}")]
    Claim(String, &'static str),
}

/// Whose token it is at `now`, seconds since the Unix epoch.
pub(super) fn principal(
    settings: &OidcSettings,
    keys: &JwkSet,
    token: &str,
    now: u64,
) -> Result<Principal, Refusal> {
    if token.len() > LONGEST {
        return Err(Refusal::Unreadable);
    }
    let header = decode_header(token).map_err(|_| Refusal::Unreadable)?;
    let allowed = settings.algorithms.iter().map(|one| Algorithm::from(*one));
    if !allowed.clone().any(|one| one == header.alg) {
        return Err(Refusal::Algorithm(header.alg));
    }
    let key = key(keys, &header)?;
    let key = DecodingKey::from_jwk(key).map_err(|_| Refusal::UnknownKey)?;
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&[&settings.issuer]);
    validation.set_audience(&settings.audience.iter().collect::<Vec<_>>());
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    // The library would ask the clock of the machine.
    validation.validate_exp = false;
    let claims = decode::<Map<String, Value>>(token, &key, &validation)
        .map_err(|error| Refusal::Wrong(error.to_string()))?
        .claims;
    in_time(&claims, now, settings.leeway_s)?;
    let (name, tenant) = (name(&claims, &settings.name_claim)?, tenant(&claims, settings)?);
    Ok(Principal::new(name, tenant, roles(&claims, settings)?))
}

/// The key that a token says it is signed with, if it is one for its algorithm. A token that names
/// none is signed with the provider's only key.
fn key<'a>(keys: &'a JwkSet, header: &Header) -> Result<&'a Jwk, Refusal> {
    let fits = |key: &&Jwk| {
        let common = &key.common;
        let signs = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
        signs && common.key_algorithm.is_none_or(|it| of(it) == Some(header.alg))
    };
    let mut candidates = keys
        .keys
        .iter()
        .filter(fits)
        .filter(|key| header.kid.is_none() || key.common.key_id == header.kid);
    match (candidates.next(), candidates.next()) {
        (Some(key), None) => Ok(key),
        _ => Err(Refusal::UnknownKey),
    }
}

fn of(algorithm: KeyAlgorithm) -> Option<Algorithm> {
    Some(match algorithm {
        KeyAlgorithm::RS256 => Algorithm::RS256,
        KeyAlgorithm::RS384 => Algorithm::RS384,
        KeyAlgorithm::RS512 => Algorithm::RS512,
        KeyAlgorithm::PS256 => Algorithm::PS256,
        KeyAlgorithm::PS384 => Algorithm::PS384,
        KeyAlgorithm::PS512 => Algorithm::PS512,
        KeyAlgorithm::ES256 => Algorithm::ES256,
        KeyAlgorithm::ES384 => Algorithm::ES384,
        KeyAlgorithm::EdDSA => Algorithm::EdDSA,
        _ => return None,
    })
}

/// `exp`, `nbf` and `iat`, seconds that may have fractions.
fn in_time(claims: &Map<String, Value>, now: u64, leeway: u64) -> Result<(), Refusal> {
    let second = |name: &str| claims.get(name).map(Value::as_f64);
    let (now, leeway) = (now as f64, leeway as f64);
    match second("exp") {
        Some(Some(end)) if now < end + leeway => {}
        Some(Some(_)) => return Err(Refusal::Expired),
        _ => return Err(Refusal::Claim("exp".to_owned(), "is no time")),
    }
    for name in ["nbf", "iat"] {
        match second(name) {
            None => {}
            Some(Some(start)) if start <= now + leeway => {}
            Some(Some(_)) => return Err(Refusal::Early),
            Some(None) => return Err(Refusal::Claim(name.to_owned(), "is no time")),
        }
    }
    Ok(())
}

/// The value at a path whose dots lead into objects. A claim whose own name has dots, such as
/// `https://zhili.example/roles`, is found by its whole name first.
fn claim<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let (first, rest) = path.split_once('.')?;
    rest.split('.').try_fold(claims.get(first)?, |value, name| value.get(name))
}

fn name(claims: &Map<String, Value>, path: &str) -> Result<String, Refusal> {
    let name = claim(claims, path).and_then(Value::as_str).unwrap_or_default();
    if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control)
    {
        return Err(Refusal::Claim(path.to_owned(), "names nobody"));
    }
    Ok(name.to_owned())
}

fn tenant(claims: &Map<String, Value>, settings: &OidcSettings) -> Result<Tenant, Refusal> {
    if let Some(tenant) = &settings.tenant {
        return Ok(tenant.clone());
    }
    let path = &settings.tenant_claim;
    let named = claim(claims, path).and_then(Value::as_str).map(str::to_owned);
    named
        .and_then(|name| Tenant::try_from(name).ok())
        .ok_or_else(|| Refusal::Claim(path.clone(), "names no tenant"))
}

fn roles(claims: &Map<String, Value>, settings: &OidcSettings) -> Result<BTreeSet<Role>, Refusal> {
    let groups = match claim(claims, &settings.roles_claim) {
        Some(Value::String(group)) => vec![group.as_str()],
        Some(Value::Array(groups)) => groups.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let roles: BTreeSet<Role> =
        groups.into_iter().filter_map(|group| settings.roles.get(group)).copied().collect();
    if roles.is_empty() {
        return Err(Refusal::Claim(settings.roles_claim.clone(), "holds no group with a role"));
    }
    Ok(roles)
}
