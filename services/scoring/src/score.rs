//! Scores texts and suggests phrases on request; nothing is stored.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use tonic::{Request, Response, Status};
use zhili_eventlog::runner::Bundles;
use zhili_proto::conversation::v1::author::Role;
use zhili_proto::scoring::v1::scoring_service_server::ScoringService;
use zhili_proto::scoring::v1::{
    ScoreRequest, ScoreResponse, SuggestRequest, SuggestResponse, Text, TextScore,
};
use zhili_redact::mask;
use zhili_runtime::auth::{Permission, Principal};
use zhili_runtime::{ErrorCode, Routes, ServiceError};
use zhili_tone::{Engine, Query};

use crate::agents::scored_in_force;
use crate::convert;
use crate::engines::Engines;
use crate::text::{Fault, assess, bounded};

/// Most texts in one request.
const MAX_TEXTS: usize = 1_000;

/// Suggestions when no number is given, and the most.
const SUGGESTIONS: usize = 5;
const MAX_SUGGESTIONS: usize = 20;

#[derive(Clone)]
pub(crate) struct Service {
    engines: Engines,
    bundles: Arc<Bundles>,
}

impl Service {
    pub(crate) fn new(engines: Engines, bundles: Arc<Bundles>) -> Self {
        Self { engines, bundles }
    }

    /// Answers with the caller's engine, told whether agents are scored, where it keeps no other
    /// waiting: a thousand texts of 16 KiB take seconds.
    async fn answer<T: Send + 'static>(
        &self,
        principal: &Principal,
        answer: impl FnOnce(&Engine, bool) -> Result<T, ServiceError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        principal.require(Permission::Library)?;
        let (service, tenant) = (self.clone(), principal.tenant.clone());
        let answered = tokio::task::spawn_blocking(move || {
            let scored = scored_in_force(&service.bundles, tenant.as_str());
            answer(&service.engines.in_force(&service.bundles, tenant.as_str()), scored)
        });
        answered.await.map_err(|error| {
            ServiceError::new(ErrorCode::Internal, format!("scoring broke off: {error}"))
        })?
    }
}

fn score_all(
    engine: &Engine,
    agents: bool,
    request: &ScoreRequest,
) -> Result<ScoreResponse, ServiceError> {
    let invalid = |message: String| ServiceError::new(ErrorCode::Invalid, message);
    if request.texts.len() > MAX_TEXTS {
        let given = request.texts.len();
        return Err(invalid(format!("texts: at most {MAX_TEXTS} in one request, got {given}")));
    }
    let scores = request.texts.iter().enumerate().map(|(index, text)| {
        score(engine, agents, text).map_err(|Fault { field, message }| {
            invalid(format!("texts[{index}].{field}: {message}"))
        })
    });
    Ok(ScoreResponse { scores: scores.collect::<Result<_, _>>()? })
}

fn suggest(engine: &Engine, request: &SuggestRequest) -> Result<SuggestResponse, ServiceError> {
    let invalid = |message: String| ServiceError::new(ErrorCode::Invalid, message);
    for (field, text) in [("text", &request.text), ("draft", &request.draft)] {
        bounded(field, text)
            .map_err(|Fault { field, message }| invalid(format!("{field}: {message}")))?;
    }
    if request.text.trim().is_empty() && request.draft.trim().is_empty() {
        return Err(invalid("text or draft: one of them is needed".to_owned()));
    }
    let scenes = || engine.standard_phrases().iter().map(|phrase| phrase.scene);
    if !request.scene.is_empty() && !scenes().any(|scene| scene == request.scene) {
        let known: BTreeSet<&str> = scenes().collect();
        let known: Vec<&str> = known.into_iter().collect();
        return Err(invalid(format!("scene: one of {} is needed", known.join(", "))));
    }
    let limit = match request.limit as usize {
        0 => SUGGESTIONS,
        limit if limit <= MAX_SUGGESTIONS => limit,
        limit => {
            return Err(invalid(format!("limit: at most {MAX_SUGGESTIONS}, got {limit}")));
        }
    };
    let (text, draft) = (mask(&request.text), mask(&request.draft));
    let query = Query { text: &text.text, scene: &request.scene, draft: &draft.text, limit };
    let suggestions = engine.suggest(&query).iter().map(convert::suggestion).collect();
    Ok(SuggestResponse { suggestions })
}

fn score(engine: &Engine, scored: bool, text: &Text) -> Result<TextScore, Fault> {
    let role = convert::tone_role(text.role()).ok_or_else(|| Fault {
        field: "role",
        message: "customer or agent is needed".to_owned(),
    })?;
    let lang = Some(text.lang.as_str()).filter(|lang| !lang.is_empty());
    let (masked, assessment) = assess(engine, role, &text.text, lang, &text.context)?;
    Ok(TextScore {
        id: text.id.clone(),
        // Of agents who are not scored it is not measured.
        assessment: (scored || text.role() != Role::Agent)
            .then(|| convert::assessment(&assessment, engine)),
        text: masked.text.into_owned(),
    })
}

#[tonic::async_trait]
impl ScoringService for Service {
    async fn score(
        &self,
        request: Request<ScoreRequest>,
    ) -> Result<Response<ScoreResponse>, Status> {
        let principal = principal(&request)?;
        let request = request.into_inner();
        let answer =
            self.answer(&principal, move |engine, scored| score_all(engine, scored, &request));
        Ok(Response::new(answer.await?))
    }

    async fn suggest(
        &self,
        request: Request<SuggestRequest>,
    ) -> Result<Response<SuggestResponse>, Status> {
        let principal = principal(&request)?;
        let request = request.into_inner();
        let answer = self.answer(&principal, move |engine, _| suggest(engine, &request));
        Ok(Response::new(answer.await?))
    }
}

/// Who calls.
fn principal<T>(request: &Request<T>) -> Result<Principal, ServiceError> {
    let principal = request.extensions().get::<Principal>().cloned();
    principal.ok_or_else(|| ServiceError::new(ErrorCode::Unauthenticated, "send a token"))
}

pub(crate) fn routes(service: Service) -> Routes {
    Routes::default()
        .post("/v1/score", score_over_http)
        .post("/v1/suggest", suggest_over_http)
        .with_state(service)
}

async fn suggest_over_http(
    State(service): State<Service>,
    Extension(principal): Extension<Principal>,
    Json(request): Json<SuggestRequest>,
) -> Result<Json<SuggestResponse>, ServiceError> {
    service.answer(&principal, move |engine, _| suggest(engine, &request)).await.map(Json)
}

async fn score_over_http(
    State(service): State<Service>,
    Extension(principal): Extension<Principal>,
    Json(request): Json<ScoreRequest>,
) -> Result<Json<ScoreResponse>, ServiceError> {
    service
        .answer(&principal, move |engine, scored| score_all(engine, scored, &request))
        .await
        .map(Json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::MAX_TEXT_BYTES;

    fn text() -> Text {
        Text { text: "谢谢".to_owned(), role: Role::Customer.into(), ..Text::default() }
    }

    fn outcome(text: Text) -> Result<ScoreResponse, String> {
        let texts = vec![text];
        score_all(&Engine::new().unwrap(), true, &ScoreRequest { texts })
            .map_err(|error| error.message)
    }

    fn suggested(request: &SuggestRequest) -> Result<SuggestResponse, String> {
        suggest(&Engine::new().unwrap(), request).map_err(|error| error.message)
    }

    #[test]
    fn a_suggestion_fits_and_says_why() {
        let text = "退款怎么一直不到账，我电话13812345678".to_owned();
        let found = suggested(&SuggestRequest { text, limit: 3, ..SuggestRequest::default() });
        let found = found.unwrap().suggestions;
        let first = &found[0];
        assert_eq!((first.scene.as_str(), first.lang.as_str()), ("refund", "zh"));
        assert!(found.len() <= 3 && !first.text.is_empty());
        let sum: f64 = first.reasons.iter().map(|reason| reason.points).sum();
        assert!((sum - first.score).abs() < 1e-9);
    }

    #[test]
    fn what_cannot_be_suggested_for_is_refused_by_its_field() {
        let refused = |request: SuggestRequest| suggested(&request).unwrap_err();
        let asked = SuggestRequest { text: "退款".to_owned(), ..SuggestRequest::default() };
        assert!(refused(SuggestRequest::default()).starts_with("text or draft: "));
        assert!(refused(SuggestRequest { limit: 21, ..asked.clone() }).starts_with("limit: "));
        let scene = "weather".to_owned();
        assert!(
            refused(SuggestRequest { scene, ..asked.clone() }).starts_with("scene: one of account")
        );
        let draft = "好".repeat(MAX_TEXT_BYTES);
        assert!(refused(SuggestRequest { draft, ..asked }).starts_with("draft: "));
    }

    #[test]
    fn a_language_may_be_a_tag() {
        for lang in ["", "zh", "zh-CN", "zh-Hant-TW", "en-GB"] {
            let tagged = Text { lang: lang.to_owned(), ..text() };
            assert_eq!(outcome(tagged).unwrap().scores.len(), 1, "{lang}");
        }
        let refused = outcome(Text { lang: "de".to_owned(), ..text() }).unwrap_err();
        assert!(refused.starts_with("texts[0].lang: zh,"), "{refused}");
    }

    #[test]
    fn a_line_of_context_is_bounded_like_a_text() {
        let line = |bytes: usize| format!("C:{}", "x".repeat(bytes - 2));
        let with = |line: String| outcome(Text { context: vec![line], ..text() });
        with(line(MAX_TEXT_BYTES)).unwrap();
        let refused = with(line(MAX_TEXT_BYTES + 1)).unwrap_err();
        assert!(refused.starts_with("texts[0].context: at most 16384"), "{refused}");
        let refused = with("B:x".to_owned()).unwrap_err();
        assert!(refused.starts_with("texts[0].context: each line"), "{refused}");
    }
}
