//! Measures how often the engine's sentiment is right, by how far into its label a value lies, on
//! rows that no head has learnt from and, in English, on some that one has: `cargo run -p zhili-tone --release --example calibrate >
//! crates/tone/model/confidence.tsv`, after `train` and with the heads of that run built in.
//!
//! Each set counts the same, however many rows it has. `--data DIR` names another folder.
#![allow(clippy::print_stdout, reason = "an example talks to its user")]

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::Value;
use sha2::{Digest, Sha256};
use zhili_tone::{Engine, Message, Polarity, Role, SIDED};

/// Sets by language. Rows for evaluation alone (CC BY-NC-SA) are not among them, nor news and
/// films. English knows no set of the domain whose labels are of sentiment: complaint tweets tell how
/// often negative and neutral are right, turns of service dialogues (labelled by satisfaction) make
/// all three modest, and the tuned half of our own checklist, which the head has learnt from, makes
/// them bold.
const SETS: [(&str, &[&str]); 2] = [
    ("zh", &["zh_sent3_weibo_usual_train"]),
    ("en", &["en_complaint_twitter_train", "en_satisfaction_sgd_valid", CHECKLIST]),
];

const CHECKLIST: &str = "checklist";

/// Points of a curve before those that do not rise are put together.
const POINTS: usize = 8;

/// One answer: how far into its label, what it counts, and whether it is right.
struct Answer {
    /// In thousandths.
    distance: i32,
    weight: f64,
    right: bool,
}

/// Answers of like distance, put together.
#[derive(Clone, Copy)]
struct Point {
    distance: f64,
    right: f64,
    weight: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--data").skip(1);
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let data = arguments.next().map_or_else(beside, PathBuf::from);
    let engine = Engine::new()?;
    println!("# Language, label, distance into it in thousandths, share of right answers; made by");
    println!("# examples/calibrate.rs.");
    for (lang, sets) in SETS {
        let mut answers: [Vec<Answer>; 3] = Default::default();
        for set in sets {
            let rows = if *set == CHECKLIST {
                checklist(lang)
            } else {
                held(&data.join(format!("{set}.jsonl.gz")))?
            };
            judge(&engine, &rows, &mut answers);
        }
        for (label, answers) in Polarity::ALL.iter().zip(&mut answers) {
            for point in curve(answers) {
                println!("{lang}\t{label}\t{:.0}\t{:.3}", point.distance, point.right);
            }
        }
    }
    Ok(())
}

/// Label and text of the tuned half of a language.
fn checklist(lang: &str) -> Vec<(String, String)> {
    let lines = include_str!("../tests/lines/checklist.tsv").lines();
    lines
        .filter_map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            let ["tune", language, _, label, text] = columns[..] else { return None };
            (language == lang).then(|| (label.to_owned(), text.to_owned()))
        })
        .collect()
}

/// Label and text of a set's rows that are kept out of training.
fn held(path: &Path) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let mut rows = Vec::new();
    for line in BufReader::new(GzDecoder::new(File::open(path)?)).lines() {
        let row: Value = serde_json::from_str(&line?)?;
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        // 256 mod 5 is 1, so the digest mod 5 is the sum of its bytes mod 5.
        let key = Sha256::digest(text("id").as_bytes());
        if key.iter().map(|byte| u32::from(*byte)).sum::<u32>() % 5 == 0 {
            rows.push((text("label").to_owned(), text("text").to_owned()));
        }
    }
    Ok(rows)
}

/// Adds what the engine says of a set's rows.
fn judge(engine: &Engine, rows: &[(String, String)], answers: &mut [Vec<Answer>; 3]) {
    let weight = 1.0 / rows.len().max(1) as f64;
    for (label, text) in rows {
        let message = Message { role: Role::Customer, text, lang: None, context: &[] };
        let Some(sentiment) = engine.assess(&message).sentiment else { continue };
        let right = match label.as_str() {
            // Two-way: whether it complains.
            "complaint" => sentiment.label == Polarity::Neg,
            "no" if sentiment.label == Polarity::Pos => continue,
            "no" => sentiment.label != Polarity::Neg,
            label => sentiment.label.as_str() == label,
        };
        let size = (sentiment.value.abs() * 1000.0).round() as i32;
        let neutral = sentiment.label == Polarity::Neutral;
        let distance = if neutral { SIDED - size } else { size };
        answers[sentiment.label as usize].push(Answer { distance, weight, right });
    }
}

/// The curve of a label: groups of equal weight, those that do not rise put together (pool adjacent
/// violators).
fn curve(answers: &mut [Answer]) -> Vec<Point> {
    answers.sort_by_key(|answer| answer.distance);
    let all: f64 = answers.iter().map(|answer| answer.weight).sum();
    let mut points: Vec<Point> = Vec::new();
    let (mut group, mut seen, mut before) = (usize::MAX, 0.0, i32::MIN);
    for answer in answers.iter() {
        let own = (seen / all * POINTS as f64) as usize;
        seen += answer.weight;
        let right = f64::from(u8::from(answer.right));
        let distance = f64::from(answer.distance);
        let point = Point { distance, right, weight: answer.weight };
        match points.last_mut() {
            // Answers at the same distance cannot be told apart.
            Some(last) if own == group || before == answer.distance => {
                *last = together(*last, point);
            }
            _ => {
                points.push(point);
                group = own;
            }
        }
        before = answer.distance;
    }
    let mut rising: Vec<Point> = Vec::new();
    for mut point in points {
        while let Some(last) = rising.pop_if(|last| last.right >= point.right) {
            point = together(last, point);
        }
        rising.push(point);
    }
    // Rounded as they are written, they must still rise.
    rising.dedup_by(|next, last| next.distance.round() <= last.distance.round());
    rising
}

fn together(one: Point, other: Point) -> Point {
    let weight = one.weight + other.weight;
    let mean = |a: f64, b: f64| (a * one.weight + b * other.weight) / weight;
    Point {
        distance: mean(one.distance, other.distance),
        right: mean(one.right, other.right),
        weight,
    }
}
