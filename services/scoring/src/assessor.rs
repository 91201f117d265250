//! From an event to what the fold of conversations makes of it: assess the text, fold the marks.

use std::sync::Arc;

use zhili_dialogue::{Applied, Dimensions, Output, Partition};
use zhili_proto::conversation::v1::Event;
use zhili_tone::{Assessment, Engine, LibraryError, Message};

use crate::{convert, text};

/// Says of events what the engine says of their texts.
#[derive(Clone)]
pub struct Assessor {
    engine: Arc<Engine>,
}

impl Assessor {
    /// With the library that comes with the engine.
    ///
    /// # Errors
    /// See [`Engine::new`].
    pub fn new() -> Result<Self, LibraryError> {
        Ok(Self::with(Arc::new(Engine::new()?)))
    }

    /// With this engine.
    #[must_use]
    pub fn with(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What the engine says of an event; `None` for what it does not judge.
    pub(crate) fn assess(&self, event: &Event) -> Option<Assessment> {
        let role = convert::judged_role(event)?;
        let lang = text::language(&event.lang);
        Some(self.engine.assess(&Message { role, text: &event.text, lang, context: &[] }))
    }

    /// Assesses an event and folds it; says what it is about. `None` if it has no type, status or
    /// time that a conversation knows.
    pub fn fold<'e>(
        &self,
        partition: &mut Partition,
        at_ms: i64,
        event: &'e Event,
        out: &mut Vec<Output>,
    ) -> Option<(Applied, Dimensions<'e>)> {
        let assessment = self.assess(event);
        let seen = convert::dialogue_event(event, assessment.as_ref())?;
        let applied = partition.apply(at_ms, &seen, out);
        Some((applied, about(event, assessment.as_ref())))
    }
}

/// What a text is about: its topic, and the product and region that the platform gives with it in
/// `attrs.sku` and `attrs.region`.
pub(crate) fn about<'e>(event: &'e Event, assessment: Option<&Assessment>) -> Dimensions<'e> {
    let attr = |name: &str| event.attrs.get(name).map(String::as_str).unwrap_or_default();
    Dimensions {
        topic: assessment.and_then(|assessment| assessment.topic).unwrap_or_default(),
        sku: attr("sku"),
        region: attr("region"),
    }
}
