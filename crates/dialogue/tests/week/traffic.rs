//! Two weeks of three tenants' conversations, as a log: seeded, the same on every machine.
//!
//! The first is the end of the Chinese golden week with a make-up Saturday, the second begins with
//! the end of summer time in Berlin and ends with that in New York. People write by day and answer
//! by what they have to do; records come late, twice, and from clocks that are ahead.

use jiff::civil::date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde_json::{Value, json};

use crate::dice::Dice;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// First days (UTC) and lengths of the weeks.
const WEEKS: [(i8, i8, i64); 2] = [(10, 5, 7), (10, 25, 8)];
/// How long time goes on after the last arrival of a week: idle cycles end, history is forgotten.
const AFTERMATH: i64 = 4 * DAY;

/// One record of the log: an event, or time that passes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    /// When the log took it in.
    pub(crate) at_ms: i64,
    /// When its publisher says that it happened.
    pub(crate) sent_ms: i64,
    pub(crate) tenant: &'static str,
    pub(crate) conversation: String,
    pub(crate) id: String,
    pub(crate) what: What,
    pub(crate) who: Who,
    /// The author's id.
    pub(crate) by: String,
    /// Empty if it does not say.
    pub(crate) queue: &'static str,
    pub(crate) says: Says,
    pub(crate) backfill: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Message,
    Edit,
    Delete,
    Join,
    Leave,
    Handoff,
    Assign,
    Open,
    Resolved,
    Reopened,
    Closed,
    /// Nothing but time.
    Tick,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Customer,
    Agent,
    Assist,
    Template,
    Auto,
    Ai,
    Bot,
    System,
    Supervisor,
    /// An agent's private note.
    Note,
}

/// What a text is, as far as times depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    Something,
    GreetingAlone,
    HoldingAlone,
    ThanksAlone,
}

/// A tenant, and what it expects of its service in the notation of the product's files.
pub(crate) struct Tenant {
    pub(crate) name: &'static str,
    tz: &'static str,
    pub(crate) queues: [&'static str; 3],
    pub(crate) settings: Value,
}

pub(crate) fn tenants() -> [Tenant; 3] {
    let target = |target_ms: i64, warn_ms: i64| json!({"target_ms": target_ms, "warn_ms": warn_ms});
    let policies = |hours: &str| {
        json!({
            "office": {
                "calendar": hours,
                "frt": target(MINUTE, 45 * SECOND),
                "nrt": {"target_ms": 2 * MINUTE},
                "resolution": {"target_ms": 4 * HOUR, "pauses_on_customer": true},
            },
            "clock": {
                "frt": target(30 * SECOND, 20 * SECOND),
                "nrt": target(3 * MINUTE, 2 * MINUTE),
                "resolution": target(HOUR, 50 * MINUTE),
                "frt_waits_for_handoff": true,
            },
            "night": {
                "calendar": "night",
                "frt": {"target_ms": 5 * MINUTE},
                "resolution": {"target_ms": 8 * HOUR},
            },
        })
    };
    [
        Tenant {
            name: "cn",
            tz: "Asia/Shanghai",
            queues: ["presale", "aftersale", "vip"],
            settings: json!({
                "calendar": "office",
                "policy": "office",
                "calendars": {
                    "office": {
                        "tz": "Asia/Shanghai",
                        "weekly": {"mon-fri": [["09:00", "12:00"], ["13:00", "18:00"]]},
                        "holidays": [
                            "2026-10-01", "2026-10-02", "2026-10-03", "2026-10-04",
                            "2026-10-05", "2026-10-06", "2026-10-07",
                        ],
                        "makeup": {"2026-10-10": [["09:00", "18:00"]]},
                    },
                    "night": {
                        "tz": "Asia/Shanghai",
                        "weekly": {"mon-sun": [["09:00", "11:30"], ["19:00", "01:30"]]},
                        "holidays": ["2026-10-05", "2026-10-06"],
                    },
                },
                "policies": policies("office"),
                "queues": {"vip": {"policy": "clock"}, "aftersale": {"calendar": "night", "policy": "night"}},
            }),
        },
        Tenant {
            name: "us",
            tz: "America/New_York",
            queues: ["support", "billing", "hotline"],
            settings: json!({
                "policy": "clock",
                "calendars": {
                    "day": {
                        "tz": "America/New_York",
                        "weekly": {"mon-fri": [["08:00", "20:00"]], "sat": [["10:00", "16:00"]]},
                    },
                    "night": {"tz": "America/New_York", "weekly": {"mon-sun": [["22:00", "06:00"]]}},
                },
                "policies": policies("day"),
                "queues": {
                    "billing": {"calendar": "day", "policy": "office"},
                    "hotline": {"calendar": "night", "policy": "night"},
                },
            }),
        },
        Tenant {
            name: "eu",
            tz: "Europe/Berlin",
            queues: ["service", "technik", "notdienst"],
            settings: json!({
                "calendar": "tag",
                "policy": "office",
                "calendars": {
                    "tag": {
                        "tz": "Europe/Berlin",
                        "weekly": {"mon-thu": [["09:00", "17:30"]], "fri": [["09:00", "15:00"]]},
                        "holidays": ["2026-10-31"],
                    },
                    "night": {"tz": "Europe/Berlin", "weekly": {"sat-sun": [["22:00", "06:00"]], "fri": [["20:00", "07:00"]]}},
                },
                "policies": policies("tag"),
                "queues": {
                    "technik": {"policy": "clock"},
                    "notdienst": {"calendar": "night", "policy": "night"},
                },
            }),
        },
    ]
}

/// The log, about `events` of it, in log order.
pub(crate) fn log(seed: u64, events: usize) -> Vec<Record> {
    let tenants = tenants();
    let mut dice = Dice(seed);
    let mut records = Vec::new();
    for (number, (month, day, days)) in WEEKS.into_iter().enumerate() {
        let zone = TimeZone::UTC;
        let begin = date(2026, month, day).to_zoned(zone).expect("a date").timestamp();
        let begin_ms = begin.as_millisecond();
        let enough = records.len() + events / WEEKS.len();
        let mut conversation = 0;
        while records.len() < enough {
            conversation += 1;
            let tenant = &tenants[dice.below(3) as usize];
            let at_ms = arrival(&mut dice, tenant, begin_ms, days);
            let name = format!("{}-{number}-{conversation}", tenant.name);
            records.extend(Story::new(&mut dice, tenant, name, at_ms).tell());
        }
        let end_ms = begin_ms + days * DAY + AFTERMATH;
        let ticks = (begin_ms..=end_ms).step_by(MINUTE as usize);
        records.extend(ticks.map(|at_ms| Record { at_ms, sent_ms: at_ms, ..tick() }));
    }
    // Records of one millisecond stay as they were drawn.
    records.sort_by_key(|record| record.at_ms);
    records
}

fn tick() -> Record {
    Record {
        at_ms: 0,
        sent_ms: 0,
        tenant: "",
        conversation: String::new(),
        id: String::new(),
        what: What::Tick,
        who: Who::System,
        by: String::new(),
        queue: "",
        says: Says::Something,
        backfill: false,
    }
}

/// Arrivals of a hundred in each hour of the local day.
const BY_HOUR: [i64; 24] =
    [12, 8, 5, 4, 4, 6, 10, 20, 40, 80, 100, 95, 60, 65, 85, 90, 85, 75, 60, 55, 70, 75, 50, 25];

fn arrival(dice: &mut Dice, tenant: &Tenant, begin_ms: i64, days: i64) -> i64 {
    let zone = TimeZoneDatabase::bundled().get(tenant.tz).expect("a known zone");
    loop {
        let at_ms = begin_ms + dice.below(days * DAY);
        let at = jiff::Timestamp::from_millisecond(at_ms).expect("a time");
        let hour = zone.to_datetime(at).hour();
        if dice.below(100) < BY_HOUR[hour as usize] {
            return at_ms;
        }
    }
}

/// One conversation while it is made up.
struct Story<'a> {
    dice: &'a mut Dice,
    tenant: &'a Tenant,
    name: String,
    now_ms: i64,
    queue: &'static str,
    agent: String,
    backfill: bool,
    records: Vec<Record>,
}

impl<'a> Story<'a> {
    fn new(dice: &'a mut Dice, tenant: &'a Tenant, name: String, now_ms: i64) -> Self {
        let queue = dice.one_of(&tenant.queues);
        let backfill = dice.chance(30);
        let mut story = Self {
            dice,
            tenant,
            name,
            now_ms,
            queue,
            agent: String::new(),
            backfill,
            records: Vec::new(),
        };
        story.pick_agent();
        story
    }

    fn pick_agent(&mut self) {
        self.agent = format!("{}-agent-{}", self.tenant.name, self.dice.below(12));
    }

    fn pass(&mut self, from: i64, to: i64) {
        self.now_ms += self.dice.between(from, to);
        // Platforms that tell whole seconds make ties.
        if self.dice.chance(150) {
            self.now_ms -= self.now_ms % SECOND;
        }
    }

    fn put(&mut self, what: What, who: Who, says: Says) {
        let (id, by) = (
            format!("{}-{}", self.name, self.records.len()),
            match who {
                Who::Customer => format!("{}-customer", self.name),
                Who::Agent | Who::Assist | Who::Template | Who::Auto | Who::Ai | Who::Note => {
                    self.agent.clone()
                }
                Who::Bot => "bot".to_owned(),
                Who::System => String::new(),
                Who::Supervisor => "supervisor".to_owned(),
            },
        );
        let says_where = !matches!(what, What::Edit | What::Delete | What::Leave);
        let delay_ms = match self.dice.below(1_000) {
            0..900 => self.dice.between(0, 800),
            900..960 => self.dice.between(SECOND, 30 * SECOND),
            960..985 => self.dice.between(30 * SECOND, 20 * MINUTE),
            985..990 => self.dice.between(20 * MINUTE, 10 * HOUR),
            // A clock that is ahead.
            _ => -self.dice.between(1, 20 * SECOND),
        };
        let record = Record {
            at_ms: self.now_ms + delay_ms,
            sent_ms: self.now_ms,
            tenant: self.tenant.name,
            conversation: self.name.clone(),
            id,
            what,
            who,
            by,
            queue: if says_where { self.queue } else { "" },
            says,
            backfill: self.backfill,
        };
        self.records.push(record);
    }

    fn say(&mut self, who: Who, says: Says) {
        self.put(What::Message, who, says);
        if self.dice.chance(25) {
            self.pass(SECOND, 20 * SECOND);
            let what = self.dice.one_of(&[What::Edit, What::Edit, What::Delete]);
            // An edit is no message, whatever the new text is.
            self.put(what, who, Says::ThanksAlone);
        }
    }

    fn tell(mut self) -> Vec<Record> {
        if self.dice.chance(150) {
            self.put(What::Open, Who::System, Says::Something);
            if self.dice.chance(300) {
                self.pass(SECOND, 10 * SECOND);
                let who = self.dice.one_of(&[Who::Agent, Who::Auto, Who::Bot]);
                self.say(who, Says::GreetingAlone);
            }
            self.pass(SECOND, 60 * SECOND);
        }
        self.care();
        while self.dice.chance(280) {
            match self.dice.below(10) {
                0..3 => self.pass(SECOND, 10 * MINUTE),
                3..6 => self.pass(10 * MINUTE, 10 * HOUR),
                _ => self.pass(10 * HOUR, 3 * DAY),
            }
            if self.dice.chance(400) {
                self.put(What::Reopened, Who::System, Says::Something);
                self.pass(0, 40 * SECOND);
            }
            if self.dice.chance(250) {
                self.queue = self.dice.one_of(&self.tenant.queues);
            }
            self.care();
        }
        self.deliver()
    }

    /// One care cycle.
    fn care(&mut self) {
        self.ask();
        if self.dice.chance(350) {
            self.bot();
        }
        if self.dice.chance(300) {
            self.pass(0, 2 * SECOND);
            self.say(Who::Auto, Says::GreetingAlone);
        }
        if self.dice.chance(400) {
            self.pass(SECOND, 30 * SECOND);
            let what = self.dice.one_of(&[What::Join, What::Join, What::Assign]);
            self.put(what, Who::Agent, Says::Something);
        }
        for _ in 0..self.dice.between(0, 5) {
            self.answer();
            if self.dice.chance(120) {
                self.transfer();
            }
            if self.dice.chance(700) {
                self.pass(2 * SECOND, 3 * MINUTE);
                self.ask();
            }
        }
        if self.dice.chance(400) {
            self.pass(2 * SECOND, 60 * SECOND);
            self.say(Who::Customer, Says::ThanksAlone);
        }
        if self.dice.chance(300) {
            self.pass(SECOND, 30 * SECOND);
            self.say(Who::Agent, Says::ThanksAlone);
        }
        self.pass(SECOND, 20 * MINUTE);
        match self.dice.below(100) {
            0..45 => self.put(What::Resolved, Who::System, Says::Something),
            45..60 => self.put(What::Closed, Who::System, Says::Something),
            // Nobody says that it is over.
            _ => {}
        }
        if self.dice.chance(60) {
            self.pass(SECOND, 60 * SECOND);
            self.put(What::Leave, Who::Agent, Says::Something);
        }
    }

    /// A customer writes what could be said in one message, in several.
    fn ask(&mut self) {
        let says = if self.dice.chance(60) { Says::ThanksAlone } else { Says::Something };
        self.say(Who::Customer, says);
        while self.dice.chance(350) {
            self.pass(0, 15 * SECOND);
            let says = if self.dice.chance(50) { Says::ThanksAlone } else { Says::Something };
            self.say(Who::Customer, says);
        }
    }

    fn bot(&mut self) {
        let who = self.dice.one_of(&[Who::Bot, Who::Bot, Who::Ai]);
        for _ in 0..self.dice.between(1, 3) {
            self.pass(300, 3 * SECOND);
            self.say(who, Says::Something);
            self.pass(2 * SECOND, 40 * SECOND);
            self.say(Who::Customer, Says::Something);
        }
        if self.dice.chance(800) {
            self.pass(0, 5 * SECOND);
            self.put(What::Handoff, Who::System, Says::Something);
        }
    }

    fn answer(&mut self) {
        match self.dice.below(1_000) {
            0..650 => self.pass(2 * SECOND, 90 * SECOND),
            650..850 => self.pass(60 * SECOND, 10 * MINUTE),
            850..960 => self.pass(10 * MINUTE, 3 * HOUR),
            _ => self.pass(3 * HOUR, 30 * HOUR),
        }
        if self.dice.chance(80) {
            let who = self.dice.one_of(&[Who::Note, Who::System, Who::Supervisor]);
            self.say(who, Says::Something);
            self.pass(0, 10 * SECOND);
        }
        // One customer in fifty goes on waiting.
        if self.dice.chance(20) {
            return;
        }
        let who = match self.dice.below(10) {
            0..8 => Who::Agent,
            8 => Who::Assist,
            _ => Who::Template,
        };
        let says = match self.dice.below(10) {
            0 => Says::GreetingAlone,
            1 => Says::HoldingAlone,
            _ => Says::Something,
        };
        self.say(who, says);
        while self.dice.chance(250) {
            self.pass(SECOND, 60 * SECOND);
            self.say(Who::Agent, Says::Something);
        }
    }

    /// Somebody else takes over, perhaps in another queue.
    fn transfer(&mut self) {
        self.pass(SECOND, 30 * SECOND);
        if self.dice.chance(400) {
            self.queue = self.dice.one_of(&self.tenant.queues);
        }
        self.put(What::Handoff, Who::System, Says::Something);
        if self.dice.chance(300) {
            self.put(What::Leave, Who::Agent, Says::Something);
        }
        self.pick_agent();
        if self.dice.chance(700) {
            self.pass(SECOND, 60 * SECOND);
            self.put(What::Join, Who::Agent, Says::Something);
        }
    }

    /// The records as they reach the log: some of them twice, history all at once.
    fn deliver(mut self) -> Vec<Record> {
        if self.backfill {
            let last_ms = self.records.iter().map(|record| record.sent_ms).max().unwrap_or(0);
            // It happened before; the log takes it in within a minute.
            let shift_ms = last_ms + HOUR - self.records[0].sent_ms;
            let loaded_ms = self.records[0].sent_ms;
            for (index, record) in self.records.iter_mut().enumerate() {
                record.sent_ms -= shift_ms;
                record.at_ms = loaded_ms + index as i64 * 100;
            }
        }
        let mut again = Vec::new();
        for record in &self.records {
            if self.dice.chance(30) {
                let later_ms = match self.dice.below(3) {
                    0 => self.dice.between(0, 100),
                    1 => self.dice.between(SECOND, 10 * MINUTE),
                    _ => self.dice.between(MINUTE, 12 * HOUR),
                };
                again.push(Record { at_ms: record.at_ms + later_ms, ..record.clone() });
            }
        }
        self.records.extend(again);
        self.records
    }
}
