//! Who has made and removed tokens can be looked up.

use serde_json::Value;
use zhili_tests::{Options, System, has_library};

#[tokio::test(flavor = "multi_thread")]
async fn who_made_and_removed_tokens_is_shown_and_one_made_by_hand_is_told() {
    if !has_library("who_made_and_removed_tokens_is_shown_and_one_made_by_hand_is_told") {
        return;
    }
    let mut system = System::start(Options::default());
    let run = |arguments: &[&str]| {
        let output = system.run(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let secret = run(&["token", "create", "mei", "--role", "qa", "--scope", "transcripts"]);
    run(&["token", "revoke", "mei"]);
    run(&["token", "create", "lin", "--role", "analyst"]);

    let log = run(&["token", "log", "--json"]);
    assert!(!log.contains(secret.trim()), "a token is in its journal");
    let changes: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> =
        changes.iter().map(|it| (it["action"].as_str(), it["token"]["name"].as_str())).collect();
    let of = |action, name| (Some(action), Some(name));
    let all =
        [of("create", "admin"), of("create", "mei"), of("revoke", "mei"), of("create", "lin")];
    assert_eq!(told, all);
    assert_eq!(changes[1]["token"]["scopes"][0], "transcripts");

    let audit = run(&["audit", "--json"]);
    let entries: Vec<Value> =
        audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let about = |it: &&Value| it["permission"] == "tokens";
    assert_eq!(entries.iter().filter(about).count(), all.len(), "{audit}");
    let revoked = entries.iter().find(|it| it["endpoint"] == "zhili token revoke").unwrap();
    assert_eq!(revoked["target"], "mei");

    // Whoever writes into the file itself is seen by what is missing.
    let file = system.path().join("tokens.json");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("analyst", "admin")).unwrap();
    let doctor = system.run(&["doctor"]);
    assert!(!doctor.status.success());
    let words = String::from_utf8(doctor.stdout).unwrap();
    assert!(
        words.contains("nothing says who made these tokens") && words.contains(": lin;"),
        "{words}"
    );
    system.stop();
}
