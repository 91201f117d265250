//! Trains the heads of `model/` on the labelled sets beside the repository and on lines
//! of our own: `cargo run -p zhili-tone --release --example train -- --out crates/tone/model`.
//!
//! Softmax regression on hashed n-grams and on the cues of the rules, to some heads with a layer
//! of hidden units beside it; the last class is the base, its logit is 0. The linear part learns
//! by follow-the-regularised-leader (McMahan et al. 2013), the hidden part by AdaGrad (Duchi et
//! al. 2011), together as in wide and deep models (Cheng et al. 2016). Rows whose sha256(id) mod
//! 5 is 0 are kept out and measured, and so is the held half of the checklist. Without `--out`
//! nothing is written.
//!
//! `--data DIR` names another folder, `--head NAME` trains one head alone, `--without
//! DOMAIN` keeps a domain (or a set with that name) out and measures on it, `--weights
//! SET=WEIGHT,...` changes the weight of sets (0: only measured), `--epochs`, `--alpha`,
//! `--l1`, `--l2`, `--hidden`, `--rate` and `--drop` change the learner.
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
use zhili_tone::{ContextLine, Engine, IMPOLITE_BELOW, Message, POLITE_FROM, Role, SIDED};

// As in `src/grams.rs` and `src/head.rs`.
const BITS: u32 = 18;
const CUES: usize = 128;
const OUTPUTS: usize = 2;

/// Fixed, so that the same sets give the same weights.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Hidden units of a head that has some: with the outputs they fill 16 lanes.
const HIDDEN: usize = 14;

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
    /// How much a row of a set without the base class says against that class: reviews are all
    /// sided because no others were taken, not because nobody is neutral.
    sided: f64,
    epochs: u32,
    /// Learning rate and the weights of the two norms of follow-the-regularised-leader.
    alpha: f64,
    l1: f64,
    l2: f64,
    /// Hidden units: none, or as many as fill the lanes of `src/head.rs`.
    hidden: usize,
    /// Learning rate of the hidden part at first; it falls to nothing.
    rate: f64,
    /// Share of a row's n-grams that is left out each time it is seen, so that a head leans on
    /// many of them.
    drop: f64,
    /// Buckets, as a power of two.
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
            ("zh_sent3_weibo_usual_train", 3.0),
            ("zh_sent3_weibo_usual_dev", 0.0),
            ("zh_satisfaction_jddc_valid", 0.15),
            ("library", 1.0),
            ("templates", 1.0),
            ("checklist", 8.0),
            ("lines", 8.0),
        ],
        classes: SENTIMENT,
        sided: 0.2,
        epochs: 6,
        alpha: 0.03,
        l1: 0.6,
        l2: 1.0,
        hidden: HIDDEN,
        rate: 0.06,
        drop: 0.5,
        bits: 18,
    },
    Recipe {
        name: "en_sentiment",
        chinese: false,
        role: Role::Customer,
        context: false,
        sources: &[
            ("en_sent3_vader_movie", 0.5),
            ("en_sent3_vader_nyt", 0.3),
            ("en_complaint_twitter_train", 0.3),
            ("en_satisfaction_sgd_valid", 0.5),
            ("en_satisfaction_mwoz_valid", 0.5),
            // Not for commercial use: measured, never learnt from.
            ("en_sent3_airline_train", 0.0),
            ("library", 1.0),
            ("templates", 2.0),
            ("checklist", 10.0),
            ("lines", 10.0),
        ],
        classes: SENTIMENT,
        sided: 0.2,
        epochs: 4,
        alpha: 0.1,
        l1: 0.3,
        l2: 1.0,
        hidden: HIDDEN,
        rate: 0.02,
        drop: 0.5,
        bits: 17,
    },
    Recipe {
        name: "en_complaint",
        chinese: false,
        role: Role::Customer,
        context: false,
        sources: &[
            ("en_complaint_twitter_train", 2.0),
            ("en_sent3_vader_nyt", 0.1),
            ("dialogues_en_multidogo_train", 0.1),
            ("dialogues_en_uss_mwoz_a", 0.1),
            ("dialogues_en_uss_sgd_a", 0.1),
            ("library", 0.2),
            ("templates", 0.2),
            ("checklist", 2.0),
            ("lines", 2.0),
        ],
        classes: SENTIMENT,
        sided: 0.2,
        epochs: 8,
        alpha: 0.03,
        l1: 0.3,
        l2: 1.0,
        hidden: HIDDEN,
        rate: 0.05,
        drop: 0.5,
        bits: 16,
    },
    Recipe {
        name: "zh_satisfaction",
        chinese: true,
        role: Role::Customer,
        context: true,
        sources: &[("zh_satisfaction_jddc_valid", 1.0), ("templates", 0.2), ("checklist", 1.0)],
        classes: SENTIMENT,
        sided: 0.2,
        epochs: 14,
        alpha: 0.03,
        l1: 0.3,
        l2: 1.0,
        hidden: HIDDEN,
        rate: 0.02,
        drop: 0.5,
        bits: 15,
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
        sided: 0.2,
        epochs: 4,
        alpha: 0.3,
        l1: 0.3,
        l2: 1.0,
        hidden: 0,
        rate: 0.0,
        drop: 0.0,
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
        sided: 1.0,
        epochs: 8,
        alpha: 0.05,
        l1: 0.3,
        l2: 3.0,
        hidden: 0,
        rate: 0.0,
        drop: 0.0,
        bits: 16,
    },
];

struct Row {
    grams: Vec<u32>,
    cues: Vec<u8>,
    class: usize,
    weight: f64,
    /// Of a set that has no row of the base class: how much it says against the base.
    base: f64,
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
            let mut rows = set.load(&data)?;
            let base = recipe.classes.len() - 1;
            if rows.iter().all(|row| row.class < base) {
                for row in &mut rows {
                    row.base = recipe.sided;
                }
            }
            sets.insert(*name, rows);
        }
        let settings = Settings {
            outputs: recipe.classes.len() - 1,
            epochs: number("--epochs").map_or(recipe.epochs, |one| one as u32),
            alpha: number("--alpha").unwrap_or(recipe.alpha),
            l1: number("--l1").unwrap_or(recipe.l1),
            l2: number("--l2").unwrap_or(recipe.l2),
            hidden: number("--hidden").map_or(recipe.hidden, |one| one as usize),
            rate: number("--rate").unwrap_or(recipe.rate),
            drop: number("--drop").unwrap_or(recipe.drop),
            bits: recipe.bits,
        };
        let rows: Vec<&Row> = sets.values().flatten().filter(|row| !row.dev).collect();
        let weights = train(&rows, &settings);
        let used = weights.grams.w.iter().filter(|weight| **weight != 0.0).count();
        println!("{}: {} rows, {used} linear weights", recipe.name, rows.len());
        for (name, set) in &sets {
            let dev: Vec<&Row> = set.iter().filter(|row| row.dev).collect();
            measure(name, &dev, &weights);
            let trained = set.len() - dev.len();
            if trained > 0 {
                let digest = match *name {
                    "library" => format!("blake3 {}", engine.library_hash()),
                    _ => digest(&data, name, recipe)?,
                };
                let _ = writeln!(manifest, "{}\t{name}\t{trained}\t{digest}", recipe.name);
            }
        }
        if let Some(folder) = option("--out") {
            let path = Path::new(&folder).join(format!("{}.head", recipe.name));
            std::fs::write(path, pack(recipe, &weights))?;
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
            grams: features.grams.iter().map(|gram| gram >> (BITS - self.recipe.bits)).collect(),
            cues: features.cues,
            class,
            weight: self.weight,
            base: 1.0,
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
                let rows = lines.lines().filter_map(|line| {
                    let columns: Vec<&str> = line.split('\t').collect();
                    let [half, _, _, label, text] = columns[..] else { return None };
                    self.row(text, label, &[], half != "tune")
                });
                Ok(rows.collect())
            }
            "lines" => {
                let lines = match self.recipe.role {
                    Role::Customer => include_str!("../tests/lines/sentiment.tsv"),
                    Role::Agent => include_str!("../tests/lines/politeness.tsv"),
                };
                Ok(own(lines.lines().filter_map(|line| line.split_once('\t')).collect()))
            }
            "library" => {
                let phrases = self.engine.phrases().map(|(text, mood)| (mood.as_str(), text));
                Ok(own(phrases.collect()))
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

    /// The head's turns of a dialogue in which nobody is rude or complains: neutral, where the
    /// rules agree.
    fn turns(&self, turns: &[Value], dialogue: &str) -> Vec<Row> {
        let role = self.recipe.role;
        let sided = f64::from(SIDED) / 1000.0;
        let neutral = match role {
            Role::Agent => IMPOLITE_BELOW..POLITE_FROM,
            Role::Customer => -sided..sided,
        };
        let texts = turns.iter().filter(|turn| turn["role"] == role.as_str());
        texts
            .filter_map(|turn| turn["text"].as_str())
            .filter(|text| {
                let message = Message { role, text, lang: None, context: &[] };
                neutral.contains(&self.engine.features(&message).rules)
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
    hidden: usize,
    rate: f64,
    drop: f64,
    bits: u32,
}

struct Weights {
    outputs: usize,
    grams: Learner,
    cues: Learner,
    bias: Learner,
    hidden: Hidden,
}

/// A layer of units that are 0 below their threshold.
struct Hidden {
    units: usize,
    grams: Adaptive,
    cues: Adaptive,
    bias: Adaptive,
    /// By unit, then output.
    out: Adaptive,
}

/// A table of weights with the squares of their gradients.
struct Adaptive {
    w: Vec<f64>,
    squares: Vec<f64>,
}

impl Adaptive {
    fn new(size: usize, reach: f64, state: &mut u64) -> Adaptive {
        let w = (0..size).map(|_| (uniform(state) * 2.0 - 1.0) * reach).collect();
        Adaptive { w, squares: vec![0.01; size] }
    }

    fn update(&mut self, at: usize, gradient: f64, rate: f64) {
        if gradient != 0.0 {
            self.squares[at] += gradient * gradient;
            self.w[at] -= rate * gradient / self.squares[at].sqrt();
        }
    }
}

/// A number from 0 to 1.
fn uniform(state: &mut u64) -> f64 {
    (next(state) >> 11) as f64 / (1_u64 << 53) as f64
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
    let (k, units, buckets) = (settings.outputs, settings.hidden, 1_usize << settings.bits);
    let learner = |size: usize, l1, l2| Learner::new(size * k, settings.alpha, l1, l2);
    let mut state = SEED;
    let mut weights = Weights {
        outputs: k,
        grams: learner(buckets, settings.l1, settings.l2),
        cues: learner(CUES, 0.0, settings.l2),
        bias: learner(1, 0.0, 0.0),
        hidden: Hidden {
            units,
            grams: Adaptive::new(buckets * units, 0.1, &mut state),
            cues: Adaptive::new(CUES * units, 0.1, &mut state),
            bias: Adaptive::new(units, 0.0, &mut state),
            out: Adaptive::new(units * k, 0.3, &mut state),
        },
    };
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let mut grams = Vec::new();
    // The mean of the later epochs carries further than the last one, which leans on what it
    // happened to see last.
    let mut mean = Mean::default();
    for epoch in 0..settings.epochs {
        let rate = settings.rate * (1.0 - f64::from(epoch) / f64::from(settings.epochs));
        for at in (1..order.len()).rev() {
            order.swap(at, (next(&mut state) % (at as u64 + 1)) as usize);
        }
        for at in &order {
            let row = rows[*at];
            grams.clear();
            grams.extend(row.grams.iter().filter(|_| uniform(&mut state) >= settings.drop));
            weights.learn(row, &grams, rate);
        }
        if epoch >= settings.epochs / 2 {
            mean.add(&mut weights);
        }
    }
    mean.put(&mut weights);
    weights
}

/// The mean of weights at several times.
#[derive(Default)]
struct Mean {
    count: f64,
    sums: Vec<Vec<f64>>,
}

impl Mean {
    fn add(&mut self, weights: &mut Weights) {
        self.count += 1.0;
        self.sums.resize_with(weights.tables().len(), Vec::new);
        for (sum, table) in self.sums.iter_mut().zip(weights.tables()) {
            sum.resize(table.len(), 0.0);
            for (sum, weight) in sum.iter_mut().zip(table.iter()) {
                *sum += weight;
            }
        }
    }

    fn put(self, weights: &mut Weights) {
        for (sum, table) in self.sums.iter().zip(weights.tables()) {
            for (sum, weight) in sum.iter().zip(table) {
                *weight = sum / self.count;
            }
        }
    }
}

impl Weights {
    fn tables(&mut self) -> [&mut Vec<f64>; 7] {
        let hidden = &mut self.hidden;
        [
            &mut self.grams.w,
            &mut self.cues.w,
            &mut self.bias.w,
            &mut hidden.grams.w,
            &mut hidden.cues.w,
            &mut hidden.bias.w,
            &mut hidden.out.w,
        ]
    }

    /// Logits by output, and what the hidden units give.
    fn logits(&self, grams: &[u32], cues: &[u8]) -> ([f64; OUTPUTS], [f64; HIDDEN]) {
        let (k, units) = (self.outputs, self.hidden.units);
        let scale = 1.0 / (grams.len().max(1) as f64).sqrt();
        let of = |by_gram: &[f64], by_cue: &[f64], at: usize, width: usize| {
            let grams = grams.iter().map(|gram| by_gram[*gram as usize * width + at]);
            let cues = cues.iter().map(|cue| by_cue[usize::from(*cue) * width + at]);
            let (grams, cues): (f64, f64) = (grams.sum(), cues.sum());
            grams * scale + cues * CUE
        };
        let (mut logits, mut given) = ([0.0; OUTPUTS], [0.0; HIDDEN]);
        for (output, logit) in logits.iter_mut().enumerate().take(k) {
            *logit = self.bias.w[output] + of(&self.grams.w, &self.cues.w, output, k);
        }
        let hidden = &self.hidden;
        for (unit, given) in given.iter_mut().enumerate().take(units) {
            let sum = hidden.bias.w[unit] + of(&hidden.grams.w, &hidden.cues.w, unit, units);
            *given = sum.max(0.0);
            for (output, logit) in logits.iter_mut().enumerate().take(k) {
                *logit += *given * hidden.out.w[unit * k + output];
            }
        }
        (logits, given)
    }

    /// One step down the gradient of a row, of which it sees some n-grams.
    fn learn(&mut self, row: &Row, grams: &[u32], rate: f64) {
        let (k, units) = (self.outputs, self.hidden.units);
        let scale = 1.0 / (grams.len().max(1) as f64).sqrt();
        let (logits, given) = self.logits(grams, &row.cues);
        let odds = logits.map(f64::exp);
        let sided: f64 = odds.iter().take(k).sum();
        let hidden = &mut self.hidden;
        let mut back = [0.0; HIDDEN];
        for (output, odds) in odds.into_iter().enumerate().take(k) {
            let target = f64::from(u8::from(row.class == output));
            let share = row.base * odds / (1.0 + sided) + (1.0 - row.base) * odds / sided;
            let gradient = (share - target) * row.weight;
            for gram in grams {
                self.grams.update(*gram as usize * k + output, gradient * scale);
            }
            for cue in &row.cues {
                self.cues.update(usize::from(*cue) * k + output, gradient * CUE);
            }
            self.bias.update(output, gradient);
            for (unit, back) in back.iter_mut().enumerate().take(units) {
                if given[unit] > 0.0 {
                    *back += gradient * hidden.out.w[unit * k + output];
                    hidden.out.update(unit * k + output, gradient * given[unit], rate);
                }
            }
        }
        for (unit, back) in back.into_iter().enumerate().take(units) {
            hidden.bias.update(unit, back, rate);
        }
        let back = &back[..units];
        for gram in grams {
            for (unit, back) in back.iter().enumerate() {
                hidden.grams.update(*gram as usize * units + unit, back * scale, rate);
            }
        }
        for cue in &row.cues {
            for (unit, back) in back.iter().enumerate() {
                hidden.cues.update(usize::from(*cue) * units + unit, back * CUE, rate);
            }
        }
    }
}

/// Accuracy and macro-F1 of a head alone. On a set without the base class it must choose.
fn measure(name: &str, rows: &[&Row], weights: &Weights) {
    if rows.is_empty() {
        return;
    }
    let k = weights.outputs;
    let base = if rows.iter().any(|row| row.class == k) { 0.0 } else { f64::NEG_INFINITY };
    let mut table = [[0_usize; OUTPUTS + 1]; OUTPUTS + 1];
    for row in rows {
        let mut best = (k, base);
        let (logits, _) = weights.logits(&row.grams, &row.cues);
        for (output, logit) in logits.into_iter().enumerate().take(k) {
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

/// The file of a head: see `src/head.rs`. Outputs are kept in thousandths of a logit.
fn pack(recipe: &Recipe, weights: &Weights) -> Vec<u8> {
    let (k, hidden) = (weights.outputs, &weights.hidden);
    let lanes = k + hidden.units;
    // The number at `row` of a linear and of a hidden table, by lane.
    let at = |linear: &[f64], deep: &[f64], row: usize, lane: usize| match lane.checked_sub(k) {
        None => linear[row * k + lane] * 1000.0,
        Some(unit) => deep[row * hidden.units + unit],
    };
    let mut bytes = b"zhh2".to_vec();
    bytes.extend([u8::from(!recipe.chinese), k as u8, recipe.bits as u8, hidden.units as u8]);
    let gram = |row: usize, lane: usize| at(&weights.grams.w, &hidden.grams.w, row, lane);
    // Scaled by the true maximum: clipping at a quantile costs accuracy.
    let steps: Vec<f64> = (0..lanes)
        .map(|lane| (0..1 << recipe.bits).map(|row| gram(row, lane).abs()).fold(1e-9, f64::max))
        .map(|largest| largest / 127.0)
        .collect();
    let mut numbers = steps.clone();
    numbers.extend((0..lanes).map(|lane| at(&weights.bias.w, &hidden.bias.w, 0, lane)));
    numbers.extend(hidden.out.w.iter().map(|weight| weight * 1000.0));
    for cue in 0..CUES {
        let cue = |lane| at(&weights.cues.w, &hidden.cues.w, cue, lane) * CUE;
        numbers.extend((0..lanes).map(cue));
    }
    bytes.extend(numbers.iter().flat_map(|number| (*number as f32).to_le_bytes()));
    for row in 0..1 << recipe.bits {
        bytes.extend((0..lanes).map(|lane| (gram(row, lane) / steps[lane]).round() as i8 as u8));
    }
    bytes
}
