//! A map of parts is a map, and its hash that of what it holds.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zhili_state::{Form, Open, Packed, Parts};

#[derive(Debug, Clone)]
enum Step {
    Insert(u8, String),
    Append(u8, String),
    Remove(u8),
    Hash,
    /// Copies the map; the copy must not see what comes after.
    Freeze,
    Save,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0_u8..12;
    prop_oneof![
        (key.clone(), "[a-c]{0,2}").prop_map(|(key, text)| Step::Insert(key, text)),
        (key.clone(), "[a-c]{0,2}").prop_map(|(key, text)| Step::Append(key, text)),
        key.prop_map(Step::Remove),
        Just(Step::Hash),
        Just(Step::Freeze),
        Just(Step::Save),
    ]
}

/// The hash of a map that was made at once.
fn hash_of(expected: &BTreeMap<u8, String>) -> [u8; 16] {
    let mut parts = Parts::<u8, Open<String>>::default();
    for (key, text) in expected.iter().rev() {
        parts.insert(*key, text.clone());
    }
    parts.hash()
}

fn content<F: Form<Value = String>>(parts: &Parts<u8, F>) -> BTreeMap<u8, String> {
    parts.iter().map(|(key, text)| (*key, text.clone())).collect()
}

/// Steps on a map whose parts are kept in some form.
fn try_steps<F>(steps: Vec<Step>) -> Result<(), TestCaseError>
where
    F: Form<Value = String> + Serialize + DeserializeOwned,
{
    let (mut parts, mut expected) = (Parts::<u8, F>::default(), BTreeMap::new());
    let mut frozen = Vec::new();
    for step in steps {
        match step {
            Step::Insert(key, text) => {
                prop_assert_eq!(parts.insert(key, text.clone()), expected.insert(key, text));
            }
            Step::Append(key, text) => {
                parts.get_or_default(key).push_str(&text);
                expected.entry(key).or_default().push_str(&text);
                if let Some(kept) = parts.get_mut(&key) {
                    kept.push('.');
                    expected.get_mut(&key).unwrap().push('.');
                }
            }
            Step::Remove(key) => {
                prop_assert_eq!(parts.remove(&key), expected.remove(&key));
            }
            Step::Hash => prop_assert_eq!(parts.hash(), hash_of(&expected)),
            Step::Freeze => frozen.push((parts.clone(), expected.clone())),
            Step::Save => {
                let bytes = postcard::to_stdvec(&parts).unwrap();
                parts = postcard::from_bytes(&bytes).unwrap();
            }
        }
        prop_assert_eq!(content(&parts), expected.clone());
    }
    prop_assert_eq!(parts.hash(), hash_of(&expected));
    for (mut parts, expected) in frozen {
        prop_assert_eq!(content(&parts), expected.clone());
        prop_assert_eq!(parts.hash(), hash_of(&expected));
    }
    Ok(())
}

proptest! {
    #[test]
    fn whatever_happens_to_it_the_hash_is_that_of_what_it_holds(
        steps in proptest::collection::vec(step(), 0..80),
    ) {
        try_steps::<Open<String>>(steps.clone())?;
        try_steps::<Packed<String>>(steps)?;
    }
}

#[test]
fn other_keys_or_parts_have_another_hash() {
    let hash = |pairs: &[(u8, &str)]| {
        hash_of(&pairs.iter().map(|(key, text)| (*key, (*text).to_owned())).collect())
    };
    let hashes = [
        &[][..],
        &[(1, "a")],
        &[(2, "a")],
        &[(1, "b")],
        &[(1, "a"), (2, "b")],
        &[(1, "b"), (2, "a")],
    ]
    .map(hash);
    for (index, one) in hashes.iter().enumerate() {
        assert!(hashes[index + 1..].iter().all(|other| other != one), "{index}");
    }
}
