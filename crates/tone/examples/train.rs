//! Trains the heads of `model/` on the labelled sets beside the repository and on lines
//! of our own: `cargo run -p zhili-tone --release --example train -- --out crates/tone/model`.
//!
//! Softmax regression by follow-the-regularised-leader (McMahan et al. 2013) on hashed
//! n-grams and on the cues of the rules; the last class is the base, its logit is 0. Rows
//! whose sha256(id) mod 5 is 0 are kept out and measured. Without `--out` nothing is written.
//!
//! `--data DIR` names another folder, `--head NAME` trains one head alone, `--without
//! DOMAIN` keeps a domain (or a set with that name) out and measures on it, `--weights
//! SET=WEIGHT,...` changes the weight of sets (0: only measured), `--epochs`, `--alpha`,
//! `--l1` and `--l2` change the learner.
#![allow(clippy::print_stdout, reason = "an example talks to its user")]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::Value;
use sha2::{Digest, Sha256};
use zhili_tone::{ContextLine, Engine, IMPOLITE_BELOW, Message, POLITE_FROM, Role};

// As in `src/grams.rs` and `src/head.rs`.
const BITS: u32 = 18;
const CUES: usize = 128;
const OUTPUTS: usize = 2;

/// Fixed, so that the same sets give the same weights.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// What a cue counts beside the n-grams, whose squares sum to about 1.
const CUE: f64 = 0.5;

/// Lines drawn from each template.
const DRAWS: usize = 48;

/// How a head is trained.
struct Recipe {
    name: &'static str,
    chinese: bool,
    role: Role,
    /// Whether it sees cues of the lines before.
    context: bool,
    /// Sets with the weight of a row; 0 is only measured.
    sources: &'static [(&'static str, f64)],
    /// Labels by class; the last class is the base.
    classes: &'static [&'static [&'static str]],
    epochs: u32,
    /// Learning rate and the weights of the two norms of follow-the-regularised-leader.
    alpha: f64,
    l1: f64,
    l2: f64,
    /// Buckets kept, as a power of two.
    bits: u32,
}

const SENTIMENT: &[&[&str]] = &[&["neg", "complaint"], &["pos"], &["neutral", "no"]];

const RECIPES: &[Recipe] = &[
    Recipe {
        name: "zh_sentiment",
        chinese: true,
        role: Role::Customer,
        context: false,
        sources: &[
            ("zh_sent_shopping_train", 1.0),
            ("zh_sent_hotel_train", 1.0),
            ("zh_sent_chnsenticorp_train", 1.0),
            ("zh_sent_chnsenticorp_dev", 0.0),
            ("zh_sent3_weibo_usual_train", 1.0),
            ("zh_sent3_weibo_usual_dev", 0.0),
            ("zh_satisfaction_jddc_valid", 0.3),
            ("templates", 5.0),
            ("checklist", 10.0),
            ("lines", 10.0),
        ],
        classes: SENTIMENT,
        epochs: 8,
        alpha: 0.3,
        l1: 0.6,
        l2: 1.0,
        bits: 18,
    },
    Recipe {
        name: "en_sentiment",
        chinese: false,
        role: Role::Customer,
        context: false,
        sources: &[
            ("en_sent3_vader_movie", 0.5),
            ("en_sent3_vader_nyt", 1.0),
            ("en_complaint_twitter_train", 1.0),
            ("en_satisfaction_sgd_valid", 0.3),
            ("en_satisfaction_mwoz_valid", 0.3),
            // Not for commercial use: measured, never learnt from.
            ("en_sent3_airline_train", 0.0),
            ("templates", 5.0),
            ("checklist", 10.0),
            ("lines", 10.0),
        ],
        classes: SENTIMENT,
        epochs: 4,
        alpha: 0.2,
        l1: 0.3,
        l2: 1.0,
        bits: 18,
    },
    Recipe {
        name: "zh_satisfaction",
        chinese: true,
        role: Role::Customer,
        context: true,
        sources: &[("zh_satisfaction_jddc_valid", 1.0), ("templates", 1.0), ("checklist", 1.0)],
        classes: SENTIMENT,
        epochs: 4,
        alpha: 0.1,
        l1: 0.3,
        l2: 1.0,
        bits: 16,
    },
    Recipe {
        name: "en_satisfaction",
        chinese: false,
        role: Role::Customer,
        context: true,
        sources: &[
            ("en_satisfaction_sgd_valid", 1.0),
            ("en_satisfaction_mwoz_valid", 1.0),
            ("templates", 0.2),
            ("checklist", 0.5),
        ],
        classes: SENTIMENT,
        epochs: 4,
        alpha: 0.3,
        l1: 0.3,
        l2: 1.0,
        bits: 16,
    },
    Recipe {
        name: "en_politeness",
        chinese: false,
        role: Role::Agent,
        context: false,
        sources: &[
            ("en_politeness_wiki_train", 1.0),
            ("dialogues_en_uss_mwoz_a", 0.3),
            ("dialogues_en_uss_sgd_a", 0.3),
            ("dialogues_en_uss_ccpe_a", 0.3),
            ("lines", 3.0),
        ],
        classes: &[&["impolite"], &["polite"], &["neutral"]],
        epochs: 8,
        alpha: 0.05,
        l1: 0.3,
        l2: 3.0,
        bits: 16,
    },
];

struct Row {
    grams: Vec<u32>,
    cues: Vec<u8>,
    class: usize,
    weight: f64,
    /// Only measured.
    dev: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str| {
        arguments.iter().position(|one| one == name).and_then(|at| arguments.get(at + 1)).cloned()
    };
    let number = |name: &str| option(name).and_then(|value| value.parse::<f64>().ok());
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let data = option("--data").map_or(beside, PathBuf::from);
    let weights_of = option("--weights").unwrap_or_default();
    let engine = Engine::without_heads()?;
    let mut manifest = "# head\tset\trows it learnt from\tsha256 of the file\n".to_owned();
    for recipe in RECIPES {
        if option("--head").is_some_and(|name| name != recipe.name) {
            continue;
        }
        let mut sets = BTreeMap::new();
        for (name, weight) in recipe.sources {
            let other = weights_of
                .split(',')
                .filter_map(|one| one.split_once('='))
                .find(|(part, _)| name.contains(part))
                .and_then(|(_, value)| value.parse().ok());
            let weight = other.unwrap_or(*weight);
            let without = option("--without");
            let set = Set { engine: &engine, recipe, name, weight, without: without.as_deref() };
            sets.insert(*name, set.load(&data)?);
        }
        let settings = Settings {
            outputs: recipe.classes.len() - 1,
            epochs: number("--epochs").map_or(recipe.epochs, |one| one as u32),
            alpha: number("--alpha").unwrap_or(recipe.alpha),
            l1: number("--l1").unwrap_or(recipe.l1),
            l2: number("--l2").unwrap_or(recipe.l2),
        };
        let rows: Vec<&Row> = sets.values().flatten().filter(|row| !row.dev).collect();
        let weights = train(&rows, &settings);
        let used = weights.grams.w.iter().filter(|weight| **weight != 0.0).count();
        println!("{}: {} rows, {used} weights", recipe.name, rows.len());
        for (name, set) in &sets {
            let dev: Vec<&Row> = set.iter().filter(|row| row.dev).collect();
            measure(name, &dev, &weights, &settings);
            let trained = set.len() - dev.len();
            if trained > 0 {
                let digest = digest(&data, name, recipe)?;
                let _ = writeln!(manifest, "{}\t{name}\t{trained}\t{digest}", recipe.name);
            }
        }
        if let Some(folder) = option("--out") {
            let path = Path::new(&folder).join(format!("{}.head", recipe.name));
            std::fs::write(path, pack(recipe, &weights, &settings))?;
        }
    }
    if let (Some(folder), None) = (option("--out"), option("--head")) {
        std::fs::write(Path::new(&folder).join("manifest.tsv"), manifest)?;
    }
    Ok(())
}

/// SHA-256 of the file a set comes from, in hex.
fn digest(data: &Path, name: &str, recipe: &Recipe) -> Result<String, Box<dyn Error>> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = match name {
        "checklist" => own.join("tests/lines/checklist.tsv"),
        "lines" if recipe.role == Role::Agent => own.join("tests/lines/politeness.tsv"),
        "lines" => own.join("tests/lines/sentiment.tsv"),
        "templates" if recipe.chinese => own.join("model/chat_zh.txt"),
        "templates" => own.join("model/chat_en.txt"),
        _ => data.join(format!("{name}.jsonl.gz")),
    };
    let mut hex = String::new();
    for byte in Sha256::digest(std::fs::read(path)?) {
        let _ = write!(hex, "{byte:02x}");
    }
    Ok(hex)
}

/// Whether a row is kept out of training: sha256 of its key mod 5 is 0.
fn is_dev(key: &str) -> bool {
    // 256 mod 5 is 1, so the digest mod 5 is the sum of its bytes mod 5.
    Sha256::digest(key.as_bytes()).iter().map(|byte| u32::from(*byte)).sum::<u32>() % 5 == 0
}

/// A set on its way in.
struct Set<'a> {
    engine: &'a Engine,
    recipe: &'a Recipe,
    name: &'a str,
    weight: f64,
    /// Domain that is measured and not learnt from, instead of the dev rows.
    without: Option<&'a str>,
}

impl Set<'_> {
    /// The row of a text; none if it is another language's or has no class.
    fn row(&self, text: &str, label: &str, context: &[ContextLine<'_>], dev: bool) -> Option<Row> {
        let class = self.recipe.classes.iter().position(|labels| labels.contains(&label))?;
        let message = Message { role: self.recipe.role, text, lang: None, context };
        let features = self.engine.features(&message);
        (features.chinese == Some(self.recipe.chinese)).then_some(Row {
            grams: features.grams,
            cues: features.cues,
            class,
            weight: self.weight,
            dev: dev || self.weight == 0.0,
        })
    }

    fn load(&self, data: &Path) -> Result<Vec<Row>, Box<dyn Error>> {
        let own = |lines: Vec<(&str, &str)>| {
            lines
                .into_iter()
                .filter_map(|(label, text)| self.row(text, label, &[], false))
                .collect()
        };
        match self.name {
            "checklist" => {
                let lines = include_str!("../tests/lines/checklist.tsv");
                let tuned = lines.lines().filter_map(|line| {
                    let columns: Vec<&str> = line.split('\t').collect();
                    let ["tune", _, _, label, text] = columns[..] else { return None };
                    Some((label, text))
                });
                Ok(own(tuned.collect()))
            }
            "lines" => {
                let lines = match self.recipe.role {
                    Role::Customer => include_str!("../tests/lines/sentiment.tsv"),
                    Role::Agent => include_str!("../tests/lines/politeness.tsv"),
                };
                Ok(own(lines.lines().filter_map(|line| line.split_once('\t')).collect()))
            }
            "templates" => {
                let drawn = sample(if self.recipe.chinese {
                    include_str!("../model/chat_zh.txt")
                } else {
                    include_str!("../model/chat_en.txt")
                });
                Ok(own(drawn.iter().map(|(label, text)| (*label, text.as_str())).collect()))
            }
            _ => {
                let path = |name: &str| data.join(format!("{name}.jsonl.gz"));
                // The same texts have other ids there: what is measured there is not learnt here.
                let twin = path(&format!("{}_binary", self.name));
                let held = if twin.exists() { dev_texts(&twin)? } else { BTreeSet::new() };
                self.read(&path(self.name), &held)
            }
        }
    }

    /// Agents' turns of a dialogue in which nobody is rude: neutral, where the rules agree.
    fn turns(&self, turns: &[Value], dialogue: &str) -> Vec<Row> {
        let texts = turns.iter().filter(|turn| turn["role"] == "agent");
        texts
            .filter_map(|turn| turn["text"].as_str())
            .filter(|text| {
                let message = Message { role: Role::Agent, text, lang: None, context: &[] };
                let rules = self.engine.features(&message).rules;
                (IMPOLITE_BELOW..POLITE_FROM).contains(&rules)
            })
            .filter_map(|text| self.row(text, "neutral", &[], is_dev(dialogue)))
            .collect()
    }

    fn read(&self, path: &Path, texts: &BTreeSet<String>) -> Result<Vec<Row>, Box<dyn Error>> {
        let mut rows = Vec::new();
        for line in BufReader::new(GzDecoder::new(File::open(path)?)).lines() {
            let row: Value = serde_json::from_str(&line?)?;
            if let Some(turns) = row["turns"].as_array() {
                rows.extend(self.turns(turns, row["id"].as_str().unwrap_or_default()));
                continue;
            }
            let text = |name: &str| row[name].as_str().unwrap_or_default();
            // Rows of one dialogue stay together.
            let key = row["dialogue"]
                .as_u64()
                .map_or_else(|| text("id").to_owned(), |dialogue| dialogue.to_string());
            let held = self.without.map_or_else(
                || is_dev(&key) || texts.contains(text("text")),
                |domain| text("domain") == domain || self.name.contains(domain),
            );
            let context = if self.recipe.context { context(&row) } else { Vec::new() };
            rows.extend(self.row(text("text"), text("label"), &context, held));
        }
        Ok(rows)
    }
}

/// The texts of a file's rows that are kept out of training.
fn dev_texts(path: &Path) -> Result<BTreeSet<String>, Box<dyn Error>> {
    let mut texts = BTreeSet::new();
    for line in BufReader::new(GzDecoder::new(File::open(path)?)).lines() {
        let row: Value = serde_json::from_str(&line?)?;
        if row["id"].as_str().is_some_and(is_dev) {
            texts.extend(row["text"].as_str().map(str::to_owned));
        }
    }
    Ok(texts)
}

/// The lines before a row: `C:` and `A:` name who wrote one, or a customer's and the
/// agent's stand together with `|||` between them.
fn context(row: &Value) -> Vec<ContextLine<'_>> {
    let lines = row["context"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let line = |role, text| ContextLine { role, text };
    lines
        .flat_map(|text| {
            let (first, second) = match text.split_once("|||") {
                Some((first, second)) => (first, Some(line(Role::Agent, second))),
                None => (text, None),
            };
            let first = match first.split_at_checked(2) {
                Some(("A:", rest)) => line(Role::Agent, rest),
                Some(("C:", rest)) => line(Role::Customer, rest),
                _ => line(Role::Customer, first),
            };
            [Some(first), second].into_iter().flatten()
        })
        .collect()
}

/// Draws lines from a file of templates.
fn sample(file: &str) -> Vec<(&str, String)> {
    let mut lists: BTreeMap<&str, &str> = BTreeMap::new();
    let mut label = "";
    let mut state = SEED;
    let mut lines = Vec::new();
    for line in file.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some((name, list)) = line.strip_prefix('$').and_then(|rest| rest.split_once(" = ")) {
            lists.insert(name, list);
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            label = name;
        } else {
            let mut drawn: Vec<String> =
                (0..DRAWS).map(|_| draw(line, &lists, &mut state)).collect();
            drawn.sort_unstable();
            drawn.dedup();
            lines.extend(drawn.into_iter().map(|text| (label, text)));
        }
    }
    lines
}

/// One line of a template: `{a|b}` and `$name` are drawn.
fn draw(template: &str, lists: &BTreeMap<&str, &str>, state: &mut u64) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '$']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let (list, length) = if rest.starts_with('{') {
            let close = rest.find('}').unwrap_or(rest.len() - 1);
            (&rest[1..close], close + 1)
        } else {
            let word = rest[1..].find(|c: char| !c.is_ascii_lowercase());
            let end = word.map_or(rest.len(), |end| end + 1);
            (lists.get(&rest[1..end]).copied().unwrap_or_default(), end)
        };
        let choices: Vec<&str> = list.split('|').collect();
        let chosen = (next(state) % choices.len() as u64) as usize;
        text.push_str(&draw(choices[chosen], lists, state));
        rest = &rest[length..];
    }
    text + rest
}

/// The next number of a xorshift generator.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

struct Settings {
    outputs: usize,
    epochs: u32,
    alpha: f64,
    l1: f64,
    l2: f64,
}

struct Weights {
    grams: Learner,
    cues: Learner,
    bias: Learner,
}

/// A table of weights with what follow-the-regularised-leader keeps for each.
struct Learner {
    z: Vec<f64>,
    n: Vec<f64>,
    w: Vec<f64>,
    alpha: f64,
    l1: f64,
    l2: f64,
}

impl Learner {
    fn new(size: usize, alpha: f64, l1: f64, l2: f64) -> Learner {
        Learner { z: vec![0.0; size], n: vec![0.0; size], w: vec![0.0; size], alpha, l1, l2 }
    }

    fn update(&mut self, at: usize, gradient: f64) {
        let n = self.n[at];
        let next = n + gradient * gradient;
        self.z[at] += gradient - (next.sqrt() - n.sqrt()) / self.alpha * self.w[at];
        self.n[at] = next;
        let z = self.z[at];
        self.w[at] = if z.abs() <= self.l1 {
            0.0
        } else {
            -(z - z.signum() * self.l1) / ((1.0 + next.sqrt()) / self.alpha + self.l2)
        };
    }
}

fn train(rows: &[&Row], settings: &Settings) -> Weights {
    let k = settings.outputs;
    let learner = |size: usize, l1, l2| Learner::new(size * k, settings.alpha, l1, l2);
    let mut weights = Weights {
        grams: learner(1 << BITS, settings.l1, settings.l2),
        cues: learner(CUES, 0.0, settings.l2),
        bias: learner(1, 0.0, 0.0),
    };
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let mut state = SEED;
    for _ in 0..settings.epochs {
        for at in (1..order.len()).rev() {
            order.swap(at, (next(&mut state) % (at as u64 + 1)) as usize);
        }
        for at in &order {
            let row = rows[*at];
            let scale = 1.0 / (row.grams.len().max(1) as f64).sqrt();
            let odds = logits(row, &weights, k).map(f64::exp);
            let total = 1.0 + odds.iter().take(k).sum::<f64>();
            for (output, odds) in odds.into_iter().enumerate().take(k) {
                let target = f64::from(u8::from(row.class == output));
                let gradient = (odds / total - target) * row.weight;
                for gram in &row.grams {
                    weights.grams.update(*gram as usize * k + output, gradient * scale);
                }
                for cue in &row.cues {
                    weights.cues.update(usize::from(*cue) * k + output, gradient * CUE);
                }
                weights.bias.update(output, gradient);
            }
        }
    }
    weights
}

fn logits(row: &Row, weights: &Weights, k: usize) -> [f64; OUTPUTS] {
    let scale = 1.0 / (row.grams.len().max(1) as f64).sqrt();
    let mut logits = [0.0; OUTPUTS];
    for (output, logit) in logits.iter_mut().enumerate().take(k) {
        let grams = row.grams.iter().map(|gram| weights.grams.w[*gram as usize * k + output]);
        let cues = row.cues.iter().map(|cue| weights.cues.w[usize::from(*cue) * k + output]);
        let (grams, cues): (f64, f64) = (grams.sum(), cues.sum());
        *logit = weights.bias.w[output] + grams * scale + cues * CUE;
    }
    logits
}

/// Accuracy and macro-F1 of a head alone. On a set without the base class it must choose.
fn measure(name: &str, rows: &[&Row], weights: &Weights, settings: &Settings) {
    if rows.is_empty() {
        return;
    }
    let k = settings.outputs;
    let base = if rows.iter().any(|row| row.class == k) { 0.0 } else { f64::NEG_INFINITY };
    let mut table = [[0_usize; OUTPUTS + 1]; OUTPUTS + 1];
    for row in rows {
        let mut best = (k, base);
        for (output, logit) in logits(row, weights, k).into_iter().enumerate().take(k) {
            if logit > best.1 {
                best = (output, logit);
            }
        }
        table[row.class][best.0] += 1;
    }
    let (mut right, mut f1, mut classes) = (0, 0.0, 0.0);
    for class in 0..=k {
        let is: usize = table[class].iter().sum();
        let said: usize = table.iter().map(|row| row[class]).sum();
        right += table[class][class];
        if is > 0 {
            classes += 1.0;
            f1 += 2.0 * table[class][class] as f64 / (is + said) as f64;
        }
    }
    println!(
        "  {name:<32} dev {:>6}  acc {:.1}  macro-F1 {:.1}",
        rows.len(),
        right as f64 * 100.0 / rows.len() as f64,
        f1 * 100.0 / classes,
    );
}

/// The file of a head: see `src/head.rs`.
fn pack(recipe: &Recipe, weights: &Weights, settings: &Settings) -> Vec<u8> {
    let k = settings.outputs;
    let mut bytes = b"zhh1".to_vec();
    bytes.extend([u8::from(!recipe.chinese), k as u8, recipe.bits as u8, 0]);
    // Folding adds the weights of buckets that share their upper bits.
    let shift = BITS - recipe.bits;
    let mut folded = vec![0.0; k << recipe.bits];
    for (at, weight) in weights.grams.w.iter().enumerate() {
        folded[((at / k) >> shift) * k + at % k] += weight;
    }
    // Scaled by the true maximum: clipping at a quantile costs accuracy.
    let steps: Vec<f64> = (0..k)
        .map(|output| {
            let sizes = folded.iter().skip(output).step_by(k).map(|weight| weight.abs());
            sizes.fold(1e-9, f64::max) / 127.0
        })
        .collect();
    for output in 0..OUTPUTS {
        let step = steps.get(output).map_or(0.0, |step| step * 1000.0) as f32;
        let bias = weights.bias.w.get(output).map_or(0, |bias| (bias * 1000.0).round() as i32);
        bytes.extend(step.to_le_bytes());
        bytes.extend(bias.to_le_bytes());
    }
    for weight in &weights.cues.w {
        bytes.extend(((weight * CUE * 1000.0).round() as i16).to_le_bytes());
    }
    for (at, weight) in folded.iter().enumerate() {
        bytes.push((weight / steps[at % k]).round() as i8 as u8);
    }
    bytes
}
