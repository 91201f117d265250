//! Scores texts on request; nothing is stored.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::post;
use axum::{Extension, Json, Router};
use tonic::{Request, Response, Status};
use zhili_proto::scoring::v1::scoring_service_server::ScoringService;
use zhili_proto::scoring::v1::{ScoreRequest, ScoreResponse, Text, TextScore};
use zhili_runtime::auth::{Permission, Principal};
use zhili_runtime::{ErrorCode, ServiceError};
use zhili_tone::Engine;

use crate::convert;
use crate::text::{Fault, assess};

/// Most texts in one request.
const MAX_TEXTS: usize = 1_000;

#[derive(Clone)]
pub(crate) struct Service {
    engine: Arc<Engine>,
}

impl Service {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// Scores a request where it keeps no other waiting: a thousand texts of 16 KiB take seconds.
    async fn score(self, request: ScoreRequest) -> Result<ScoreResponse, ServiceError> {
        tokio::task::spawn_blocking(move || self.score_all(&request)).await.map_err(|error| {
            ServiceError::new(ErrorCode::Internal, format!("scoring broke off: {error}"))
        })?
    }

    fn score_all(&self, request: &ScoreRequest) -> Result<ScoreResponse, ServiceError> {
        let invalid = |message: String| ServiceError::new(ErrorCode::Invalid, message);
        if request.texts.len() > MAX_TEXTS {
            let given = request.texts.len();
            return Err(invalid(format!("texts: at most {MAX_TEXTS} in one request, got {given}")));
        }
        let scores = request.texts.iter().enumerate().map(|(index, text)| {
            score(&self.engine, text).map_err(|Fault { field, message }| {
                invalid(format!("texts[{index}].{field}: {message}"))
            })
        });
        Ok(ScoreResponse { scores: scores.collect::<Result<_, _>>()? })
    }
}

fn score(engine: &Engine, text: &Text) -> Result<TextScore, Fault> {
    let role = convert::tone_role(text.role()).ok_or_else(|| Fault {
        field: "role",
        message: "customer or agent is needed".to_owned(),
    })?;
    let lang = Some(text.lang.as_str()).filter(|lang| !lang.is_empty());
    let (masked, assessment) = assess(engine, role, &text.text, lang, &text.context)?;
    Ok(TextScore {
        id: text.id.clone(),
        assessment: Some(convert::assessment(&assessment, engine)),
        text: masked.text.into_owned(),
    })
}

#[tonic::async_trait]
impl ScoringService for Service {
    async fn score(
        &self,
        request: Request<ScoreRequest>,
    ) -> Result<Response<ScoreResponse>, Status> {
        let principal = request.extensions().get::<Principal>().cloned();
        let principal = principal
            .ok_or_else(|| ServiceError::new(ErrorCode::Unauthenticated, "send a token"))?;
        principal.require(Permission::Library)?;
        Ok(Response::new(self.clone().score(request.into_inner()).await?))
    }
}

pub(crate) fn routes(service: Service) -> Router {
    Router::new().route("/v1/score", post(score_over_http)).with_state(service)
}

async fn score_over_http(
    State(service): State<Service>,
    Extension(principal): Extension<Principal>,
    Json(request): Json<ScoreRequest>,
) -> Result<Json<ScoreResponse>, ServiceError> {
    principal.require(Permission::Library)?;
    service.score(request).await.map(Json)
}

#[cfg(test)]
mod tests {
    use zhili_proto::conversation::v1::author::Role;

    use super::*;
    use crate::text::MAX_TEXT_BYTES;

    fn text() -> Text {
        Text { text: "谢谢".to_owned(), role: Role::Customer.into(), ..Text::default() }
    }

    fn outcome(text: Text) -> Result<ScoreResponse, String> {
        let service = Service::new(Arc::new(Engine::new().unwrap()));
        let texts = vec![text];
        service.score_all(&ScoreRequest { texts }).map_err(|error| error.message)
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
