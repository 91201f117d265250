//! Every metric that can be asked for: where its values are and how they become a figure. Figures,
//! leaderboards, distributions, comparisons and drill-downs are all made from this one table.

use crate::WarehouseError;
use crate::rollup::Facts;

/// A metric of the metric book that is computed from the views.
#[derive(Debug)]
pub struct Metric {
    /// Its id in the metric book.
    pub id: &'static str,
    /// What it measures, in one sentence.
    pub about: &'static str,
    /// What its values are in.
    pub unit: Unit,
    /// How values become a figure.
    pub measure: Measure,
    /// Which way is better.
    pub better: Better,
    /// Lines to draw beside it, each with where it comes from.
    pub benchmarks: &'static [Benchmark],
    /// By what it can be split and narrowed, besides times of day and days, which always can.
    pub dimensions: &'static [Dimension],
    pub(super) source: Source,
    /// Expression over the source's columns; NULL is not measured.
    pub(super) value: &'static str,
    /// Which rows of the source count.
    pub(super) filter: &'static str,
}

/// What a metric's values are in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unit {
    /// Milliseconds.
    Milliseconds,
    /// The score's own scale, from the first to the second.
    Score(f64, f64),
    /// A share of one.
    Ratio,
    /// How many.
    Count,
}

impl Unit {
    /// The word of the contract.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Score(..) => "score",
            Self::Ratio => "ratio",
            Self::Count => "count",
        }
    }

    /// Between what values lie, whatever was measured.
    pub(super) const fn bounds(self) -> (f64, f64) {
        match self {
            Self::Milliseconds | Self::Count => (0.0, f64::INFINITY),
            Self::Score(least, greatest) => (least, greatest),
            Self::Ratio => (0.0, 1.0),
        }
    }
}

/// How values become a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Arithmetic mean; its interval is that of a mean.
    Mean,
    /// Median, which a few very long waits do not move; its interval is between observations.
    Median,
    /// Share of yes among yes and no; its interval is Wilson's.
    Rate,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Less.
    Lower,
    /// More.
    Higher,
}

impl Better {
    /// The word of the contract.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lower => "lower",
            Self::Higher => "higher",
        }
    }
}

/// A line to compare a figure with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Benchmark {
    /// In the metric's unit.
    pub value: f64,
    /// Something to reach, rather than what somebody else had.
    pub target: bool,
    /// What the line is and where it comes from.
    pub about: &'static str,
}

const fn target(value: f64, about: &'static str) -> Benchmark {
    Benchmark { value, target: true, about }
}

const fn reference(value: f64, about: &'static str) -> Benchmark {
    Benchmark { value, target: false, about }
}

/// What to split a metric by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// The agent who answered.
    Agent,
    /// The channel.
    Channel,
    /// The queue.
    Queue,
    /// The team.
    Team,
    /// Level of a standard phrase: `basic`, `professional`, `emotion`.
    Level,
    /// Which standard phrase: `greeting`, ...
    Slot,
    /// What a session is about: `refund`, ...
    Topic,
    /// Why a complaint is urgent: `legal`, ...
    Category,
    /// What was promised: `callback`, ...
    Promise,
    /// Hour of the day, `00` to `23`.
    Hour,
    /// Day of the week, `1` (Monday) to `7`.
    Weekday,
    /// Calendar day, `2026-01-31`.
    Day,
}

impl Dimension {
    /// Every dimension.
    pub const ALL: [Self; 12] = [
        Self::Agent,
        Self::Channel,
        Self::Queue,
        Self::Team,
        Self::Level,
        Self::Slot,
        Self::Topic,
        Self::Category,
        Self::Promise,
        Self::Hour,
        Self::Weekday,
        Self::Day,
    ];

    /// The word of the contract.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Channel => "channel",
            Self::Queue => "queue",
            Self::Team => "team",
            Self::Level => "level",
            Self::Slot => "slot",
            Self::Topic => "topic",
            Self::Category => "category",
            Self::Promise => "promise",
            Self::Hour => "hour",
            Self::Weekday => "weekday",
            Self::Day => "day",
        }
    }

    /// The dimension of that name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dimension| dimension.word() == word)
    }

    /// Whether it is made from the time rather than kept in a column.
    #[must_use]
    pub const fn is_of_time(self) -> bool {
        matches!(self, Self::Hour | Self::Weekday | Self::Day)
    }
}

/// Events that meet a condition, each once: of those that came again under another time or
/// conversation the first. Those are few, so that they are told by a hash of their identity before
/// anything is sorted.
macro_rules! events_once {
    ($condition:expr) => {
        concat!(
            "(SELECT * FROM events FINAL WHERE ",
            $condition,
            " AND identity NOT IN (SELECT identity FROM events WHERE ",
            $condition,
            " GROUP BY identity HAVING count() > 1) \
             UNION ALL SELECT * FROM (SELECT * FROM events WHERE ",
            $condition,
            " AND identity IN (SELECT identity FROM events WHERE ",
            $condition,
            " GROUP BY identity HAVING count() > 1) \
             ORDER BY precedence DESC, log_offset LIMIT 1 BY source, event_id))"
        )
    };
}

/// Events of the range, each once. Not through `v_events`, which has to look at all that a tenant
/// has to be sure that an event is its first.
macro_rules! events_of_range {
    () => {
        $crate::query::registry::events_once!(
            "tenant = {tenant:String} \
             AND sent_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
             AND sent_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC') /* within */"
        )
    };
}

/// Where a source that is a subquery can be narrowed to parts of its range.
const WITHIN: &str = "/* within */";

/// What people among the agents say to customers: what a machine says, or one agent to another, is
/// not the agent's manner.
macro_rules! said_by_people {
    () => {
        "type = 'message' AND role = 'agent' AND NOT private AND subtype NOT IN ('auto', 'ai')"
    };
}

pub(super) use {events_of_range, events_once, said_by_people};

/// Where values are: rows with a tenant, a time and a conversation.
#[derive(Debug)]
pub(super) struct Source {
    /// A view, or a subquery with the parameters `tenant`, `from` and `to`.
    pub(super) rows: &'static str,
    /// When a row counts.
    pub(super) time: &'static str,
    /// The message that it is about; an expression, `''` if none.
    pub(super) event: &'static str,
    /// Column of the agent.
    agent: &'static str,
    /// What its hours are put together of, where that follows from facts of the hour alone.
    pub(super) facts: Option<Facts>,
}

impl Source {
    /// Its rows in parts of the range only, which are conditions on [`Source::time`].
    pub(super) fn rows_within(&self, parts: &str) -> String {
        self.rows.replace(WITHIN, &format!("AND ({parts})"))
    }
}

const ANYBODY: &[Dimension] =
    &[Dimension::Agent, Dimension::Channel, Dimension::Queue, Dimension::Team];
const PHRASES: &[Dimension] = &[
    Dimension::Agent,
    Dimension::Channel,
    Dimension::Queue,
    Dimension::Team,
    Dimension::Level,
    Dimension::Slot,
];
const TOPICS: &[Dimension] =
    &[Dimension::Agent, Dimension::Channel, Dimension::Queue, Dimension::Team, Dimension::Topic];
const PROMISED: &[Dimension] =
    &[Dimension::Agent, Dimension::Channel, Dimension::Queue, Dimension::Team, Dimension::Promise];
const CATEGORIES: &[Dimension] =
    &[Dimension::Channel, Dimension::Queue, Dimension::Team, Dimension::Category];
const NO_AGENT: &[Dimension] = &[Dimension::Channel, Dimension::Queue, Dimension::Team];
const TEAM_ONLY: &[Dimension] = &[Dimension::Team];
const AGENT_AND_TEAM: &[Dimension] = &[Dimension::Agent, Dimension::Team];
const NO_CHANNEL: &[Dimension] = &[Dimension::Agent, Dimension::Queue, Dimension::Team];

const TURNS: Source = Source {
    rows: "v_turns",
    time: "at",
    event: "if(answer_event_id = '', first_event_id, answer_event_id)",
    agent: "agent",
    facts: Some(Facts::Turns),
};
const SESSIONS: Source = Source {
    rows: "v_sessions",
    time: "at",
    event: "''",
    agent: "agent",
    facts: Some(Facts::Cycles),
};
/// Ended sessions. Not through `v_care`, which looks for customers who came back among all that there
/// are: those of a session count at the same time as the session.
const CARE: Source = Source {
    rows: "(SELECT * REPLACE (if(solved IS NULL, NULL, solved AND fact_id NOT IN ( \
         SELECT replaceRegexpOne(fact_id, '/r$', '/s') FROM recontacts FINAL \
         WHERE tenant = {tenant:String} AND next_at <= ended_at + toIntervalDay(7) \
         AND at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
         AND at < fromUnixTimestamp64Milli({to:Int64}, 'UTC') /* within */)) AS solved) \
         FROM sessions FINAL WHERE tenant = {tenant:String} \
         AND at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
         AND at < fromUnixTimestamp64Milli({to:Int64}, 'UTC') /* within */)",
    time: "at",
    event: "''",
    agent: "agent",
    facts: Some(Facts::Care),
};
const SLOTS: Source = Source {
    rows: "v_slots",
    time: "at",
    event: "if(event_id = '', due_event_id, event_id)",
    agent: "agent",
    facts: Some(Facts::Slots),
};
const PROMISES: Source = Source {
    rows: "v_promises",
    time: "made_at",
    event: "made_event_id",
    agent: "agent",
    facts: Some(Facts::Promises),
};
const RECONTACTS: Source = Source {
    rows: "v_recontacts",
    time: "at",
    event: "''",
    agent: "agent",
    facts: Some(Facts::Recontacts),
};
const STINTS: Source =
    Source { rows: "v_stints", time: "at", event: "''", agent: "agent", facts: Some(Facts::Care) };

/// Messages of people among the agents, with the turns of each agent that were open then. Not
/// through `v_concurrency`, which has to read all that a tenant has. A turn that began more than a
/// week before the range counts no more.
const CONCURRENCY: Source = Source {
    rows: concat!(
        "(SELECT * FROM (SELECT *, \
         sum(step) OVER (PARTITION BY agent ORDER BY at, rank \
         ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS open_turns \
         FROM ( \
         SELECT tenant, conversation_id, event_id, least(sent_at, accepted_at) AS at, \
         author AS agent, channel, queue, team, 1 AS rank, toInt64(0) AS step FROM ",
        events_of_range!(),
        " WHERE ",
        said_by_people!(),
        " UNION ALL \
         SELECT tenant, '' AS conversation_id, '' AS event_id, change.1 AS at, agent, \
         '' AS channel, '' AS queue, '' AS team, change.2 AS rank, change.3 AS step \
         FROM ( \
         SELECT t.tenant AS tenant, t.agent AS agent, \
         if(t.rt_first_unanswered_ms IS NULL, c.ended_at, fromUnixTimestamp64Milli( \
         toUnixTimestamp64Milli(t.started_at) + t.rt_first_unanswered_ms, 'UTC')) AS until, \
         arrayJoin([(t.started_at, 0, toInt64(1)), (assumeNotNull(until), 2, toInt64(-1))]) AS change \
         FROM (SELECT * FROM v_turns \
         WHERE tenant = {tenant:String} AND agent != '' \
         AND at >= fromUnixTimestamp64Milli({from:Int64} - 604800000, 'UTC') \
         AND at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')) AS t \
         LEFT JOIN (SELECT fact_id, ended_at FROM v_sessions \
         WHERE tenant = {tenant:String} \
         AND at >= fromUnixTimestamp64Milli({from:Int64} - 1209600000, 'UTC') \
         AND at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')) AS c \
         ON c.fact_id = replaceRegexpOne(t.fact_id, '/t[0-9]+$', '') \
         WHERE until IS NOT NULL))) WHERE rank = 1)"
    ),
    time: "at",
    event: "event_id",
    agent: "agent",
    facts: None,
};
/// Scores that somebody brought in.
const OUTSIDE: Source =
    Source { rows: "v_outside_scores", time: "at", event: "''", agent: "agent", facts: None };
const INCIDENTS: Source =
    Source { rows: "v_incidents", time: "triggered_at", event: "''", agent: "''", facts: None };

const EVENTS: Source = Source {
    rows: events_of_range!(),
    time: "sent_at",
    event: "event_id",
    agent: "author",
    facts: Some(Facts::Events),
};

/// How the politeness of an agent's conversations of one day spreads, where there are two.
const SPREADS: Source = Source {
    rows: concat!(
        "(SELECT tenant, agent, team, min(at) AS at, any(conversation_id) AS conversation_id, \
         stddevSamp(manner) / avg(manner) AS spread FROM ( \
         SELECT tenant, author AS agent, team, conversation_id, \
         toDate(sent_at, {zone:String}) AS day, min(sent_at) AS at, avg(politeness_score) AS manner \
         FROM ",
        events_of_range!(),
        " WHERE politeness_score IS NOT NULL AND ",
        said_by_people!(),
        " GROUP BY tenant, agent, team, conversation_id, day) \
         GROUP BY tenant, agent, team, day HAVING count() > 1 AND avg(manner) > 0)"
    ),
    time: "at",
    event: "''",
    agent: "agent",
    facts: None,
};

/// Ended sessions in which a phrase was due. A session counts by its start, and its phrases come
/// after it, so that none of them is cut off by the range.
const ASSESSED: Source = Source {
    rows: "(SELECT s.*, p.passed AS passed FROM v_care AS s INNER JOIN ( \
         SELECT conversation_id, cycle, min(present) AS passed FROM v_slots \
         WHERE tenant = {tenant:String} \
         AND at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
         GROUP BY conversation_id, cycle \
         ) AS p USING (conversation_id, cycle) \
         WHERE tenant = {tenant:String} \
         AND at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
         AND at < fromUnixTimestamp64Milli({to:Int64}, 'UTC'))",
    time: "at",
    event: "''",
    agent: "agent",
    facts: None,
};

/// Ended sessions with a complaint, and whether a signal of it reached people, who get an incident
/// of it. What is only history reaches nobody.
const ESCALATED: Source = Source {
    // One join in the other: of two side by side some columns have names with a prefix.
    rows: "(SELECT *, arrayExists(told -> told >= at \
         AND (closed_at IS NULL OR told <= closed_at), told_at) AS escalated \
         FROM (SELECT * FROM (SELECT *, replaceRegexpOne(fact_id, '/s$', '') AS cycle_id FROM v_care \
         WHERE tenant = {tenant:String} AND complaint AND NOT historical \
         AND at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
         AND at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')) AS c \
         LEFT JOIN (SELECT fact_id AS cycle_id, ended_at AS closed_at FROM v_sessions \
         WHERE tenant = {tenant:String} \
         AND at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
         AND at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')) AS s USING (cycle_id)) AS ended \
         LEFT JOIN (SELECT conversation_id, groupArray(effective_at) AS told_at \
         FROM v_signals WHERE tenant = {tenant:String} AND NOT historical AND NOT corrected \
         AND family IN ('complaint', 'crisis') \
         AND effective_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
         GROUP BY conversation_id) AS i USING (conversation_id))",
    time: "at",
    event: "''",
    agent: "agent",
    facts: None,
};

/// Whether the customers of ended sessions with a complaint came back.
const CAME_BACK: Source = Source {
    rows: "(SELECT * FROM v_recontacts WHERE tenant = {tenant:String} \
         AND replaceRegexpOne(fact_id, '/r$', '/s') IN (SELECT fact_id FROM v_care \
         WHERE tenant = {tenant:String} AND complaint \
         AND at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
         AND at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')))",
    time: "at",
    event: "''",
    agent: "agent",
    facts: Some(Facts::Recontacts),
};

impl Metric {
    /// A metric of what is between the people of a conversation and everybody else's.
    const fn new(id: &'static str, about: &'static str, source: Source) -> Self {
        Self {
            id,
            about,
            unit: Unit::Milliseconds,
            measure: Measure::Mean,
            better: Better::Lower,
            benchmarks: &[],
            dimensions: ANYBODY,
            source,
            value: "NULL",
            filter: "true",
        }
    }

    const fn milliseconds(self, value: &'static str) -> Self {
        Self { value, measure: Measure::Median, ..self }
    }

    const fn score(self, value: &'static str, low: f64, high: f64) -> Self {
        Self { value, unit: Unit::Score(low, high), better: Better::Higher, ..self }
    }

    const fn rate(self, value: &'static str) -> Self {
        Self { value, unit: Unit::Ratio, measure: Measure::Rate, better: Better::Higher, ..self }
    }

    const fn count(self, value: &'static str, better: Better) -> Self {
        Self { value, unit: Unit::Count, better, ..self }
    }

    const fn lower(self) -> Self {
        Self { better: Better::Lower, ..self }
    }

    const fn counting(self, filter: &'static str) -> Self {
        Self { filter, ..self }
    }

    const fn by(self, dimensions: &'static [Dimension]) -> Self {
        Self { dimensions, ..self }
    }

    const fn beside(self, benchmarks: &'static [Benchmark]) -> Self {
        Self { benchmarks, ..self }
    }

    const fn brought_in(self, filter: &'static str) -> Self {
        self.score("value", 0.0, 100.0).counting(filter).by(NO_CHANNEL)
    }

    /// Its values are brought in from outside, and are 0 to 100.
    #[must_use]
    pub fn is_brought_in(&self) -> bool {
        self.source.rows == OUTSIDE.rows
    }

    /// Every metric.
    pub const ALL: &'static [Self] = METRICS;

    /// The metric of that id.
    ///
    /// # Errors
    /// An id that is not known here.
    pub fn from_id(id: &str) -> Result<&'static Self, WarehouseError> {
        Self::ALL
            .iter()
            .find(|metric| metric.id == id)
            .ok_or_else(|| WarehouseError::UnknownMetric(id.to_owned()))
    }

    /// The id under which its hours are put together: of metrics with the same values the first's.
    pub(crate) fn rolled_id(&self) -> &'static str {
        let same = |other: &&Self| {
            other.source.rows == self.source.rows
                && other.value == self.value
                && other.filter == self.filter
                && other.dimensions == self.dimensions
                && (other.measure == Measure::Rate) == (self.measure == Measure::Rate)
        };
        Self::ALL.iter().find(same).map_or(self.id, |metric| metric.id)
    }

    /// The dimension besides agent, channel, queue, team and times that its rows have.
    pub(crate) fn kind(&self) -> Option<Dimension> {
        let kinds = [Dimension::Slot, Dimension::Topic, Dimension::Category, Dimension::Promise];
        kinds.into_iter().find(|kind| self.dimensions.contains(kind))
    }

    /// Expression of a dimension over the columns of `rollups`.
    ///
    /// # Errors
    /// A dimension that the metric's rows do not have.
    pub(super) fn rolled_expression(&self, by: Dimension) -> Result<String, WarehouseError> {
        self.expression(by)?;
        let level = "multiIf(kind IN ('greeting', 'closing'), 'basic', kind = 'professional', \
                     'professional', 'emotion')";
        Ok(match by {
            by if by.is_of_time() => of_time(by, "hour"),
            Dimension::Level => level.to_owned(),
            by if self.kind() == Some(by) => "toString(kind)".to_owned(),
            by => format!("toString({})", by.word()),
        })
    }

    /// Expression of a dimension over the source's columns.
    ///
    /// # Errors
    /// A dimension that the metric's rows do not have.
    pub(super) fn expression(&self, by: Dimension) -> Result<String, WarehouseError> {
        if !by.is_of_time() && !self.dimensions.contains(&by) {
            return Err(WarehouseError::NoSuchDimension { metric: self.id, by: by.word() });
        }
        Ok(self.column(by))
    }

    /// The same, with `''` for what the rows do not have.
    pub(super) fn column(&self, by: Dimension) -> String {
        match by {
            by if by.is_of_time() => of_time(by, &format!("assumeNotNull({})", self.source.time)),
            by if !self.dimensions.contains(&by) => "''".to_owned(),
            Dimension::Agent => format!("toString({})", self.source.agent),
            Dimension::Category => "toString(complaint_category)".to_owned(),
            by => format!("toString({})", by.word()),
        }
    }
}

/// Hour, weekday or day of a moment.
fn of_time(by: Dimension, moment: &str) -> String {
    match by {
        Dimension::Hour => {
            format!("leftPad(toString(toHour({moment}, {{zone:String}})), 2, '0')")
        }
        Dimension::Weekday => format!("toString(toDayOfWeek({moment}, 0, {{zone:String}}))"),
        _ => format!("toString(toDate({moment}, {{zone:String}}))"),
    }
}

const S3_RESPONSE: &[Benchmark] =
    &[target(120_000.0, "S3: people answer in under 2 min on average")];

const METRICS: &[Metric] =
    &[
        Metric::new(
            "rt.first_unanswered.v1",
            "The customer's wait from the first unanswered message to a person's answer.",
            TURNS,
        )
        .milliseconds("rt_first_unanswered_ms"),
        Metric::new(
            "rt.last_msg.v1",
            "The customer's wait from the last message of a turn to a person's answer.",
            TURNS,
        )
        .milliseconds("rt_last_msg_ms"),
        Metric::new(
            "rt.human.v1",
            "From the later of first unanswered message and hand-off to a person's answer.",
            TURNS,
        )
        .milliseconds("rt_human_ms"),
        Metric::new("art.v1", "Mean of rt.human.v1 over turns.", TURNS)
            .milliseconds("rt_human_ms")
            .mean()
            .beside(S3_RESPONSE),
        Metric::new("frt.any.v1", "First reply of a session, machines included.", SESSIONS)
            .milliseconds("frt_any_ms")
            .beside(&[
                reference(1_800.0, "S3: with smart service"),
                reference(8_300.0, "S3: before it"),
            ]),
        Metric::new("frt.human.v1", "First reply of a person in a session.", SESSIONS)
            .milliseconds("frt_human_ms"),
        Metric::new(
            "frt.substantive.v1",
            "First reply of a person that is neither a greeting alone nor a holding reply.",
            SESSIONS,
        )
        .milliseconds("frt_substantive_ms"),
        Metric::new("frt.join.v1", "From an agent's join to the first message.", SESSIONS)
            .milliseconds("frt_join_ms"),
        Metric::new("sla.frt.v1", "Share of first-reply targets that were met.", SESSIONS)
            .rate("multiIf(sla_frt = 'met', 1, sla_frt = 'breached', 0, NULL)"),
        Metric::new("sla.nrt.v1", "Share of next-reply targets that were met.", TURNS)
            .rate("multiIf(sla_nrt = 'met', 1, sla_nrt = 'breached', 0, NULL)"),
        Metric::new("sla.resolution.v1", "Share of resolution targets that were met.", SESSIONS)
            .rate("multiIf(sla_resolution = 'met', 1, sla_resolution = 'breached', 0, NULL)"),
        Metric::new("resolved.v1", "Share of ended sessions that were resolved.", SESSIONS)
            .rate("resolved")
            .counting("NOT provisional")
            .beside(&[reference(0.92, "S3: with smart service"), reference(0.64, "S3: before it")]),
        Metric::new(
            "fcr.v1",
            "Share of ended sessions that were resolved and whose customer did not ask again in 7 days.",
            RECONTACTS,
        )
        .rate("if(known_7d, fcr_7d, NULL)"),
        Metric::new(
            "reopen.v1",
            "Share of resolved sessions whose customer asked again in the same conversation in 7 days.",
            RECONTACTS,
        )
        .rate("if(known_7d, reopened_7d, NULL)")
        .counting("resolved")
        .lower(),
        Metric::new(
            "silence.v1",
            "Stretches of more than 30 s in a session while the customer waited.",
            SESSIONS,
        )
        .count("silences_agent", Better::Lower)
        .counting("NOT provisional"),
        Metric::new("csat.v1", "The customers' own rating as a share of the best one.", EVENTS)
            .rate("if(csat_max > 0, csat_score / csat_max, NULL)")
            .mean()
            .counting("type = 'csat'")
            .by(NO_AGENT)
            .beside(&[
                target(0.9, "S3: target"),
                reference(0.88, "S3: with smart service"),
                reference(0.61, "S3: before it"),
            ]),
        Metric::new(
            "politeness.v1",
            "Politeness of the messages that people among the agents sent to customers.",
            EVENTS,
        )
        .score("politeness_score", 0.0, 100.0)
        .counting("type = 'message' AND NOT private AND subtype NOT IN ('auto', 'ai')"),
        Metric::new(
            "forbidden.v1",
            "Share of messages by people among the agents that hold wording which is never acceptable.",
            EVENTS,
        )
        .rate("forbidden")
        .counting(said_by_people!())
        .lower(),
        Metric::new(
            "spread.v1",
            "How unevenly polite an agent is from one conversation of a day to the other.",
            SPREADS,
        )
        .score("spread", 0.0, 1.0)
        .lower()
        .by(AGENT_AND_TEAM),
        Metric::new("sentiment.v1", "Sentiment of the customers' messages as first sent.", EVENTS)
            .score("sentiment_value", -1.0, 1.0)
            .counting("type = 'message' AND NOT private")
            .by(NO_AGENT),
        Metric::new("emo.conv.v1", "Share of sessions that began unhappy and ended content.", CARE)
            .rate("converted")
            .beside(&[reference(0.76, "S4: excellent")]),
        Metric::new("cl5.v1", "Mood of a session from -5 to 5.", CARE).score("cl5", -5.0, 5.0),
        Metric::new("cl5.progressive.v1", "Mood at the end of a session from -5 to 5.", CARE)
            .score("cl5_progressive", -5.0, 5.0),
        Metric::new("gc100.v1", "Mood of a session, later messages weighing more.", CARE)
            .score("gc100", -100.0, 100.0),
        Metric::new("empathy100.v1", "Empathic against rude messages of agents.", CARE).score(
            "empathy100",
            -100.0,
            100.0,
        ),
        Metric::new(
            "aggravation.v1",
            "Drops of the customer's mood after an agent's message, per session.",
            CARE,
        )
        .count("aggravations", Better::Lower),
        Metric::new("stall.v1", "Share of sessions whose first reply only asked to wait.", CARE)
            .rate("first_is_holding")
            .lower(),
        Metric::new(
            "phrase.coverage.v1",
            "Share of standard phrases that were due and said in time.",
            SLOTS,
        )
        .rate("present")
        .by(PHRASES)
        .beside(&[target(0.95, "S0: standard phrases in at least 95 %")]),
        Metric::new(
            "phrase.coverage.professional.v1",
            "phrase.coverage.v1: of the professional level, advice where something was asked.",
            SLOTS,
        )
        .rate("present")
        .counting("level = 'professional'"),
        Metric::new(
            "phrase.compliance.v1",
            "Share of ended sessions in which every phrase that was due was said in time.",
            ASSESSED,
        )
        .rate("passed")
        .beside(&[target(0.98, "S0: compliance of at least 98 %")]),
        Metric::new("complaint.rate.v1", "Share of ended sessions with a complaint.", CARE)
            .rate("complaint")
            .lower()
            .by(TOPICS),
        Metric::new(
            "complaint.urgent.v1",
            "Share of the customers' messages that are urgent complaints.",
            EVENTS,
        )
        .rate("complaint = 'urgent'")
        .counting("type = 'message' AND role = 'customer' AND NOT private AND complaint != ''")
        .lower()
        .by(CATEGORIES),
        Metric::new(
            "escalation.rate.v1",
            "Share of ended sessions with a complaint that was escalated to people at once.",
            ESCALATED,
        )
        .rate("escalated")
        .lower()
        .by(TOPICS)
        .beside(&[reference(0.12, "S3: with smart service"), reference(0.37, "S3: before it")]),
        Metric::new(
            "complaint.again.v1",
            "Share of complaints of more than 7 days ago whose customer asked again within 7 days.",
            CAME_BACK,
        )
        // Those who came back already count no sooner than those who did not.
        .rate("if(now() >= ended_at + toIntervalDay(7), ifNull(next_at <= ended_at + toIntervalDay(7), 0), NULL)")
        .lower(),
        Metric::new(
            "funnel.identification.v1",
            "funnel.v1: complaints in which an agent asked before the first advice.",
            CARE,
        )
        .rate("identified")
        .by(TOPICS)
        .beside(&[reference(0.52, "S4: reference line")]),
        Metric::new(
            "funnel.emotion.v1",
            "funnel.v1: complaints in which no empathic answer that was due was missed.",
            CARE,
        )
        .rate("felt")
        .by(TOPICS)
        .beside(&[reference(0.37, "S4: reference line")]),
        Metric::new("funnel.solution.v1", "funnel.v1: complaints advised and resolved.", CARE)
            .rate("solved")
            .by(TOPICS)
            .beside(&[reference(0.41, "S4: reference line")]),
        Metric::new(
            "funnel.follow_up.v1",
            "funnel.v1: complaints without a broken promise or a customer left waiting.",
            CARE,
        )
        .rate("followed_up")
        .by(TOPICS)
        .beside(&[reference(0.63, "S4: reference line")]),
        Metric::new("soothing.v1", "Of five ways to soothe, those used after a complaint.", CARE)
            .count("soothing", Better::Higher),
        Metric::new("promise.v1", "Share of promises kept, of those kept or broken.", PROMISES)
            .rate("multiIf(state = 'kept', 1, state = 'broken', 0, NULL)")
            .by(PROMISED),
        Metric::new("aht.v1", "Time at work of an agent in an ended session.", STINTS)
            .milliseconds("active_ms")
            .mean(),
        Metric::new("aht.wall.v1", "Ended sessions from their begin to their end.", SESSIONS)
            .milliseconds("toUnixTimestamp64Milli(ended_at) - toUnixTimestamp64Milli(started_at)")
            .mean()
            .counting("NOT provisional"),
        Metric::new(
            "concurrency.v1",
            "Turns of an agent that were open at each of the agent's messages.",
            CONCURRENCY,
        )
        .count("open_turns", Better::Lower),
        Metric::new(
            "mechanical.v1",
            "Share of an agent's sessions with a reply said again or one that says nothing to the question.",
            STINTS,
        )
        .rate("mechanical > 0")
        .lower(),
        Metric::new("exam.v1", "Scores of exams, as they were brought in.", OUTSIDE)
            .brought_in("metric = 'exam.v1'"),
        Metric::new(
            "review.personal.v1",
            "Reviewers' scores of how personal the service is, as they were brought in.",
            OUTSIDE,
        )
        .brought_in("metric = 'review.personal.v1'"),
        Metric::new(
            "review.accuracy.v1",
            "Reviewers' scores of how right the answers are, as they were brought in.",
            OUTSIDE,
        )
        .brought_in("metric = 'review.accuracy.v1'"),
        Metric::new("mtta.v1", "Incident triggered to acknowledged.", INCIDENTS)
            .milliseconds("mtta_ms")
            .by(TEAM_ONLY),
        Metric::new("mttr.v1", "Incident triggered to resolved.", INCIDENTS)
            // What was only recorded is resolved as it is triggered.
            .milliseconds("if(resolved_at > triggered_at, mttr_ms, NULL)")
            .by(TEAM_ONLY),
    ];

/// Metrics that rate agents, whatever they are split by: manner, standard phrases, care, work.
const OF_AGENTS: &[&str] = &[
    "politeness.v1",
    "forbidden.v1",
    "spread.v1",
    "empathy100.v1",
    "stall.v1",
    "phrase.coverage.v1",
    "phrase.coverage.professional.v1",
    "phrase.compliance.v1",
    "funnel.identification.v1",
    "funnel.emotion.v1",
    "funnel.solution.v1",
    "funnel.follow_up.v1",
    "soothing.v1",
    "aht.v1",
    "concurrency.v1",
    "mechanical.v1",
    "exam.v1",
    "review.personal.v1",
    "review.accuracy.v1",
];

impl Metric {
    /// Whether it rates agents even where it is not split by agent. Waiting times, targets, moods
    /// and complaints do not: they are the customer's.
    #[must_use]
    pub fn rates_agents(&self) -> bool {
        OF_AGENTS.contains(&self.id)
    }

    const fn mean(self) -> Self {
        Self { measure: Measure::Mean, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_found_by_its_id_and_no_id_is_given_twice() {
        for metric in Metric::ALL {
            assert_eq!(Metric::from_id(metric.id).unwrap().about, metric.about);
            let same = Metric::ALL.iter().filter(|other| other.id == metric.id).count();
            assert_eq!(same, 1, "{}", metric.id);
        }
        assert!(Metric::from_id("rt.first_unanswered.v9").is_err());
    }

    #[test]
    fn metrics_of_agents_are_there_and_all_that_are_brought_in_are_among_them() {
        for id in OF_AGENTS {
            assert!(Metric::from_id(id).is_ok(), "{id}");
        }
        assert!(Metric::ALL.iter().all(|it| !it.is_brought_in() || it.rates_agents()));
    }

    #[test]
    fn every_dimension_is_found_by_its_word() {
        for dimension in [Dimension::Agent, Dimension::Level, Dimension::Slot, Dimension::Day] {
            assert_eq!(Dimension::from_word(dimension.word()), Some(dimension));
        }
        for metric in Metric::ALL {
            let known = |by| Dimension::ALL.contains(by);
            assert!(metric.dimensions.iter().all(known), "{}", metric.id);
        }
    }

    #[test]
    fn an_id_ends_with_its_version_and_a_sentence_says_what_it_is() {
        for metric in Metric::ALL {
            let (_, version) = metric.id.rsplit_once(".v").unwrap();
            assert!(version.parse::<u32>().is_ok(), "{}", metric.id);
            assert!(metric.about.ends_with('.'), "{}", metric.id);
        }
    }

    #[test]
    fn the_lines_of_the_founding_texts_are_drawn() {
        let lines = |id: &str| -> Vec<f64> {
            Metric::from_id(id).unwrap().benchmarks.iter().map(|line| line.value).collect()
        };
        assert_eq!(lines("art.v1"), [120_000.0]);
        assert_eq!(lines("frt.any.v1"), [1_800.0, 8_300.0]);
        assert_eq!(lines("phrase.coverage.v1"), [0.95]);
        assert_eq!(lines("phrase.compliance.v1"), [0.98]);
        assert_eq!(lines("emo.conv.v1"), [0.76]);
    }

    #[test]
    fn incidents_are_not_split_by_agent() {
        let mtta = Metric::from_id("mtta.v1").unwrap();
        assert_eq!(
            mtta.expression(Dimension::Agent).unwrap_err().to_string(),
            "metric mtta.v1 cannot be split by agent"
        );
        assert!(mtta.expression(Dimension::Hour).is_ok());
    }
}
