//! Configurations: what is refused, and which one is in force.

use zhili_incident::*;

use crate::desk::*;

fn error(json: &str) -> String {
    serde_json::from_str::<Config>(json).expect_err("refused").to_string()
}

fn team(json: &str) -> String {
    error(&format!(r#"{{"teams": {{"default": {json}}}}}"#))
}

#[test]
fn an_error_names_the_field_and_says_what_is_wrong() {
    let with_steps = |steps: &str| {
        team(&format!(
            r#"{{"destinations": {{"a": {{"watch": {{}}}}}}, "policies": {{"default": {steps}}}}}"#
        ))
    };
    for (error, wanted) in [
        (
            with_steps(r#"{"steps": [{"destinations": ["a"], "delay_ms": 5}]}"#),
            "teams.default.policies.default.steps[0].delay_ms: 5 is not within 10000 and 86400000",
        ),
        (with_steps(r#"{"steps": []}"#), "policies.default.steps: 0 steps; give 1 to 20"),
        (
            with_steps(r#"{"steps": [{"destinations": []}]}"#),
            "steps[0].destinations: empty; name at least one",
        ),
        (
            with_steps(r#"{"steps": [{"destinations": ["b"]}]}"#),
            "steps[0].destinations: no destination is called \"b\"",
        ),
        (
            with_steps(r#"{"steps": [{"destinations": ["a", "a"]}]}"#),
            "steps[0].destinations: \"a\" is named twice",
        ),
        (
            with_steps(r#"{"steps": [{"destinations": ["a"]}], "repeat": 10}"#),
            "policies.default.repeat: 10 is over 9",
        ),
        (
            with_steps(r#"{"steps": [{"destinations": ["a"]}], "fallback": ["z"]}"#),
            "policies.default.fallback: no destination is called \"z\"",
        ),
        (team(r#"{"policy": "night"}"#), "teams.default.policy: no policy is called \"night\""),
        (
            team(r#"{"by_family": {"sla": "night"}}"#),
            "teams.default.by_family.sla: no policy is called \"night\"",
        ),
        (team(r#"{"cool_down_ms": -1}"#), "teams.default.cool_down_ms: -1 is not within 0"),
        (team(r#"{"ack_timeout_ms": 1}"#), "teams.default.ack_timeout_ms: 1 is neither 0 nor"),
        (
            team(r#"{"destinations": {"A": {"watch": {}}}}"#),
            "teams.default.destinations.A: names are",
        ),
        (
            team(r#"{"destinations": {"a": {"webhook": {"url": "ftp://x"}}}}"#),
            "teams.default.destinations.a.webhook.url: not an http:// or https:// address",
        ),
        (
            team(r#"{"destinations": {"a": {"webhook": {"url": "https://"}}}}"#),
            "teams.default.destinations.a.webhook.url: not an http:// or https:// address",
        ),
        (
            team(
                r#"{"destinations": {"a": {"webhook":
                    {"url": "https://x", "secret": "whsec_AAAA"}}}}"#,
            ),
            "destinations.a.webhook.secret: says where the secret is",
        ),
    ] {
        assert!(error.contains(wanted), "{error:?} lacks {wanted:?}");
    }
}

#[test]
fn unknown_fields_are_refused_at_every_level() {
    for json in [
        r#"{"extra": 1}"#,
        r#"{"teams": {"default": {"extra": 1}}}"#,
        r#"{"teams": {"default": {"destinations": {"a": {"watch": {"extra": 1}}}}}}"#,
        r#"{"teams": {"default": {"destinations": {"a": {"pigeon": {}}}}}}"#,
        r#"{"teams": {"default": {"policies": {"p": {"steps": [], "extra": 1}}}}}"#,
    ] {
        let error = error(json);
        assert!(error.contains("unknown"), "{error}");
    }
}

#[test]
fn neither_errors_nor_printing_show_the_path_of_a_webhook() {
    let token = "s3cr3t-t0k3n";
    let error = team(&format!(
        r#"{{"destinations": {{"a": {{"webhook": {{"url": "https://h/ {token}"}}}}}}}}"#
    ));
    assert!(!error.contains(token), "{error}");
    let webhook = Webhook {
        url: format!("https://user:{token}@h/{token}?{token}"),
        secret: None,
        allow_private: false,
    };
    assert_eq!(
        format!("{webhook:?}"),
        "Webhook { url: https://h/..., secret: None, allow_private: false }"
    );
}

#[test]
fn a_configuration_reads_back_as_it_was_written() {
    let config = two_steps();
    let json = serde_json::to_string(&config).expect("writable");
    assert_eq!(serde_json::from_str::<Config>(&json).expect("readable"), config);
}

#[test]
fn a_lower_or_equal_sequence_is_ignored() {
    let mut desk = Desk::unconfigured();
    assert_eq!(desk.configure(5, two_steps()), None);
    assert_eq!(desk.configure(5, Config::default()), Some(Ignored::OldConfig));
    assert_eq!(desk.configure(4, Config::default()), Some(Ignored::OldConfig));
    desk.signal("s1", Severity::High);
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
}

#[test]
fn an_incident_keeps_the_policy_that_it_started_with() {
    let mut desk = Desk::new(two_steps());
    desk.signal("s1", Severity::High);
    desk.send_all(Outcome::Delivered);
    let mut team = two_steps().teams()["default"].clone();
    team.policies.clear();
    let config = Config::new([("default".to_owned(), team)].into()).expect("a valid config");
    desk.configure(2, config);
    desk.wait(MINUTE);
    assert_eq!(desk.send_all(Outcome::Delivered), ["managers"]);
    assert_eq!(desk.incident().policy.bundle, "bundle-1");
}

#[test]
fn a_tenant_without_a_configuration_uses_the_one_for_any_tenant() {
    let mut desk = Desk::unconfigured();
    let any = |sequence, config| Entry::Config {
        tenant: ANY_TENANT.to_owned(),
        bundle: String::new(),
        sequence,
        config,
    };
    desk.apply(any(1, one_webhook()));
    desk.signal("s1", Severity::High);
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
    desk.configure(1, Config::default());
    let other = Signal { conversation_id: "c2".to_owned(), ..signal("s2", Severity::High) };
    desk.apply(Entry::Signal(other));
    assert_eq!(desk.incident().exhausted, Some(Exhausted::NobodyReachable), "it has its own now");
}

#[test]
fn a_tenant_that_gives_up_its_configuration_uses_the_one_for_any_tenant_again() {
    let mut desk = Desk::unconfigured();
    desk.apply(Entry::Config {
        tenant: ANY_TENANT.to_owned(),
        bundle: String::new(),
        sequence: 1,
        config: one_webhook(),
    });
    desk.configure(1, Config::default());
    desk.signal("s1", Severity::High);
    assert_eq!(desk.incident().exhausted, Some(Exhausted::NobodyReachable));
    desk.apply(Entry::NoConfig { tenant: "acme".to_owned(), sequence: 2 });
    assert_eq!(desk.send_all(Outcome::Delivered), ["floor"]);
}

#[test]
fn a_family_may_have_a_policy_of_its_own_and_a_team_falls_back_to_the_default_team() {
    let mut team = two_steps().teams()["default"].clone();
    let managers =
        Step { destinations: vec!["managers".to_owned()], on_call: Vec::new(), delay_ms: 60_000 };
    team.policies.insert(
        "crisis".to_owned(),
        Steps { steps: vec![managers], repeat: 0, fallback: Vec::new() },
    );
    team.by_family.insert(Family::Crisis, "crisis".to_owned());
    let config = Config::new([("default".to_owned(), team)].into()).expect("a valid config");
    let mut desk = Desk::new(config);
    let crisis =
        Signal { family: Family::Crisis, team: "vip".to_owned(), ..signal("s1", Severity::High) };
    desk.apply(Entry::Signal(crisis));
    assert_eq!(desk.send_all(Outcome::Delivered), ["managers"]);
    assert_eq!(desk.incident().policy.name, "crisis");
}

fn destination(json: &str) -> String {
    team(&format!(r#"{{"destinations": {{"a": {json}}}}}"#))
}

#[test]
fn every_kind_of_destination_is_known() {
    let config = config(
        r#"{"teams": {"default": {"destinations": {
            "shift": {"dingtalk": {"url": "env:SHIFT", "secret": "env:SIGN", "mentions": ["u1"]}},
            "leads": {"wecom": {"url": "file:/run/secrets/leads"}},
            "hub": {"feishu": {"url": "https://open.feishu.cn/open-apis/bot/v2/hook/x"}},
            "abroad": {"slack": {"url": "env:SLACK", "mention_all": true, "language": "en"}},
            "night": {"pagerduty": {"routing_key": "env:PD"}},
            "director": {"email": {"server": "smtp.example:587", "from": "z@example.com",
                "to": ["d@example.com"], "username": "z", "password": "env:MAIL"}},
            "screen": {"watch": {}}
        }}}}"#,
    );
    let channels: Vec<&str> = config.teams()["default"]
        .destinations
        .values()
        .map(|destination| destination.channel().name())
        .collect();
    assert_eq!(
        channels,
        ["slack", "email", "feishu", "wecom", "pagerduty", "watch", "dingtalk"],
        "in the order of their names"
    );
}

#[test]
fn a_secret_that_stands_in_a_destination_itself_is_refused_and_not_shown() {
    let token = "s3cr3t-t0k3n";
    for (json, field) in [
        (r#"{"dingtalk": {"url": "env:A", "secret": "TOKEN"}}"#, "dingtalk.secret"),
        (r#"{"pagerduty": {"routing_key": "TOKEN"}}"#, "pagerduty.routing_key"),
        (
            r#"{"email": {"server": "h:587", "from": "a@h", "to": ["b@h"], "username": "a",
                "password": "TOKEN"}}"#,
            "email.password",
        ),
        (r#"{"wecom": {"url": "TOKEN"}}"#, "wecom.url"),
    ] {
        let error = destination(&json.replace("TOKEN", token));
        assert!(error.contains(field) && !error.contains(token), "{error}");
    }
    let robot = Robot {
        url: format!("https://h/send?access_token={token}"),
        secret: None,
        mentions: Vec::new(),
        mention_all: false,
        language: Language::Zh,
        allow_private: false,
    };
    assert!(!format!("{robot:?}").contains(token), "{robot:?}");
}

#[test]
fn what_a_channel_cannot_do_is_refused_when_it_is_configured() {
    for (json, told) in [
        (r#"{"wecom": {"url": "env:A", "mention_all": true}}"#, "mention everybody"),
        (r#"{"slack": {"url": "env:A", "secret": "env:B"}}"#, "slack.secret"),
        (r#"{"feishu": {"url": "env:A", "mentions": ["<at id=all>"]}}"#, "feishu.mentions"),
        (r#"{"email": {"server": "smtp.example", "from": "a@h", "to": ["b@h"]}}"#, "email.server"),
        (r#"{"email": {"server": "h:25", "from": "a@h", "to": []}}"#, "email.to"),
        (r#"{"email": {"server": "h:25", "from": "a@h", "to": ["b@h\nBcc: c@h"]}}"#, "email.to"),
        (
            r#"{"email": {"server": "h:25", "from": "a@h", "to": ["b@h"], "security": "none"}}"#,
            "email.security",
        ),
        (
            r#"{"email": {"server": "h:25", "from": "a@h", "to": ["b@h"], "username": "a"}}"#,
            "email.password",
        ),
    ] {
        let error = destination(&json.replace('\n', "\\n"));
        assert!(error.contains(told), "{error}");
    }
}
