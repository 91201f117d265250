//! One simulated conversation: who takes part, what happens, and what is true of it.

use super::Mix;
use super::draw::Draw;
use super::event::{Author, Csat, Customer, Event, Instant};
use super::personal;
use super::texts::{self, Class};
use super::truth::{Cycle, Personal, Truth, Urgent};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// The publishing system that every event names.
const SOURCE: &str = "simulate";
const BOT: &str = "bot-xiaozhi";
const SYSTEM: &str = "platform";

const CHANNELS: [&str; 6] = ["chat", "chat", "app", "app", "wechat", "web"];
/// A queue and the scene of its conversations.
const QUEUES: [(&str, &str); 5] = [
    ("presale", "sales"),
    ("orders", "faq"),
    ("logistics", "faq"),
    ("aftersales", "after_sales"),
    ("complaints", "complaint"),
];

/// A line of the output and when the platform delivers it, in milliseconds since the Unix epoch.
pub(super) struct Delivery {
    pub(super) at: i64,
    pub(super) line: Vec<u8>,
}

/// How an agent speaks, a trait of the agent and not of the day.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Polite,
    Plain,
    Blunt,
}

/// What a customer has on their mind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Calm,
    Angry,
    Urgent,
}

struct Agent {
    id: String,
    manner: Manner,
}

/// A conversation in the making.
pub(super) struct Conversation {
    draw: Draw,
    mix: Mix,
    english: bool,
    scene: &'static str,
    vip: bool,
    item: &'static str,
    order: String,
    has_order: bool,
    agents: u64,
    agent: Agent,
    now: i64,
    /// When the last event was sent.
    sent: i64,
    /// From sending to delivery when nothing is late.
    lag: i64,
    truth: Truth,
    cycle: Cycle,
    /// Replies that were held back.
    late: Vec<Late>,
    out: Vec<Delivery>,
}

/// What follows a care cycle.
pub(super) enum Next {
    /// The customer comes back at this time.
    Reopens(i64, Box<Conversation>),
    /// Nothing more; the truth is final.
    Done(Box<Truth>),
}

/// What an event says besides who and when.
#[derive(Default)]
struct Content<'a> {
    text: &'a str,
    private: bool,
    subtype: Option<&'static str>,
    status: Option<&'static str>,
    csat: Option<Csat>,
    target: Option<&'a str>,
}

struct Late {
    event_id: String,
    at: i64,
    /// When the first event after it was delivered.
    overtaken: Option<i64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Customer,
    Agent,
    Bot,
    System,
}

impl Conversation {
    /// The conversation `number` of a tenant.
    pub(super) fn new(seed: u64, index: u64, tenant: &str, number: u64, mix: Mix) -> Self {
        let mut draw = Draw::new(seed, index, number);
        let english = draw.percent(20);
        let (queue, scene) = draw.one_of(&QUEUES);
        // Some customers come again.
        let customer = draw.below(mix.per_day * 4 + 1);
        let agents = 4 + mix.per_day / 60;
        let agent = pick_agent(&mut draw, agents);
        let truth = Truth {
            tenant: tenant.to_owned(),
            conversation_id: format!("sim{seed}-{tenant}-{number}"),
            customer: format!("{tenant}-customer-{customer}"),
            lang: if english { "en" } else { "zh" },
            channel: draw.one_of(&CHANNELS),
            queue,
            ..Truth::default()
        };
        let items = if english { texts::ITEMS.en } else { texts::ITEMS.zh };
        let item = draw.one_of(items);
        let order = format!("R{:09}", draw.below(1_000_000_000));
        let lag = draw.between(20, 400);
        Self {
            vip: draw.percent(5),
            mix,
            english,
            scene,
            item,
            has_order: draw.percent(60),
            order,
            agents,
            agent,
            now: 0,
            lag,
            sent: i64::MIN,
            truth,
            cycle: Cycle::default(),
            late: Vec::new(),
            out: Vec::new(),
            draw,
        }
    }

    /// Plays one care cycle from `start` on and hands over what it delivers.
    pub(super) fn play(mut self, start: i64, deliver: impl FnMut(Delivery)) -> Next {
        let reopened = !self.truth.cycles.is_empty();
        self.now = start;
        self.cycle = Cycle::new(start, reopened);
        let ended = self.cycle_of_care(reopened);
        self.truth.cycles.push(std::mem::take(&mut self.cycle));
        for Late { event_id, at, overtaken } in self.late.drain(..) {
            if overtaken.is_some_and(|first| first < at) {
                self.truth.late.push(event_id);
            }
        }
        self.out.drain(..).for_each(deliver);
        if ended && !reopened && self.draw.percent(4) {
            let back = self.now + self.draw.between(HOUR, 5 * 24 * HOUR);
            return Next::Reopens(back, Box::new(self));
        }
        Next::Done(Box::new(self.truth))
    }

    /// Whether the platform said that it ended.
    fn cycle_of_care(&mut self, reopened: bool) -> bool {
        let mood = match self.draw.below(100) {
            n if n < self.mix.urgent_percent => Mood::Urgent,
            n if n < self.mix.urgent_percent + 15 => Mood::Angry,
            _ => Mood::Calm,
        };
        if reopened {
            self.status("reopened");
            self.pause(2 * SECOND, 10 * SECOND);
        } else if self.draw.percent(50) {
            self.status("open");
            self.pause(50, 2 * SECOND);
        }
        self.ask(texts::QUESTIONS);

        if self.draw.percent(35) {
            let solved = self.bot();
            if solved && mood == Mood::Calm {
                self.pause(10 * SECOND, MINUTE);
                return self.end("resolved");
            }
            self.hand_over();
        } else if self.draw.percent(40) {
            self.pause(300, 2 * SECOND);
            self.machine(Side::Agent, Some("auto"), texts::AUTO_GREETINGS);
        }
        if self.draw.percent(4) {
            // Nobody comes.
            self.pause(5 * MINUTE, 2 * HOUR);
            return if self.draw.percent(70) { self.end("closed") } else { self.stop() };
        }

        let turns = self.draw.between(1, 4);
        // Anger comes early or late, but not before somebody could have answered.
        let outburst = self.draw.between(0, turns - 1);
        for turn in 0..turns {
            if turn > 0 {
                self.pause(5 * SECOND, 90 * SECOND);
                self.ask(texts::FOLLOW_UPS);
            }
            if turn == outburst {
                self.outburst(mood);
            }
            self.customers_run();
            self.answer(turn == 0);
            if turn + 1 < turns && self.draw.percent(6) {
                self.pause(10 * SECOND, MINUTE);
                self.agent = pick_agent(&mut self.draw, self.agents);
                self.hand_over();
            }
        }
        if self.draw.percent(5) {
            // The last question stays open.
            self.pause(20 * SECOND, 2 * MINUTE);
            self.ask(texts::FOLLOW_UPS);
            self.pause(30 * MINUTE, 3 * HOUR);
            return self.end("closed");
        }
        self.farewell();
        match self.draw.below(100) {
            0..3 => self.stop(),
            3..8 => self.end("closed"),
            _ => {
                self.pause(5 * SECOND, 10 * MINUTE);
                self.end("resolved");
                if self.draw.percent(30) {
                    self.pause(5 * SECOND, 5 * MINUTE);
                    self.rate(mood);
                }
                true
            }
        }
    }

    fn bot(&mut self) -> bool {
        self.pause(400, 1_500);
        self.machine(Side::Bot, None, texts::BOT);
        if self.draw.percent(30) {
            return true;
        }
        self.pause(8 * SECOND, 40 * SECOND);
        self.ask(texts::WANTS_PERSON);
        if self.draw.percent(50) {
            self.pause(400, 1_500);
            self.machine(Side::Bot, None, texts::BOT);
        }
        self.pause(300, 3 * SECOND);
        false
    }

    /// To the agent, from a bot or a colleague.
    fn hand_over(&mut self) {
        self.send("handoff", Side::System, &Content::default());
        self.cycle.handoff(self.now);
        self.pause(500, 30 * SECOND);
        self.send("join", Side::Agent, &Content::default());
    }

    fn outburst(&mut self, mood: Mood) {
        match mood {
            Mood::Calm => {}
            Mood::Angry => {
                self.pause(3 * SECOND, 20 * SECOND);
                self.ask(texts::ANGRY);
            }
            Mood::Urgent => {
                self.pause(3 * SECOND, 20 * SECOND);
                let (category, class) = self.draw.one_of(texts::URGENT);
                let event_id = self.ask(class);
                self.truth.urgent.push(Urgent { event_id, category });
            }
        }
    }

    /// Whatever else the customer has to say before an answer comes.
    fn customers_run(&mut self) {
        for _ in 0..self.draw.between(0, 5) - 3 {
            self.pause(2 * SECOND, 20 * SECOND);
            self.ask(texts::FOLLOW_UPS);
        }
        if self.draw.percent(self.mix.personal_percent) {
            self.pause(2 * SECOND, 20 * SECOND);
            self.tell_personal();
        }
        if self.draw.percent(3) {
            self.pause(500, 3 * SECOND);
            let event_id = self.send("typing", Side::Customer, &Content::default());
            self.truth.dropped.push(event_id);
        }
    }

    fn answer(&mut self, first: bool) {
        if self.draw.percent(5) {
            self.pause(SECOND, 10 * SECOND);
            let text = self.text(texts::NOTES);
            self.truth.messages += 1;
            let note = Content { text: &text, private: true, ..Content::default() };
            self.send("message", Side::Agent, &note);
        }
        let usual = if first { 25 * SECOND } else { 40 * SECOND };
        if first && self.draw.percent(20) {
            let wait = self.draw.wait(usual / 2);
            self.now += wait.max(SECOND);
            self.human(texts::GREETINGS, None, false);
        }
        if self.draw.percent(20) {
            let wait = self.draw.wait(usual / 2);
            self.now += wait.max(SECOND);
            self.human(texts::HOLDING, None, false);
            self.now += MINUTE;
        }
        let wait = self.draw.wait(usual);
        self.now += wait.max(SECOND);
        if self.agent.manner == Manner::Blunt && self.draw.percent(4) {
            let event_id = self.human(texts::FORBIDDEN, None, true);
            self.truth.forbidden.push(event_id);
            return;
        }
        let class = match self.agent.manner {
            Manner::Polite => texts::POLITE,
            Manner::Plain if self.draw.percent(50) => texts::POLITE,
            Manner::Blunt if self.draw.percent(50) => texts::BLUNT,
            Manner::Plain | Manner::Blunt => texts::PLAIN,
        };
        let subtype = match self.draw.below(100) {
            0..15 => Some("template"),
            15..25 => Some("assist"),
            _ => None,
        };
        let event_id = self.human(class, subtype, true);
        if self.draw.percent(10) {
            self.pause(2 * SECOND, 15 * SECOND);
            self.human(texts::PLAIN, None, true);
        }
        if self.draw.percent(2) {
            self.pause(2 * SECOND, 15 * SECOND);
            let text = self.text(texts::POLITE);
            let target = Some(&*event_id);
            self.send("edit", Side::Agent, &Content { text: &text, target, ..Content::default() });
        } else if self.draw.percent(1) {
            self.pause(2 * SECOND, 15 * SECOND);
            let target = Some(&*event_id);
            self.send("delete", Side::Agent, &Content { target, ..Content::default() });
        }
    }

    fn farewell(&mut self) {
        let thanks = self.draw.percent(60);
        self.pause(3 * SECOND, 40 * SECOND);
        // Before the answer is delivered nobody says thanks for it.
        let seen = self.late.iter().all(|late| late.at < self.now + self.lag);
        if thanks && seen {
            let text = self.text(texts::THANKS);
            self.message(Side::Customer, &text, None);
        }
        if self.agent.manner == Manner::Polite && self.draw.percent(80) {
            self.pause(3 * SECOND, 20 * SECOND);
            self.human(texts::CLOSINGS, None, true);
        }
    }

    fn end(&mut self, status: &'static str) -> bool {
        self.status(status);
        self.cycle.end(Some(self.now), status == "resolved");
        true
    }

    fn stop(&mut self) -> bool {
        self.cycle.end(None, false);
        false
    }

    fn rate(&mut self, mood: Mood) {
        let score = match (mood, self.agent.manner) {
            (Mood::Calm, Manner::Polite) => self.draw.between(4, 5),
            (Mood::Calm, _) => self.draw.between(3, 5),
            _ => self.draw.between(1, 3),
        };
        let csat = Some(Csat { score: score as u8, max: 5 });
        self.send("csat", Side::Customer, &Content { csat, ..Content::default() });
    }

    fn status(&mut self, status: &'static str) {
        let status = Some(status);
        self.send("status", Side::System, &Content { status, ..Content::default() });
    }

    /// The customer writes something that waits for an answer.
    fn ask(&mut self, class: Class) -> String {
        let text = self.text(class);
        let event_id = self.message(Side::Customer, &text, None);
        self.cycle.question(self.now, &event_id);
        event_id
    }

    fn tell_personal(&mut self) {
        let template = self.draw.one_of(self.of(texts::PERSONAL));
        let draw = &mut self.draw;
        let (slot, value) = if template.contains("{phone}") {
            ("{phone}", personal::phone(draw))
        } else if template.contains("{id}") {
            ("{id}", personal::id_card(draw))
        } else if template.contains("{card}") {
            ("{card}", personal::bank_card(draw))
        } else {
            ("{email}", personal::email(draw))
        };
        let text = template.replace(slot, &value);
        let event_id = self.message(Side::Customer, &text, None);
        self.cycle.question(self.now, &event_id);
        self.truth.personal.push(Personal { event_id, value });
    }

    fn machine(&mut self, side: Side, subtype: Option<&'static str>, class: Class) {
        let text = self.text(class);
        self.message(side, &text, subtype);
        self.cycle.machine(self.now);
    }

    fn human(&mut self, class: Class, subtype: Option<&'static str>, substantive: bool) -> String {
        let text = self.text(class);
        let event_id = self.message(Side::Agent, &text, subtype);
        self.cycle.human(self.now, &event_id, substantive);
        event_id
    }

    fn message(&mut self, side: Side, text: &str, subtype: Option<&'static str>) -> String {
        self.truth.messages += 1;
        self.send("message", side, &Content { text, subtype, ..Content::default() })
    }

    /// Sends an event now and decides when, and how often, it is delivered.
    fn send(&mut self, r#type: &'static str, side: Side, content: &Content<'_>) -> String {
        // Two events of one conversation never share a millisecond, so that their order is told
        // by their times alone.
        self.now = self.now.max(self.sent + 1);
        self.sent = self.now;
        self.truth.events += 1;
        let seq = self.truth.events;
        let truth = &mut self.truth;
        let event_id = format!("{}-{seq}", truth.conversation_id);
        let (author, role) = match side {
            Side::Customer => (&*truth.customer, "customer"),
            Side::Agent => (&*self.agent.id, "agent"),
            Side::Bot => (BOT, "bot"),
            Side::System => (SYSTEM, "system"),
        };
        let event = Event {
            tenant: &truth.tenant,
            source: SOURCE,
            event_id: &event_id,
            conversation_id: &truth.conversation_id,
            r#type,
            sent_at: Instant(self.now),
            seq,
            channel: truth.channel,
            author: Author { id: author, role, subtype: content.subtype },
            text: content.text,
            private: content.private,
            queue: truth.queue,
            scene: self.scene,
            customer: Customer { id: &truth.customer, vip: self.vip },
            order: self.has_order.then_some(&*self.order),
            status: content.status,
            csat: content.csat,
            target: content.target,
        };
        let mut line = Vec::with_capacity(512);
        // Plain structs are written to memory; only a time beyond the year 9999 could fail, and
        // the arguments keep it out.
        let written = serde_json::to_writer(&mut line, &event).is_ok();
        line.push(b'\n');
        debug_assert!(written, "{event:?}");

        let mut at = self.now + self.lag;
        for late in &mut self.late {
            late.overtaken.get_or_insert(at);
        }
        let is_reply = r#type == "message"
            && side == Side::Agent
            && content.subtype != Some("auto")
            && !content.private;
        if is_reply && self.draw.percent(self.mix.late_percent) {
            at += self.draw.between(30 * SECOND, 10 * MINUTE);
            self.late.push(Late { event_id: event_id.clone(), at, overtaken: None });
        }
        if self.draw.percent(self.mix.duplicate_percent) {
            let again = at + self.draw.between(200, 20 * MINUTE);
            truth.duplicates.push(event_id.clone());
            self.out.push(Delivery { at: again, line: line.clone() });
        }
        self.out.push(Delivery { at, line });
        event_id
    }

    fn pause(&mut self, shortest: i64, longest: i64) {
        self.now += self.draw.between(shortest, longest);
    }

    fn of(&self, class: Class) -> &'static [&'static str] {
        if self.english { class.en } else { class.zh }
    }

    /// One text of a class with its slots filled.
    fn text(&mut self, class: Class) -> String {
        let mut rest = self.draw.one_of(self.of(class));
        let mut text = String::with_capacity(rest.len() + 16);
        while let Some((before, after)) = rest.split_once('{') {
            text.push_str(before);
            let (slot, after) = after.split_once('}').unwrap_or((after, ""));
            match slot {
                "order" => text.push_str(&self.order),
                "item" => text.push_str(self.item),
                "city" => text.push_str(self.draw.one_of(self.of(texts::CITIES))),
                "days" => text.push_str(&self.draw.between(2, 9).to_string()),
                _ => text.push_str(&self.draw.between(19, 899).to_string()),
            }
            rest = after;
        }
        text.push_str(rest);
        text
    }
}

fn pick_agent(draw: &mut Draw, agents: u64) -> Agent {
    let number = draw.below(agents);
    // Of ten agents seven are polite, two short and one blunt.
    let manner = match number % 10 {
        3 | 7 => Manner::Plain,
        5 => Manner::Blunt,
        _ => Manner::Polite,
    };
    Agent { id: format!("agent-{number}"), manner }
}
