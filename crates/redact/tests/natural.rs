//! How often natural turns are masked. The texts stay outside the repository; without them
//! the test says so and passes.

// Helpers of tests may fail like tests.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::Value;
use zhili_redact::{Kind, mask};

/// Every text of a dialogue file, or of a file of single messages.
fn texts(path: &Path) -> Vec<String> {
    let mut lines = String::new();
    GzDecoder::new(File::open(path).unwrap()).read_to_string(&mut lines).unwrap();
    let mut texts = Vec::new();
    for line in lines.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let turns = row["turns"].as_array().cloned().unwrap_or_else(|| vec![row.clone()]);
        texts.extend(turns.iter().filter_map(|turn| turn["text"].as_str().map(str::to_owned)));
    }
    texts
}

/// With `SHOW_MASKED=1` prints every masked turn, to be judged by eye.
#[test]
fn natural_chinese_turns_are_hardly_ever_masked() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let Ok(entries) = fs::read_dir(&folder) else {
        println!("skipped: no shared/data beside the repository");
        return;
    };
    let show = std::env::var_os("SHOW_MASKED").is_some();
    let mut files: Vec<_> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "gz"))
        .collect();
    files.sort();
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let texts = texts(&path);
        let mut kinds: BTreeMap<Kind, usize> = BTreeMap::new();
        let mut hits = 0;
        for text in &texts {
            let masked = mask(text);
            hits += usize::from(masked.changed());
            for span in &masked.spans {
                *kinds.entry(span.kind).or_default() += 1;
            }
            if show && masked.changed() {
                println!("  {text}\n    {}", masked.text);
            }
            assert_eq!(mask(&masked.text).text, masked.text);
        }
        let rate = hits as f64 / texts.len().max(1) as f64;
        println!("{name}: {hits} of {} turns masked, {:.3} % {kinds:?}", texts.len(), rate * 100.0);
        // The dialogues were made anonymous, so what is masked there is masked wrongly.
        if name.starts_with("dialogues_zh") {
            assert!(rate <= 0.002, "{name}: {:.3} % of turns masked", rate * 100.0);
        }
    }
}
