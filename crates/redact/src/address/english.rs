//! English addresses, found from the number of the house: `221B Baker Street, London NW1 6XE`.

use crate::fold::Unit;
use crate::view::View;

const STREETS: &[&str] = &[
    "street",
    "st",
    "avenue",
    "ave",
    "road",
    "rd",
    "lane",
    "ln",
    "drive",
    "dr",
    "court",
    "ct",
    "close",
    "crescent",
    "terrace",
    "way",
    "boulevard",
    "blvd",
    "square",
    "sq",
    "place",
    "pl",
    "parade",
    "gardens",
    "hill",
    "row",
    "mews",
    "walk",
    "parkway",
    "pkwy",
    "highway",
    "hwy",
    "circle",
    "cir",
    "quay",
    "gate",
    "grove",
    "green",
    "park",
    "rise",
    "view",
    "trail",
    "loop",
    "plaza",
    "alley",
    "wharf",
    "broadway",
    "esplanade",
    "embankment",
    "common",
    "heights",
    "ridge",
    "bay",
    "state",
    "approach",
    "vale",
    "mount",
    "meadow",
    "meadows",
    "fields",
    "point",
    "crossing",
];

/// Words in front of the number that are part of the address.
const UNITS: &[&str] = &[
    "flat",
    "apartment",
    "apt",
    "unit",
    "suite",
    "ste",
    "room",
    "floor",
    "no",
    "number",
    "block",
    "building",
    "blk",
];

/// Words behind the street that name a part of the house.
const INNER: &[&str] =
    &["apt", "apartment", "unit", "ste", "suite", "floor", "fl", "flat", "room", "#", "singapore"];

/// Directions behind the name of a street.
const WAYS: &[&str] =
    &["nw", "ne", "sw", "se", "n", "s", "e", "w", "north", "south", "east", "west"];

/// Companies publish where their shops are.
const SHOPS: &[&str] = &[
    "store",
    "branch",
    "shop",
    "outlet",
    "location",
    "showroom",
    "office hours",
    "warehouse",
    "restaurant",
    "hotel",
    "pickup point",
    "pick up point",
    "returns center",
    "returns centre",
];

/// Words of the name of a street at most.
const NAME_WORDS: usize = 4;

/// Parts behind the street at most.
const PARTS: usize = 6;

/// The addresses in `units`, as first unit and one past the last.
pub(super) fn find(units: &[Unit]) -> Vec<(usize, usize)> {
    let view = View(units);
    let mut found = Vec::new();
    let mut at = 0;
    while at < view.len() {
        if is_word_part(view.before(at)) || !view.at(at).is_ascii_alphanumeric() {
            at += 1;
            continue;
        }
        match box_end(view, at).or_else(|| house(view, at)).or_else(|| postcode_after_cue(view, at))
        {
            Some(street) if !is_shop(view, at) => {
                let end = tail(view, street);
                let start = lead(view, at);
                let start =
                    found.last().map_or(start, |&(_, past): &(usize, usize)| start.max(past));
                found.push((start, end));
                at = end;
            }
            _ => at = view.skip(at, 40, is_word_part).max(at + 1),
        }
    }
    found
}

fn is_word_part(ch: char) -> bool {
    ch.is_ascii_alphanumeric() || ch == '\''
}

/// The end of the word at `at`.
fn word(view: View<'_>, at: usize) -> usize {
    view.skip(at, 20, |ch| is_word_part(ch) || ch == '-')
}

fn is_capital(view: View<'_>, at: usize) -> bool {
    view.exact(at).is_ascii_uppercase()
}

/// `123 Main Street`, `12/2 George Square`, `500 S State St`, `40 Rue de l'Exemple`.
fn house(view: View<'_>, at: usize) -> Option<usize> {
    let number = view.skip(at, 6, |ch| ch.is_ascii_digit());
    let mut end = number;
    if end == at || end - at > 5 {
        return None;
    }
    if matches!(view.at(end), '/' | '-') && view.at(end + 1).is_ascii_digit() {
        end = view.skip(end + 1, 4, |ch| ch.is_ascii_digit());
    } else if view.at(end).is_ascii_alphabetic() && !view.at(end + 1).is_ascii_alphanumeric() {
        end += 1;
    }
    if view.at(end) != ' ' {
        return None;
    }
    let first = end + 1;
    if view.starts(first, "broadway") && is_capital(view, first) {
        return Some(first + "broadway".len());
    }
    if view.after_any(first, &["rue", "via", "calle", "rua", "avenida"]).is_some()
        && is_capital(view, first)
    {
        return Some(foreign_street(view, first));
    }
    named_street(view, first).or_else(|| small_street(view, at, first))
}

/// Kinds of streets that are no other words of everyday.
const PLAIN_STREETS: &[&str] =
    &["street", "road", "avenue", "lane", "drive", "boulevard", "st", "rd", "ave", "blvd", "court"];

/// What says in front of a street in small letters that it is an address.
const HOME: &[&str] = &[
    "address",
    "live at",
    "live on",
    "lives at",
    "living at",
    "ship to",
    "deliver to",
    "moved to",
];

/// The end of `23 oak street` where an address is announced, or a room or state follows:
/// people in a hurry write no capitals.
fn small_street(view: View<'_>, number: usize, first: usize) -> Option<usize> {
    let mut here = first;
    for _ in 0..3 {
        let past = word(view, here);
        let is_word = past > here && (here..past).all(|i| view.exact(i).is_ascii_lowercase());
        if !is_word || view.at(past) != ' ' {
            return None;
        }
        here = past + 1;
        let end = word(view, here);
        let kind =
            PLAIN_STREETS.iter().any(|kind| kind.len() == end - here && view.starts(here, kind));
        if kind {
            let from = view.skip_back(number, 20, |ch| !matches!(ch, '.' | '!' | '?' | '\n'));
            let announced = (from..number).any(|i| view.after_any(i, HOME).is_some());
            let goes_on =
                view.after_any(end, &[", apt", " apt", ", unit", " unit", ", #", " #"]).is_some();
            return (announced || goes_on).then(|| small_place(view, end));
        }
    }
    None
}

/// The end of ` san francisco ca 94103` behind a street in small letters: words up to a post code.
fn small_place(view: View<'_>, street: usize) -> usize {
    let mut here = street;
    for _ in 0..7 {
        let gap = view.skip(here, 2, |ch| matches!(ch, ' ' | ','));
        let past = word(view, gap);
        if gap == here || past == gap {
            break;
        }
        let digits = view.skip(gap, 6, |ch| ch.is_ascii_digit()) - gap;
        if digits == 5 && past == gap + 5 {
            return past;
        }
        here = past;
    }
    street
}

/// The end of a street of one to four capitalised words and its kind at `first`: `Main Street`,
/// `S State St`, `The Crescent`.
fn named_street(view: View<'_>, first: usize) -> Option<usize> {
    let mut here = first;
    for count in 0..=NAME_WORDS {
        let past = word(view, here);
        if past == here {
            return None;
        }
        if count > 0 && is_street(view, here) {
            // `S State St`: the last of two.
            let more = view.skip(past, 1, |ch| ch == ' ');
            let end = if is_street(view, more) { word(view, more) } else { past };
            // The dot of `Blvd.,` belongs to the word, that of a sentence does not.
            let dotted = view.at(end) == '.' && matches!(view.at(end + 1), ',' | ' ');
            // `Station Road`, and `County Road 12`.
            let numbered = || {
                let end = view.skip(end + 1, 3, |ch| ch.is_ascii_digit());
                matches!(view.at(end), ',' | '\0' | ' ' | '#').then_some(end)
            };
            if view.at(end) == ' '
                && view.at(end + 1).is_ascii_digit()
                && view.after_any(here, &["road", "highway", "hwy", "avenue", "route"]).is_some()
                && let Some(end) = numbered()
            {
                return Some(end);
            }
            if is_doubtful(view, here, end) {
                return None;
            }
            return Some(directed(view, end + usize::from(dotted)));
        }
        if view.starts(here, "the ") && is_street(view, past + 1) {
            return Some(word(view, past + 1));
        }
        let ordinal = view.at(here).is_ascii_digit() && view.before(past).is_ascii_alphabetic();
        if !is_capital(view, here) && !ordinal {
            return None;
        }
        let end = past + usize::from(view.at(past) == '.');
        if view.at(end) != ' ' {
            return None;
        }
        here = end + 1;
    }
    None
}

/// Words of [`STREETS`] that name things more often than streets: `3 Day Park ticket`.
const DOUBTFUL: &[&str] = &[
    "park", "way", "view", "square", "place", "row", "common", "gate", "hill", "bay", "green",
    "state", "loop", "circle", "rise", "walk", "heights", "court", "point", "mount", "fields",
    "trail", "plaza",
];

/// Whether the clause goes on behind a doubtful kind of street.
fn is_doubtful(view: View<'_>, at: usize, end: usize) -> bool {
    let listed = view.after_any(at, DOUBTFUL).is_some();
    let goes_on = view.at(end) == ' ' && view.exact(end + 1).is_ascii_lowercase();
    listed
        && goes_on
        && view
            .after_any(
                end,
                &[" in", " is", " at", " and", " please", " not", " today", " by", " for"],
            )
            .is_none()
}

/// Whether the word at `at` is a kind of street with a capital.
fn is_street(view: View<'_>, at: usize) -> bool {
    is_capital(view, at) && {
        let length = word(view, at) - at;
        STREETS.iter().any(|street| street.len() == length && view.starts(at, street))
    }
}

/// Behind the street a direction: `Avenue NW`, `Street West`.
fn directed(view: View<'_>, end: usize) -> usize {
    if view.at(end) != ' ' || !is_capital(view, end + 1) {
        return end;
    }
    view.after_any(end + 1, WAYS).unwrap_or(end)
}

/// The end of `Rue de l'Exemple`: words up to a comma, four at most.
fn foreign_street(view: View<'_>, at: usize) -> usize {
    let mut end = word(view, at);
    for _ in 0..NAME_WORDS {
        if view.at(end) != ' ' || word(view, end + 1) == end + 1 {
            break;
        }
        let next = word(view, end + 1);
        if !is_capital(view, end + 1) && next - end > 12 {
            break;
        }
        end = next;
    }
    end
}

/// `PO Box 1234`, `Rural Route 2 Box 15`.
fn box_end(view: View<'_>, at: usize) -> Option<usize> {
    let past = view
        .after_any(at, &["po box", "p.o. box", "p.o.box", "p o box", "rural route", "rr", "hc"])?;
    let past = view.skip(past, 1, |ch| ch == ' ');
    let end = view.skip(past, 6, |ch| ch.is_ascii_digit());
    if end == past {
        return None;
    }
    let boxed = view
        .after_any(end, &[" box"])
        .map(|past| view.skip(past, 7, |ch| ch == ' ' || ch.is_ascii_digit()));
    // `RR 2` alone may be anything.
    if boxed.is_none() && matches!(view.at(at), 'r' | 'h') {
        return None;
    }
    Some(boxed.map_or(end, |past| view.skip_back(past, 1, |ch| ch == ' ')))
}

/// A British postcode after its cue.
fn postcode_after_cue(view: View<'_>, at: usize) -> Option<usize> {
    let filler = view.skip_back(at, 5, |ch| matches!(ch, ' ' | ':' | 'i' | 's'));
    view.before_any(filler, &["postcode", "post code", "postal code"])?;
    postcode(view, at).or_else(|| canadian(view, at))
}

/// `SW1A 1AA`, `M1 1AE`.
fn postcode(view: View<'_>, at: usize) -> Option<usize> {
    let letters = view.skip(at, 3, |ch| ch.is_ascii_alphabetic());
    let outward = view.skip(letters, 2, |ch| ch.is_ascii_alphanumeric());
    if !(1..=2).contains(&(letters - at))
        || outward == letters
        || !view.at(letters).is_ascii_digit()
    {
        return None;
    }
    let inward = view.skip(outward, 1, |ch| ch == ' ');
    let end = view.skip(inward, 4, |ch| ch.is_ascii_alphanumeric());
    let fits = end - inward == 3
        && view.at(inward).is_ascii_digit()
        && view.at(inward + 1).is_ascii_alphabetic()
        && view.at(inward + 2).is_ascii_alphabetic();
    fits.then_some(end)
}

/// The end of the parts behind the street: rooms, places, states and post codes.
fn tail(view: View<'_>, street: usize) -> usize {
    let (mut end, mut coded) = (street, false);
    for _ in 0..PARTS {
        let comma = view.skip(end, 1, |ch| ch == ',');
        let here = view.skip(comma, 1, |ch| ch == ' ');
        if here == end {
            break;
        }
        let next = inner(view, here).or_else(|| code(view, here));
        // `75001 Paris`: the code comes first.
        let behind_code = coded && view.exact(here).is_ascii_uppercase();
        coded = next.is_some();
        let next = next
            .or_else(|| behind_code.then(|| place(view, here)).flatten())
            .or_else(|| (comma > end || is_state(view, here)).then(|| place(view, here)).flatten())
            .or_else(|| before_code(view, here));
        let Some(next) = next else { break };
        end = next;
    }
    end
}

/// `Apt 21B`, `#1804`, `Floor 12`.
fn inner(view: View<'_>, at: usize) -> Option<usize> {
    // `4th Floor`.
    let ordinal = view.skip(at, 4, |ch| ch.is_ascii_alphanumeric());
    if view.at(at).is_ascii_digit() && view.starts(ordinal, " floor") {
        return Some(ordinal + " floor".len());
    }
    let past = view.after_any(at, INNER)?;
    let past = view.skip(past, 2, |ch| matches!(ch, '.' | ' ' | '#'));
    let end = word(view, past);
    (end > past
        && end - past <= 6
        && (past..end).any(|i| view.at(i).is_ascii_digit() || end - past == 1))
    .then_some(end)
}

/// A ZIP code, or a British, Canadian or Australian post code, perhaps behind a state.
fn code(view: View<'_>, at: usize) -> Option<usize> {
    if let Some(end) = postcode(view, at) {
        return Some(end);
    }
    if let Some(end) = canadian(view, at) {
        return Some(end);
    }
    let digits = view.skip(at, 7, |ch| ch.is_ascii_digit());
    // `07700 900123` is a telephone number.
    let goes_on = view.at(digits) == ' ' && view.at(digits + 1).is_ascii_digit();
    if matches!(digits - at, 4..=6) && !view.at(digits).is_ascii_alphanumeric() && !goes_on {
        let plus = view.at(digits) == '-' && view.at(digits + 1).is_ascii_digit();
        return Some(if plus {
            view.skip(digits + 1, 4, |ch| ch.is_ascii_digit())
        } else {
            digits
        });
    }
    None
}

/// `K1A 0B1`.
fn canadian(view: View<'_>, at: usize) -> Option<usize> {
    let fits = (0..7).all(|i| match i {
        0 | 2 | 5 => view.at(at + i).is_ascii_alphabetic(),
        3 => view.at(at + i) == ' ',
        _ => view.at(at + i).is_ascii_digit(),
    });
    fits.then_some(at + 7)
}

/// Two or three capitals.
fn is_state(view: View<'_>, at: usize) -> bool {
    let end = word(view, at);
    (2..=3).contains(&(end - at))
        && (at..end).all(|i| is_capital(view, i))
        && code(view, end + 1).is_some()
}

/// Up to three capitalised words, which name a city, state or country.
fn place(view: View<'_>, at: usize) -> Option<usize> {
    let mut end = at;
    for count in 0..3 {
        let here = if count == 0 { at } else { end + 1 };
        if count > 0 && view.at(end) != ' ' || !is_capital(view, here) {
            break;
        }
        if view
            .after_any(here, &["i", "please", "my", "it", "is", "the", "thanks", "and", "attn"])
            .is_some()
        {
            break;
        }
        let past = word(view, here);
        if (here..past).any(|i| view.at(i).is_ascii_digit()) {
            break;
        }
        end = past;
    }
    (end > at).then_some(end)
}

/// A city without a comma in front of its state or code: `Austin TX 78701`.
fn before_code(view: View<'_>, at: usize) -> Option<usize> {
    let end = word(view, at);
    if !is_capital(view, at) || view.at(end) != ' ' {
        return None;
    }
    (is_state(view, end + 1) || code(view, end + 1).is_some()).then_some(end)
}

/// What stands in front of the house: `Flat 3, 27 Station Road`, `Room 1203, 12/F, 68 Mody Road`,
/// `No. 969 West Wenyi Road`, `2B, 61 Queen's Gate`.
fn lead(view: View<'_>, at: usize) -> usize {
    let mut first = at;
    if let Some(start) =
        view.before_any(at, &["no. ", "no.", "block ", "blk ", "unit ", "flat ", "building "])
    {
        first = start;
    }
    for _ in 0..4 {
        let Some(start) = part_before(view, first) else { break };
        first = start;
    }
    first
}

/// The part of a house with a number in it that ends with a comma in front of `at`.
fn part_before(view: View<'_>, at: usize) -> Option<usize> {
    if !view.ends(at, ", ") {
        return None;
    }
    let end = at - 2;
    let start = view.skip_back(end, 5, |ch| ch.is_ascii_alphanumeric() || ch == '/');
    if start == end || !(start..end).any(|i| view.at(i).is_ascii_digit()) {
        return None;
    }
    let named = view.skip_back(start, 1, |ch| ch == ' ');
    let named = view.before_any(named, UNITS);
    let lettered = (start..end).any(|i| !view.at(i).is_ascii_digit());
    let alone = !view.before(start).is_ascii_alphanumeric()
        && !matches!(view.before(start), '-' | '.' | '#');
    named.or_else(|| (alone && end - start <= if lettered { 4 } else { 3 }).then_some(start))
}

/// Whether the address is spoken of as that of a shop.
fn is_shop(view: View<'_>, at: usize) -> bool {
    let from = view.skip_back(at, 24, |ch| !matches!(ch, '.' | '!' | '?' | ','));
    (from..at).any(|i| !view.before(i).is_ascii_alphabetic() && view.after_any(i, SHOPS).is_some())
}
