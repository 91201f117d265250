//! Times in Chinese: 24小时内, 3个工作日, 今天18点前, 下周一, 尽快.

use crate::assessment::Due;

use super::time::{Cursor, DAY, HOUR, MIDNIGHT, MINUTE, On, Time};

/// The time that begins at byte `start`, after the character `before`.
pub(super) fn read(text: &str, start: usize, before: char) -> Option<Time> {
    let cursor = Cursor { text, at: start };
    let first = cursor.peek()?;
    let found = match first {
        '0'..='9'
        | '零'
        | '一'
        | '二'
        | '两'
        | '三'
        | '四'
        | '五'
        | '六'
        | '七'
        | '八'
        | '九'
        | '十'
        | '半'
        | '几'
        | '数' => date(cursor)
            .or_else(|| quantity(cursor, before))
            .or_else(|| moment(cursor, before))
            .or_else(|| vague(cursor, before)),
        '今' | '明' | '后' | '大' | '当' | '早' | '上' | '中' | '下' | '傍' | '晚' | '凌'
        | '周' | '星' | '礼' | '本' | '这' | '每' => {
            moment(cursor, before).or_else(|| vague(cursor, before))
        }
        '第' => moment(cursor, before).or_else(|| vague(cursor, before)),
        '次' | '隔' | '翌' => moment(cursor, before),
        '尽' | '稍' | '马' | '立' | '即' | '随' | '很' | '待' | '等' | '过' | '回' | '及'
        | '近' | '抓' | '火' => vague(cursor, before),
        _ => None,
    };
    found.map(|(end, due, firm)| Time { start, end, due, firm })
}

/// Where a time ends, when it is due, whether it says by when.
type Read = (usize, Option<Due>, bool);

/// 5月3日, 15号: a date, which without a calendar is no due time; with the time of day after it.
fn date(mut cursor: Cursor<'_>) -> Option<Read> {
    let mut named = false;
    cursor.number()?;
    if cursor.eat("月") {
        named = true;
        if cursor.number().is_some() {
            cursor.one(&["日", "号"]);
        } else {
            cursor.one(&["底", "初", "份", "内"]);
        }
    } else if cursor.eat("号") {
        named = !matches!(cursor.peek(), Some('线' | '楼' | '店' | '码' | '链'));
    } else if cursor.eat("日") {
        named = !matches!(cursor.peek(), Some('内' | '之' | '以'));
    } else if cursor.eat("年") {
        named = cursor.number().is_some() && cursor.eat("月");
    }
    if !named {
        return None;
    }
    cursor.eat(" ");
    part(&mut cursor);
    if let Some((end, _, _)) = clock(cursor, None) {
        cursor.at = end;
    }
    Some((cursor.at, None, false))
}

/// 24小时内, 1-3个工作日, 一个半小时: so long from now.
fn quantity(mut cursor: Cursor<'_>, before: char) -> Option<Read> {
    // In halves.
    let mut amount = 0;
    let start = cursor.at;
    let mut open = false;
    if cursor.eat("半") {
        amount = 1;
    } else if cursor.one(&["几", "数"]).is_some() {
        open = true;
    } else {
        amount = cursor.number()? * 2;
        if cursor.rest().starts_with(".5") {
            cursor.at += 2;
            amount += 1;
        }
        let mut ahead = cursor;
        if ahead.joins()
            && let Some(second) = ahead.number()
        {
            cursor = ahead;
            amount = amount.max(second * 2);
        }
    }
    cursor.eat(" ");
    let counted = cursor.eat("个");
    if amount > 1 && cursor.eat("半") {
        amount += 1;
    }
    let units: &[(&[&str], i64)] = &[
        (&["工作日", "工作天", "工作曰"], 0),
        (&["自然日"], DAY),
        (&["小时", "钟头"], HOUR),
        (&["分钟"], MINUTE),
        (&["刻钟"], 15 * MINUTE),
        (&["天"], DAY),
        (&["周", "星期", "礼拜"], 7 * DAY),
    ];
    let mut unit =
        units.iter().find_map(|(names, unit)| cursor.one(names).is_some().then_some(*unit));
    if unit.is_none() {
        let mut ahead = cursor;
        unit = match cursor.peek()? {
            '日' if !counted => Some(DAY),
            '分' => Some(MINUTE),
            '月' if counted => Some(31 * DAY),
            'h' => Some(HOUR),
            'm' if cursor.rest().starts_with("min") => Some(MINUTE),
            _ => None,
        };
        ahead.one(&["日", "分", "月", "h", "mins", "min"]);
        if ahead.peek().is_some_and(|next| next.is_ascii_alphanumeric()) {
            return None;
        }
        cursor = ahead;
    }
    let unit = unit?;
    let named = cursor.at;
    if unit == HOUR && cursor.eat("半") {
        amount += 1;
    }
    let mut ahead = cursor;
    let apart = ahead.one(&["的时间", "时间", "的"]).is_some();
    let inside = ahead.one(&["之内", "以内", "内", "里面", "里"]).is_some();
    if inside {
        cursor = ahead;
    }
    let latest = ["最晚", "最迟", "最多", "最慢", "最长", "不超过", "不会超过"];
    let latest = latest.iter().any(|word| cursor.text[..start].trim_end().ends_with(word));
    let firm = inside || latest;
    // The third day, every three days, the last three days, three days ago, after three days.
    let ordinal = !latest
        && matches!(
            before,
            '第' | '每' | '近' | '好' | '有' | '头' | '这' | '前' | '那' | '等' | '过' | '.'
        );
    // 稍等我3分钟 asks for them, 六十天以内的 tells which.
    let held = !inside
        && ["等", "等我", "等待", "等候", "等下", "等一下", "耽误您", "占用您", "稍等下"]
            .iter()
            .any(|word| cursor.text[..start].ends_with(word));
    let which = inside && cursor.rest().starts_with('的') && !cursor.rest().starts_with("的时间");
    let outside = !inside
        && (cursor.peek().is_some_and(|next| "之前后以左多了没无都不制期级".contains(next))
            || cursor.rest().starts_with("上下")
            || (apart && !firm));
    // 24小时 and 7天 alone are how long something is open or may be sent back.
    let lasting = !firm && (amount == 48 || (amount == 14 && unit == DAY) || open);
    let bare_day = !inside && cursor.text[..named].ends_with(['日', '分', '周']);
    let workdays = unit == 0;
    if ordinal
        || held
        || which
        || outside
        || lasting
        || (amount == 0 && !open)
        || (bare_day && !workdays)
    {
        return Some((cursor.at, None, false));
    }
    let due = if open {
        Due::Vague
    } else if workdays {
        Due::WorkDays { days: amount.div_ceil(2) }
    } else {
        Due::Within { ms: i64::from(amount) * unit / 2 }
    };
    Some((cursor.at, Some(due), firm))
}

/// The end of a part of the day.
fn part(cursor: &mut Cursor<'_>) -> Option<u16> {
    const PARTS: &[(&[&str], u16)] = &[
        (&["凌晨"], 360),
        (&["下班", "晚些时候", "晚点", "晚些"], MIDNIGHT),
        (&["早上", "上午", "早晨", "清晨", "一早", "一大早", "早"], 720),
        (&["中午"], 840),
        (&["下午"], 1080),
        (&["傍晚"], 1140),
        (&["晚上", "晚间", "夜里", "夜间", "晚"], MIDNIGHT),
    ];
    if !cursor.peek().is_some_and(|first| "凌下晚早上清一中傍夜".contains(first)) {
        return None;
    }
    PARTS.iter().find_map(|(names, end)| cursor.one(names).is_some().then_some(*end))
}

/// 18点, 6点半, 18:00 with the part of the day before it: the minute of the day, and whether the
/// hour may have been of either half of it.
fn clock(mut cursor: Cursor<'_>, part: Option<u16>) -> Option<(usize, u16, bool)> {
    cursor.eat(" ");
    let hour = cursor.number().filter(|hour| *hour <= 24)?;
    let mut minute = 0;
    if cursor.eat(":") {
        minute = cursor.digits().filter(|minute| *minute < 60)?;
        if cursor.eat(":") {
            cursor.digits()?;
        }
    } else if cursor.eat("点") || cursor.eat("时") {
        if cursor.eat("半") {
            minute = 30;
        } else if cursor.eat("一刻") {
            minute = 15;
        } else if !cursor.eat("钟") && !cursor.eat("整") {
            let mut ahead = cursor;
            if let Some(number) = ahead.number().filter(|number| *number < 60) {
                ahead.eat("分");
                (cursor, minute) = (ahead, number);
            }
        }
        if matches!(
            cursor.peek(),
            Some('击' | '评' | '赞' | '开' | '外' | '名' | '心' | '什' | '都')
        ) {
            return None;
        }
    } else {
        return None;
    }
    let (minutes, either) = match (hour, part) {
        // What comes after the evening is the end of the day.
        (0..=4 | 12, Some(MIDNIGHT)) => (1440, false),
        (1..=11, Some(1080..)) | (1..=3, Some(840)) => (hour * 60 + 720, false),
        (1..=12, None) => (hour * 60, true),
        _ => (hour * 60, false),
    };
    let minute = (minutes + if minutes == 1440 { 0 } else { minute }).min(1440);
    Some((cursor.at, u16::try_from(minute).ok()?, either))
}

/// 今天, 明天, 后天, 当天.
fn day(cursor: &mut Cursor<'_>) -> Option<On> {
    const DAYS: &[(&[&str], u32)] = &[
        (&["今天", "今日", "今儿", "当天", "当日"], 0),
        (&["明天", "明日", "明儿"], 1),
        (&["大后天"], 3),
        (&["后天"], 2),
    ];
    if let Some(days) =
        DAYS.iter().find_map(|(names, days)| cursor.one(names).is_some().then_some(*days))
    {
        return Some(On::Day(days));
    }
    // The part of the day stays to be read.
    for (word, days) in [("今", 0), ("明", 1), ("当", 0)] {
        if let Some(rest) = cursor.rest().strip_prefix(word)
            && rest.starts_with(['晚', '早'])
        {
            cursor.at += word.len();
            return Some(On::Day(days));
        }
    }
    None
}

/// 周五, 下周一, 本周内. `Err` is one that does not lie ahead: 上周, 每周一.
fn weekday(cursor: &mut Cursor<'_>, before: char) -> Option<Result<On, ()>> {
    let prefix =
        cursor.one(&["下下个", "下下", "下个", "下", "这个", "这", "本", "上个", "上", "每"]);
    cursor.one(&["星期", "礼拜", "周"])?;
    let weeks = match prefix {
        Some(0 | 1) => 2,
        Some(2 | 3) => 1,
        _ => 0,
    };
    let named = cursor.peek().and_then(|c| "一二三四五六日天末".chars().position(|day| day == c));
    let past =
        matches!(prefix, Some(7..)) || matches!(before, '上' | '每' | '到' | '至' | '-' | '~');
    let Some(named) = named else {
        // A week alone needs to be this one or the next: 一周 and 周边 are none.
        return matches!(prefix, Some(..=6)).then_some(if past {
            Err(())
        } else {
            Ok(On::Weekday { weeks, weekday: 6 })
        });
    };
    cursor.at += 3;
    let mut ahead = *cursor;
    let range =
        ahead.joins() && ahead.peek().is_some_and(|next| "周星礼一二三四五六日".contains(next));
    if past || range {
        return Some(Err(()));
    }
    Some(Ok(On::Weekday { weeks, weekday: named.min(6) as u8 }))
}

/// A day with or without a time of it, or a time of today.
fn moment(mut cursor: Cursor<'_>, before: char) -> Option<Read> {
    let first = cursor.peek()?;
    let mut on = if "今明后大当".contains(first) { day(&mut cursor) } else { None };
    if on.is_none() && "下这本上每周星礼".contains(first) {
        let mut ahead = cursor;
        match weekday(&mut ahead, before) {
            Some(Ok(found)) => (cursor, on) = (ahead, Some(found)),
            Some(Err(())) => return Some((ahead.at, None, false)),
            None => {}
        }
    }
    if on.is_none()
        && "第次隔翌".contains(first)
        && cursor.one(&["第二天", "次日", "隔天", "翌日"]).is_some()
    {
        // The day after some other one.
        part(&mut cursor);
        cursor.at = clock(cursor, None).map_or(cursor.at, |(end, _, _)| end);
        return Some((cursor.at, None, false));
    }
    if on.is_some() && matches!(before, '从' | '自' | '截' | '每') {
        return Some((cursor.at, None, false));
    }
    // 今天或明天, 今明两天: the later one.
    if let Some(first) = on {
        let mut ahead = cursor;
        if ahead.joins()
            && let Some(second) = day(&mut ahead)
        {
            cursor = ahead;
            on = Some(if second == On::Day(0) { first } else { second });
        }
        cursor.eat(" ");
        cursor.eat("的");
        if cursor.text[..cursor.at].ends_with('的')
            && !cursor.rest().starts_with(['上', '下', '中', '晚', '早'])
        {
            return Some((cursor.at, None, false));
        }
    }
    let named = cursor.at;
    let part = part(&mut cursor);
    let parted = cursor.at > named;
    let mut minute = part.unwrap_or(MIDNIGHT);
    let mut told = false;
    if let Some((mut end, mut found, mut either)) = clock(cursor, part) {
        told = true;
        let mut ahead = Cursor { at: end, ..cursor };
        let second_part = if ahead.joins() { self::part(&mut ahead).or(part) } else { None };
        if ahead.at > end
            && let Some((last, later, unsure)) = clock(ahead, second_part)
        {
            (end, either) = (last, unsure);
            found = later;
        }
        cursor.at = end;
        minute = if either { on.unwrap_or(On::Day(0)).either(found) } else { found };
    }
    if on.is_none() && !told {
        return None;
    }
    cursor.one(&["之间", "期间"]);
    let firm = cursor
        .one(&["之内", "以内", "内", "之前", "以前", "前", "结束前", "截止", "下班前"])
        .is_some();
    if !firm {
        if cursor.rest().starts_with("左右")
            || cursor.rest().starts_with(['多', '起', '开', '的'])
                && !cursor.rest().starts_with("的时候")
                && (told || cursor.rest().starts_with(['起', '开']))
        {
            return Some((cursor.at, None, false));
        }
        if cursor.one(&["之后", "以后", "后"]).is_some() {
            // From then on: any time of that day keeps it.
            minute = MIDNIGHT;
            if on.is_none() {
                return Some((cursor.at, None, false));
            }
        }
    }
    // A time of day alone has to be one to keep: 营业到18点 is none.
    if on.is_none() && !firm && !(parted && told) {
        return if told && !matches!(before, ' ' | ',') {
            Some((cursor.at, None, false))
        } else {
            None
        };
    }
    Some((cursor.at, Some(on.unwrap_or(On::Day(0)).by(minute)), firm))
}

/// 尽快, 稍后: soon.
fn vague(mut cursor: Cursor<'_>, before: char) -> Option<Read> {
    const SOON: &[&str] = &[
        "尽快",
        "尽早",
        "尽速",
        "稍后",
        "稍晚",
        "晚一点",
        "晚点",
        "晚些时候",
        "晚些",
        "马上",
        "立即",
        "立刻",
        "立马",
        "即刻",
        "第一时间",
        "随后",
        "很快",
        "待会儿",
        "待会",
        "等会儿",
        "等会",
        "等下",
        "一会儿",
        "一会",
        "过会儿",
        "过会",
        "回头",
        "及时",
        "近期",
        "近日",
        "这两天",
        "这几天",
        "过几天",
        "过两天",
        "早日",
        "早点",
        "抓紧",
        "火速",
    ];
    let first = cursor.peek()?;
    SOON.iter().find(|word| word.starts_with(first) && cursor.eat(word))?;
    cursor.one(&["一点", "的", "地"]);
    // 请稍后 asks to wait.
    (!matches!(before, '请' | '您' | '你' | '不' | '稍' | '通' | '经' | '超')).then_some((
        cursor.at,
        Some(Due::Vague),
        false,
    ))
}
