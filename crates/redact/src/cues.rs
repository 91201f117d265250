//! The words in front of a number that say what it is.

use std::sync::LazyLock;

use crate::fold::{Unit, is_letter};
use crate::view::ByChar;

/// What a cue announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cue {
    Phone,
    Card,
    Id,
    /// A social security or insurance number.
    Social,
    /// An order, invoice, ticket, serial or product number.
    Reference,
    /// A parcel: its number is a reference, but `快递：` may also introduce the courier's phone.
    Parcel,
}

/// What stands between a cue and its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Bond {
    /// Anything, perhaps the end of a clause.
    #[default]
    Near,
    /// Words of the same clause.
    Clause,
    /// A reference cue and no more than what makes the number its name: `订单号：`,
    /// `order no. `, `order_id=`.
    Name,
}

/// How far a cue may stand from its number, in scalars. Long enough for
/// `contact number for the hotel is`, short enough to stay within one clause.
const REACH: usize = 32;

/// What stands in front of a number.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Context {
    /// The cue that begins nearest to the number.
    pub(crate) cue: Option<Cue>,
    /// How closely that cue and the number belong together.
    pub(crate) bond: Bond,
    /// Nothing but a blank or what makes it a name stands between that cue and the number.
    pub(crate) adjacent: bool,
    /// Letters touch the number, and they are no cue: part of a code such as `SF1380...`.
    pub(crate) glued: bool,
    /// A currency sign or a plus or minus of an amount touches the number.
    pub(crate) amount: bool,
}

impl Context {
    /// A telephone cue in the same clause.
    pub(crate) fn is_called(self) -> bool {
        self.cue == Some(Cue::Phone) && self.bond == Bond::Clause
    }

    /// The number is what a reference cue names.
    pub(crate) fn names_reference(self) -> bool {
        self.bond == Bond::Name
    }

    /// A reference cue stands in front in the same clause.
    pub(crate) fn is_reference(self) -> bool {
        matches!(self.cue, Some(Cue::Reference | Cue::Parcel)) && self.bond != Bond::Near
    }

    /// A reference cue stands right in front: `运单 6222...`, `tracking 9400...`.
    pub(crate) fn touches_reference(self) -> bool {
        self.is_reference() && self.adjacent
    }
}

/// The context of the number that begins at `start`.
///
/// Looks no further back than the previous digit or token: a cue belongs to the next number
/// only, a text of many numbers stays linear, and masking one number cannot change what is
/// in front of another.
pub(crate) fn before(units: &[Unit], start: usize) -> Context {
    let from = start.saturating_sub(REACH);
    let length = units[from..start]
        .iter()
        .rev()
        .take_while(|unit| !unit.ch.is_ascii_digit() && unit.ch != ']')
        .count();
    let mut window = ['\0'; REACH];
    let window = &mut window[..length];
    for (slot, unit) in window.iter_mut().zip(&units[start - length..start]) {
        *slot = unit.ch.to_ascii_lowercase();
    }
    let window = &*window;

    let mut context = Context {
        amount: matches!(window.last(), Some('¥' | '$' | '€' | '£' | '￥')),
        ..Context::default()
    };
    if let Some((cue, word, rest)) = nearest(window) {
        context.cue = Some(cue);
        let named = match cue {
            Cue::Reference => {
                // A code to confirm has no eleven digits: 验证码 138... 收不到.
                word.ends_with(['号', '號', '码', '碼']) && word != "验证码"
                    || word.ends_with("id")
                    || word == "orderno"
                    || names(rest, true)
            }
            Cue::Parcel => names(rest, false),
            _ => false,
        };
        context.adjacent = is_filler(rest);
        // The dot of `order no. 138...` is filler; behind other words it ends a sentence.
        let sentence =
            matches!(cue, Cue::Reference | Cue::Parcel) && !context.adjacent && rest.contains(&'.');
        context.bond = if named && context.adjacent {
            Bond::Name
        } else if sentence || rest.iter().any(|&ch| "。,;!?\n".contains(ch)) {
            Bond::Near
        } else {
            Bond::Clause
        };
    }
    let letters = window.iter().rev().take_while(|&&ch| is_letter(ch)).count();
    // `加v138...`: short for WeChat, whose ids often are mobiles.
    if letters > 0 {
        let word: String = window[window.len() - letters..].iter().collect();
        context.glued = word != "v"
            && !FILLER_WORDS.contains(&word.as_str())
            && !CUES.iter().any(|&(cue, kind)| cue == word && kind != Cue::Parcel);
    }
    context
}

/// The cue that begins last in `window`, its word, and what follows it.
fn nearest(window: &[char]) -> Option<(Cue, &'static str, &[char])> {
    let found = (0..window.len()).rev().find_map(|at| cue_at(window, at).map(|cue| (at, cue)));
    let (at, (cue, word, rest)) = found?;
    // 积分卡 is no 卡: a cue within a longer one is that, as is one that a longer one runs into:
    // 会员卡号 is no 卡号.
    let end = window.len() - rest.len();
    (at.saturating_sub(LONGEST_PREFIX)..at)
        .filter_map(|at| cue_at(window, at))
        .find(|(_, _, rest)| {
            let past = window.len() - rest.len();
            past >= end || past > at
        })
        .or(Some((cue, word, rest)))
}

/// How far in front of a cue a longer one around it may begin, in scalars.
const LONGEST_PREFIX: usize = 5;

/// The longest cue that begins at `at`, its word, and what follows it.
fn cue_at(window: &[char], at: usize) -> Option<(Cue, &'static str, &[char])> {
    let tail = &window[at..];
    let (word, cue) = BY_FIRST
        .get(tail.first()?)?
        .iter()
        .filter(|(word, _)| begins_with(tail, word))
        .filter(|(word, _)| {
            let latin = word.is_ascii();
            let opens = at == 0 || !is_letter(window[at - 1]);
            let closes = tail.get(word.chars().count()).is_none_or(|&ch| {
                !is_letter(ch)
                    || (ch == 's' && tail.get(word.len() + 1).is_none_or(|&c| !is_letter(c)))
            });
            !latin || (opens && closes)
        })
        .max_by_key(|(word, _)| word.len())?;
    Some((*cue, *word, &tail[word.chars().count()..]))
}

fn begins_with(tail: &[char], word: &str) -> bool {
    let mut tail = tail.iter();
    word.chars().all(|ch| tail.next() == Some(&ch))
}

/// Whether the text between a cue and its number holds no word of its own.
fn is_filler(rest: &[char]) -> bool {
    rest.split(|ch| !is_letter(*ch))
        .filter(|word| !word.is_empty())
        .all(|word| FILLER_WORDS.iter().any(|filler| filler.chars().eq(word.iter().copied())))
        && rest.iter().all(|&ch| ch.is_ascii() || "号號码碼是为為№".contains(ch))
}

/// Whether the text after a reference cue says that a number follows.
fn names(rest: &[char], by_colon: bool) -> bool {
    rest.iter().any(|&ch| "号號码碼#№=".contains(ch) || (by_colon && ch == ':'))
        || rest.split(|ch| !is_letter(*ch)).any(|word| {
            ["no", "nr", "number", "num", "id", "code"]
                .iter()
                .any(|n| n.chars().eq(word.iter().copied()))
        })
}

/// [`CUES`] by their first character: a look-up in place of a walk at every character in front of
/// every number.
static BY_FIRST: LazyLock<ByChar<Vec<(&str, Cue)>>> = LazyLock::new(|| {
    let mut by_first: ByChar<Vec<(&str, Cue)>> = ByChar::default();
    for &(word, cue) in CUES {
        by_first.entry(word.chars().next().unwrap_or_default()).or_default().push((word, cue));
    }
    by_first
});

const FILLER_WORDS: [&str; 12] =
    ["no", "nr", "number", "num", "id", "code", "is", "was", "at", "on", "my", "the"];

#[rustfmt::skip]
const CUES: &[(&str, Cue)] = &[
    ("手机", Cue::Phone), ("手機", Cue::Phone), ("电话", Cue::Phone), ("電話", Cue::Phone),
    ("联系", Cue::Phone), ("聯繫", Cue::Phone), ("聯絡", Cue::Phone), ("座机", Cue::Phone),
    ("固话", Cue::Phone), ("致电", Cue::Phone), ("拨打", Cue::Phone), ("撥打", Cue::Phone),
    ("来电", Cue::Phone), ("传真", Cue::Phone), ("微信", Cue::Phone), ("打给", Cue::Phone),
    ("回电", Cue::Phone), ("tel", Cue::Phone), ("telephone", Cue::Phone),
    ("phone", Cue::Phone), ("mobile", Cue::Phone), ("mob", Cue::Phone), ("ph", Cue::Phone), ("cell", Cue::Phone),
    ("call", Cue::Phone), ("ring", Cue::Phone), ("dial", Cue::Phone), ("whatsapp", Cue::Phone),
    ("wechat", Cue::Phone), ("wx", Cue::Phone), ("vx", Cue::Phone), ("contact", Cue::Phone),
    ("reach", Cue::Phone), ("text me", Cue::Phone), ("my number", Cue::Phone),
    ("sms", Cue::Phone), ("fax", Cue::Phone), ("telegram", Cue::Phone),

    ("银行卡", Cue::Card), ("銀行卡", Cue::Card), ("信用卡", Cue::Card), ("储蓄卡", Cue::Card),
    ("借记卡", Cue::Card), ("卡号", Cue::Card), ("卡號", Cue::Card), ("银联", Cue::Card),
    ("银行", Cue::Card), ("銀行", Cue::Card), ("账号", Cue::Card), ("帐号", Cue::Card),
    ("帳號", Cue::Card), ("账户", Cue::Card), ("打款", Cue::Card), ("转账", Cue::Card),
    ("汇款", Cue::Card), ("收款", Cue::Card), ("card", Cue::Card), ("visa", Cue::Card),
    ("mastercard", Cue::Card), ("amex", Cue::Card), ("unionpay", Cue::Card),
    ("account", Cue::Card), ("卡", Cue::Card), ("退到", Cue::Card), ("refund to", Cue::Card),

    ("身份证", Cue::Id), ("身份證", Cue::Id), ("身分證", Cue::Id), ("证件", Cue::Id), ("居住证", Cue::Id), ("sfz", Cue::Id),
    ("證件", Cue::Id), ("id card", Cue::Id), ("id number", Cue::Id), ("identity", Cue::Id),
    ("aadhaar", Cue::Id), ("aadhar", Cue::Id), ("mykad", Cue::Id),

    ("ssn", Cue::Social), ("social security", Cue::Social), ("social", Cue::Social),
    ("itin", Cue::Social), ("sin", Cue::Social), ("tax id", Cue::Social),

    ("积分卡", Cue::Reference), ("会员卡", Cue::Reference), ("会员号", Cue::Reference),
    ("礼品卡", Cue::Reference), ("购物卡", Cue::Reference), ("gift card", Cue::Reference),
    ("loyalty", Cue::Reference), ("membership", Cue::Reference), ("member", Cue::Reference),
    ("uid", Cue::Reference), ("user id", Cue::Reference), ("直播间id", Cue::Reference),
    ("店铺id", Cue::Reference), ("用户id", Cue::Reference), ("游戏id", Cue::Reference),
    ("设备id", Cue::Reference), ("设备号", Cue::Reference), ("串号", Cue::Reference),
    ("会员编号", Cue::Reference), ("客户编号", Cue::Reference), ("服务单", Cue::Reference),

    ("订单", Cue::Reference), ("訂單", Cue::Reference), ("单号", Cue::Reference),
    ("單號", Cue::Reference), ("编号", Cue::Reference), ("編號", Cue::Reference),
    ("流水", Cue::Reference), ("交易", Cue::Reference), ("发票", Cue::Reference),
    ("發票", Cue::Reference), ("票号", Cue::Reference), ("序列号", Cue::Reference),
    ("序號", Cue::Reference), ("工单", Cue::Reference), ("工單", Cue::Reference),
    ("保单", Cue::Reference), ("货号", Cue::Reference), ("条码", Cue::Reference),
    ("條碼", Cue::Reference), ("条形码", Cue::Reference), ("批次", Cue::Reference),
    ("时间戳", Cue::Reference), ("券码", Cue::Reference), ("兑换码", Cue::Reference),
    ("验证码", Cue::Reference), ("商品", Cue::Reference), ("税号", Cue::Reference),
    ("order", Cue::Reference), ("orderid", Cue::Reference), ("orderno", Cue::Reference),
    ("tracking", Cue::Reference), ("waybill", Cue::Reference), ("invoice", Cue::Reference),
    ("ref", Cue::Reference), ("reference", Cue::Reference), ("booking", Cue::Reference),
    ("reservation", Cue::Reference), ("confirmation", Cue::Reference),
    ("ticket", Cue::Reference), ("serial", Cue::Reference), ("sn", Cue::Reference),
    ("imei", Cue::Reference), ("sku", Cue::Reference), ("item", Cue::Reference),
    ("transaction", Cue::Reference), ("txn", Cue::Reference), ("case", Cue::Reference),
    ("policy", Cue::Reference), ("timestamp", Cue::Reference), ("barcode", Cue::Reference),


    ("手提", Cue::Phone), ("市話", Cue::Phone), ("市话", Cue::Phone), ("室內電話", Cue::Phone), ("固網", Cue::Phone), ("收货号码", Cue::Phone), ("收货号", Cue::Phone), ("客户号码", Cue::Phone), ("用户号码", Cue::Phone), ("销户号码", Cue::Phone), ("sj", Cue::Phone), ("sjh", Cue::Phone), ("dh", Cue::Phone), ("dianhua", Cue::Phone), ("shouji", Cue::Phone), ("callback", Cue::Phone), ("zelle", Cue::Phone), ("venmo", Cue::Phone), ("porting", Cue::Phone), ("upi", Cue::Phone), ("recharge", Cue::Phone), ("jio", Cue::Phone), ("airtel", Cue::Phone), ("celular", Cue::Phone), ("hotspot", Cue::Phone), ("主叫", Cue::Phone), ("被叫", Cue::Phone), ("呼转", Cue::Phone), ("移动电话", Cue::Phone), ("行動電話", Cue::Phone), ("我家", Cue::Phone), ("座機", Cue::Phone), ("call back", Cue::Phone), ("my no", Cue::Phone), ("my num", Cue::Phone),
    ("tin", Cue::Social), ("taxpayer", Cue::Social), ("tfn", Cue::Social), ("tax file", Cue::Social), ("soc sec", Cue::Social), ("social insurance", Cue::Social), ("ssn/itin", Cue::Social),
    ("合同", Cue::Reference), ("防伪", Cue::Reference), ("卡密", Cue::Reference), ("卡密码", Cue::Reference), ("e卡卡号", Cue::Reference), ("执照", Cue::Reference), ("许可证", Cue::Reference), ("借据", Cue::Reference), ("户号", Cue::Reference), ("智能卡", Cue::Reference), ("储值卡", Cue::Reference), ("充值卡", Cue::Reference), ("京东卡", Cue::Reference), ("e卡", Cue::Reference), ("沃尔玛卡", Cue::Reference), ("超市卡", Cue::Reference), ("加油卡", Cue::Reference), ("油卡", Cue::Reference), ("公交卡", Cue::Reference), ("市民卡", Cue::Reference), ("一卡通", Cue::Reference), ("门禁卡", Cue::Reference), ("etc卡", Cue::Reference), ("sim卡", Cue::Reference), ("物联网卡", Cue::Reference), ("流量卡", Cue::Reference), ("饭卡", Cue::Reference), ("学生卡", Cue::Reference), ("健身卡", Cue::Reference), ("医保卡", Cue::Reference), ("就诊卡", Cue::Reference), ("贵宾卡", Cue::Reference), ("优惠卡", Cue::Reference), ("提货卡", Cue::Reference), ("代金卡", Cue::Reference), ("八達通", Cue::Reference), ("八达通", Cue::Reference), ("悠遊卡", Cue::Reference), ("mpan", Cue::Reference), ("meter", Cue::Reference), ("rma", Cue::Reference), ("iccid", Cue::Reference), ("voucher", Cue::Reference), ("sim card", Cue::Reference), ("license key", Cue::Reference),

    ("运单", Cue::Parcel), ("運單", Cue::Parcel), ("快递", Cue::Parcel), ("快遞", Cue::Parcel),
    ("物流", Cue::Parcel), ("包裹", Cue::Parcel), ("parcel", Cue::Parcel),
    ("package", Cue::Parcel), ("shipment", Cue::Parcel),
];
