//! Chinese names: a surname and one or two characters, where something says that a name comes.

use crate::Kind;
use crate::fold::Unit;
use crate::view::{View, is_han};

/// Surnames of one character, from the frequent to the rare.
const SURNAMES: &str = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾萧田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈\
姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤常温康施文牛樊葛邢\
安齐易乔伍庞颜倪庄聂章鲁岳翟殷詹申欧耿关兰焦俞左柳甘祝包宁尚符舒阮柯纪梅童凌毕单季裴霍涂成苗谷盛曲翁冉骆蓝路游辛靳管\
柴蒙鲍华喻祁蒲房滕屈饶解牟艾尤阳时穆农司卓古吉缪简车项连芦麦褚娄窦戚岑景党宫费卜冷晏席卫米柏宗瞿桂全佟应臧闵苟邬边卞姬\
师和仇栾隋商刁沙荣巫寇桑郎甄丛仲虞敖巩明佘池查麻苑迟邝官封谈匡鞠惠荆乐冀郁胥南班储原栗燕楚鄢劳谌奚皮粟冼蔺楼盘满闻位\
厉伊仝区郜海阚花权强帅屠豆朴盖练廉禹井祖漆巴丰支卿国狄平计索宣晋相初门云容敬来扈晁芮都普阙浦戈伏鹿薄邸雍辜阎昌酆鲍凤花\
俞酆窦章水云昝窦於宓蓬终暨居衡步阿昃养鞠须诸葛蔚越夔隆巢蒯荤後逯盍益桓公祝张張陳劉楊黃趙吳孫馬馮鄧許鄭謝韓蕭葉鍾盧賈\
魯蘇呂蔣譚陸範閻嚴龍賀顧龔萬錢湯喬龐顏倪莊聶歐關蘭寧紀單畢駱藍華饒車連婁費衛應臧邊師榮鄔區鞏賴赖羅";

/// How many of [`SURNAMES`] are frequent; among the others are more and more common words.
const FREQUENT: usize = 180;

/// Surnames of two characters.
const COMPOUND: &[&str] = &[
    "欧阳", "歐陽", "司马", "司馬", "上官", "诸葛", "諸葛", "东方", "皇甫", "尉迟", "公孙", "慕容",
    "令狐", "司徒", "夏侯", "长孙", "宇文", "端木", "南宫", "独孤", "轩辕", "百里",
];

/// Fields of a form and their like: what follows is a name or says that there is none.
const FIELDS: &[&str] = &[
    "姓名",
    "名字",
    "收件人",
    "收货人",
    "收貨人",
    "收件",
    "联系人",
    "聯絡人",
    "聯繫人",
    "户名",
    "戶名",
    "持卡人",
    "申请人",
    "投保人",
    "被保险人",
    "乘车人",
    "入住人",
    "投诉人",
    "监护人",
    "经办人",
    "办理人",
    "代理人",
    "购票人",
    "登机人",
    "取件人",
    "提货人",
    "签收人",
    "寄件人",
    "收款人",
    "发件人",
    "真名",
    "名叫",
    "我叫",
    "俺叫",
    "咱叫",
    "鄙人",
    "我姓",
    "孩子叫",
    "我妈叫",
    "我爸叫",
    "客服叫",
    "员叫",
    "一个叫",
    "对方叫",
    "他叫",
    "她叫",
    "收货信息",
    "收件信息",
    "按这个寄",
    "下单人",
];

/// Roles: a name may follow at once, or behind a colon; most often other words do.
const ROLES: &[&str] = &[
    "客户", "客戶", "乘客", "旅客", "患者", "机主", "户主", "车主", "业主", "学生", "家长", "法人",
    "本人", "师傅", "店员", "抬头",
];

/// What announces a name now and then only: the end of the name has to show.
const HINTS: &[&str] = &["我是", "我係", "您是", "你是", "请问是", "实名是", "叫", "名", "是我妈"];

/// What may stand in front of a name that a telephone number, a title or 收 follows.
const LINKS: &[&str] = &["是", "找", "联系", "聯絡", "寄给", "写", "给", "转", "请"];

/// What stands between a field and its name.
const FILLERS: &[&str] = &[
    " ",
    ":",
    "】",
    "」",
    ")",
    "(",
    "是",
    "就是",
    "为",
    "為",
    "叫",
    "叫做",
    "写",
    "写的",
    "改成",
    "要改成",
    "换成",
    "显示",
    "姓名",
    "名字",
    "的",
    "填",
    "填的",
    "个人",
    "我妈",
    "我爸",
    "我老婆",
    "我老公",
    "拼音",
    "一栏",
    "上的",
    ",",
    "\"",
];

/// What may follow a name at once.
const SEQUELS: &[&str] = &[
    "先生",
    "女士",
    "小姐",
    "收",
    "来电",
    "不是",
    "电话",
    "手机",
    "说",
    "在",
    "的",
    "骂",
    "态度",
    "你们",
    "要",
    "吗",
    "吧",
    "啊",
    "呀",
    "呢",
    "哦",
    "本人",
    "和",
    "跟",
    "身份证",
    "卡号",
    "地址",
    "帐号",
    "账号",
    "办",
    "已",
    "没",
    "很",
    "是",
    "就",
    "也",
    "拼",
    "名",
    "今天",
    "昨天",
    "反映",
    "号码",
    "到",
    "住",
    "订",
    "签",
    "让",
];

/// What hardly follows anything but a name.
const SURE_SEQUELS: &[&str] =
    &["先生", "女士", "小姐", "本人", "收", "来电", "电话", "手机", "身份证", "反映"];

/// Titles: behind a surname they name nobody.
const TITLES: &[&str] = &[
    "先生", "女士", "小姐", "老师", "经理", "医生", "师傅", "总", "太太", "同学", "主管", "店长",
    "阿姨", "叔叔", "大哥", "大姐", "老板", "律师", "教授", "主任", "哥", "姐", "工", "某",
];

/// Words that begin with a surname and are none.
const WORDS: &[&str] = &[
    "方便", "方式", "方法", "包裹", "包装", "包邮", "单号", "单位", "安装", "安排", "支付", "支持",
    "余额", "金牌", "金额", "高度", "全部", "全额", "白金", "时间", "时候", "管理", "平台", "商家",
    "商品", "万一", "查询", "查一", "常用", "别人", "连不", "黄金", "高级", "成功", "经理", "任何",
    "和身", "和电", "明天", "明显", "明明", "应该", "都是", "都不", "相关", "强制", "解绑", "解决",
    "解释", "温馨", "严重", "莫名", "来的", "来了", "来修", "国内", "国外", "海外", "公司", "门口",
    "门店", "项目", "路上", "路由", "连接", "简单", "简直", "周一", "周二", "周三", "周四", "周五",
    "周六", "周日", "周末", "何时", "何况", "向你", "于是", "付款", "付钱", "付了", "武汉", "宁波",
    "南京", "海南", "云南", "江苏", "石家", "广州", "白色", "黄色", "蓝色", "花了", "车主", "原来",
    "原因", "原件", "都没", "查不", "计算", "强烈", "满意", "满减", "须知", "须要", "水果", "车牌",
    "容易", "时代", "马路", "高中", "温泉", "温水", "夏天", "文化", "方言", "单词", "高手", "高档",
    "白痴", "白纸", "蒙牛", "高架", "高楼", "高贵", "管家", "管部", "董事", "房间", "房子", "钟情",
    "钟点", "黄河", "石头", "关系", "关键", "文庙", "舒服", "牛仔", "华裔", "江南", "党员", "居然",
    "居住", "步骤", "官方", "官网", "封号", "和平", "权益", "普通",
];

/// Characters that no given name has.
const NOT_GIVEN: &str = "的了吗呢吧啊呀哦嘛我你您他她它们这那是不没在就也都要说和跟与或但被把给让请问用号码電电话机址单件包钱款退换货\
什怎么几少很太再还又才刚已以能会想去来到从对为向人名字写错误致信息填改下";

/// Whether `ch` is in every spelling of some cue, so that a text without one has no name in it.
pub(crate) fn is_cue_part(ch: char) -> bool {
    matches!(
        ch,
        '姓' | '名'
            | '叫'
            | '人'
            | '件'
            | '户'
            | '戶'
            | '客'
            | '者'
            | '主'
            | '师'
            | '是'
            | '係'
            | '找'
            | '系'
            | '絡'
            | '寄'
            | '写'
            | '给'
            | '收'
            | '员'
            | '头'
            | '长'
            | '生'
            | '转'
            | '货'
    )
}

/// Whether a cue may end with `ch`.
fn is_cue_end(ch: char) -> bool {
    "名字人件户戶客者主生长师傅员叫姓头息妈爸寄是係找系絡给写转请".contains(ch)
}

/// The names in `units` that a cue announces, as first unit and one past the last.
pub(super) fn find(units: &[Unit]) -> Vec<(usize, usize)> {
    let view = View(units);
    let mut found: Vec<(usize, usize)> = Vec::new();
    let mut at = 0;
    while at < view.len() {
        let name =
            is_cue_end(view.at(at)).then(|| field(view, at).or_else(|| hint(view, at))).flatten();
        if let Some((start, end)) = name {
            found.push((start, end));
            at = end;
        } else {
            if view.at(at) == '收'
                && let Some(start) = receiver(view, at)
                && found.last().is_none_or(|&(_, past)| past <= start)
            {
                found.push((start, at));
            }
            at += 1;
        }
    }
    found
}

/// The name behind a field whose word ends with the character at `at`.
fn field(view: View<'_>, at: usize) -> Option<(usize, usize)> {
    let is_field = view.before_any(at + 1, FIELDS).is_some();
    let role = || view.before_any(at + 1, ROLES).is_some() && !view.ends(at + 1, "日本人");
    if !is_field && !role() {
        return None;
    }
    let mut start = at + 1;
    let mut sure = false;
    while let Some(past) = view.after_any(start, FILLERS).filter(|&past| past <= at + 14) {
        sure |= matches!(view.at(start), ':' | '】' | '」');
        start = past;
    }
    if view.ends(at + 1, "我姓") {
        // 我姓李 says little, 我姓龙名傲天 all.
        let end = family(view, start)?;
        let named = view.at(end) == '名';
        return named.then(|| (start, view.skip(end + 1, 2, is_given)));
    }
    if view.at(start).is_ascii_alphabetic() {
        return pinyin(view, start).map(|end| (start, end));
    }
    if let Some(end) = uyghur(view, start) {
        return Some((start, end));
    }
    let doubt = match (sure, is_field) {
        (true, _) => Doubt::Little,
        (false, true) => Doubt::Some,
        (false, false) => Doubt::Much,
    };
    let end = name_end(view, start, doubt)?;
    Some((start, end))
}

/// The name behind a hint that ends with the character at `at`.
fn hint(view: View<'_>, at: usize) -> Option<(usize, usize)> {
    let start = at + 1;
    if view.before_any(start, HINTS).is_some() {
        return name_end(view, start, Doubt::Much).map(|end| (start, end));
    }
    view.before_any(start, LINKS)?;
    [3, 2, 4].into_iter().map(|length| start + length).find_map(|end| {
        let titled = view.after_any(end, &["先生", "女士", "小姐"]).is_some();
        (titled && is_name(view, start, end)).then_some((start, end))
    })
}

/// The name in front of 收 at the end of a clause: 钱多多收.
fn receiver(view: View<'_>, at: usize) -> Option<usize> {
    let past = view.at(at + 1);
    if !matches!(past, '\0' | ',' | '。' | ' ' | ')' | '1' | ']') {
        return None;
    }
    let end = view.skip_back(at, 1, |ch| matches!(ch, '(' | ' '));
    [2, 3].into_iter().filter_map(|length| end.checked_sub(length)).find(|&start| {
        let opens = !is_han(view.before(start)) || view.before_any(start, LINKS).is_some();
        opens && is_name(view, start, end)
    })
}

/// How likely something else than a name follows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// A field and a colon: any surname, any end.
    Little,
    /// A field: any surname, an end that may go on.
    Some,
    /// A hint: a frequent surname and an end that shows.
    Much,
}

/// Where the name that begins at `start` ends.
fn name_end(view: View<'_>, start: usize, doubt: Doubt) -> Option<usize> {
    let surname = family(view, start)?;
    if doubt == Doubt::Much && !is_frequent(view.at(start)) && surname == start + 1 {
        // 是水清女士吗: a title behind makes up for it.
        let titled = [2, 3].into_iter().any(|length| {
            is_name(view, start, start + length)
                && view.after_any(start + length, &["先生", "女士", "小姐"]).is_some()
        });
        if !titled {
            return None;
        }
    }
    let most = if surname == start + 2 { surname + 2 } else { start + 3 };
    // 潘　伟: a blank within the name.
    if view.at(surname) == ' ' && doubt != Doubt::Much {
        let end = view.skip(surname + 1, 2, is_given);
        return (end > surname + 1 && !is_han(view.at(end))).then_some(end);
    }
    let closed = |end: usize| {
        let next = view.at(end);
        !is_han(next) || view.after_any(end, SEQUELS).is_some()
    };
    let ends: Vec<usize> = (surname + 1..=most).filter(|&end| is_name(view, start, end)).collect();
    if doubt == Doubt::Much {
        return ends.into_iter().rev().find(|&end| {
            let next = view.at(end);
            !is_han(next) && next != '·' || view.after_any(end, SURE_SEQUELS).is_some()
        });
    }
    // Four characters up to the end of a field are a name of its own kind: 古丽娜扎尔.
    if doubt == Doubt::Little {
        let end = view.skip(start, 6, is_given);
        if end > most && end - start >= 4 && !is_han(view.at(end)) {
            return Some(end);
        }
    }
    ends.iter()
        .rev()
        .copied()
        .find(|&end| closed(end))
        .or_else(|| (doubt == Doubt::Little).then(|| ends.last().copied()).flatten())
}

/// Where the surname at `start` ends.
fn family(view: View<'_>, start: usize) -> Option<usize> {
    if let Some(end) = view.after_any(start, COMPOUND) {
        return Some(end);
    }
    let ch = view.at(start);
    (is_han(ch) && SURNAMES.contains(ch)).then_some(start + 1)
}

/// Whether the surname is one of those that most people have.
fn is_frequent(ch: char) -> bool {
    SURNAMES.chars().take(FREQUENT).any(|surname| surname == ch)
        || "張陳劉楊黃趙吳孫馬馮鄧許鄭謝韓羅".contains(ch)
}

/// Whether `start..end` reads as a surname with a given name.
fn is_name(view: View<'_>, start: usize, end: usize) -> bool {
    family(view, start).is_some_and(|surname| {
        surname < end
            && (surname..end).all(|i| is_given(view.at(i)))
            && view.after_any(surname, TITLES).is_none_or(|past| past < end)
            && !WORDS.iter().any(|word| view.starts(start, word))
    })
}

fn is_given(ch: char) -> bool {
    is_han(ch) && !NOT_GIVEN.contains(ch)
}

/// 阿依古丽·买买提.
fn uyghur(view: View<'_>, start: usize) -> Option<usize> {
    let dot = view.skip(start, 8, is_han);
    let end = view.skip(dot + 1, 8, is_han);
    (dot > start + 1 && view.at(dot) == '.' && end > dot + 2).then_some(end)
}

/// Two or three words of letters, each with a capital: `ZHANG WEI`.
fn pinyin(view: View<'_>, start: usize) -> Option<usize> {
    let mut end = start;
    let mut words = 0;
    while words < 3 {
        let here = if words == 0 { start } else { end + 1 };
        if words > 0 && view.at(end) != ' ' || !view.exact(here).is_ascii_uppercase() {
            break;
        }
        end = view.skip(here, 12, |ch| ch.is_ascii_alphabetic());
        words += 1;
    }
    (words >= 2 && !view.at(end).is_ascii_alphanumeric()).then_some(end)
}

/// The names beside a telephone number or address: 张三，138..., ...号 李四 138...
pub(super) fn find_beside(units: &[Unit], taken: &[(Kind, usize, usize)]) -> Vec<(usize, usize)> {
    let view = View(units);
    let mut found = Vec::new();
    for &(kind, start, end) in taken {
        if !matches!(
            kind,
            Kind::Mobile | Kind::Landline | Kind::Phone | Kind::Address | Kind::IdCard
        ) {
            continue;
        }
        let past =
            view.skip_back(start, 3, |ch| matches!(ch, ' ' | ',' | '，' | '、' | '(' | ')' | '收'));
        for length in [3, 2] {
            let Some(first) = past.checked_sub(length) else { continue };
            let opens =
                matches!(view.before(first), '\0' | ' ' | ',' | ':' | '\n' | ']' | '。' | ';')
                    || view.before_any(first, LINKS).is_some();
            let alone = (kind != Kind::Address && kind != Kind::IdCard) || past < start;
            if opens && alone && is_name(view, first, past) && is_frequent_enough(view, first) {
                found.push((first, past));
                break;
            }
        }
        // Behind a number and in front of another: 138... 张三 浙江省...
        let first = view.skip(end, 2, |ch| matches!(ch, ' ' | ','));
        let past = view.skip(first, 3, is_han);
        let next = view.skip(past, 2, |ch| matches!(ch, ' ' | ','));
        if past > first && view.at(next) == ']' && is_name(view, first, past) {
            found.push((first, past));
        }
    }
    found
}

/// Rare surnames are common words; beside a number they are taken for those.
fn is_frequent_enough(view: View<'_>, start: usize) -> bool {
    !"和师来都门国支平计相原明应须时满容公强位普居步养".contains(view.at(start))
}
