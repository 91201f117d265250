//! Figures of the console's pages against plain SQL that starts from messages and events.

use std::time::Duration;

use serde_json::{Value, json};
use zhili_tests::{Options, System, eventually, has_library, samples};

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
            (20, Agent("您好，建议您先看一下商品页，价格是99元。")),
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
            (40, Customer("订单号是8812")),
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
            (60, Customer("8813")),
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
        queue: "after",
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
        queue: "after",
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
        let answer = self.ask(&format!("metrics/{metric}:compare"), json!({})).await;
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

    let narrow = asked.ask("complaints", json!({"filter": {"queue": "sales"}})).await;
    for list in ["urgent", "promises", "pending", "repeats"] {
        assert!(narrow[list].as_array().is_none_or(Vec::is_empty), "{list}: {narrow}");
    }
}
