//! The commands of the README and of the operations handbook, as they stand there, against a running
//! system.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use zhili_tests::{Options, System, has_library, program, samples};

/// What a test has to add: the one goes on until somebody ends it, the other ends with 1 while nobody is
/// reachable, as it should.
const ADDED: [(&str, &str); 2] = [
    ("tail --last 20", "tail --last 20 --until-now"),
    ("$zhili doctor ", "$zhili doctor || test $? = 1 "),
];

/// Of the handbook: what needs more than a machine with a system on it.
const ELSEWHERE: [&str; 2] = ["docker ", "kubectl "];

fn page(path: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(file).unwrap()
}

/// The blocks of a language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let blocks = page.split(fence.as_str()).skip(1);
    blocks.filter_map(|rest| rest.split_once("```").map(|(block, _)| block)).collect()
}

/// What a reader puts in where the README leaves a place, and where this system is.
struct Reader<'a> {
    system: &'a System,
    events: PathBuf,
    incident: String,
}

impl Reader<'_> {
    fn fill(&self, block: &str) -> String {
        let mut script = block.to_owned();
        for offset in 0..5 {
            let written = format!("http://127.0.0.1:{}", 7400 + offset);
            script = script.replace(&written, &self.system.url(offset));
        }
        let token = self.system.path().join("token").display().to_string();
        let events = format!("--events {}", self.events.display());
        let places = [
            (".zhili/token", token.as_str()),
            ("target/release/zhili", program().to_str().unwrap()),
            ("inc_...", &self.incident),
            ("--events FILE", &events),
            ("--customer ID", "--customer u1"),
            ("--conversation ID", "--conversation c1"),
        ];
        for (place, with) in places.into_iter().chain(ADDED) {
            script = script.replace(place, with);
        }
        script
    }

    /// Runs a block, which ends at the first command that fails; curl fails at an answer that refuses.
    fn run(&self, block: &str) -> Output {
        let script = format!(
            "curl() {{ command curl --fail-with-body \"$@\"; }}\nzhili() {{ {} \"$@\"; }}\n{}",
            program().display(),
            self.fill(block)
        );
        let mut shell = Command::new("sh");
        shell
            .args(["-eu", "-c", &script])
            .env("ZHILI_DATA", self.system.path())
            .stdin(Stdio::null());
        let output = shell.current_dir(self.system.path()).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{script}\n{said}\n{words}");
        output
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_the_readme_gets_what_its_commands_promise() {
    if !has_library("a_reader_of_the_readme_gets_what_its_commands_promise") {
        return;
    }
    let system = System::start(Options::default());
    // What `make run` does.
    system.publish(&samples::files());
    system.settle().await;
    let incidents = system.json(&["incidents", "list", "--json"]);
    let incident = incidents["incidents"][0]["incident_id"].as_str().unwrap().to_owned();
    let events = system.path().join("events.jsonl");
    let lines = samples::events(&samples::all()[..3], 1_772_452_800_000);
    let lines = lines.iter().fold(String::new(), |text, event| format!("{text}{event}\n"));
    std::fs::write(&events, lines).unwrap();
    let reader = Reader { system: &system, events, incident: incident.clone() };

    let readme = page("README.md");
    let scripts = blocks(&readme, "sh");
    let [start, verbs, publish, suggest, ask] = scripts.as_slice() else {
        panic!("{} blocks: what comes of each?", scripts.len());
    };
    assert_eq!(start.trim(), "make run", "this test does what that does");

    let taken: Value = serde_json::from_slice(&reader.run(publish).stdout).unwrap();
    assert_eq!(taken["accepted"], 1, "{taken}");
    system.settle().await;
    let urgent = "SELECT count() FROM v_events WHERE source = 'demo' AND complaint = 'urgent'";
    assert_eq!(system.tables().number(urgent).await, 1);

    let found = system.json(&["find", "--conversation", "c1", "--json"]);
    let conversation = found["pseudonyms"][0]["pseudonym"].as_str().unwrap();
    let of_it = format!("SELECT count() FROM v_events WHERE conversation_id = '{conversation}'");
    assert_eq!(system.tables().number(&of_it).await, 1);

    let suggested: Value = serde_json::from_slice(&reader.run(suggest).stdout).unwrap();
    assert!(!suggested["suggestions"].as_array().unwrap().is_empty(), "{suggested}");
    assert!(!reader.run(ask).stdout.is_empty(), "no agent has answered");

    let said = String::from_utf8(reader.run(verbs).stdout).unwrap();
    assert!(said.contains("no destination"), "doctor sees that nobody is paged: {said}");
    let list = system.json(&["incidents", "list", "--all", "--json"]);
    let of = |it: &&Value| it["incident_id"] == incident.as_str();
    let taken = list["incidents"].as_array().unwrap().iter().find(of);
    assert_eq!(taken.unwrap()["state"], "acknowledged", "{list}");

    let handbook = page("docs/operations.md");
    let of_one_machine = |block: &&str| !ELSEWHERE.iter().any(|word| block.contains(word));
    let scripts: Vec<&str> = blocks(&handbook, "sh").into_iter().filter(of_one_machine).collect();
    assert_eq!(scripts.len(), 2, "{scripts:?}");
    for script in scripts {
        reader.run(script);
    }
    let report = std::fs::read_to_string(system.path().join("week.html")).unwrap();
    assert!(report.contains("<table"), "{report}");
}
