//! The page that a card's link opens, sized for a telephone: what has happened, and buttons to
//! answer for it. Plain HTML without scripts. Looking at it changes nothing.

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};
use zhili_incident::{Action, Language};
use zhili_proto::escalation::v1 as pb;
use zhili_runtime::auth::{Principal, Role, Tenant};
use zhili_runtime::{ErrorCode, Routes, ServiceError};

use super::{Api, Request};
use crate::channel::words;
use crate::convert;
use crate::link::{LinkError, Permit};

/// Nothing but the style and the buttons of this page; nobody may frame it.
const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";
const MOST_MESSAGES: usize = 6;

pub(crate) fn routes(api: Api) -> Routes {
    Routes::default()
        .get("/i/page.css", style)
        .get("/i/{token}", look)
        .post("/i/{token}/{action}", act)
        .with_state(api)
}

async fn style() -> impl IntoResponse {
    let kind = (header::CONTENT_TYPE, "text/css; charset=utf-8");
    ([kind, (header::CACHE_CONTROL, "max-age=3600")], include_str!("page.css"))
}

async fn look(State(api): State<Api>, Path(token): Path<String>, headers: HeaderMap) -> Response {
    let language = language(&headers);
    let permit = match api.links.open(&token, (api.clock)()) {
        Ok(permit) => permit,
        Err(error) => return closed(error, language),
    };
    match api.find(&permit.tenant, &permit.incident_id).await {
        Ok(incident) => {
            let console = api.links.console(&permit.incident_id);
            page(StatusCode::OK, language, &card(&incident, &token, "", &console, language))
        }
        Err(error) => failed(&error, language),
    }
}

async fn act(
    State(api): State<Api>,
    Path((token, action)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let language = language(&headers);
    let permit = match api.links.open(&token, (api.clock)()) {
        Ok(permit) => permit,
        Err(error) => return closed(error, language),
    };
    let action = match action.as_str() {
        "acknowledge" => Action::Acknowledge,
        "resolve" => Action::Resolve,
        _ => return failed(&ServiceError::new(ErrorCode::NotFound, "no such action"), language),
    };
    let caller = match caller(&permit) {
        Ok(caller) => caller,
        Err(error) => return failed(&error, language),
    };
    let request = Request {
        incident_id: permit.incident_id.clone(),
        expected_version: 0,
        // A second tap is the same command.
        command_id: command_id(&token, &action),
        action,
        note: String::new(),
    };
    match api.command(Some(&caller), request).await {
        Ok(_) => {
            // Back to the page, so that loading it again sends nothing again.
            let mut response = StatusCode::SEE_OTHER.into_response();
            if let Ok(target) = HeaderValue::try_from(format!("/i/{token}")) {
                response.headers_mut().insert(header::LOCATION, target);
            }
            response
        }
        Err(error) => match api.find(&permit.tenant, &permit.incident_id).await {
            Ok(incident) => {
                let console = api.links.console(&permit.incident_id);
                let text = card(&incident, &token, &error.message, &console, language);
                page(error.code.http(), language, &text)
            }
            Err(error) => failed(&error, language),
        },
    }
}

/// Whoever was paged at the destination: the link does not say who they are.
fn caller(permit: &Permit) -> Result<Principal, ServiceError> {
    let tenant = Tenant::try_from(permit.tenant.clone())
        .map_err(|_| ServiceError::new(ErrorCode::NotFound, "no such incident"))?;
    let name = format!("link:{}", permit.destination);
    Ok(Principal::new(name, tenant, BTreeSet::from([Role::Supervisor])))
}

fn command_id(token: &str, action: &Action) -> String {
    let digest = Sha256::digest(format!("{token}\n{action:?}"));
    format!("link_{}", URL_SAFE_NO_PAD.encode(&digest[..16]))
}

/// Chinese unless the reader prefers English to it.
fn language(headers: &HeaderMap) -> Language {
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let mut languages = accepted.unwrap_or_default().split(',').map(str::trim);
    let first = languages.find(|language| language.starts_with("zh") || language.starts_with("en"));
    if first.is_some_and(|language| language.starts_with("en")) {
        Language::En
    } else {
        Language::Zh
    }
}

/// The incident with its buttons; `refusal` says why the last one did nothing.
fn card(
    incident: &pb::Incident,
    token: &str,
    refusal: &str,
    console: &str,
    language: Language,
) -> String {
    let say = |zh: &'static str, en| if language == Language::Zh { zh } else { en };
    let mut text = format!("<h1>{}</h1>", escape(&words::title_of(incident, language)));
    if !refusal.is_empty() {
        text += &format!("<p role=alert>{}</p>", escape(refusal));
    }
    let state = match incident.state() {
        pb::incident::State::Acknowledged => {
            format!("{} {}", say("已确认：", "Acknowledged by"), incident.owner)
        }
        pb::incident::State::Resolved => say("已解决", "Resolved").to_owned(),
        _ => say("等待处理", "Waiting for somebody").to_owned(),
    };
    text += &format!("<p role=status>{}</p>", escape(&state));
    text += "<dl>";
    let newest = incident.evidence.last().cloned().unwrap_or_default();
    for (label, value) in [
        (say("坐席", "Agent"), &newest.agent),
        (say("队列", "Queue"), &newest.queue),
        (say("渠道", "Channel"), &newest.channel),
        (say("客户", "Customer"), &newest.customer),
        (say("客户等级", "Customer tier"), &newest.customer_tier),
        (say("会话", "Conversation"), &incident.conversation_id),
        (say("事件", "Incident"), &incident.incident_id),
    ] {
        if !value.is_empty() {
            text += &format!("<dt>{label}</dt><dd>{}</dd>", escape(value));
        }
    }
    text += "</dl>";
    let quoted: Vec<String> = if newest.said.is_empty() {
        incident.evidence.iter().map(|signal| signal.excerpt.clone()).collect()
    } else {
        let said = newest.said.iter();
        said.map(|it| words::message(Some(convert::speaker(it.role())), &it.text, language))
            .collect()
    };
    for quote in &quoted[quoted.len().saturating_sub(MOST_MESSAGES)..] {
        text += &format!("<blockquote>{}</blockquote>", escape(quote));
    }
    let button = |action: &str, class: &str, label: &str| {
        let token = escape(token);
        format!(
            "<form method=post action=\"/i/{token}/{action}\"><button class=\"{class}\">{label}\
             </button></form>"
        )
    };
    let open = incident.state() != pb::incident::State::Resolved;
    if open && incident.state() != pb::incident::State::Acknowledged {
        text += &button("acknowledge", "first", say("我来处理", "I take it"));
    }
    if open {
        text += &button("resolve", "", say("已解决", "It is resolved"));
    }
    if !console.is_empty() {
        let label = say("在控制台打开", "Open in the console");
        text += &format!("<p><a class=button href=\"{}\">{label}</a></p>", escape(console));
    }
    text
}

fn closed(error: LinkError, language: Language) -> Response {
    let (status, zh) = match error {
        LinkError::Forged => (StatusCode::NOT_FOUND, "链接无效"),
        LinkError::Expired => (StatusCode::GONE, "链接已过期，请在控制台处理"),
    };
    let text = if language == Language::Zh { zh.to_owned() } else { error.to_string() };
    page(status, language, &format!("<p role=alert>{text}</p>"))
}

fn failed(error: &ServiceError, language: Language) -> Response {
    let text = format!("<p role=alert>{}</p>", escape(&error.message));
    page(error.code.http(), language, &text)
}

fn page(status: StatusCode, language: Language, body: &str) -> Response {
    let lang = if language == Language::Zh { "zh" } else { "en" };
    let html = format!(
        "<!doctype html><html lang={lang}><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width, initial-scale=1\">\
         <meta name=robots content=noindex><title>Zhili</title>\
         <link rel=stylesheet href=/i/page.css><body>{body}"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        // The address of this page is a password.
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, html).into_response()
}

/// Text as HTML text or within quotes of an attribute.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_people_wrote_becomes_markup() {
        let incident = pb::Incident {
            incident_id: "inc_1".into(),
            evidence: vec![pb::Signal {
                excerpt: "<script>alert('x')</script>\"&".into(),
                queue: "<b>".into(),
                ..pb::Signal::default()
            }],
            ..pb::Incident::default()
        };
        let html = card(&incident, "t", "<i>", "\"><script>", Language::En);
        for harmful in ["<script", "<b>", "<i>", "'x'"] {
            assert!(!html.contains(harmful), "{html}");
        }
        assert!(html.contains("&lt;script&gt;alert(&#39;x&#39;)"), "{html}");
    }

    #[test]
    fn a_reader_of_english_gets_english_and_everybody_else_chinese() {
        let prefer = |text: &str| {
            language(&HeaderMap::from_iter([(header::ACCEPT_LANGUAGE, text.parse().unwrap())]))
        };
        assert_eq!(prefer("en-GB,en;q=0.9,zh;q=0.8"), Language::En);
        assert_eq!(prefer("zh-CN,zh;q=0.9,en;q=0.8"), Language::Zh);
        assert_eq!(prefer("fr"), Language::Zh);
        assert_eq!(language(&HeaderMap::new()), Language::Zh);
    }
}
