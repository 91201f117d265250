//! Numbers written so that a filter reads past them: 一三八零零, 壹叁捌, `five five five`, `l38oo`.
//! They become the digits that a reader takes them for; whether they are personal is decided on
//! the digits.

use crate::email;
use crate::fold::{Survey, Unit};
use crate::numbers::FEWEST_DIGITS;
use crate::view::View;

/// Units between two digits of a spoken number at most: `零，零`.
const GAP: usize = 1;

/// Digits of a mobile number.
const WHOLE: usize = 11;

/// The digit of a Chinese numeral.
pub(crate) fn numeral(ch: char) -> Option<char> {
    Some(match ch {
        '零' | '〇' | '○' => '0',
        '一' | '壹' | '幺' | '弌' => '1',
        '二' | '贰' | '貳' | '弍' => '2',
        '三' | '叁' | '參' | '叄' => '3',
        '四' | '肆' => '4',
        '五' | '伍' => '5',
        '六' | '陆' | '陸' => '6',
        '七' | '柒' => '7',
        '八' | '捌' => '8',
        '九' | '玖' => '9',
        _ => return None,
    })
}

/// The digit that pilots and soldiers call so, and what sounds like 幺.
fn called(ch: char) -> Option<char> {
    Some(match ch {
        '洞' | 'o' | 'O' => '0',
        '腰' | '妖' => '1',
        '拐' => '7',
        '勾' => '9',
        _ => return None,
    })
}

/// Whether `ch` is a numeral or is called like one.
pub(crate) fn may_be_digit(ch: char) -> bool {
    numeral(ch).or_else(|| called(ch)).is_some()
}

/// Rewrites whatever stands for digits.
pub(crate) fn read(units: &mut Vec<Unit>, survey: Survey) {
    if survey.numerals > 0 && survey.numerals + survey.digits >= FEWEST_DIGITS {
        read_numerals(units);
    }
    if survey.letters >= 4 {
        read_at_signs(units);
    }
    if survey.letters > 0 && survey.digits >= 4 {
        read_lookalikes(units);
    }
    // Seven times `yi`.
    if survey.letters >= 2 * FEWEST_DIGITS {
        read_words(units);
    }
}

/// Rewrites the numerals of every number of seven digits or more.
fn read_numerals(units: &mut [Unit]) {
    let digit = |ch: char| {
        if ch.is_ascii_digit() { Some(ch) } else { numeral(ch).or_else(|| called(ch)) }
    };
    let mut at = 0;
    while at < units.len() {
        if digit(units[at].ch).is_none() {
            at += 1;
            continue;
        }
        let (mut end, mut count, mut spoken, mut written) = (at, 0, false, 0);
        // How many are words of their own otherwise.
        let mut doubtful = 0;
        while let Some(unit) = units.get(end) {
            if digit(unit.ch).is_some() {
                doubtful += usize::from(called(unit.ch).is_some());
                count += 1;
                spoken |= !unit.ch.is_ascii_digit();
                written += usize::from(unit.ch.is_ascii_digit());
                end += 1;
            } else if matches!(unit.ch, ' ' | ',' | '-' | '.' | '、' | '杠')
                && units.get(end + GAP).is_some_and(|next| digit(next.ch).is_some())
            {
                end += GAP;
            } else {
                break;
            }
        }
        // 三千, 一百零八 and 一点五 are amounts.
        let counts = |ch: char| "十百千万萬亿億点點年月".contains(ch);
        let amount = units.get(end).is_some_and(|unit| counts(unit.ch))
            || at.checked_sub(1).is_some_and(|before| counts(units[before].ch));
        // A number in digits is whole without the numeral beside it.
        let enough = if doubtful > 0 { WHOLE } else { FEWEST_DIGITS };
        if spoken && !amount && count >= enough && written < WHOLE {
            for unit in &mut units[at..end] {
                unit.ch = digit(unit.ch).unwrap_or(unit.ch);
                if matches!(unit.ch, '、' | '杠') {
                    unit.ch = '-';
                }
            }
        }
        at = end.max(at + 1);
    }
}

/// Rewrites letters that stand for digits in a number of ten or eleven digits: `l38oo138ooo`.
fn read_lookalikes(units: &mut [Unit]) {
    let digit = |ch: char| match ch {
        'o' | 'O' => Some('0'),
        'l' | 'I' | '|' => Some('1'),
        '0'..='9' => Some(ch),
        _ => None,
    };
    let mut at = 0;
    while at < units.len() {
        if digit(units[at].ch).is_none() {
            at += 1;
            continue;
        }
        let (mut end, mut digits, mut letters) = (at, 0, 0);
        while let Some(unit) = units.get(end) {
            if unit.ch.is_ascii_digit() {
                digits += 1;
            } else if digit(unit.ch).is_some() {
                letters += 1;
            } else if unit.ch != '-' {
                break;
            }
            end += 1;
        }
        let alone = !at.checked_sub(1).is_some_and(|i| units[i].ch.is_ascii_alphabetic())
            && !units.get(end).is_some_and(|unit| unit.ch.is_ascii_alphabetic());
        if alone && letters > 0 && digits >= 4 && matches!(digits + letters, 10 | 11) {
            for unit in &mut units[at..end] {
                unit.ch = digit(unit.ch).unwrap_or(unit.ch);
            }
        }
        at = end.max(at + 1);
    }
}

/// The digits in English, and as they are written in letters for Chinese.
const WORDS: [(&str, char); 22] = [
    ("zero", '0'),
    ("oh", '0'),
    ("one", '1'),
    ("two", '2'),
    ("three", '3'),
    ("four", '4'),
    ("five", '5'),
    ("six", '6'),
    ("seven", '7'),
    ("eight", '8'),
    ("nine", '9'),
    ("ling", '0'),
    ("yi", '1'),
    ("yao", '1'),
    ("er", '2'),
    ("san", '3'),
    ("si", '4'),
    ("wu", '5'),
    ("liu", '6'),
    ("qi", '7'),
    ("ba", '8'),
    ("jiu", '9'),
];

/// Replaces every run of seven or more English digit words by one unit for each word.
fn read_words(units: &mut Vec<Unit>) {
    let mut edits = Vec::new();
    for run in word_runs(View(units)) {
        for (i, &(first, past, digit)) in run.iter().enumerate() {
            edits.push((first, past, digit));
            if let Some(&(next, ..)) = run.get(i + 1) {
                edits.push((past, next, ' '));
            }
        }
    }
    rewrite(units, &edits);
}

/// Makes one unit of each of `edits`: first unit, one past the last, and what it reads as; left to
/// right, without overlap.
fn rewrite(units: &mut Vec<Unit>, edits: &[(usize, usize, char)]) {
    if edits.is_empty() {
        return;
    }
    let mut written = Vec::with_capacity(units.len());
    let mut copied = 0;
    for &(start, end, ch) in edits {
        written.extend_from_slice(&units[copied..start]);
        written.push(Unit { ch, start: units[start].start, end: units[end - 1].end });
        copied = end;
    }
    written.extend_from_slice(&units[copied..]);
    *units = written;
}

/// Runs of digit words: first unit, one past the last, and digit of each.
fn word_runs(view: View<'_>) -> Vec<Vec<(usize, usize, char)>> {
    let mut runs = Vec::new();
    let mut run: Vec<(usize, usize, char)> = Vec::new();
    let mut at = 0;
    while at <= view.len() {
        let opens = !view.before(at).is_ascii_alphabetic();
        if let Some((word, times)) = opens.then(|| digit_word(view, at)).flatten() {
            let (first, end, digit) = word;
            run.push(word);
            // One more for `double`, two for `triple`, each with a character of its own.
            for i in 1..times {
                let split = first + i;
                if let Some(last) = run.last_mut() {
                    last.1 = split;
                }
                run.push((split, end, digit));
            }
            at = view.skip(end, 2, |ch| matches!(ch, ' ' | '-' | ','));
            if at > end {
                continue;
            }
        }
        if run.len() >= FEWEST_DIGITS {
            runs.push(std::mem::take(&mut run));
        }
        run.clear();
        at += 1;
    }
    runs
}

/// The digit word at `at`, and how often it counts: `seven`, `double seven`.
fn digit_word(view: View<'_>, at: usize) -> Option<((usize, usize, char), usize)> {
    // First letters of all of them.
    if !matches!(
        view.at(at),
        'z' | 'o' | 't' | 'f' | 's' | 'e' | 'n' | 'l' | 'y' | 'w' | 'q' | 'b' | 'j' | 'd'
    ) {
        return None;
    }
    let (start, times) = [("double ", 2), ("triple ", 3)]
        .into_iter()
        .find(|(word, _)| view.starts(at, word))
        .map_or((at, 1), |(word, times)| (at + word.len(), times));
    let first = view.at(start);
    WORDS.iter().filter(|(word, _)| word.starts_with(first)).find_map(|&(word, digit)| {
        view.after_any(start, &[word]).map(|end| ((at, end, digit), times))
    })
}

/// How an at sign is written out, and a dot.
const AT: &[&str] =
    &["(at)", "[at]", "{at}", "<at>", " at ", " (at) ", " [at] ", "艾特", " 艾特 ", "#"];
const DOT: &[&str] = &["(dot)", "[dot]", "{dot}", " dot ", " (dot) ", " [dot] ", "点"];

/// Words that make `jane at example.com` an address although its dot is one.
const MAIL: &[&str] = &["email", "e-mail", "mail", "address", "邮箱", "account"];

/// Longest part of an address between two signs.
const PART: usize = 32;

/// Replaces a written at sign, and the written dots around it, by the characters meant:
/// `jane dot doe at example dot com`.
fn read_at_signs(units: &mut Vec<Unit>) {
    let view = View(units);
    let mut edits: Vec<(usize, usize, char)> = Vec::new();
    let mut at = 1;
    while at < view.len() {
        let past = edits.last().map_or(0, |&(_, end, _)| end);
        match address(view, past, at) {
            Some(mut address) => {
                at = address.last().map_or(at, |&(_, end, _)| end);
                edits.append(&mut address);
            }
            None => at += 1,
        }
    }
    rewrite(units, &edits);
}

/// The edits that make an address around the at sign written at `at`.
fn address(view: View<'_>, floor: usize, at: usize) -> Option<Vec<(usize, usize, char)>> {
    // Every spelling but the last begins like that; blanks are everywhere.
    let opens = match view.at(at) {
        '(' | '[' | '{' | '<' => view.at(at + 1) == 'a',
        ' ' => matches!(view.at(at + 1), 'a' | '(' | '[' | '艾'),
        '艾' => view.at(at + 1) == '特',
        ch => ch == '#',
    };
    if !opens {
        return None;
    }
    let past = written(view, at, AT)?;
    let dots = domain(view, past)?;
    let is_part = |ch: char| ch.is_ascii_alphanumeric() || matches!(ch, '.' | '_' | '-');
    let mut first = view.skip_back(at, PART, is_part);
    let cued = || (at.saturating_sub(PART)..at).any(|i| view.after_any(i, MAIL).is_some());
    if first == at || view.starts(at, " at ") && dots.is_empty() && !cued() {
        return None;
    }
    let mut edits = Vec::new();
    while let Some(dot) = DOT
        .iter()
        .filter(|word| view.ends(first, word))
        .map(|word| first - word.chars().count())
        .min()
        .filter(|&dot| dot >= floor)
    {
        edits.push((dot, first, '.'));
        first = view.skip_back(dot, PART, is_part);
    }
    edits.reverse();
    edits.push((at, past, '@'));
    edits.extend(dots.into_iter().map(|(start, end)| (start, end, '.')));
    Some(edits)
}

/// Where the longest of `words` at `at` ends.
fn written(view: View<'_>, at: usize, words: &[&str]) -> Option<usize> {
    words.iter().filter(|word| view.starts(at, word)).map(|word| at + word.chars().count()).max()
}

/// The dots written out in the domain at `at`, if one with a known ending begins there.
fn domain(view: View<'_>, at: usize) -> Option<Vec<(usize, usize)>> {
    let mut dots = Vec::new();
    let mut here = at;
    for _ in 0..4 {
        let end = view.skip(here, PART, |ch| ch.is_ascii_alphanumeric() || ch == '-');
        let known = here > at
            && email::KNOWN_ENDINGS
                .iter()
                .any(|ending| ending.len() == end - here && view.starts(here, ending));
        if let Some(past) = written(view, end, DOT).filter(|_| !known && end > here) {
            dots.push((end, past));
            here = past;
        } else if view.at(end) == '.' && view.at(end + 1).is_ascii_alphanumeric() {
            here = end + 1;
        } else {
            return known.then_some(dots);
        }
    }
    None
}
