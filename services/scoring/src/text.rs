//! What a text that is to be scored must be, and its score: one reading for whatever asks, over
//! the network or on the command line.

use zhili_redact::{Masked, mask};
use zhili_tone::{Assessment, ContextLine, Engine, Lang, Message, Role};

/// Longest text and longest line of context in bytes, as for events.
pub const MAX_TEXT_BYTES: usize = 16 << 10;

/// Why a text has no score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The field at fault.
    pub field: &'static str,
    /// What is wrong, or what is needed.
    pub message: String,
}

impl Fault {
    fn new(field: &'static str, message: impl Into<String>) -> Self {
        Self { field, message: message.into() }
    }
}

/// Masks a text and the lines before it, and scores it. `lang` and `context` are as they came.
///
/// # Errors
/// The first field that is wrong.
pub fn assess<'t>(
    engine: &Engine,
    role: Role,
    text: &'t str,
    lang: Option<&str>,
    context: &[impl AsRef<str>],
) -> Result<(Masked<'t>, Assessment), Fault> {
    bounded("text", text)?;
    let lang = lang.map(named_language).transpose()?;
    for line in context {
        bounded("context", line.as_ref())?;
    }
    let context: Vec<_> = context.iter().map(|line| mask(line.as_ref()).text).collect();
    let context =
        context.iter().map(|line| context_line(line)).collect::<Result<Vec<_>, Fault>>()?;
    let masked = mask(text);
    let assessment = engine.assess(&Message { role, text: &masked.text, lang, context: &context });
    Ok((masked, assessment))
}

/// Refuses a text that is too long.
pub(crate) fn bounded(field: &'static str, text: &str) -> Result<(), Fault> {
    if text.len() <= MAX_TEXT_BYTES {
        return Ok(());
    }
    let message = format!("at most {MAX_TEXT_BYTES} bytes are allowed, not {}", text.len());
    Err(Fault::new(field, message))
}

fn named_language(name: &str) -> Result<Lang, Fault> {
    language(name).ok_or_else(|| {
        let message = format!("zh, zh-Hant, en, mixed or unknown is needed, not {}", quoted(name));
        Fault::new("lang", message)
    })
}

/// Reads a language by our names, or as a BCP 47 tag of Chinese or English.
pub fn language(name: &str) -> Option<Lang> {
    if let Some(lang) = Lang::from_name(name) {
        return Some(lang);
    }
    let mut parts = name.split(['-', '_']);
    let primary = parts.next()?;
    let is = |part: &str, other: &[&str]| other.iter().any(|tag| part.eq_ignore_ascii_case(tag));
    if is(primary, &["en"]) {
        return Some(Lang::En);
    }
    if !is(primary, &["zh"]) {
        return None;
    }
    let rest: Vec<&str> = parts.collect();
    let traditional = !rest.iter().any(|part| is(part, &["hans"]))
        && rest.iter().any(|part| is(part, &["hant", "tw", "hk", "mo"]));
    Some(if traditional { Lang::ZhHant } else { Lang::Zh })
}

/// Reads `C:...` or `A:...`.
///
/// # Errors
/// When it begins with neither.
pub fn context_line(line: &str) -> Result<ContextLine<'_>, Fault> {
    let (role, text) = match line.split_once(':') {
        Some(("C", text)) => (Role::Customer, text),
        Some(("A", text)) => (Role::Agent, text),
        _ => return Err(Fault::new("context", "each line has to start with C: or A:")),
    };
    Ok(ContextLine { role, text: text.trim_start() })
}

/// A value quoted for a message, cut where it says enough.
pub fn quoted(value: &str) -> String {
    const ENOUGH: usize = 40;
    match value.char_indices().nth(ENOUGH) {
        None => format!("{value:?}"),
        Some((end, _)) => format!("{:?}...", &value[..end]),
    }
}
