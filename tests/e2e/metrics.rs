//! Alerts and dashboards ask for metrics that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use zhili_tests::{Options, Receiver, System, eventually, has_library, samples};

const PATIENCE: Duration = Duration::from_secs(60);

/// Labels that whoever scrapes adds.
const SCRAPED: [&str; 3] = ["job", "instance", "namespace"];

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(deploy().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Everything that is asked of Prometheus, with where.
fn asked() -> Vec<(String, String)> {
    let files = [
        "prometheus/rules/zhili.yml",
        "kubernetes/prometheus-adapter.yaml",
        "kubernetes/components/autoscaling/scaling.yaml",
    ];
    let mut asked: Vec<_> = files.map(|path| (path.to_owned(), read(path))).into();
    for entry in std::fs::read_dir(deploy().join("grafana/dashboards")).unwrap() {
        let path = format!("grafana/dashboards/{}", entry.unwrap().file_name().to_str().unwrap());
        let dashboard: Value = serde_json::from_str(&read(&path)).unwrap();
        let panels = dashboard["panels"].as_array().unwrap();
        let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
        let queries = targets.filter_map(|target| target["expr"].as_str());
        asked.extend(queries.map(|query| (path.clone(), query.to_owned())));
    }
    asked
}

/// A metric that is asked for, with the labels that it must have, or must be able to have.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Wanted {
    name: String,
    labels: BTreeSet<(String, String)>,
}

/// The metrics in an expression. Labels that are matched by a pattern are not looked at.
fn wanted(text: &str) -> Vec<Wanted> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (start, _) in text.match_indices("zhili_") {
        if text[..start].ends_with(is_name) {
            continue;
        }
        let rest = &text[start..];
        let name = rest.split(|c| !is_name(c)).next().unwrap();
        let braces = rest[name.len()..].strip_prefix('{').and_then(|it| it.split('}').next());
        let labels = braces.unwrap_or_default().split(',').filter_map(|matcher| {
            let (label, value) = matcher.split_once("=\"")?;
            let label = label.trim().trim_end_matches('!');
            let value = value.trim_end().strip_suffix('"')?;
            (!value.is_empty()).then(|| (label.to_owned(), value.to_owned()))
        });
        let labels = labels.filter(|(label, _)| !SCRAPED.contains(&label.as_str())).collect();
        found.push(Wanted { name: name.to_owned(), labels });
    }
    found
}

/// What four services show: each sample's name with its labels as they are written.
async fn shown(system: &System) -> BTreeMap<String, Vec<String>> {
    let mut samples = BTreeMap::<String, Vec<String>>::new();
    for service in 0..4 {
        let url = format!("{}/metrics", system.url(service));
        let text = reqwest::get(url).await.unwrap().text().await.unwrap();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let end = line.find(['{', ' ']).unwrap();
            samples.entry(line[..end].to_owned()).or_default().push(line[end..].to_owned());
        }
    }
    samples
}

fn is_shown(wanted: &Wanted, shown: &BTreeMap<String, Vec<String>>) -> bool {
    shown.get(&wanted.name).is_some_and(|lines| {
        let has = |label: &str, value: &str| {
            lines.iter().any(|line| line.contains(&format!("{label}=\"{value}\"")))
        };
        wanted.labels.iter().all(|(label, value)| has(label, value))
    })
}

#[test]
fn metrics_are_found_in_what_is_asked() {
    let labels = |labels: &[(&str, &str)]| {
        labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect()
    };
    let found = wanted(
        r#"rate(zhili_a_total{job="j", kind!="x",group=~"y|z"}[5m]) / zhili_b > not_zhili_c"#,
    );
    let a = Wanted { name: "zhili_a_total".to_owned(), labels: labels(&[("kind", "x")]) };
    let b = Wanted { name: "zhili_b".to_owned(), labels: labels(&[]) };
    assert_eq!(found, [a, b]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_alerts_and_dashboards_is_shown_by_a_running_system() {
    if !has_library("every_metric_of_alerts_and_dashboards_is_shown_by_a_running_system") {
        return;
    }
    let pages = Receiver::start().await;
    let mut system = System::start(Options { webhook: Some(pages.target()), ..Options::default() });
    let message = |id: &str, text: &str| {
        serde_json::json!({
            "event_id": id, "source": "desk", "conversation_id": "c-1", "type": "message",
            "sent_at": samples::now(), "customer": {"id": "k"},
            "author": {"id": "k", "role": "customer"}, "text": text,
        })
    };
    // What happens only now and then has a metric only when it has happened: here a page, a
    // number that is masked, an event that is rejected, and a request that nobody can read.
    let urgent = "我已经委托了律师，明天律师函就到，再不退款就打12315投诉，我的电话13800138000";
    let mut wrong = message("m-2", "hello");
    wrong["sent_at"] = "yesterday".into();
    let answer = system.post(&[message("m-1", urgent), wrong], &[]).await.unwrap();
    assert_eq!(answer["accepted"], 1, "{answer}");
    let malformed = reqwest::Client::new().post(format!("{}/v1/events", system.url(0)));
    let malformed =
        malformed.bearer_auth(system.token()).header("content-type", "application/json");
    let malformed = malformed.body("[{").send().await.unwrap();
    assert!(malformed.status().is_client_error());
    eventually("a page", PATIENCE, async || pages.pages().pop()).await;

    let asked = asked();
    let wanted: BTreeSet<Wanted> = asked.iter().flat_map(|(_, text)| wanted(text)).collect();
    assert!(wanted.len() > 20, "only {} metrics are asked for", wanted.len());
    let mut missing = Vec::new();
    let all = async || {
        let shown = shown(&system).await;
        missing = wanted.iter().filter(|it| !is_shown(it, &shown)).collect();
        missing.is_empty().then_some(())
    };
    // Rows are written a moment later, and groups are looked at every ten seconds.
    let all = tokio::time::timeout(PATIENCE, eventually("all metrics", 2 * PATIENCE, all)).await;
    assert!(all.is_ok(), "nothing shows {missing:?}");
    assert!(system.stop().success());
}
