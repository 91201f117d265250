//! `zhili explain`: the way to each score.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

use serde_json::Value;

fn explain(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_zhili")).arg("explain").args(arguments).output().unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let output = explain(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_sum_runs_from_the_base_over_every_contribution_to_the_score() {
    for arguments in [
        &["太差劲了，我要去12315举报，我已经报警了"][..],
        &["您好，请稍等，你自己看说明书", "--role", "agent"],
    ] {
        let explanation = json(arguments);
        for score in explanation["scores"].as_array().unwrap() {
            let mut sum = score["base"].as_f64().unwrap();
            let contributions = score["contributions"].as_array().unwrap();
            assert!(!contributions.is_empty(), "{score}");
            for contribution in contributions {
                sum += contribution["points"].as_f64().unwrap();
                assert!((sum - contribution["sum"].as_f64().unwrap()).abs() < 1e-9, "{score}");
            }
            assert!((sum - score["value"].as_f64().unwrap()).abs() < 1e-9, "{score}");
        }
    }
}

#[test]
fn each_quote_is_the_text_at_its_offsets_after_masking() {
    let explanation = json(&["😀电话16800001234，质量太差，我要去12315举报"]);
    let text: Vec<char> = explanation["text"].as_str().unwrap().chars().collect();
    assert_eq!(explanation["masked"][0]["kind"], "mobile");
    let scores = explanation["scores"].as_array().unwrap();
    let contributions = scores.iter().flat_map(|score| score["contributions"].as_array().unwrap());
    let mut quotes = 0;
    for contribution in contributions {
        let at = |field: &str| contribution[field].as_u64().unwrap() as usize;
        let quote: String = text[at("start")..at("end")].iter().collect();
        assert_eq!(contribution["quote"], quote);
        quotes += 1;
    }
    assert!(quotes > 1, "{explanation}");
}

#[test]
fn a_person_reads_labels_bands_and_what_pins_the_score() {
    let output = explain(&["您好，请稍等", "--role", "agent"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("您好，请稍等\npoliteness    polite, "), "{text}");
    assert!(text.contains("\nimpolite below 40, polite from 65\n"), "{text}");
    let library = json(&["好"])["library"].as_str().unwrap().to_owned();
    assert_eq!(library.len(), 64);
    assert!(text.ends_with(&format!("library       {library}\n")), "{text}");
}

#[test]
fn a_text_beyond_the_limit_is_misuse() {
    let long = "a".repeat((16 << 10) + 1);
    assert_eq!(explain(&[&long]).status.code(), Some(64));
    assert_eq!(explain(&[]).status.code(), Some(64));
}
