//! Figures of the console's pages against plain SQL that starts from messages and events.

use std::time::Duration;

use serde_json::{Value, json};
use zhili_tests::{Options, Receiver, System, eventually, has_library, samples};

const PATIENCE: Duration = Duration::from_secs(120);

/// A conversation: its id, who the customer is, the queue, how many minutes ago it began, and after
/// so many seconds each what was said or done.
struct Talk {
    id: &'static str,
    customer: &'static str,
    queue: &'static str,
    minutes_ago: i64,
    lines: &'static [(i64, Line)],
}

#[derive(Clone, Copy)]
enum Line {
    Customer(&'static str),
    Agent(&'static str),
    Status(&'static str),
}

use Line::{Agent, Customer, Status};

const TALKS: &[Talk] = &[
    Talk {
        id: "plain",
        customer: "u-1",
        queue: "sales",
        minutes_ago: 170,
        lines: &[
            (0, Customer("请问这个多少钱？")),
            (
                20,
                Agent(
                    "您好，很高兴为您服务！请问有什么可以帮您？建议您先看一下商品页，价格是99元。",
                ),
            ),
            (40, Customer("好的谢谢")),
            (50, Agent("祝您生活愉快，再见")),
            (60, Status("resolved")),
        ],
    },
    Talk {
        id: "solved",
        customer: "u-2",
        queue: "after",
        minutes_ago: 165,
        lines: &[
            (0, Customer("怎么还没给我打电话？")),
            (15, Agent("您好，请问您的订单号是多少？")),
            (40, Customer("我的电话是13800138000")),
            (70, Agent("非常理解您的心情，建议您先重启一下，根据您的描述是缓存问题。")),
            (100, Customer("好的谢谢")),
            (110, Status("resolved")),
        ],
    },
    Talk {
        id: "unsolved",
        customer: "u-3",
        queue: "after",
        minutes_ago: 160,
        lines: &[
            (0, Customer("我要打12315投诉你们")),
            (50, Agent("建议您先看一下规则，根据规定不能退。")),
            (60, Status("closed")),
        ],
    },
    Talk {
        id: "legal",
        customer: "u-4",
        queue: "after",
        minutes_ago: 155,
        lines: &[
            (0, Customer("我已经委托了律师，明天起诉你们")),
            (30, Agent("非常抱歉，请问您的订单号是多少？")),
            (60, Customer("8813 ???")),
            (90, Agent("根据您的情况，建议您先申请退款，我们马上处理。")),
            (120, Status("resolved")),
        ],
    },
    Talk {
        id: "again",
        customer: "u-2",
        queue: "after",
        minutes_ago: 140,
        lines: &[
            (0, Customer("还是没解决，我要投诉你们")),
            (30, Agent("建议您先重启一下，根据您的描述是缓存问题。")),
            (60, Status("resolved")),
        ],
    },
    Talk {
        id: "kept",
        customer: "u-5",
        queue: "after",
        minutes_ago: 150,
        lines: &[
            (0, Customer("请问什么时候能处理？")),
            (30, Agent("1小时内给您回电")),
            (2_400, Agent("您好，根据核实，您的退款已经到账，建议您先查收一下。")),
            (2_460, Status("resolved")),
        ],
    },
    Talk {
        id: "broken",
        customer: "u-6",
        queue: "open",
        minutes_ago: 1,
        // It is due a moment after it was logged, and the customer has come back by then.
        lines: &[
            (0, Customer("请问什么时候能处理？")),
            (20, Agent("1分钟内给您回电")),
            (55, Customer("怎么还没给我打电话？")),
            (58, Agent("非常抱歉让您久等了")),
        ],
    },
    Talk {
        id: "promised",
        customer: "u-7",
        queue: "open",
        minutes_ago: 20,
        lines: &[(0, Customer("请问什么时候能处理？")), (30, Agent("24小时内给您回电"))],
    },
];

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now.as_millis() as i64
}

/// The conversations' events in the order of their times.
fn events(now_ms: i64) -> Vec<Value> {
    let mut timed = Vec::new();
    for talk in TALKS {
        for (n, (after_s, line)) in talk.lines.iter().enumerate() {
            let at_ms = now_ms - talk.minutes_ago * 60_000 + after_s * 1_000;
            let mut event = json!({
                "source": "desk", "event_id": format!("{}-{n}", talk.id),
                "conversation_id": talk.id, "sent_at": samples::time(at_ms),
                "customer": {"id": talk.customer}, "channel": "chat", "queue": talk.queue,
            });
            let (kind, author, role, words) = match line {
                Customer(text) => ("message", talk.customer, "customer", ("text", *text)),
                Agent(text) => ("message", "agent-1", "agent", ("text", *text)),
                Status(status) => ("status", "desk", "system", ("status", *status)),
            };
            event["type"] = kind.into();
            event["author"] = json!({"id": author, "role": role});
            event[words.0] = words.1.into();
            timed.push((at_ms, event));
        }
    }
    timed.sort_by_key(|(at_ms, _)| *at_ms);
    timed.into_iter().map(|(_, event)| event).collect()
}

struct Asked<'a> {
    system: &'a System,
    from: String,
    to: String,
}

impl Asked<'_> {
    async fn ask(&self, question: &str, mut about: Value) -> Value {
        about["from"] = self.from.clone().into();
        about["to"] = self.to.clone().into();
        let request = reqwest::Client::new().post(format!("{}/v1/{question}", self.system.url(3)));
        let answer = request.bearer_auth(self.system.token()).json(&about).send().await.unwrap();
        assert!(answer.status().is_success(), "{question}: {}", answer.text().await.unwrap());
        answer.json().await.unwrap()
    }

    /// What a metric is of, and how many of it say yes.
    async fn rate(&self, metric: &str) -> (u64, u64) {
        self.rate_of(metric, json!({})).await
    }

    /// The same, narrowed.
    async fn rate_of(&self, metric: &str, about: Value) -> (u64, u64) {
        let answer = self.ask(&format!("metrics/{metric}:compare"), about).await;
        let figure = &answer["current"];
        let n: u64 = figure["n"].as_str().map_or(0, |n| n.parse().unwrap());
        (n, (figure["value"].as_f64().unwrap_or(0.0) * n as f64).round() as u64)
    }

    /// Two numbers that plain SQL answers with.
    async fn pair(&self, sql: &str) -> (u64, u64) {
        let rows = self.system.tables().rows(sql).await;
        (rows[0]["n"].as_u64().unwrap(), rows[0]["yes"].as_u64().unwrap())
    }
}

fn count(row: &Value, name: &str) -> u64 {
    row[name].as_str().map_or(0, |n| n.parse().unwrap())
}

/// Conversations that ended, with what their messages hold; each has one session.
const SESSIONS: &str = "SELECT conversation_id, any(customer) AS who, \
     countIf(complaint IN ('complaint', 'urgent')) > 0 AS complains, \
     countIf(complaint = 'urgent') > 0 AS urgent, \
     minIf(sent_at, role = 'agent' AND has(acts, 'question')) AS asked_at, \
     minIf(sent_at, role = 'agent' AND has(acts, 'advice')) AS advised_at, \
     countIf(role = 'agent' AND has(acts, 'question')) > 0 AS asked, \
     countIf(role = 'agent' AND has(acts, 'advice')) > 0 AS advised, \
     min(sent_at) AS begun_at FROM v_messages GROUP BY conversation_id";

const ENDED: &str = "SELECT conversation_id, any(status) AS how, max(sent_at) AS ended_at \
     FROM v_events WHERE status IN ('resolved', 'closed') GROUP BY conversation_id";

#[tokio::test(flavor = "multi_thread")]
async fn figures_of_complaints_agree_with_plain_sql() {
    if !has_library("figures_of_complaints_agree_with_plain_sql") {
        return;
    }
    let system = System::start(Options::default());
    let now_ms = now_ms();
    system.post(&events(now_ms), &[]).await.unwrap();
    system.settle().await;
    let asked = Asked {
        system: &system,
        from: samples::time(now_ms - 86_400_000),
        to: samples::time(now_ms + 3_600_000),
    };
    let ended = format!("({SESSIONS}) AS s INNER JOIN ({ENDED}) AS e USING (conversation_id)");

    let sql = format!("SELECT count() AS n, countIf(complains) AS yes FROM {ended}");
    let complaints = asked.pair(&sql).await;
    assert_eq!(complaints, (6, 4));
    assert_eq!(asked.rate("complaint.rate.v1").await, complaints);

    let urgent = "SELECT count() AS n, countIf(complaint = 'urgent') AS yes FROM v_messages \
         WHERE role = 'customer'";
    assert_eq!(asked.rate("complaint.urgent.v1").await, asked.pair(urgent).await);

    // Urgent, or another complaint of somebody who complained before.
    let before = "SELECT customer, min(sent_at) AS first_at FROM v_messages \
         WHERE complaint IN ('complaint', 'urgent') GROUP BY customer";
    let sql = format!(
        "SELECT count() AS n, countIf(urgent OR first_at < begun_at) AS yes \
         FROM {ended} INNER JOIN ({before}) AS b ON b.customer = s.who WHERE complains"
    );
    assert_eq!(asked.rate("escalation.rate.v1").await, asked.pair(&sql).await);

    let sql = format!(
        "SELECT countIf(advised) AS n, countIf(advised AND asked AND asked_at < advised_at) AS yes \
         FROM {ended} WHERE complains"
    );
    assert_eq!(asked.rate("funnel.identification.v1").await, asked.pair(&sql).await);
    let last = "SELECT customer, max(sent_at) AS last_at FROM v_messages WHERE role = 'customer' \
         GROUP BY customer";
    let sql = format!(
        "SELECT count() AS n, countIf(advised AND how = 'resolved' AND last_at <= ended_at) AS yes \
         FROM {ended} INNER JOIN ({last}) AS l ON l.customer = s.who WHERE complains"
    );
    let solved = asked.pair(&sql).await;
    assert_eq!(asked.rate("funnel.solution.v1").await, solved);
    let about = json!({"by": "topic"});
    let ranks = asked.ask("metrics/funnel.solution.v1:rank", about).await;
    let by_topic = ranks["ranks"].as_array().unwrap();
    let sum: u64 = by_topic.iter().map(|one| count(&one["figure"], "n")).sum();
    assert_eq!(sum, solved.0, "{ranks}");
    // Seven days have not passed for anybody: that is not measured rather than 0.
    assert_eq!(asked.rate("complaint.again.v1").await, (0, 0));

    // What was promised for a minute is judged once that has passed.
    let known = eventually("a broken promise", PATIENCE, async || {
        let known = asked.ask("complaints", json!({})).await;
        let promises = known["promises"].as_array()?;
        promises.iter().any(|one| count(one, "broken") > 0).then_some(known)
    })
    .await;
    let urgent = system
        .tables()
        .rows(
            "SELECT complaint_category AS category, count() AS messages, \
             uniqExact(conversation_id) AS conversations FROM v_messages \
             WHERE complaint = 'urgent' GROUP BY category ORDER BY messages DESC, category",
        )
        .await;
    let shown: Vec<_> = known["urgent"].as_array().unwrap().iter().collect();
    assert!(urgent.len() > 1 && shown.len() == urgent.len(), "{known}");
    for (shown, row) in shown.iter().zip(&urgent) {
        let category = shown["category"].as_str().unwrap_or_default();
        assert_eq!(category, row["category"]);
        assert_eq!(count(shown, "messages"), row["messages"].as_u64().unwrap());
        assert_eq!(count(shown, "conversations"), row["conversations"].as_u64().unwrap());
        // What is not urgent has no category either, and comes after what is.
        let filter = json!({"filter": {"category": category}, "order": "greatest"});
        let rows = asked.ask("metrics/complaint.urgent.v1:observations", filter).await;
        let rows = rows["observations"].as_array().unwrap().iter();
        let behind = rows.filter(|row| row["value"] == 1.0).count();
        assert_eq!(behind as u64, row["messages"].as_u64().unwrap(), "{category}");
    }

    // Each of these promises is a call within a minute, an hour or a day.
    let promised = "SELECT conversation_id, min(sent_at) AS made_at, \
         made_at + toIntervalMinute(multiIf(any(text) LIKE '%24小时%', 1440, any(text) LIKE '%小时%', 60, 1)) AS due_at \
         FROM v_messages WHERE role = 'agent' AND text LIKE '%内给您回电' GROUP BY conversation_id";
    let row = &system
        .tables()
        .rows(&format!(
            "SELECT count() AS made, countIf(came_back AND NOT chased) AS kept, countIf(chased) AS broken, \
             countIf(due_at > now64(3)) AS pending FROM ( \
             SELECT p.conversation_id AS conversation_id, any(p.due_at) AS due_at, \
             countIf(m.role = 'agent' AND m.sent_at >= p.made_at + toIntervalMinute(10) \
             AND m.sent_at <= p.due_at) > 0 AS came_back, \
             countIf(m.role = 'customer' AND m.sent_at > p.made_at AND m.sent_at < p.due_at) > 0 AS chased \
             FROM ({promised}) AS p INNER JOIN v_messages AS m USING (conversation_id) \
             GROUP BY conversation_id)"
        ))
        .await[0];
    assert_eq!((row["made"].as_u64(), row["kept"].as_u64()), (Some(3), Some(1)), "{row}");
    let [shown] = known["promises"].as_array().unwrap().as_slice() else { panic!("{known}") };
    assert_eq!(shown["promise"], "callback");
    for name in ["made", "kept", "broken", "pending"] {
        assert_eq!(count(shown, name), row[name].as_u64().unwrap(), "{name}: {known}");
    }
    assert_eq!(asked.rate("promise.v1").await, (2, 1));
    let pending = known["pending"].as_array().unwrap();
    assert_eq!(pending.len(), 1, "{known}");

    // The one who complained in two conversations.
    let again = system
        .tables()
        .number(&format!(
            "SELECT count() FROM ({SESSIONS}) AS s INNER JOIN ({before}) AS b \
             ON b.customer = s.who WHERE complains AND first_at < begun_at"
        ))
        .await;
    let repeats = known["repeats"].as_array().unwrap();
    assert_eq!((repeats.len() as u64, again), (1, 1), "{known}");
    assert_eq!(repeats[0]["related"].as_array().unwrap().len(), 1, "{known}");
    assert!(known["bursts"].as_array().is_none_or(Vec::is_empty), "{known}");

    // The report of a day has the figures of that day.
    let day_ms = now_ms / 86_400_000 * 86_400_000;
    let (from, to) = (samples::time(day_ms), samples::time(day_ms + 86_400_000));
    let date = from.split_once('T').unwrap().0;
    let arguments = ["report", "day", "--on", date, "--zone", "UTC", "--format", "csv"];
    let report = system.run(&arguments);
    assert!(report.status.success(), "{}", String::from_utf8_lossy(&report.stderr));
    let report = String::from_utf8(report.stdout).unwrap();
    let of_day = Asked { system: &system, from: from.clone(), to };
    for metric in ["complaint.rate.v1", "rt.first_unanswered.v1", "promise.v1"] {
        let figure = &of_day.ask(&format!("metrics/{metric}:compare"), json!({})).await["current"];
        let line = report.lines().find(|line| line.starts_with(metric)).unwrap();
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells[3], figure["n"].as_str().unwrap_or("0"), "{line}");
        assert_eq!(cells[4].parse::<f64>().ok(), figure["value"].as_f64(), "{line}");
    }

    let narrow = asked.ask("complaints", json!({"filter": {"queue": "sales"}})).await;
    for list in ["urgent", "promises", "pending", "repeats"] {
        assert!(narrow[list].as_array().is_none_or(Vec::is_empty), "{list}: {narrow}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_agents_say_and_how_data_is_agrees_with_plain_sql() {
    if !has_library("what_agents_say_and_how_data_is_agrees_with_plain_sql") {
        return;
    }
    let pages = Receiver::start().await;
    let options = Options { webhook: Some(pages.target()), ..Options::default() };
    let system = System::start(options);
    let now_ms = now_ms();
    let events = events(now_ms);
    system.post(&events, &[]).await.unwrap();
    // One that comes again with other words, which can be in no table.
    let mut other = events[0].clone();
    other["text"] = "说的是别的".into();
    system.post(&[other], &[]).await.unwrap();
    system.settle().await;
    let asked = Asked {
        system: &system,
        from: samples::time(now_ms - 86_400_000),
        to: samples::time(now_ms + 3_600_000),
    };
    let number = async |sql: &str| system.tables().number(sql).await;

    // Phrases that were due and not said, of conversations that have ended.
    let greeted = "SELECT count() AS n, countIf(greets) AS yes FROM ( \
         SELECT conversation_id, argMinIf(has(acts, 'greeting'), sent_at, role = 'agent') AS greets \
         FROM v_messages WHERE queue = 'sales' GROUP BY conversation_id)";
    let of_greetings = json!({"filter": {"slot": "greeting", "queue": "sales"}});
    let due = asked.rate_of("phrase.coverage.v1", of_greetings).await;
    assert_eq!(due, asked.pair(greeted).await);
    assert_eq!(due, (1, 1));

    let said = asked.ask("phrases", json!({})).await;
    let by_agents = "FROM v_messages WHERE type = 'message' AND role = 'agent'";
    assert_eq!(count(&said, "messages"), number(&format!("SELECT count() {by_agents}")).await);
    let phrases = said["phrases"].as_array().unwrap();
    let phrase = |id: &str| phrases.iter().find(|one| one["id"] == id && one["lang"] == "zh");
    let opened = phrase("greeting.open").unwrap();
    let holds = "text LIKE '您好，很高兴为您服务%请问有什么可以帮您%'";
    let holding = number(&format!("SELECT count() {by_agents} AND {holds}")).await;
    assert_eq!((count(opened, "messages"), holding), (1, 1), "{opened}");
    assert_eq!(opened["standing"], "used");
    let unused = phrases.iter().filter(|one| one["standing"] == "unused");
    assert_eq!(unused.count(), phrases.len() - 1, "nobody says the others");
    let wordings = said["wordings"].as_array().unwrap();
    assert!(wordings.len() > 3, "{said}");
    for wording in wordings {
        let (class, words) =
            (wording["class"].as_str().unwrap(), wording["words"].as_str().unwrap());
        let sql = format!(
            "SELECT sum(length(arrayFilter((c, r, t) -> c = '{class}' AND r = '{words}' \
             AND t = 'politeness', evidence_class, evidence_rule, evidence_target))) {by_agents}"
        );
        assert_eq!(count(wording, "uses"), number(&sql).await, "{class} {words}");
    }
    let narrow = json!({"filter": {"queue": "sales"}});
    let of_sales = asked.ask("phrases", narrow).await;
    let sql = format!("SELECT count() {by_agents} AND queue = 'sales'");
    assert_eq!(count(&of_sales, "messages"), number(&sql).await);

    let delivered = eventually("pages in the tables", PATIENCE, async || {
        let known = asked.ask("data-health", json!({})).await;
        let notifiers = known["notifiers"].as_array()?;
        let delivered: u64 = notifiers.iter().map(|one| count(one, "delivered")).sum();
        (delivered > 0 && delivered == pages.pages().len() as u64).then_some(known)
    });
    let known = delivered.await;
    assert_eq!(count(&known, "events"), number("SELECT count() FROM v_events").await);
    assert_eq!(count(&known, "events"), events.len() as u64);
    let late = "SELECT countIf(accepted_at > sent_at + INTERVAL 1 MINUTE) FROM v_events";
    assert_eq!(count(&known, "late"), number(late).await);
    let unknown = "SELECT countIf(lang = 'unknown') FROM v_messages WHERE role = 'customer'";
    assert_eq!(count(&known, "unknown_language"), number(unknown).await);
    let heard = "SELECT count() FROM v_messages WHERE role = 'customer'";
    assert_eq!(count(&known, "heard"), number(heard).await);
    let masked = "SELECT countIf(position(text, '[PHONE]') > 0) FROM v_messages";
    let [phone] = known["masked"].as_array().unwrap().as_slice() else { panic!("{known}") };
    assert_eq!(phone["kind"], "PHONE");
    assert_eq!((count(phone, "messages"), number(masked).await), (1, 1));
    let [letter] = known["dead_letters"].as_array().unwrap().as_slice() else { panic!("{known}") };
    assert_eq!(letter["reason"], "conflicting_duplicate");
    let letters = number("SELECT count() FROM dead_letters WHERE tenant = 'default'").await;
    assert_eq!((count(letter, "records"), letters), (1, 1));
    let failed: u64 =
        known["notifiers"].as_array().unwrap().iter().map(|one| count(one, "failed")).sum();
    assert_eq!(failed, 0, "{known}");
    assert_eq!(known["trouble"], "");
    assert_eq!((count(&known, "unscored"), count(&known, "unknown_role")), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_as_platforms_count_them_agree_with_plain_sql_and_the_wall_is_told_as_it_changes() {
    if !has_library("waits_as_platforms_count_them_agree_with_plain_sql") {
        return;
    }
    let system = System::start(Options::default());
    let now_ms = now_ms();
    // Twelve hours, of which some are inside of the hours that count at whatever time this runs.
    let mut events = Vec::new();
    for (n, wait_s) in [10, 25, 31, 100, 179, 181, 290, 310, 640, 30, 60, 12].iter().enumerate() {
        let begun_ms = now_ms - (n as i64 + 1) * 3_600_000;
        let said = |event: &str, role: &str, at_ms: i64, text: &str| {
            json!({
                "source": "desk", "event_id": format!("{n}-{event}"), "conversation_id": format!("c-{n}"),
                "type": "message", "sent_at": samples::time(at_ms), "text": text,
                "customer": {"id": format!("u-{n}")}, "author": {"id": format!("{role}-{n}"), "role": role},
            })
        };
        events.push(said("asks", "customer", begun_ms, "请问这个多少钱？"));
        events.push(said("answer", "agent", begun_ms + wait_s * 1_000, "您好，价格是99元。"));
        // Nobody has answered this one; whether it counts depends on how long it waits.
        events.push(said("again", "customer", begun_ms + 2_000_000, "那什么时候能发货？"));
    }
    events.sort_by_key(|event| event["sent_at"].as_str().unwrap().to_owned());
    system.post(&events, &[]).await.unwrap();
    system.settle().await;
    let asked = Asked {
        system: &system,
        from: samples::time(now_ms - 86_400_000),
        to: samples::time(now_ms + 3_600_000),
    };

    // Every message of a customer is a run, and the first of somebody else after it its answer.
    let waits = "SELECT toHour(sent_at, 'Asia/Shanghai') AS hour, role, \
         conversation_id, toDate(sent_at, 'Asia/Shanghai') AS day, \
         date_diff('second', sent_at, min(if(role = 'agent', sent_at, NULL)) OVER following) AS wait, \
         row_number() OVER (PARTITION BY conversation_id ORDER BY sent_at) AS place \
         FROM v_messages WINDOW following AS (PARTITION BY conversation_id ORDER BY sent_at \
         ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)";
    let known = asked.ask("profiles", json!({})).await;
    let figure = |id: &str| {
        let figures = known["figures"].as_array().unwrap();
        figures.iter().find(|one| one["metric_id"] == id).unwrap().clone()
    };
    for (id, sql) in [
        (
            "art.taobao.v1",
            format!(
                "SELECT count() AS n, avg(least(ifNull(wait, 600), 600)) AS value FROM ({waits}) \
                 WHERE role = 'customer' AND hour >= 8 AND hour < 23"
            ),
        ),
        (
            "within.taobao_3min.v1",
            format!(
                "SELECT count() AS n, avg(ifNull(wait <= 180, 0)) AS value FROM ({waits}) \
                 WHERE role = 'customer' AND hour >= 8 AND hour < 23"
            ),
        ),
        // Half an hour of silence lies before each of them.
        (
            "within.jd_30s.v1",
            format!(
                "SELECT count() AS n, avg(ifNull(wait <= 30, 0)) AS value FROM ({waits}) \
                 WHERE role = 'customer' AND hour >= 9 AND hour < 23"
            ),
        ),
        (
            "within.pdd_5min.v1",
            format!(
                "SELECT count() AS n, avg(kept) AS value FROM ( \
                 SELECT min(ifNull(wait <= 300, 0)) AS kept FROM ({waits}) \
                 WHERE role = 'customer' AND hour >= 8 AND hour < 23 GROUP BY conversation_id, day)"
            ),
        ),
    ] {
        let row = &system.tables().rows(&sql).await[0];
        let shown = figure(id);
        assert_eq!(count(&shown, "n"), row["n"].as_u64().unwrap(), "{id}: {shown} {row}");
        assert!(count(&shown, "n") > 0, "{id}: {shown}");
        let (shown, plain) = (shown["value"].as_f64().unwrap(), row["value"].as_f64().unwrap());
        assert!((shown - plain).abs() < 1e-9, "{id}: {shown} {plain}");
    }
    let unknown = figure("within.douyin.v1");
    assert!(unknown["value"].is_null() && unknown["not_measured"] != "", "{unknown}");

    // Whoever watches the wall is told of one more who waits.
    let watching = reqwest::Client::new().get(format!("{}/v1/wall:watch", system.url(3)));
    let mut watching = watching.bearer_auth(system.token()).send().await.unwrap();
    assert_eq!(watching.headers()["content-type"], "text/event-stream");
    let mut next = async || {
        let mut heard = Vec::new();
        while !heard.ends_with(b"\n\n") {
            heard.extend(watching.chunk().await.unwrap().expect("it goes on"));
        }
        let heard = String::from_utf8(heard).unwrap();
        let wall: Value =
            serde_json::from_str(heard.trim().strip_prefix("data: ").unwrap()).unwrap();
        count(&wall, "waiting_customers")
    };
    let before = next().await;
    let event = json!({
        "source": "desk", "event_id": "waits", "conversation_id": "c-waits", "type": "message",
        "sent_at": samples::now(), "customer": {"id": "u"}, "author": {"id": "u", "role": "customer"},
        "text": "在吗？",
    });
    system.post(&[event], &[]).await.unwrap();
    let told = tokio::time::timeout(PATIENCE, async {
        loop {
            let waiting = next().await;
            if waiting != before {
                return waiting;
            }
        }
    });
    assert_eq!(told.await.unwrap(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_conversation_and_the_wall_tell_who_waits_and_until_when_as_the_messages_do() {
    if !has_library("an_open_conversation_and_the_wall_tell_who_waits") {
        return;
    }
    let system = System::start(Options::default());
    let bundle = system.path().join("targets.toml");
    let targets = "[dialogue]\npolicy = 'standard'\n\
        policies.standard.frt = { target_ms = 6000000, warn_ms = 3000000 }\n\
        policies.standard.nrt = { target_ms = 4000000 }\n";
    std::fs::write(&bundle, targets).unwrap();
    let applied = system.run(&["config", "apply", bundle.to_str().unwrap()]);
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    let now_ms = now_ms();
    let said = |id: &str, seconds_ago: i64, role: &str| {
        json!({
            "source": "desk", "event_id": format!("{id}-{seconds_ago}"), "conversation_id": id,
            "type": "message", "sent_at": samples::time(now_ms - seconds_ago * 1_000),
            "customer": {"id": format!("u-{id}")}, "author": {"id": format!("{role}-1"), "role": role},
            "text": if role == "customer" { "请问什么时候能发货？" } else { "您好，正在为您查询。" },
        })
    };
    let mut events = vec![
        // A first reply that is late, one that is close, and one that has time.
        said("late", 7_000, "customer"),
        said("close", 3_500, "customer"),
        said("early", 50, "customer"),
        // Answered once, and asked again: two messages that nobody has answered.
        said("again", 3_400, "customer"),
        said("again", 3_390, "agent"),
        said("again", 3_200, "customer"),
        said("again", 3_100, "customer"),
        said("answered", 90, "customer"),
        said("answered", 80, "agent"),
    ];
    events.sort_by_key(|event| event["sent_at"].as_str().unwrap().to_owned());
    system.post(&events, &[]).await.unwrap();
    system.settle().await;

    // Customers' messages after the last one of an agent.
    let waits = "SELECT conversation_id, toUnixTimestamp64Milli(min(sent_at)) AS since, \
         count() AS messages, any(answered) AS answered \
         FROM (SELECT conversation_id, role, sent_at, \
         countIf(role = 'agent') OVER (PARTITION BY conversation_id) > 0 AS answered, \
         maxIf(sent_at, role = 'agent') OVER (PARTITION BY conversation_id) AS last_at \
         FROM v_messages) WHERE role = 'customer' AND sent_at > last_at \
         GROUP BY conversation_id ORDER BY since";
    let waits = system.tables().rows(waits).await;
    assert_eq!(waits.len(), 4, "{waits:?}");
    let get = async |path: String| {
        let request = reqwest::Client::new().get(format!("{}{path}", system.url(3)));
        let answer = request.bearer_auth(system.token()).send().await.unwrap();
        answer.json::<Value>().await.unwrap()
    };
    let wall = get("/v1/wall".to_owned()).await;
    let of = |value: &Value| {
        let time: zhili_proto::Timestamp = serde_json::from_value(value.clone()).unwrap();
        zhili_proto::millis(&time).unwrap()
    };
    let shown: Vec<_> = wall["waiting"].as_array().unwrap().iter().collect();
    assert_eq!(shown.len(), waits.len(), "{wall}");
    let mut risks = Vec::new();
    let wall_ms = of(&wall["at"]);
    for (shown, row) in shown.iter().zip(&waits) {
        assert_eq!(shown["conversation_id"], row["conversation_id"]);
        let since_ms = row["since"].as_i64().unwrap();
        assert_eq!(of(&shown["since"]), since_ms, "{shown}");
        let is_first = row["answered"] == 0;
        let (target, close_ms, due_ms) =
            if is_first { ("frt", 3_000_000, 6_000_000) } else { ("nrt", 3_000_000, 4_000_000) };
        assert_eq!(shown["target"], target, "{shown}");
        assert_eq!(of(&shown["due_at"]), since_ms + due_ms, "{shown}");
        assert_eq!(of(&shown["close_at"]), since_ms + close_ms, "{shown}");
        if since_ms + close_ms <= wall_ms {
            risks.push((since_ms + due_ms, shown["conversation_id"].clone()));
        }

        // The page of the conversation says so, too.
        let id = shown["conversation_id"].as_str().unwrap();
        let page = get(format!("/v1/conversations/{id}")).await;
        assert_eq!(page["waiting"]["messages"].as_u64(), row["messages"].as_u64(), "{page}");
        assert_eq!(page["waiting"]["since"], shown["since"], "{page}");
        for cycle in page["cycles"].as_array().unwrap_or(&Vec::new()) {
            assert_eq!(cycle["unanswered"], 1, "{cycle}");
            let turns = u64::from(!is_first) + 1;
            assert_eq!(cycle["turns"].as_u64(), Some(turns), "{cycle}");
        }
    }
    risks.sort_by_key(|(due_ms, _)| *due_ms);
    let listed: Vec<_> = wall["risks"].as_array().unwrap().iter().collect();
    let ids: Vec<_> = listed.iter().map(|one| one["conversation_id"].clone()).collect();
    assert_eq!(ids, risks.iter().map(|(_, id)| id.clone()).collect::<Vec<_>>(), "{wall}");
    assert_eq!((risks.len(), count(&wall, "at_risk"), count(&wall, "overdue")), (3, 3, 1));
    assert_eq!(wall["has_targets"], true);

    // Agents by the conversations in which they wrote last.
    let by_agent = "SELECT author, count() AS conversations, max(at) AS at FROM ( \
         SELECT conversation_id, argMax(author, sent_at) AS author, \
         toUnixTimestamp64Milli(max(accepted_at)) AS at \
         FROM v_messages WHERE role = 'agent' GROUP BY conversation_id) GROUP BY author";
    let row = &system.tables().rows(by_agent).await[0];
    let [agent] = wall["active_agents"].as_array().unwrap().as_slice() else { panic!("{wall}") };
    assert_eq!(agent["agent"], row["author"]);
    assert_eq!(count(agent, "open_conversations"), row["conversations"].as_u64().unwrap());
    assert_eq!(count(agent, "waiting_customers"), 1, "{agent}");
    assert_eq!(of(&agent["longest_since"]), now_ms - 3_200_000, "{agent}");
    assert_eq!(of(&agent["last_message_at"]), row["at"].as_i64().unwrap(), "{agent}");

    // Once it is answered nobody waits in it.
    let mut answer = said("again", 0, "agent");
    answer["text"] = "您好，今天下午发货。".into();
    system.post(&[answer], &[]).await.unwrap();
    system.settle().await;
    let again = waits.iter().find(|row| row["answered"] != 0).unwrap();
    let id = again["conversation_id"].as_str().unwrap();
    let page = get(format!("/v1/conversations/{id}")).await;
    assert!(page["waiting"].is_null(), "{page}");
    assert_eq!(page["cycles"][0]["unanswered"], 0, "{page}");
}
