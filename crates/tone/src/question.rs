//! How a message asks: openly (什么时候), for yes or no (吗), or whether something was understood
//! (您的意思是…对吗). `library/question.txt` has the words.
//!
//! What has the form of a question and wants no answer is none: offers and greetings (还有什么可以
//! 帮您, how are you), manners behind a request (请稍等好吗, could you hold), outcries (怎么这么慢,
//! 什么态度), what somebody is going to find out (我帮您看下是什么原因), a question mark alone. Of
//! several questions the one that restates counts first, then the open one. Whether a question
//! follows up on an answer is for the conversation to say, not for one message.

use crate::assessment::QuestionKind;
use crate::lexicon::{Chars, Found, Lexicon};
use crate::library::{Class as Cue, LibraryError, Problem};
use crate::normalize::{Normalizer, is_han};
use crate::reading::{Clause, Reading};

pub(crate) const FILE: (&str, &str) = ("question.txt", include_str!("../library/question.txt"));

/// Without one of these a Chinese message asks nothing.
static SIGNS: Chars = Chars::NONE.with(&[
    '吗', '么', '嘛', '怎', '啥', '咋', '哪', '谁', '否', '?', '没', '吧', '确', '核', 'c',
]);

/// An auxiliary follows the question word within this many words: what time does it open.
const AUXILIARY: usize = 3;

macro_rules! classes {
    ($($variant:ident => $name:literal),+ $(,)?) => {
        /// What a word does for a question.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Class { $($variant),+ }

        impl Class {
            fn from_name(name: &str) -> Option<Class> {
                match name { $($name => Some(Class::$variant),)+ _ => None }
            }
        }
    };
}

classes! {
    Open => "open",
    OpenWeak => "open_weak",
    Closed => "closed",
    Tag => "tag",
    Soft => "soft",
    Clarify => "clarify",
    Confirm => "confirm",
    Offer => "offer",
    Rhetorical => "rhetorical",
    Indefinite => "indefinite",
    Embed => "embed",
    Ask => "ask",
    Know => "know",
    Whether => "whether",
    Request => "request",
    You => "you",
    Aux => "aux",
    Pronoun => "pronoun",
    Filler => "filler",
}

/// The words that ask, compiled.
pub(crate) struct Questions {
    lexicon: Lexicon,
    classes: Vec<Class>,
}

/// What the clauses before one tell of it.
#[derive(Clone, Copy, Default)]
struct Before {
    /// A request stands right before: its 好吗 is manners.
    requested: bool,
    /// The other side was spoken of right before: 您要退货, 对吗.
    you: bool,
    /// Something is being restated.
    restated: bool,
}

/// What a clause asks, from least to most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    Nothing,
    Closed,
    Open,
    Clarifying,
}

impl Questions {
    pub(crate) fn embedded(normalizer: &Normalizer) -> Result<Questions, LibraryError> {
        let (file, content) = FILE;
        let (lexicon, names) = Lexicon::parse(file, content, normalizer)?;
        let class = |name: &&'static str| {
            let unknown = || LibraryError::at(file, 1, Problem::Class((*name).into()));
            Class::from_name(name).ok_or_else(unknown)
        };
        let classes = names.iter().map(class).collect::<Result<_, _>>()?;
        Ok(Questions { lexicon, classes })
    }

    /// How a message asks; `asks` if it has any sign of it.
    pub(crate) fn of(&self, reading: &Reading<'_, '_>, asks: bool) -> Option<QuestionKind> {
        if !asks && !asks_unsaid(reading.text) {
            return None;
        }
        let text = |clause: &Clause| &reading.text[clause.start..clause.end];
        let signs = |clause: &Clause| {
            clause.asked || clause.has(Cue::Question) || asks_unsaid(text(clause))
        };
        let mut asked = Asked::Nothing;
        let mut before = Before::default();
        let mut sign = reading.clauses.first().is_some_and(signs);
        for (at, clause) in reading.clauses.iter().enumerate() {
            // Only the clause before one that asks says anything of it.
            let next = reading.clauses.get(at + 1).is_some_and(signs);
            if std::mem::replace(&mut sign, next) || next || before.restated {
                let mut words = self.lexicon.find(text(clause)).map(|mut found| {
                    found.start += clause.start;
                    found.end += clause.start;
                    (found, self.classes[found.class])
                });
                let found = if text(clause).chars().any(is_han) {
                    chinese(clause, text(clause), &mut words, &mut before)
                } else {
                    english(clause, reading.text, &mut words, &mut before)
                };
                asked = asked.max(found);
            } else {
                before = Before::default();
            }
        }
        match asked {
            Asked::Nothing => None,
            Asked::Closed => Some(QuestionKind::Closed),
            Asked::Open => Some(QuestionKind::Open),
            Asked::Clarifying => Some(QuestionKind::Clarifying),
        }
    }
}

/// Whether a message may ask where the library saw no sign of it, such as one within a complaint.
fn asks_unsaid(text: &str) -> bool {
    let mut from = 0;
    while let Some(at) = SIGNS.find(text, from) {
        let rest = &text[at..];
        let asks = match rest.chars().next() {
            Some('没') => text[..at].ends_with('了'),
            Some('吧') => text[..at].ends_with(['对', '是', '错']),
            Some('确') => rest.starts_with("确认"),
            Some('核') => rest.starts_with("核对") || rest.starts_with("核实一下"),
            Some('c') => rest.starts_with("confirm"),
            _ => true,
        };
        if asks {
            return true;
        }
        from = at + if rest.starts_with('c') { 1 } else { 3 };
    }
    false
}

fn letters(text: &str) -> usize {
    text.chars().filter(|c| c.is_alphanumeric()).count()
}

fn chinese(
    clause: &Clause,
    text: &str,
    words: &mut dyn Iterator<Item = (Found, Class)>,
    before: &mut Before,
) -> Asked {
    let (mut open, mut weak, mut closed, mut tag, mut soft) = (false, false, false, false, false);
    let (mut embeds, mut asks, mut nothing, mut confirms) = (false, false, false, false);
    let (mut you, mut requested) = (false, false);
    let mut seen = 0;
    for (found, class) in words {
        match class {
            // 帮您看下是什么原因 finds out, 您看一下是什么型号 asks.
            Class::Open if embeds && !asks => weak = true,
            Class::Open => open = true,
            Class::OpenWeak => weak = true,
            Class::Closed if embeds && !asks && !text.contains('吗') => weak = true,
            Class::Closed => closed = true,
            Class::Tag => tag = true,
            Class::Soft => soft = true,
            Class::Clarify => {
                before.restated = true;
                seen = found.end;
            }
            Class::Confirm => confirms = true,
            Class::Offer | Class::Rhetorical => nothing = true,
            Class::Embed => embeds = true,
            Class::Ask => asks = true,
            Class::Indefinite if text.contains(['无', '论', '管', '随']) => embeds = true,
            Class::Request => requested = true,
            Class::You => you = true,
            _ => {}
        }
    }
    let previous = *before;
    before.requested = requested;
    before.you = you || seen > 0;
    if nothing {
        return Asked::Nothing;
    }
    let marked = clause.asked || closed || tag || soft || open;
    if previous.restated && letters(text) > 2 && marked || seen > 0 && marked {
        return Asked::Clarifying;
    }
    if tag {
        // 您是想退货对吧 restates, 是正品对吧 asks.
        return if you || previous.you || before.restated {
            Asked::Clarifying
        } else {
            Asked::Closed
        };
    }
    if confirms && !text.contains('需') && !text.contains('有') {
        // 跟您确认一下, 您要退的是白色的: what follows is what was understood.
        before.restated = true;
    }
    if open || (weak && clause.asked) {
        return Asked::Open;
    }
    if soft {
        return if requested || previous.requested { Asked::Nothing } else { Asked::Closed };
    }
    if closed || (clause.asked && letters(text) > 1 && !requested) {
        return Asked::Closed;
    }
    // Restated without a mark.
    if previous.restated && !confirms && you && letters(text) > 3 {
        return Asked::Clarifying;
    }
    Asked::Nothing
}

fn english(
    clause: &Clause,
    text: &str,
    words: &mut dyn Iterator<Item = (Found, Class)>,
    before: &mut Before,
) -> Asked {
    // The first words after what may stand before the head, and where those end.
    let mut head: Option<(Class, usize)> = None;
    let mut reached = clause.start;
    let (mut next, mut auxiliary) = (None, false);
    let (mut open, mut asks, mut whether, mut waits, mut nothing, mut clarifies) =
        (false, false, false, false, false, false);
    let mut asked_for = Asked::Nothing;
    for (found, class) in words {
        let gap = letters(&text[reached..found.start]) > 0;
        match head {
            None if !gap && class == Class::Filler => {}
            None if !gap => head = Some((class, found.end)),
            None => head = Some((Class::Embed, found.start)),
            Some((_, end)) => {
                let between = text[end..found.start].split_whitespace().count();
                if next.is_none() && between == 0 {
                    next = Some(class);
                }
                auxiliary |= class == Class::Aux && between < AUXILIARY;
            }
        }
        reached = found.end;
        match class {
            Class::Open => {
                open = true;
                if asks {
                    asked_for = Asked::Open;
                }
            }
            Class::Ask => asks = true,
            Class::Know => asked_for = Asked::Open,
            Class::Whether => {
                whether = true;
                // Let me know if you need anything: an offer.
                if asks && !text[clause.start..found.start].contains("let me know") {
                    asked_for = asked_for.max(Asked::Closed);
                }
            }
            Class::Request => waits = true,
            Class::Offer | Class::Rhetorical => nothing = true,
            Class::Clarify | Class::Confirm => clarifies = true,
            _ => {}
        }
    }
    before.restated |= clarifies && !nothing;
    before.requested = waits;
    if nothing {
        return Asked::Nothing;
    }
    let words = &text[clause.start..clause.end];
    if clause.asked && before.restated && letters(words) > 0 {
        return Asked::Clarifying;
    }
    match head {
        Some((Class::Open, _)) if clause.asked || (auxiliary && next != Some(Class::Pronoun)) => {
            Asked::Open
        }
        Some((Class::Aux, _)) if clause.asked || next == Some(Class::Pronoun) => {
            if waits && !(clause.asked && open) {
                Asked::Nothing
            } else {
                asked_for.max(Asked::Closed)
            }
        }
        _ if asked_for != Asked::Nothing => asked_for,
        _ if clause.asked && !waits && letters(words) > 1 => {
            if open && !whether {
                Asked::Open
            } else {
                Asked::Closed
            }
        }
        _ => Asked::Nothing,
    }
}
