//! Measures the engine on the labelled sets beside the repository (`../shared/data`).
//! Hand-made sets: odd rows tune, even rows report, and only the odd ones can be
//! listed with `--errors NAME`; `--speed` measures the speed alone; `--data DIR` names another
//! folder. Sets that are missing are skipped by name.
#![allow(clippy::print_stdout, reason = "an example talks to its user")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use flate2::read::GzDecoder;
use serde_json::Value;
use sha2::{Digest, Sha256};
use zhili_tone::{Assessment, ContextLine, Engine, IMPOLITE_BELOW, Message, POLITE_FROM, Role};

/// What a set asks of an assessment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Read3 {
    Sentiment,
    Politeness,
    /// Which side of the middle of the neutral band, for sets without neutral rows.
    Side,
    Complaint,
    Satisfaction,
}

/// Which rows of a set are measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// None of them trained anything.
    All,
    /// Those that are kept out of training: sha256(id) mod 5 is 0.
    Dev,
    /// Odd rows tune, even rows report.
    Halves,
}

/// What a set says, per cent.
struct Figure {
    n: usize,
    accuracy: f64,
    f1: f64,
}

/// Under so many rows a figure is indicative only.
const INDICATIVE: usize = 200;

/// Measure, the report that stands for it, whether accuracy (or macro-F1) counts, and the goal.
const GOALS: &[(&str, &str, bool, f64)] = &[
    ("zh shopping reviews, accuracy", "zh_sent_shopping_train (dev)", true, 93.0),
    ("zh microblog, macro-F1", "zh_sent3_weibo_usual_dev", false, 82.0),
    ("zh satisfaction in service chat, macro-F1", "zh_satisfaction_jddc_valid (dev)", false, 61.0),
    ("zh chat checklist, accuracy", "zh_sent3_checklist_hand (even)", true, 85.0),
    ("zh chat checklist of our own, accuracy", "checklist of our own, zh (held)", true, 85.0),
    ("en chat checklist, accuracy", "en_sent3_checklist_hand (even)", true, 80.0),
    ("en chat checklist of our own, accuracy", "checklist of our own, en (held)", true, 80.0),
    ("en service tweets, macro-F1", "en_sent3_airline_train", false, 62.0),
    ("en politeness, accuracy", "en_politeness_wiki_train_binary (dev)", true, 84.0),
    ("en complaints, macro-F1", "en_complaint_twitter_train (dev)", false, 80.0),
    ("zh agent wording, macro-F1", "zh_agent_politeness_hand (even)", false, 82.0),
];

/// Sets, what they measure, and by which rows.
const SETS: &[(&str, Read3, Rows)] = &[
    ("zh_sent3_checklist_hand", Read3::Sentiment, Rows::Halves),
    ("en_sent3_checklist_hand", Read3::Sentiment, Rows::Halves),
    ("zh_urgent_hand", Read3::Complaint, Rows::Halves),
    ("en_urgent_hand", Read3::Complaint, Rows::Halves),
    ("zh_agent_politeness_hand", Read3::Politeness, Rows::Halves),
    ("en_agent_politeness_hand", Read3::Politeness, Rows::Halves),
    ("zh_sent3_weibo_usual_dev", Read3::Sentiment, Rows::All),
    ("zh_sent_chnsenticorp_dev", Read3::Sentiment, Rows::All),
    ("zh_sent_shopping_train", Read3::Sentiment, Rows::Dev),
    ("zh_sent_hotel_train", Read3::Sentiment, Rows::Dev),
    ("zh_satisfaction_jddc_valid", Read3::Satisfaction, Rows::Dev),
    ("en_sent3_airline_train", Read3::Sentiment, Rows::All),
    ("en_sent3_vader_movie", Read3::Sentiment, Rows::Dev),
    ("en_sent3_vader_nyt", Read3::Sentiment, Rows::Dev),
    ("en_satisfaction_sgd_valid", Read3::Satisfaction, Rows::Dev),
    ("en_politeness_wiki_train_binary", Read3::Side, Rows::Dev),
    ("en_complaint_twitter_train", Read3::Complaint, Rows::Dev),
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let errors = arguments
        .iter()
        .position(|argument| argument == "--errors")
        .and_then(|at| arguments.get(at + 1));
    let begin = Instant::now();
    // The rules alone, to see what the heads add.
    let engine = if arguments.iter().any(|argument| argument == "--rules") {
        Engine::without_heads()?
    } else {
        Engine::new()?
    };
    println!(
        "{} entries compiled in {:.1} ms",
        engine.entries(),
        begin.elapsed().as_secs_f64() * 1e3
    );
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let data = arguments
        .iter()
        .position(|argument| argument == "--data")
        .and_then(|at| arguments.get(at + 1))
        .map_or_else(beside, PathBuf::from);
    if arguments.iter().any(|argument| argument == "--speed") {
        return throughput(&engine, &data);
    }
    if let Some(name) = errors {
        return list_errors(&engine, &data, name);
    }
    println!(
        "{:<38} {:>6} {:>7} {:>7}   per label: precision/recall",
        "set", "n", "acc", "macroF1"
    );
    let mut figures = BTreeMap::new();
    for (name, question, which) in SETS {
        let Some(rows) = rows(&data, name)? else {
            println!("{name:<38} skipped: not beside the repository");
            continue;
        };
        match which {
            Rows::Halves => {
                let (odd, even) = (keep(&rows, 0), keep(&rows, 1));
                report(&format!("{name} (odd, tuned)"), &engine, &odd, *question, &mut figures);
                report(&format!("{name} (even)"), &engine, &even, *question, &mut figures);
            }
            Rows::Dev => {
                let dev: Vec<&Value> = rows.iter().filter(|row| is_dev(row)).collect();
                report(&format!("{name} (dev)"), &engine, &dev, *question, &mut figures);
            }
            Rows::All => {
                report(name, &engine, &rows.iter().collect::<Vec<_>>(), *question, &mut figures);
            }
        }
    }
    checklist(&engine, &mut figures);
    robustness(&engine);
    goals(&figures);
    agents(&engine, &data)?;
    customers(&engine, &data)?;
    throughput(&engine, &data)
}

/// Lines of our own by half, language and phenomenon; of the held half only the shares.
fn checklist(engine: &Engine, figures: &mut BTreeMap<String, Figure>) {
    const LINES: &str = include_str!("../tests/lines/checklist.tsv");
    let mut halves = BTreeMap::<(&str, &str), Vec<Value>>::new();
    let mut kinds = BTreeMap::<&str, [usize; 4]>::new();
    for line in LINES.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [half, lang, phenomenon, label, text] = columns[..] else { continue };
        let row = serde_json::json!({"label": label, "text": text});
        let right = answer(&assess(engine, &row, Read3::Sentiment), Read3::Sentiment) == label;
        let kind = kinds.entry(phenomenon).or_default();
        let at = if half == "tune" { 0 } else { 2 };
        kind[at] += 1;
        kind[at + 1] += usize::from(right);
        halves.entry((lang, half)).or_default().push(row);
    }
    for ((lang, half), rows) in &halves {
        let rows: Vec<&Value> = rows.iter().collect();
        let name = format!("checklist of our own, {lang} ({half})");
        report(&name, engine, &rows, Read3::Sentiment, figures);
    }
    for (kind, [tuned, right, held, held_right]) in kinds {
        println!("    {kind:<20} tuned {right:>3} of {tuned:<3} held {held_right:>3} of {held}");
    }
}

/// Spellings and traps of our own: of each half and language the precision and recall of urgent
/// among customers' lines and of impolite among agents'.
fn robustness(engine: &Engine) {
    const LINES: &str = include_str!("../tests/lines/robustness.tsv");
    // Lines, told, right ones among those, and lines that are of the kind.
    let mut counts = BTreeMap::<(&str, &str, &str), [usize; 4]>::new();
    for line in LINES.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [half, lang, _, label, text] = columns[..] else { continue };
        let (kind, question) = match label {
            "urgent" | "calm" => ("urgent", Read3::Complaint),
            _ => ("impolite", Read3::Politeness),
        };
        let row = serde_json::json!({"text": text});
        let told = answer(&assess(engine, &row, question), question) == kind;
        let count = counts.entry((half, lang, kind)).or_default();
        let seen = [true, told, told && label == kind, label == kind];
        for (count, seen) in count.iter_mut().zip(seen) {
            *count += usize::from(seen);
        }
    }
    for ((half, lang, kind), [n, told, right, all]) in counts {
        let share = |of: usize| right as f64 * 100.0 / of.max(1) as f64;
        let (precision, recall) = (share(told), share(all));
        println!(
            "robustness, {lang} ({half}), {kind}: recall {recall:.1} at precision {precision:.1}, n = {n} with {all}"
        );
    }
}

/// Whether a row is kept out of training; rows of one dialogue stay together.
fn is_dev(row: &Value) -> bool {
    let key = row["dialogue"].as_u64().map_or_else(
        || row["id"].as_str().unwrap_or_default().to_owned(),
        |dialogue| dialogue.to_string(),
    );
    // 256 mod 5 is 1, so the digest mod 5 is the sum of its bytes mod 5.
    Sha256::digest(key.as_bytes()).iter().map(|byte| u32::from(*byte)).sum::<u32>() % 5 == 0
}

/// Every second row, from `first`.
fn keep(rows: &[Value], first: usize) -> Vec<&Value> {
    rows.iter().skip(first).step_by(2).collect()
}

fn rows(data: &Path, name: &str) -> Result<Option<Vec<Value>>, Box<dyn Error>> {
    let plain: PathBuf = data.join(format!("{name}.jsonl"));
    let packed: PathBuf = data.join(format!("{name}.jsonl.gz"));
    let reader: Box<dyn Read> = if plain.exists() {
        Box::new(File::open(plain)?)
    } else if packed.exists() {
        Box::new(GzDecoder::new(File::open(packed)?))
    } else {
        return Ok(None);
    };
    let mut rows = Vec::new();
    for line in BufReader::new(reader).lines() {
        rows.push(serde_json::from_str(&line?)?);
    }
    Ok(Some(rows))
}

fn assess(engine: &Engine, row: &Value, question: Read3) -> Assessment {
    let role = match question {
        Read3::Politeness | Read3::Side => Role::Agent,
        _ => Role::Customer,
    };
    let context = context(row);
    let text = row["text"].as_str().unwrap_or_default();
    engine.assess(&Message { role, text, lang: None, context: &context })
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

fn answer(assessment: &Assessment, question: Read3) -> &'static str {
    match question {
        Read3::Sentiment => assessment.sentiment.map_or("", |one| one.label.as_str()),
        Read3::Politeness => assessment.politeness.map_or("", |one| one.label.as_str()),
        Read3::Side => match assessment.politeness {
            Some(one) if one.score >= f64::midpoint(IMPOLITE_BELOW, POLITE_FROM) => "polite",
            Some(_) => "impolite",
            None => "",
        },
        Read3::Complaint => assessment.complaint.map_or("", |one| one.label.as_str()),
        Read3::Satisfaction => assessment.satisfaction.map_or("", |one| one.as_str()),
    }
}

/// Labels of two-way sets in the engine's words.
fn expected(row: &Value) -> String {
    match row["label"].as_str().unwrap_or_default() {
        "no" => "normal".to_owned(),
        other => other.to_owned(),
    }
}

/// What confidences were worth.
#[derive(Default)]
struct Trust {
    /// By band of confidence: answers, sum of their confidences, right ones.
    bands: [(usize, f64, usize); 20],
}

impl Trust {
    fn see(&mut self, confidence: f64, right: bool) {
        let band = &mut self.bands[((confidence * 20.0) as usize).min(19)];
        *band = (band.0 + 1, band.1 + confidence, band.2 + usize::from(right));
    }

    /// Expected calibration error: how far confidence and share of right answers lie apart, the
    /// mean over all answers (Naeini et al. 2015).
    fn error(&self) -> f64 {
        let n: usize = self.bands.iter().map(|band| band.0).sum();
        let off = |&(_, sum, right): &(usize, f64, usize)| (sum - right as f64).abs();
        self.bands.iter().map(off).sum::<f64>() / n.max(1) as f64
    }
}

fn report(
    name: &str,
    engine: &Engine,
    rows: &[&Value],
    question: Read3,
    figures: &mut BTreeMap<String, Figure>,
) {
    let mut pairs: BTreeMap<(String, &str), usize> = BTreeMap::new();
    let labels: Vec<String> = {
        let mut labels: Vec<String> = rows.iter().map(|row| expected(row)).collect();
        labels.sort();
        labels.dedup();
        labels
    };
    let mut trust = Trust::default();
    for row in rows {
        let assessment = assess(engine, row, question);
        let mut said = answer(&assessment, question);
        if let (Read3::Sentiment, Some(sentiment)) = (question, assessment.sentiment) {
            trust.see(sentiment.confidence, said == expected(row));
        }
        if said == "urgent" && !labels.iter().any(|label| label == "urgent") {
            said = "complaint";
        }
        *pairs.entry((expected(row), said)).or_default() += 1;
    }
    let count = |label: Option<&str>, said: Option<&str>| -> usize {
        pairs
            .iter()
            .filter(|((one, other), _)| {
                label.is_none_or(|label| label == one) && said.is_none_or(|said| said == *other)
            })
            .map(|(_, n)| n)
            .sum()
    };
    let right: usize = labels.iter().map(|label| count(Some(label), Some(label))).sum();
    let mut f1 = 0.0;
    let mut detail = String::new();
    for label in &labels {
        let hits = count(Some(label), Some(label)) as f64;
        let precision = hits / (count(None, Some(label)) as f64).max(1.0);
        let recall = hits / (count(Some(label), None) as f64).max(1.0);
        if precision + recall > 0.0 {
            f1 += 2.0 * precision * recall / (precision + recall);
        }
        let _ = write!(detail, "  {label} {:.0}/{:.0}", precision * 100.0, recall * 100.0);
    }
    // Where all labels occur: on others the engine is wrong by saying neutral.
    if labels.len() == 3 && question == Read3::Sentiment {
        let _ = write!(detail, "  ECE {:.1}", trust.error() * 100.0);
    }
    // Two-way sets: how often the side is right among those that were given one.
    if labels.len() == 2 && labels == ["neg", "pos"] {
        let sided = count(None, Some("neg")) + count(None, Some("pos"));
        let _ =
            write!(detail, "  right when sided {:.1}", right as f64 / sided.max(1) as f64 * 100.0);
    }
    let figure = Figure {
        n: rows.len(),
        accuracy: right as f64 / rows.len().max(1) as f64 * 100.0,
        f1: f1 / labels.len().max(1) as f64 * 100.0,
    };
    println!("{name:<38} {:>6} {:>6.1}% {:>6.1}% {detail}", figure.n, figure.accuracy, figure.f1);
    figures.insert(name.to_owned(), figure);
}

/// The figures to reach, where a set stands in for the one that judges.
fn goals(figures: &BTreeMap<String, Figure>) {
    println!();
    println!("{:<52} {:>6} {:>7} {:>6}", "goal", "n", "reached", "goal");
    for (measure, set, by_accuracy, goal) in GOALS {
        let Some(figure) = figures.get(*set) else { continue };
        let reached = if *by_accuracy { figure.accuracy } else { figure.f1 };
        let verdict = match (reached >= *goal, figure.n < INDICATIVE) {
            (true, false) => "met",
            (true, true) => "met, indicative",
            (false, false) => "not met",
            (false, true) => "not met, indicative",
        };
        println!("{measure:<52} {:>6} {reached:>6.1}% {goal:>5.0}%  {verdict}", figure.n);
    }
    println!();
}

/// Lists the wrong answers of a set; of hand-made sets the odd rows alone.
fn list_errors(engine: &Engine, data: &Path, name: &str) -> Result<(), Box<dyn Error>> {
    let Some((_, question, which)) = SETS.iter().find(|(set, _, _)| *set == name) else {
        return Err(format!("there is no set '{name}'").into());
    };
    let rows = rows(data, name)?.unwrap_or_default();
    let step = if *which == Rows::Halves { 2 } else { 1 };
    for row in rows.iter().step_by(step).filter(|row| *which != Rows::Dev || is_dev(row)) {
        let assessment = assess(engine, row, *question);
        let said = answer(&assessment, *question);
        if said != expected(row) {
            let text = row["text"].as_str().unwrap_or_default();
            println!("{} -> {said}: {text}", expected(row));
            for evidence in &assessment.evidence {
                let (start, end) = (evidence.start, evidence.end);
                let span: String = text.chars().skip(start).take(end - start).collect();
                println!(
                    "    {} {} '{span}' {}: {}",
                    evidence.target, evidence.points, evidence.class, evidence.rule
                );
            }
        }
    }
    Ok(())
}

/// Natural agent turns hold next to no forbidden wording: whatever fires is listed.
fn agents(engine: &Engine, data: &Path) -> Result<(), Box<dyn Error>> {
    let sets = [
        "dialogues_zh_jddc_valid",
        "dialogues_en_uss_mwoz_a",
        "dialogues_en_uss_sgd_a",
        "dialogues_en_uss_ccpe_a",
    ];
    for name in sets {
        let Some(dialogues) = rows(data, name)? else {
            println!("{name:<38} skipped: not beside the repository");
            continue;
        };
        let (mut turns, mut forbidden, mut impolite, mut polite) =
            (0_usize, Vec::new(), 0_usize, 0_usize);
        for dialogue in &dialogues {
            for (number, turn) in dialogue["turns"].as_array().into_iter().flatten().enumerate() {
                if turn["role"] != "agent" {
                    continue;
                }
                let text = turn["text"].as_str().unwrap_or_default();
                let assessment =
                    engine.assess(&Message { role: Role::Agent, text, lang: None, context: &[] });
                turns += 1;
                match assessment.politeness.map_or("", |one| one.label.as_str()) {
                    "impolite" => impolite += 1,
                    "polite" => polite += 1,
                    _ => {}
                }
                if assessment.forbidden {
                    let rules: Vec<String> = assessment
                        .evidence
                        .iter()
                        .filter(|evidence| evidence.points < -25.0)
                        .map(|evidence| format!("{}:{}", evidence.class, evidence.rule))
                        .collect();
                    forbidden.push(format!(
                        "    {}#{number} [{}] {text}",
                        dialogue["id"],
                        rules.join(", ")
                    ));
                }
            }
        }
        let share = |n: usize| n as f64 / turns.max(1) as f64 * 100.0;
        println!(
            "{name}: {turns} agent turns, forbidden {} ({:.2} %), impolite {impolite} ({:.2} %), polite {polite} ({:.1} %)",
            forbidden.len(),
            share(forbidden.len()),
            share(impolite),
            share(polite),
        );
        for line in forbidden {
            println!("{line}");
        }
    }
    Ok(())
}

/// Natural customer turns hold few urgent messages: whatever fires is listed.
fn customers(engine: &Engine, data: &Path) -> Result<(), Box<dyn Error>> {
    let sets = [
        "dialogues_zh_jddc_valid",
        "dialogues_en_multidogo_train",
        "dialogues_en_uss_mwoz_a",
        "dialogues_en_uss_sgd_a",
        "dialogues_en_uss_ccpe_a",
    ];
    for name in sets {
        let Some(dialogues) = rows(data, name)? else {
            println!("{name:<38} skipped: not beside the repository");
            continue;
        };
        let (mut turns, mut urgent) = (0_usize, Vec::new());
        for turn in dialogues.iter().flat_map(|one| one["turns"].as_array().into_iter().flatten()) {
            if turn["role"] != "customer" {
                continue;
            }
            let text = turn["text"].as_str().unwrap_or_default();
            let assessment =
                engine.assess(&Message { role: Role::Customer, text, lang: None, context: &[] });
            turns += 1;
            let Some(complaint) = assessment.complaint else { continue };
            if complaint.label.as_str() == "urgent" {
                let rules: Vec<&str> = assessment
                    .evidence
                    .iter()
                    .filter(|evidence| evidence.class == "risk" && evidence.points > 0.4)
                    .map(|evidence| &*evidence.rule)
                    .collect();
                let category = complaint.category.map_or("-", |category| category.as_str());
                urgent.push(format!("    {category} [{}] {text}", rules.join(", ")));
            }
        }
        println!(
            "{name}: {turns} customer turns, urgent {} ({:.2} %)",
            urgent.len(),
            urgent.len() as f64 / turns.max(1) as f64 * 100.0
        );
        for line in urgent {
            println!("{line}");
        }
    }
    Ok(())
}

/// Messages a second on one core, over real turns of 16 to 20 characters.
/// The best of so many rounds counts: the machine is shared.
const ROUNDS: usize = 200;

fn throughput(engine: &Engine, data: &Path) -> Result<(), Box<dyn Error>> {
    let Some(dialogues) = rows(data, "dialogues_zh_jddc_valid")? else {
        return Ok(());
    };
    let turns: Vec<(Role, String)> = dialogues
        .iter()
        .flat_map(|dialogue| dialogue["turns"].as_array().into_iter().flatten())
        .filter_map(|turn| {
            let role = if turn["role"] == "agent" { Role::Agent } else { Role::Customer };
            turn["text"].as_str().map(|text| (role, text.to_owned()))
        })
        .filter(|(_, text)| (16..=20).contains(&text.chars().count()))
        .collect();
    let mut best = f64::INFINITY;
    let mut evidence = 0;
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        for (role, text) in &turns {
            evidence += engine
                .assess(&Message { role: *role, text, lang: None, context: &[] })
                .evidence
                .len();
        }
        best = best.min(begin.elapsed().as_secs_f64());
    }
    println!(
        "{} turns of 16..20 characters: {:.0} messages/s on one core, {:.1} evidence each",
        turns.len(),
        turns.len() as f64 / best,
        evidence as f64 / ROUNDS as f64 / turns.len().max(1) as f64,
    );
    let mut each: Vec<f64> = Vec::with_capacity(turns.len() * ROUNDS);
    for (role, text) in turns.iter().cycle().take(turns.len() * ROUNDS) {
        let begin = Instant::now();
        engine.assess(&Message { role: *role, text, lang: None, context: &[] });
        each.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    each.sort_by(f64::total_cmp);
    let at = |share: f64| each.get((each.len() as f64 * share) as usize).copied().unwrap_or(0.0);
    println!("one of them: p50 {:.1} us, p99 {:.1} us, n = {}", at(0.5), at(0.99), each.len());
    for bytes in [1, 4, 16] {
        let text: String =
            turns.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(",");
        let text: String = text
            .chars()
            .scan(0, |size, c| {
                *size += c.len_utf8();
                (*size <= bytes * 1024).then_some(c)
            })
            .collect();
        let begin = Instant::now();
        engine.assess(&Message { role: Role::Customer, text: &text, lang: None, context: &[] });
        println!("one message of {bytes:>2} KiB: {:.0} us", begin.elapsed().as_secs_f64() * 1e6);
    }
    Ok(())
}
