//! A partition with its events, driven by words.

use zhili_incident::*;

/// 2026-01-01T00:00:00Z.
pub(crate) const START: i64 = 1_767_225_600_000;
pub(crate) const MINUTE: i64 = 60_000;

pub(crate) struct Desk {
    pub(crate) partition: Partition,
    pub(crate) events: Vec<IncidentEvent>,
    pub(crate) now: i64,
    commands: u32,
}

pub(crate) fn signal(id: &str, severity: Severity) -> Signal {
    Signal {
        signal_id: id.to_owned(),
        tenant: "acme".to_owned(),
        team: "default".to_owned(),
        conversation_id: "c1".to_owned(),
        family: Family::Complaint,
        kind: "urgent_complaint".to_owned(),
        category: "regulator".to_owned(),
        severity,
        event_id: format!("e-{id}"),
        effective_ms: START - 50,
        probability: 0.9,
        rules: vec!["complaint.regulator".to_owned()],
        related: Vec::new(),
        excerpt: "我要向消费者协会投诉".to_owned(),
        agent: "a1".to_owned(),
        customer: "u1".to_owned(),
        channel: "app".to_owned(),
        queue: "q".to_owned(),
        historical: false,
        engine: "test".to_owned(),
        background: Background::default(),
    }
}

pub(crate) fn config(json: &str) -> Config {
    serde_json::from_str(json).expect("a valid config")
}

/// Two steps of a minute, two webhooks, one repeat.
pub(crate) fn two_steps() -> Config {
    config(
        r#"{"teams": {"default": {
            "policies": {"default": {"repeat": 1, "steps": [
                {"destinations": ["floor"], "delay_ms": 60000},
                {"destinations": ["managers"], "delay_ms": 60000}
            ]}},
            "destinations": {
                "floor": {"webhook": {"url": "https://hooks.example/floor", "secret": "env:FLOOR"}},
                "managers": {"webhook": {"url": "https://hooks.example/managers"}}
            }
        }}}"#,
    )
}

pub(crate) fn one_webhook() -> Config {
    config(
        r#"{"teams": {"default": {"destinations": {
            "floor": {"webhook": {"url": "https://hooks.example/floor"}}
        }}}}"#,
    )
}

/// A person on call from 08:00 to 20:00 in New York, a manager who is not woken at night, a
/// fallback.
pub(crate) fn on_call() -> Config {
    config(
        r#"{"teams": {"default": {
            "policies": {"default": {"repeat": 1, "fallback": ["desk"], "steps": [
                {"on_call": ["day"], "delay_ms": 60000},
                {"destinations": ["managers"], "delay_ms": 60000}
            ]}},
            "schedules": {"day": {"tz": "America/New_York", "layers": [{
                "members": ["mei", "bo"], "rotation": "daily", "starts": "2025-12-29T08:00",
                "only": {"tz": "America/New_York", "weekly": {"mon-sun": [["08:00", "20:00"]]}}
            }]}},
            "quiet_hours": {
                "managers": {"tz": "America/New_York", "weekly": {"mon-sun": [["19:00", "09:00"]]}}
            },
            "destinations": {
                "mei": {"webhook": {"url": "https://hooks.example/mei"}},
                "bo": {"webhook": {"url": "https://hooks.example/bo"}},
                "managers": {"webhook": {"url": "https://hooks.example/managers"}},
                "desk": {"webhook": {"url": "https://hooks.example/desk"}}
            }
        }}}"#,
    )
}

impl Desk {
    pub(crate) fn new(config: Config) -> Self {
        let mut desk = Self::unconfigured();
        desk.configure(1, config);
        desk
    }

    pub(crate) fn unconfigured() -> Self {
        Self { partition: Partition::new(), events: Vec::new(), now: START, commands: 0 }
    }

    pub(crate) fn apply(&mut self, entry: Entry) -> Option<Ignored> {
        self.partition.apply(self.now, entry, &mut self.events)
    }

    pub(crate) fn configure(&mut self, sequence: u64, config: Config) -> Option<Ignored> {
        let (tenant, bundle) = ("acme".to_owned(), format!("bundle-{sequence}"));
        self.apply(Entry::Config { tenant, bundle, sequence, config })
    }

    pub(crate) fn signal(&mut self, id: &str, severity: Severity) -> Option<Ignored> {
        self.apply(Entry::Signal(signal(id, severity)))
    }

    /// Lets time pass, tick by tick as a live owner would.
    pub(crate) fn wait(&mut self, ms: i64) {
        let until = self.now + ms;
        while let Some(due) = self.partition.next_due().filter(|due| *due <= until) {
            self.now = due.max(self.now);
            self.partition.advance(self.now, &mut self.events);
        }
        self.now = until;
        self.partition.advance(until, &mut self.events);
    }

    /// Lets time pass at once, as after an outage.
    pub(crate) fn jump(&mut self, ms: i64) {
        self.now += ms;
        self.partition.advance(self.now, &mut self.events);
    }

    pub(crate) fn command(&mut self, action: Action, actor: &str) -> IncidentEvent {
        self.commands += 1;
        let id = format!("auto-{}", self.commands);
        self.command_with(&id, 0, action, actor)
    }

    pub(crate) fn command_with(
        &mut self,
        id: &str,
        expected_version: u64,
        action: Action,
        actor: &str,
    ) -> IncidentEvent {
        let incident_id = self.incident().incident_id.to_string();
        self.command_on(&incident_id, id, expected_version, action, actor)
    }

    pub(crate) fn command_on(
        &mut self,
        incident_id: &str,
        id: &str,
        expected_version: u64,
        action: Action,
        actor: &str,
    ) -> IncidentEvent {
        let command = Command {
            command_id: id.to_owned(),
            tenant: "acme".to_owned(),
            team: "default".to_owned(),
            incident_id: incident_id.to_owned(),
            expected_version,
            actor: actor.to_owned(),
            note: "note".to_owned(),
            action,
        };
        let before = self.events.len();
        self.apply(Entry::Command(command));
        let mut answers = self.events[before..].iter().filter(|event| event.answer.is_some());
        let answer = answers.next().expect("every command is answered").clone();
        assert!(answers.next().is_none(), "a command is answered once");
        answer
    }

    /// The incident that was told of last, or else the one opened last.
    pub(crate) fn incident(&self) -> &Incident {
        let told = self.events.iter().rev().find_map(|event| event.incident.as_ref());
        let told = told.and_then(|incident| self.partition.get(incident.incident_id));
        let opened = || self.partition.incidents().max_by_key(|incident| incident.triggered_at_ms);
        told.or_else(opened).expect("an incident in memory")
    }

    /// What happened, but for attempts that changed nothing.
    pub(crate) fn kinds(&self) -> Vec<EventKind> {
        let kinds = self.events.iter().map(|event| event.kind);
        kinds.filter(|kind| *kind != EventKind::Attempted).collect()
    }

    pub(crate) fn take_kinds(&mut self) -> Vec<EventKind> {
        let kinds = self.kinds();
        self.events.clear();
        kinds
    }

    pub(crate) fn effects(&self, owner: &str) -> Vec<Effect<'_>> {
        self.partition.effects(self.now, owner, |_, _| false)
    }

    /// Pages that ask to be claimed.
    pub(crate) fn wanted(&self) -> Vec<(PageId, u32)> {
        let wanted = |effect: &Effect<'_>| match effect {
            Effect::Claim { page_id, attempt, .. } => Some((*page_id, *attempt)),
            Effect::Send { .. } => None,
        };
        self.effects("me").iter().filter_map(wanted).collect()
    }

    /// Sends that are offered to an owner.
    pub(crate) fn sends(&self, owner: &str) -> Vec<(PageId, u32, String)> {
        let send = |effect: &Effect<'_>| match effect {
            Effect::Send { page, attempt, .. } => {
                Some((page.page_id, *attempt, page.destination.clone()))
            }
            Effect::Claim { .. } => None,
        };
        self.effects(owner).iter().filter_map(send).collect()
    }

    pub(crate) fn claim(&mut self, page_id: PageId, attempt: u32, owner: &str) -> Option<Ignored> {
        self.apply(Entry::Claim(Claim { page_id, attempt, owner: owner.to_owned() }))
    }

    pub(crate) fn result(
        &mut self,
        page_id: PageId,
        attempt: u32,
        outcome: Outcome,
    ) -> Option<Ignored> {
        self.result_after(page_id, attempt, outcome, 0)
    }

    pub(crate) fn result_after(
        &mut self,
        page_id: PageId,
        attempt: u32,
        outcome: Outcome,
        retry_after_ms: i64,
    ) -> Option<Ignored> {
        let detail = match outcome {
            Outcome::Delivered => "HTTP 200",
            Outcome::Failed => "HTTP 503",
            Outcome::Rejected => "HTTP 410",
        };
        self.apply(Entry::Result(DeliveryResult {
            page_id,
            attempt,
            outcome,
            detail: detail.to_owned(),
            duration_ms: 12,
            retry_after_ms,
            code: "500".to_owned(),
            excerpt: "busy".to_owned(),
        }))
    }

    /// Claims and settles every page that wants it; returns their destinations.
    pub(crate) fn send_all(&mut self, outcome: Outcome) -> Vec<String> {
        for (page_id, attempt) in self.wanted() {
            assert_eq!(self.claim(page_id, attempt, "me"), None);
        }
        let sends = self.sends("me");
        for (page_id, attempt, _) in &sends {
            assert_eq!(self.result(*page_id, *attempt, outcome), None);
        }
        sends.into_iter().map(|(_, _, destination)| destination).collect()
    }
}
