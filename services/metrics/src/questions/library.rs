//! What agents say, beside the standard phrases that there are.

use std::sync::LazyLock;

use zhili_proto::metrics::v1 as proto;
use zhili_proto::timestamp;
use zhili_runtime::auth::{Permission, Principal};
use zhili_runtime::{ErrorCode, ServiceError};
use zhili_tone::{Engine, Phrase};
use zhili_warehouse::query::{PhraseUse, Said, phrase_use};

use super::figures::{into_filter, millis};
use super::{Service, failed};

/// Below so many conversations nothing is said too often.
const FEW: u64 = 30;

/// The standard phrases of this version, or why there are none.
static PHRASES: LazyLock<Result<Vec<Phrase>, String>> = LazyLock::new(|| {
    let engine = Engine::without_heads().map_err(|error| error.to_string())?;
    Ok(engine.standard_phrases().to_vec())
});

impl Service {
    pub(super) async fn get_phrase_use(
        &self,
        caller: &Principal,
        request: proto::GetPhraseUseRequest,
    ) -> Result<proto::GetPhraseUseResponse, ServiceError> {
        caller.require(Permission::Aggregates)?;
        let from_ms = millis("from", request.from.as_ref())?;
        let to_ms = millis("to", request.to.as_ref())?;
        let filter = request.filter.map(into_filter).unwrap_or_default();
        // What agents say rates them.
        if !self.scores_agents(&caller.tenant) {
            return Ok(proto::GetPhraseUseResponse::default());
        }
        let phrases = PHRASES
            .as_ref()
            .map_err(|error| ServiceError::new(ErrorCode::Internal, error.clone()))?;
        let texts: Vec<&str> = phrases.iter().map(|phrase| phrase.text).collect();
        let tenant = caller.tenant.as_str();
        let _turn = self.turn().await?;
        let found = phrase_use(&self.warehouse, tenant, from_ms, to_ms, &filter, &texts)
            .await
            .map_err(failed)?;
        Ok(answer(phrases, found))
    }
}

fn answer(phrases: &[Phrase], found: PhraseUse) -> proto::GetPhraseUseResponse {
    let phrases = (1u64..).zip(phrases).map(|(place, phrase)| {
        let said = found.said.iter().find(|said| said.place == place).copied().unwrap_or_default();
        proto::StandardPhrase {
            id: phrase.id.to_owned(),
            scene: phrase.scene.to_owned(),
            level: phrase.level.as_str().to_owned(),
            text: phrase.text.to_owned(),
            lang: if phrase.chinese { "zh" } else { "en" }.to_owned(),
            messages: said.messages,
            conversations: said.conversations,
            agents: said.agents,
            last_at: (said.messages > 0).then(|| timestamp(said.last_ms)),
            standing: standing(&said, found.conversations).to_owned(),
        }
    });
    let phrases = phrases.collect();
    let wordings = found.wordings.into_iter().map(|one| proto::Wording {
        class: one.class,
        words: one.rule,
        uses: one.uses,
        conversations: one.conversations,
        agents: one.agents,
        points: one.points,
    });
    let libraries = found.libraries.into_iter().map(|one| proto::PhraseLibrary {
        library: one.library,
        first_at: Some(timestamp(one.first_ms)),
        last_at: Some(timestamp(one.last_ms)),
    });
    proto::GetPhraseUseResponse {
        messages: found.messages,
        conversations: found.conversations,
        phrases,
        wordings: wordings.collect(),
        libraries: libraries.collect(),
    }
}

/// Whether a phrase is said too rarely or too often: in no conversation, or in more than half of
/// them, or twice and more in each that it is said in.
fn standing(said: &Said, conversations: u64) -> &'static str {
    if said.messages == 0 {
        "unused"
    } else if said.conversations >= FEW
        && (said.conversations * 2 > conversations || said.messages >= said.conversations * 2)
    {
        "overused"
    } else {
        "used"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_of_every_second_conversation_is_said_too_often() {
        let said = |messages, conversations| Said { messages, conversations, ..Said::default() };
        assert_eq!(standing(&said(0, 0), 100), "unused");
        assert_eq!(standing(&said(51, 51), 100), "overused");
        assert_eq!(standing(&said(50, 50), 100), "used");
        assert_eq!(standing(&said(60, 30), 100), "overused");
        assert_eq!(standing(&said(29, 29), 30), "used", "too few to tell");
    }

    #[test]
    fn there_are_standard_phrases_of_every_level_in_both_languages() {
        let phrases = PHRASES.as_ref().unwrap();
        for chinese in [true, false] {
            for level in zhili_tone::Level::ALL {
                assert!(phrases.iter().any(|it| it.chinese == chinese && it.level == level));
            }
        }
    }
}
