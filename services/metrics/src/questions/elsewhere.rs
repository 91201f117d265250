//! Routes of HTTP that are not made together with the document that describes them: those of the
//! other services, of the console, and of whoever watches. `tests/e2e/access` compares them with
//! what the services answer.

/// A route as the document has it.
pub(super) struct Route {
    pub(super) services: &'static [&'static str],
    /// Lower case, as OpenAPI has it.
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) what: What,
    /// Parameters behind the path.
    pub(super) query: &'static [&'static str],
    /// Needs no token.
    pub(super) open: bool,
}

/// What a route answers.
pub(super) enum What {
    /// What the method does, `package.Service/Method`, with its messages as JSON.
    Call(&'static str),
    /// Events, in any of the forms that are taken.
    Events,
    /// What a platform sends by itself, in one sentence.
    Platform(&'static str),
    /// In one sentence, and the type of the answer; none where it is empty.
    Plain(&'static str, &'static str),
}

use What::{Call, Events, Plain, Platform};

const EACH: &[&str] = &["ingest", "scoring", "escalation", "metrics"];
const INGEST: &[&str] = &["ingest"];
const SCORING: &[&str] = &["scoring"];
const ESCALATION: &[&str] = &["escalation"];
const METRICS: &[&str] = &["metrics"];
/// Metrics hands these on.
const ESCALATION_AND_METRICS: &[&str] = &["escalation", "metrics"];
const INGEST_AND_METRICS: &[&str] = &["ingest", "metrics"];

const fn route(
    services: &'static [&'static str],
    method: &'static str,
    path: &'static str,
    what: What,
) -> Route {
    Route { services, method, path, what, query: &[], open: false }
}

const fn asking(route: Route, query: &'static [&'static str]) -> Route {
    Route { query, ..route }
}

const fn open(
    services: &'static [&'static str],
    method: &'static str,
    path: &'static str,
    about: &'static str,
    media: &'static str,
) -> Route {
    Route { services, method, path, what: Plain(about, media), query: &[], open: true }
}

/// A platform's address. It knows its callers by the platform's secrets, too.
const fn adapter(path: &'static str, about: &'static str) -> Route {
    asking(route(INGEST, "post", path, Platform(about)), &["source", "mode", "business", "token"])
}

const TEXT: &str = "text/plain";
const JSON: &str = "application/json";
const PAGE: &str = "text/html";
const CALENDAR: &str = "text/calendar";
const NOTHING: &str = "";

pub(super) static ROUTES: &[Route] = &[
    open(EACH, "get", "/livez", "That the process answers.", TEXT),
    open(EACH, "get", "/readyz", "Whether the service gets on, or why not, a line each.", TEXT),
    open(
        EACH,
        "get",
        "/metrics",
        "Counters and gauges of the service.",
        "application/openmetrics-text",
    ),
    route(INGEST, "post", "/v1/events", Events),
    route(
        INGEST_AND_METRICS,
        "post",
        "/v1/pseudonyms",
        Call("zhili.conversation.v1.PseudonymService/FindPseudonyms"),
    ),
    adapter("/v1/adapters/chatwoot", "Webhooks of Chatwoot."),
    adapter("/v1/adapters/sunshine", "Webhooks of Sunshine Conversations, version 2."),
    adapter("/v1/adapters/sca", "Uploads for Alibaba Cloud's Smart Conversation Analysis."),
    adapter("/v1/adapters/contact-lens", "Segment streams of Amazon Connect Contact Lens."),
    route(SCORING, "post", "/v1/score", Call("zhili.scoring.v1.ScoringService/Score")),
    route(SCORING, "post", "/v1/suggest", Call("zhili.scoring.v1.ScoringService/Suggest")),
    asking(
        route(
            ESCALATION_AND_METRICS,
            "get",
            "/v1/incidents",
            Call("zhili.escalation.v1.EscalationService/List"),
        ),
        &["all", "limit", "team"],
    ),
    asking(
        route(
            ESCALATION_AND_METRICS,
            "get",
            "/v1/incidents:watch",
            Plain("What happens to incidents, as server-sent events.", "text/event-stream"),
        ),
        &["cursor"],
    ),
    route(
        METRICS,
        "get",
        "/v1/wall:watch",
        Plain(
            "What is going on, as server-sent events: the wall, whenever it changes.",
            "text/event-stream",
        ),
    ),
    route(
        ESCALATION_AND_METRICS,
        "get",
        "/v1/incidents/{incident_id}",
        Call("zhili.escalation.v1.EscalationService/Get"),
    ),
    route(
        ESCALATION_AND_METRICS,
        "post",
        "/v1/incidents/{incident_id}:acknowledge",
        Call("zhili.escalation.v1.EscalationService/Acknowledge"),
    ),
    route(
        ESCALATION_AND_METRICS,
        "post",
        "/v1/incidents/{incident_id}:snooze",
        Call("zhili.escalation.v1.EscalationService/Snooze"),
    ),
    route(
        ESCALATION_AND_METRICS,
        "post",
        "/v1/incidents/{incident_id}:reassign",
        Call("zhili.escalation.v1.EscalationService/Reassign"),
    ),
    route(
        ESCALATION_AND_METRICS,
        "post",
        "/v1/incidents/{incident_id}:escalate",
        Call("zhili.escalation.v1.EscalationService/EscalateNow"),
    ),
    route(
        ESCALATION_AND_METRICS,
        "post",
        "/v1/incidents/{incident_id}:markFalsePositive",
        Call("zhili.escalation.v1.EscalationService/MarkFalsePositive"),
    ),
    route(
        ESCALATION_AND_METRICS,
        "post",
        "/v1/incidents/{incident_id}:resolve",
        Call("zhili.escalation.v1.EscalationService/Resolve"),
    ),
    route(
        ESCALATION_AND_METRICS,
        "post",
        "/v1/incidents/{incident_id}:redeliver",
        Call("zhili.escalation.v1.EscalationService/Redeliver"),
    ),
    route(
        ESCALATION,
        "post",
        "/v1/conversations/{conversation_id}:attend",
        Call("zhili.escalation.v1.EscalationService/Attend"),
    ),
    route(
        ESCALATION,
        "post",
        "/v1/conversations/{conversation_id}:leave",
        Call("zhili.escalation.v1.EscalationService/Attend"),
    ),
    asking(
        route(
            ESCALATION,
            "get",
            "/v1/on-call",
            Call("zhili.escalation.v1.EscalationService/OnCall"),
        ),
        &["team", "schedule", "days"],
    ),
    asking(
        route(
            ESCALATION,
            "get",
            "/v1/schedules/{file}",
            Plain("A schedule as a calendar, NAME.ics.", CALENDAR),
        ),
        &["team"],
    ),
    asking(
        route(
            ESCALATION,
            "get",
            "/v1/silences",
            Call("zhili.escalation.v1.EscalationService/ListSilences"),
        ),
        &["all", "team"],
    ),
    route(
        ESCALATION,
        "post",
        "/v1/silences",
        Call("zhili.escalation.v1.EscalationService/CreateSilence"),
    ),
    route(
        ESCALATION,
        "post",
        "/v1/silences/{silence_id}:expire",
        Call("zhili.escalation.v1.EscalationService/ExpireSilence"),
    ),
    asking(
        route(
            ESCALATION,
            "post",
            "/v1/destinations/{destination}:test",
            Call("zhili.escalation.v1.EscalationService/TestDestination"),
        ),
        &["team"],
    ),
    open(
        ESCALATION,
        "get",
        "/calendars/{token}",
        "A schedule as a calendar; the address is the secret.",
        CALENDAR,
    ),
    open(ESCALATION, "get", "/i/page.css", "What the pages of links look like.", "text/css"),
    open(
        ESCALATION,
        "get",
        "/i/{token}",
        "An incident as whoever was paged may see it; the address is the secret.",
        PAGE,
    ),
    open(
        ESCALATION,
        "post",
        "/i/{token}/{action}",
        "Does to it what the page offers: acknowledge or resolve.",
        PAGE,
    ),
    route(METRICS, "get", "/v1/erasures", Call("zhili.privacy.v1.PrivacyService/ListErasures")),
    route(METRICS, "post", "/v1/erasures", Call("zhili.privacy.v1.PrivacyService/Erase")),
    route(
        METRICS,
        "get",
        "/v1/erasures/{erasure_id}",
        Call("zhili.privacy.v1.PrivacyService/GetErasure"),
    ),
    route(METRICS, "get", "/v1/holds", Call("zhili.privacy.v1.PrivacyService/ListHolds")),
    route(METRICS, "post", "/v1/holds", Call("zhili.privacy.v1.PrivacyService/Hold")),
    route(
        METRICS,
        "post",
        "/v1/holds/{hold_id}:release",
        Call("zhili.privacy.v1.PrivacyService/Release"),
    ),
    route(METRICS, "get", "/v1/openapi.json", Plain("This document.", JSON)),
    open(METRICS, "post", "/session", "Opens a session of the console for a token.", JSON),
    open(METRICS, "get", "/session", "Whose session a cookie is.", JSON),
    open(METRICS, "delete", "/session", "Ends the session of a cookie.", NOTHING),
    open(
        METRICS,
        "get",
        "/login/provider",
        "At which identity provider people log in, if so.",
        JSON,
    ),
    open(METRICS, "get", "/login", "Sends a browser to the identity provider.", PAGE),
    open(METRICS, "get", "/login/callback", "Takes it back, into a session.", PAGE),
    open(METRICS, "get", "/", "The console: what happens now.", PAGE),
    open(METRICS, "get", "/overview", "The console: all metrics.", PAGE),
    open(METRICS, "get", "/agents", "The console: agents.", PAGE),
    open(METRICS, "get", "/phrases", "The console: standard phrases.", PAGE),
    open(METRICS, "get", "/complaints", "The console: complaints.", PAGE),
    open(METRICS, "get", "/library", "The console: what agents say.", PAGE),
    open(METRICS, "get", "/health", "The console: whether figures can be trusted.", PAGE),
    open(METRICS, "get", "/shift", "The console: a shift.", PAGE),
    open(METRICS, "get", "/incidents", "The console: incidents.", PAGE),
    open(METRICS, "get", "/incidents/{id}", "The console: one incident.", PAGE),
    open(METRICS, "get", "/conversations", "The console: conversations.", PAGE),
    open(METRICS, "get", "/conversations/{id}", "The console: one conversation.", PAGE),
    open(METRICS, "get", "/metrics/{id}", "The console: one metric.", PAGE),
    open(METRICS, "get", "/search", "The console: what an id stands for.", PAGE),
    open(METRICS, "get", "/assets/{file}", "What the console is made of.", "*/*"),
];
