//! Ids of messengers, found after what announces them: 微信号, v信, 加V, QQ, `skype`.

use std::sync::LazyLock;

use crate::fold::Unit;
use crate::view::{View, Words, is_han};

/// Names of WeChat as people write it to get past filters; an id may follow at once.
const WECHAT: &[&str] = &[
    "微信",
    "微信号",
    "微号",
    "微信同号",
    "v信",
    "薇信",
    "威信",
    "徽信",
    "微星",
    "卫星号",
    "维信",
    "嶶信",
    "wei信",
    "微x",
    "威x",
    "薇x",
    "v❤",
    "w❤",
    "微❤",
    "薇❤",
    "威❤",
    "w❤x",
    "v❤x",
    "vx",
    "wx",
    "v x",
    "wechat",
    "weixin",
    "we chat",
    "wxid",
    "微信id",
    "微信號",
    "vx号",
    "wx号",
    "企业微信",
    "v号",
    "v.x",
    "微 信",
    "維信",
    "徵信",
    "溦信",
    "微伩",
    "微芯",
    "微xin",
    "徽❤",
    "維❤",
    "维❤",
    "企微",
    "企业微信号",
    "微信小号",
    "微信大号",
    "wechat号",
    "微性",
    "薇芯",
    "v芯",
    "vx同号",
    "围信",
    "卫信",
    "魏信",
    "v-x",
    "v_x",
    "w.x",
    "w-x",
    "ⅴx",
    "ᴠx",
    "绿色软件",
    "绿泡泡",
    "微.信",
    "微/信",
    "微*信",
    "薇",
    "溦",
    "w x",
];

/// The same in one letter, which needs `加`, `+` or a colon beside it.
const SHORT: &[&str] = &["v", "w", "微", "薇", "威", "微我", "q", "葳", "围", "wei", "卫"];

/// What asks to add somebody.
const ADDED: &[&str] = &[
    "加",
    "+",
    "加我",
    "加个",
    "加下",
    "加一下",
    "十",
    "家",
    "嘉",
    "佳",
    "茄",
    "伽",
    "咖",
    "私",
    "可",
    "联系",
    "我",
    "我的",
];

/// Names of QQ, whose ids are numbers.
const QQ: &[&str] = &[
    "qq",
    "q q",
    "扣扣",
    "抠抠",
    "球球",
    "秋秋",
    "丘丘",
    "企鹅号",
    "企鹅",
    "q号",
    "加q",
    "+q",
    "扣号",
    "叩叩",
    "鹅号",
    "口口",
    "蔻蔻",
    "加扣",
    "企鹅qq",
    "q+",
    "🐧",
    "🐧号",
];

/// Short for QQ, but for other things too: what follows has to be long.
const LOOSE: &[&str] = &["q", "扣", "鹅"];

/// Digits behind one of [`LOOSE`] at least; 扣12306的退票费 takes off a fee.
const LOOSE_DIGITS: usize = 6;

/// What a word begins with that is a device, a program or a fault rather than somebody.
const THINGS: &[&str] = &[
    "iphone", "ipad", "ipod", "android", "windows", "macos", "macbook", "error", "err_", "code",
    "version", "http", "www", "usb", "wifi", "type-c", "rtx", "gtx", "appid", "bug", "galaxy",
    "mate", "huawei", "xiaomi", "redmi", "oppo", "vivo", "app", "sdk", "api", "pro", "max", "svip",
];

/// Other networks, whose ids are words of letters and digits or begin with an at sign.
const NETWORKS: &[&str] = &[
    "skype",
    "telegram",
    "instagram",
    "insta",
    "ig",
    "snapchat",
    "discord",
    "kik",
    "line id",
    "lineid",
    "line",
    "twitter",
    "facebook",
    "fb",
    "tiktok",
    "抖音号",
    "抖音",
    "快手号",
    "小红书号",
    "钉钉号",
    "钉钉",
    "陌陌号",
    "旺旺号",
    "支付宝",
    "tg",
    "纸飞机",
    "电报",
    "賴",
    "赖id",
    "飞书",
    "快手",
    "小红书",
    "小红书id",
    "抖音id",
    "快手id",
    "b站",
    "微博",
    "闲鱼",
    "闲鱼号",
    "旺旺",
    "淘宝旺旺",
    "yy",
    "yy号",
    "陌陌",
    "探探",
    "steam",
    "dc",
    "signal",
    "zalo",
    "kakao",
    "kakaotalk",
    "psn",
    "gamertag",
    "epic",
    "riot",
    "roblox",
    "battletag",
    "venmo",
    "snap",
    "viber",
    "飞机号",
    "steam id",
    "kakao id",
    "psn id",
    "riot id",
    "battle tag",
    "x handle",
    "cash app",
    "tele",
    "my line",
    "加line",
];

/// What may stand between the name of a network and an id.
const FILLERS: &[&str] = &[
    " ",
    ":",
    "=",
    ",",
    "(",
    "\"",
    "-",
    ">",
    "→",
    "👉",
    "~",
    "!",
    "号",
    "號",
    "码",
    "碼",
    "账号",
    "帐号",
    "賬號",
    "是",
    "就是",
    "为",
    "為",
    "id",
    "搜",
    "搜索",
    "搜一下",
    "我",
    "我的",
    "的",
    "加",
    "呗",
    "吧",
    "哈",
    "啊",
    "一下",
    "外加",
    "发图给",
    "群",
    "吗",
    "?",
    "您",
    "你",
    "is",
    "on",
    "me",
    "at",
    "account",
    "handle",
    "username",
    "name",
    "number",
    "联系",
    "找",
    "找我",
    "上",
    "添加",
    "用户名",
    "名片",
    "呢",
    "的话",
    "登录的",
    "绑定",
    "充到",
    "[",
    "】",
    "「",
    "【",
    "还是",
    "tag",
    "係",
    "叫",
    "这个",
    "联系方式",
    "加我",
    "请加",
    "可以加",
    "外加我",
];

static WECHAT_INDEX: LazyLock<Words> = LazyLock::new(|| Words::by_last(WECHAT));
static WECHAT_BY_FIRST: LazyLock<Words> = LazyLock::new(|| Words::by_first(WECHAT));
static QQ_BY_FIRST: LazyLock<Words> = LazyLock::new(|| Words::by_first(QQ));
static QQ_INDEX: LazyLock<Words> = LazyLock::new(|| Words::by_last(QQ));
static NETWORKS_INDEX: LazyLock<Words> = LazyLock::new(|| Words::by_last(NETWORKS));
static FILLERS_INDEX: LazyLock<Words> = LazyLock::new(|| Words::by_last(FILLERS));

/// Furthest that a name stands in front of its id, in units.
const REACH: usize = 16;

/// Shortest and longest id in letters.
const LETTERS: std::ops::RangeInclusive<usize> = 6..=32;

/// Digits of a QQ number.
const QQ_DIGITS: std::ops::RangeInclusive<usize> = 5..=12;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Network {
    WeChat,
    Qq,
    Other,
}

/// The ids in `units`, as first unit and one past the last.
pub(crate) fn find(units: &[Unit]) -> Vec<(usize, usize)> {
    let view = View(units);
    let mut found = Vec::new();
    let mut at = 0;
    while at < view.len() {
        // 微信-abc_123: the bar is none of it.
        let barred = view.before(at) == '-' && at >= 2 && is_han(view.before(at - 1));
        let begins = (view.at(at).is_ascii_alphanumeric()
            && (barred || !is_id_part(view.before(at))))
            || view.at(at) == '@'
            || view.at(at).is_ascii_digit() && view.before(at) == 'q';
        if !begins {
            at += 1;
            continue;
        }
        let end = view.skip(at + 1, *LETTERS.end(), is_id_part);
        if !may_be_id(view, at, end) {
            at += 1;
            continue;
        }
        let id = announced(view, at)
            .or_else(|| named_behind(view, end))
            .and_then(|network| id_end(view, at, end, network).map(|end| (at, end)))
            .or_else(|| glued(view, at, end));
        match id {
            Some((start, past)) => {
                found.push((start, past));
                at = past;
            }
            // Inside the word there may be one that begins with qq.
            None => at += 1,
        }
    }
    found
}

/// Whether the word has what a plain one has not. Tells most words apart without a look around.
fn may_be_id(view: View<'_>, start: usize, end: usize) -> bool {
    view.at(start) == '@'
        || matches!(view.at(end), '.' | ':' | '#')
        || matches!(view.before(start), ':' | '号' | '是')
        || (start..end).any(|i| !view.at(i).is_ascii_alphabetic())
}

fn is_id_part(ch: char) -> bool {
    ch.is_ascii_alphanumeric() || matches!(ch, '_' | '-')
}

/// The network whose name stands in front of `start`, fillers between.
fn announced(view: View<'_>, start: usize) -> Option<Network> {
    let mut at = start;
    let floor = start.saturating_sub(REACH);
    loop {
        if view.before_any(at, WECHAT_INDEX.of(view.before(at))).is_some() {
            return Some(Network::WeChat);
        }
        if view.before_any(at, QQ_INDEX.of(view.before(at))).is_some() {
            return Some(Network::Qq);
        }
        if let Some(first) = view.before_any(at, NETWORKS_INDEX.of(view.before(at))) {
            // A line is busy more often than it is a messenger.
            let sure =
                !view.starts(first, "line") || at < start && view.at(at) != ' ' || at - first > 4;
            return sure.then_some(Network::Other);
        }
        if let Some(first) = view.before_any(at, LOOSE)
            && !view.before(first).is_ascii_alphanumeric()
            && view.skip(start, 12, |ch| ch.is_ascii_digit()) >= start + LOOSE_DIGITS
        {
            return Some(Network::Qq);
        }
        if let Some(first) = view.before_any(at, SHORT) {
            let added = view.before_any(skip_blanks(view, first), ADDED);
            let named = matches!(view.at(at), ':' | '号' | '我');
            let network = if view.at(first) == 'q' { Network::Qq } else { Network::WeChat };
            return (added.is_some() || named).then_some(network);
        }
        at = view.before_any(at, FILLERS_INDEX.of(view.before(at)))?;
        if at <= floor {
            return None;
        }
    }
}

/// A network named behind the id: `加 abc_123 这个微信`, `abc_123 是我微信`, `abc_123 on wechat`.
fn named_behind(view: View<'_>, end: usize) -> Option<Network> {
    let mut at = view.skip(end, 3, |ch| matches!(ch, ' ' | ',' | '(' | '是' | '/' | '@'));
    if let Some(past) =
        view.after_any(at, &["这个", "这", "我的", "我", "加我", "加我的", "on ", "的"])
    {
        at = view.skip(past, 1, |ch| ch == ' ');
    }
    let (past, network) = view
        .after_any(at, WECHAT_BY_FIRST.of(view.at(at)))
        .map(|past| (past, Network::WeChat))
        .or_else(|| {
            view.after_any(at, QQ_BY_FIRST.of(view.at(at))).map(|past| (past, Network::Qq))
        })?;
    // 微信支付, 微信红包: WeChat as a means of payment names nobody.
    let ends = !is_han(view.at(past)) && !is_id_part(view.at(past));
    (ends || matches!(view.at(past), '号' | '吗' | '加' | '是')).then_some(network)
}

/// An id written onto the letters for WeChat: `wxred_book_01`, and behind 加 onto one of them.
fn glued(view: View<'_>, at: usize, end: usize) -> Option<(usize, usize)> {
    let named =
        (view.starts(at, "wx") || view.starts(at, "vx")) && !matches!(view.before(at), '/' | '.');
    let added = || view.before_any(skip_blanks(view, at), ADDED).is_some();
    let start = at
        + match view.at(at) {
            _ if named => 2,
            'v' | 'w' if added() => 1,
            _ => return None,
        };
    id_end(view, start, end, Network::WeChat).map(|end| (start, end))
}

fn skip_blanks(view: View<'_>, end: usize) -> usize {
    view.skip_back(end, 2, |ch| ch == ' ')
}

/// Where the id from `start` ends, if it is one of that network.
fn id_end(view: View<'_>, start: usize, end: usize, network: Network) -> Option<usize> {
    if view.after_any(start, &["id:", "id "]).is_some()
        || THINGS.iter().any(|word| view.starts(start, word))
    {
        return None;
    }
    if network == Network::Other {
        return foreign_end(view, start);
    }
    let count = |is: fn(&char) -> bool| (start..end).map(|i| view.at(i)).filter(is).count();
    let letters = count(char::is_ascii_alphabetic);
    if letters == 0 {
        return number_end(view, start, end, network);
    }
    let marked = count(|ch| ch.is_ascii_digit() || matches!(ch, '_' | '-')) > 0;
    // `wx小程序`, `微信pay`: a word without a digit is an id only where one is called so.
    let called = matches!(view.before(start), ':' | '号' | '是')
        && view
            .before_any(
                start - 1,
                &[
                    "微信号",
                    "微信",
                    "wechat id",
                    "微信id",
                    "微信号就",
                    "wx号",
                    "vx号",
                    "v信号",
                    "my wechat",
                    "wechat",
                ],
            )
            .is_some();
    let first = view.at(start).is_ascii_alphabetic();
    (LETTERS.contains(&(end - start)) && (marked || called) && first).then_some(end)
}

/// A number after QQ, perhaps in groups. A mobile is left to the telephone rules.
fn number_end(view: View<'_>, start: usize, end: usize, network: Network) -> Option<usize> {
    let mut end = end;
    let mut digits = view.skip(start, 13, |ch| ch.is_ascii_digit()) - start;
    if digits != end - start {
        return None;
    }
    while view.at(end) == ' ' && view.at(end + 1).is_ascii_digit() && digits <= 10 {
        let next = view.skip(end + 1, 13, |ch| ch.is_ascii_digit());
        digits += next - end - 1;
        end = next;
    }
    let money = "元块塊个年月日点%".contains(view.at(end));
    let fits = network == Network::Qq && QQ_DIGITS.contains(&digits) && view.at(start) != '0';
    (fits && !money).then_some(end)
}

/// An id of another network: `@name`, `live:name`, `name#0001`, or a word with a digit, dot or bar.
fn foreign_end(view: View<'_>, start: usize) -> Option<usize> {
    let is_part = |ch: char| is_id_part(ch) || matches!(ch, '.' | ':' | '#');
    let from = start + usize::from(view.at(start) == '@');
    let end = view.skip(from, *LETTERS.end(), is_part);
    let end = view.skip_back(end, end - from, |ch| matches!(ch, '.' | ':' | '#'));
    let end = (from..=end.max(from)).rev().find(|&i| i == from || is_id_part(view.before(i)))?;
    let marked = from > start
        || (start..end)
            .any(|i| view.at(i).is_ascii_digit() || matches!(view.at(i), '_' | '.' | '#'));
    let lettered = (start..end).any(|i| view.at(i).is_ascii_alphabetic());
    // 3.5mm and 2格 measure.
    let named = view.at(from).is_ascii_alphabetic();
    (marked && lettered && named && (end - from) >= 5).then_some(end)
}
