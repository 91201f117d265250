//! Named rules: what the words around a hit do to it.
//!
//! Each rule looks at one hit in its message and answers with the cue it saw, or
//! nothing. What a cue is worth is decided by the score that asks.

use crate::library::{Class, Hit};
use crate::reading::Reading;

/// How far before a hit a negator still reaches it: 7 Chinese characters, 4 English words.
const NEGATION_REACH: usize = 22;

/// How far before a hit an intensifier still reaches it.
const INTENSITY_REACH: usize = 14;

/// A verb such as 投诉 is negated only from close by: 再不退款就投诉 is a threat.
const VERB_NEGATION_REACH: usize = 12;

/// 取消, 不是要, 别再 stand this close to the risk word they take back.
const WITHDRAWAL_REACH: usize = 24;

/// The subject of a risk word stands this close before it.
const ACTOR_REACH: usize = 30;

/// Where a rule saw its cue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cue {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl From<&Hit<'_>> for Cue {
    fn from(hit: &Hit<'_>) -> Cue {
        Cue { start: hit.start, end: hit.end }
    }
}

/// An odd number of negators between `after` (the end of the hit before) and the hit:
/// 不太好, 没有不满意, not good. Two cancel out: 不是不好.
pub(crate) fn negation(reading: &Reading<'_, '_>, hit: &Hit<'_>, after: usize) -> Option<Cue> {
    let mut negators = reading
        .cues_before(hit.start, Class::Negator, NEGATION_REACH)
        .take_while(|cue| cue.start >= after);
    let nearest = negators.next()?;
    (negators.count() % 2 == 0).then(|| nearest.into())
}

/// The nearest word of degree before the hit, or directly after it (好极了), with its
/// factor in thousandths.
pub(crate) fn intensity(
    reading: &Reading<'_, '_>,
    hit: &Hit<'_>,
    after: usize,
) -> Option<(Cue, i32)> {
    let before = reading
        .cues_before(hit.start, Class::Intensifier, INTENSITY_REACH)
        .next()
        .filter(|cue| cue.start >= after);
    let behind = || {
        let next = reading.cues.partition_point(|cue| cue.start < hit.end);
        reading.cues[next..]
            .iter()
            .take_while(|cue| cue.start == hit.end)
            .find(|cue| cue.entry.class == Class::Intensifier)
    };
    let cue = before.or_else(behind)?;
    Some((cue.into(), cue.entry.factor))
}

/// The clause of the hit only asks: 质量好吗, is it any good? A rhetorical question
/// (怎么这么慢, 难道) says what it asks.
pub(crate) fn question(reading: &Reading<'_, '_>, hit: &Hit<'_>) -> Option<Cue> {
    let clause = reading.clause(hit.start);
    let asks = (clause.asked || clause.has(Class::Question)) && !clause.has(Class::Rhetorical);
    asks.then_some(Cue { start: clause.start, end: clause.end })
}

/// A complaint is a question only if the asking comes after it: 破损了可以拒收吗 asks,
/// 怎么还没到 complains.
pub(crate) fn question_behind(reading: &Reading<'_, '_>, hit: &Hit<'_>) -> Option<Cue> {
    let clause = reading.clause(hit.start);
    if clause.has(Class::Rhetorical) || !clause.has(Class::Question) {
        return None;
    }
    let next = reading.cues.partition_point(|cue| cue.start < hit.end);
    reading.cues[next..]
        .iter()
        .take_while(|cue| cue.start < clause.end)
        .find(|cue| cue.entry.class == Class::Question)
        .map(Cue::from)
}

/// The hit stands in quotation marks or a title.
pub(crate) fn quotation(reading: &Reading<'_, '_>, hit: &Hit<'_>) -> Option<Cue> {
    reading.is_quoted(hit.start, hit.end).then(|| hit.into())
}

/// 如果, 万一, 担心, if: the hit has not happened. Before the hit, or in its gap: 充电宝会不会着火.
pub(crate) fn hypothetical(reading: &Reading<'_, '_>, hit: &Hit<'_>) -> Option<Cue> {
    let clause = reading.clause(hit.start);
    if clause.hypothetical < hit.start {
        return Some(Cue { start: clause.hypothetical, end: hit.start });
    }
    let gap = hit.gap();
    let first = reading.cues.partition_point(|cue| cue.start < gap.start);
    reading.cues[first..]
        .iter()
        .take_while(|cue| cue.start < gap.end)
        .find(|cue| cue.entry.class == Class::Hypothetical)
        .map(Cue::from)
}

/// Which side of the last contrast word the hit is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Conceded: 东西不错, 但…
    Before,
    /// Meant: …但东西不错.
    After,
}

/// 但是, however: what follows counts more than what went before.
pub(crate) fn contrast(reading: &Reading<'_, '_>, hit: &Hit<'_>) -> Option<(Cue, Side)> {
    let cue = reading.contrast.as_ref()?;
    if hit.end <= cue.start {
        Some((cue.into(), Side::Before))
    } else if hit.start >= cue.end {
        Some((cue.into(), Side::After))
    } else {
        None
    }
}

/// 你们可真…, oh great: praise that a complaint in the same message turns around.
pub(crate) fn sarcasm(reading: &Reading<'_, '_>, hit: &Hit<'_>, complains: bool) -> Option<Cue> {
    if !complains {
        return None;
    }
    reading.cues_before(hit.start, Class::SarcasmCue, INTENSITY_REACH).next().map(Cue::from)
}

/// 取消投诉, 不是要投诉: the risk word is taken back in its own clause.
pub(crate) fn withdrawn(reading: &Reading<'_, '_>, hit: &Hit<'_>) -> Option<Cue> {
    // The cue may run into the hit: 不是要 and 要投诉.
    let taken_back = reading
        .cues_before(hit.end, Class::Withdrawn, WITHDRAWAL_REACH + hit.end - hit.start)
        .find(|cue| cue.start < hit.start)
        .map(Cue::from);
    taken_back.or_else(|| {
        // Resolve words (就, 我要) between negator and verb make it a threat again.
        let resolve = reading.cues_before(hit.start, Class::Resolve, VERB_NEGATION_REACH).next();
        let mut negators = reading
            .cues_before(hit.start, Class::Negator, VERB_NEGATION_REACH)
            .take_while(|cue| resolve.is_none_or(|resolve| cue.start > resolve.start));
        let nearest = negators.next()?;
        (negators.count() % 2 == 0).then(|| nearest.into())
    })
}

/// 已经解决, has been resolved: anywhere in the message, unless a contrast word
/// comes later or the hit is announced after it (我要, 马上).
pub(crate) fn resolved(reading: &Reading<'_, '_>, hit: &Hit<'_>) -> Option<Cue> {
    let announced = reading.cues_before(hit.start, Class::Resolve, ACTOR_REACH).next().is_some();
    if announced || reading.contrast.is_some_and(|contrast| contrast.end <= hit.start) {
        return None;
    }
    reading.resolved.as_ref().map(Cue::from)
}

/// 新闻里说, i read that: the writer tells what happened elsewhere. Anywhere before the hit.
pub(crate) fn hearsay(reading: &Reading<'_, '_>, hit: &Hit<'_>) -> Option<Cue> {
    reading.hearsay.as_ref().filter(|cue| cue.start < hit.start).map(Cue::from)
}

/// Somebody else does it: 邻居投诉我, my friend is a lawyer.
pub(crate) fn actor(reading: &Reading<'_, '_>, hit: &Hit<'_>) -> Option<Cue> {
    let subject = reading.cues_before(hit.start, Class::ThirdParty, ACTOR_REACH).next()?;
    let own = reading
        .cues_before(hit.start, Class::Resolve, ACTOR_REACH)
        .any(|resolve| resolve.start >= subject.end);
    (!own).then(|| subject.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::Library;
    use crate::reading::Room;
    use std::sync::LazyLock;

    static LIBRARY: LazyLock<Library> = LazyLock::new(|| Library::embedded().unwrap());

    /// What a rule answers for the hit that is exactly `word`.
    fn ask<T>(text: &str, word: &str, rule: impl Fn(&Reading<'_, '_>, &Hit<'_>) -> T) -> T {
        let plain = LIBRARY.normalizer.normalize(text);
        let reading = Reading::new(&LIBRARY, &plain, &mut Room::default());
        let hit = reading.hits.iter().find(|hit| &plain.text[hit.start..hit.end] == word);
        rule(&reading, hit.unwrap_or_else(|| panic!("'{word}' is no hit in '{text}'")))
    }

    fn negated(text: &str, word: &str) -> bool {
        ask(text, word, |reading, hit| negation(reading, hit, 0).is_some())
    }

    #[test]
    fn one_negator_negates_and_two_do_not() {
        assert!(negated("不太满意", "满意"));
        assert!(negated("我不是很满意", "满意"));
        assert!(!negated("不能不佩服", "佩服"));
        assert!(!negated("很满意", "满意"));
        assert!(negated("I am not really happy", "happy"));
        assert!(!negated("I am happy", "happy"));
    }

    #[test]
    fn a_negator_stays_in_its_clause() {
        assert!(!negated("我没有问题,很满意", "满意"));
    }

    #[test]
    fn a_word_that_only_contains_a_negator_negates_nothing() {
        assert!(!negated("不过很满意", "满意"));
        assert!(!negated("不但便宜而且很满意", "满意"));
    }

    #[test]
    fn degree_is_read_before_and_after() {
        let factor = |text, word| {
            ask(text, word, |reading, hit| intensity(reading, hit, 0).map(|(_, factor)| factor))
        };
        assert!(factor("非常满意", "满意").unwrap() > 1000);
        assert!(factor("有点臭", "臭").unwrap() < 1000);
        assert!(factor("难用得要命", "难用").unwrap() > 1000);
        assert_eq!(factor("我失望", "失望"), None);
    }

    #[test]
    fn a_question_asks_and_a_rhetorical_one_says() {
        let asks = |text, word| ask(text, word, |reading, hit| question(reading, hit).is_some());
        assert!(asks("大家用着满意吗", "满意"));
        assert!(asks("Is it reliable?", "reliable"));
        assert!(!asks("怎么这么卡顿", "卡顿"));
        assert!(!asks("有点卡顿,能换吗", "卡顿"));
    }

    #[test]
    fn a_complaint_is_a_question_only_if_the_asking_follows() {
        let asks =
            |text, word| ask(text, word, |reading, hit| question_behind(reading, hit).is_some());
        assert!(asks("货不对板可以退吗", "货不对板"));
        assert!(!asks("怎么货不对板", "货不对板"));
    }

    #[test]
    fn quoted_words_are_not_the_writers_own() {
        let quoted = |text, word| ask(text, word, |reading, hit| quotation(reading, hit).is_some());
        assert!(quoted("页面上写着“满意再付款”是什么意思", "满意"));
        assert!(!quoted("“满意”", "满意"));
        assert!(!quoted("满意,“好”", "满意"));
    }

    #[test]
    fn what_might_happen_has_not_happened() {
        let guarded =
            |text, word| ask(text, word, |reading, hit| hypothetical(reading, hit).is_some());
        assert!(guarded("如果漏气怎么处理", "漏气"));
        assert!(!guarded("漏气了,如果修不好就退", "漏气"));
        assert!(guarded("充电宝会不会着火啊", "充电宝会不会着火"));
        assert!(!guarded("充电宝着火了", "充电宝着火"));
    }

    #[test]
    fn contrast_has_two_sides() {
        let side = |text, word| {
            ask(text, word, |reading, hit| contrast(reading, hit).map(|(_, side)| side))
        };
        assert_eq!(side("质量满意,但是失望", "满意"), Some(Side::Before));
        assert_eq!(side("质量满意,但是失望", "失望"), Some(Side::After));
        assert_eq!(side("满意", "满意"), None);
    }

    #[test]
    fn sarcasm_needs_its_cue_and_a_complaint() {
        let turned = |text, complains| {
            ask(text, "厉害", |reading, hit| sarcasm(reading, hit, complains).is_some())
        };
        assert!(turned("你们可真厉害", true));
        assert!(!turned("你们可真厉害", false));
        assert!(!turned("你们厉害", true));
    }

    #[test]
    fn a_risk_word_can_be_taken_back() {
        let back = |text| ask(text, "投诉", |reading, hit| withdrawn(reading, hit).is_some());
        assert!(back("取消我的投诉"));
        assert!(back("我不是要投诉"));
        assert!(back("我没有投诉"));
        assert!(!back("再不退款就投诉"));
        assert!(!back("我要投诉"));
    }

    #[test]
    fn a_resolved_complaint_is_past_unless_a_new_one_is_announced() {
        let past = |text| ask(text, "投诉", |reading, hit| resolved(reading, hit).is_some());
        assert!(past("上次的投诉已经解决了"));
        assert!(!past("上次的投诉没解决"));
        assert!(!past("上次已经解决了,但是这次还要投诉"));
    }

    #[test]
    fn somebody_elses_complaint_is_not_the_writers() {
        let other = |text| ask(text, "投诉", |reading, hit| actor(reading, hit).is_some());
        assert!(other("我同事投诉过这家"));
        assert!(!other("我朋友让我一定要投诉"));
        assert!(!other("投诉"));
    }
}
