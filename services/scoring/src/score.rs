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
use zhili_tone::{ContextLine, Engine, Lang, Message, Role};

use crate::convert;

/// Most texts in one request.
const MAX_TEXTS: usize = 1_000;
/// Longest text in bytes, as for events.
const MAX_TEXT_BYTES: usize = 16 << 10;

#[derive(Clone)]
pub(crate) struct Service {
    engine: Arc<Engine>,
}

impl Service {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    fn score_all(&self, request: &ScoreRequest) -> Result<ScoreResponse, ServiceError> {
        let invalid = |message: String| ServiceError::new(ErrorCode::Invalid, message);
        if request.texts.len() > MAX_TEXTS {
            let given = request.texts.len();
            return Err(invalid(format!("texts: at most {MAX_TEXTS} in one request, got {given}")));
        }
        let scores = request.texts.iter().enumerate().map(|(index, text)| {
            score(&self.engine, text)
                .map_err(|(field, message)| invalid(format!("texts[{index}].{field}: {message}")))
        });
        Ok(ScoreResponse { scores: scores.collect::<Result<_, _>>()? })
    }
}

/// Masks a text and scores it.
///
/// # Errors
/// The field that is wrong and what would be right.
pub fn score(engine: &Engine, text: &Text) -> Result<TextScore, (&'static str, String)> {
    if text.text.len() > MAX_TEXT_BYTES {
        return Err(("text", format!("at most {MAX_TEXT_BYTES} bytes, got {}", text.text.len())));
    }
    let role =
        convert::tone_role(text.role()).ok_or_else(|| ("role", "customer or agent".to_owned()))?;
    let lang =
        match text.lang.as_str() {
            "" => None,
            name => Some(Lang::from_name(name).ok_or_else(|| {
                ("lang", format!("zh, zh-Hant, en, mixed or unknown, got {name:?}"))
            })?),
        };
    let context: Vec<String> =
        text.context.iter().map(|line| zhili_redact::mask(line).text.into_owned()).collect();
    let context = context
        .iter()
        .map(|line| {
            let (role, text) = match line.split_once(':') {
                Some(("C", text)) => (Role::Customer, text),
                Some(("A", text)) => (Role::Agent, text),
                _ => return Err(("context", "each line starts with `C:` or `A:`".to_owned())),
            };
            Ok(ContextLine { role, text: text.trim_start() })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let masked = zhili_redact::mask(&text.text);
    let assessment = engine.assess(&Message { role, text: &masked.text, lang, context: &context });
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
        Ok(Response::new(self.score_all(request.get_ref())?))
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
    service.score_all(&request).map(Json)
}
