//! Chinese addresses, found from their first number outwards: to the left over the names of places,
//! to the right over buildings and rooms.

use crate::fold::Unit;
use crate::spoken::numeral;
use crate::view::{View, is_han};

/// What a number of an address is followed by, the longest first where one begins another.
const LEVELS: &[&str] = &[
    "号楼", "號樓", "#楼", "#", "支弄", "塔", "舍", "小区", "街坊", "号院", "号巷", "号", "號",
    "弄", "栋", "棟", "幢", "座", "单元", "單元", "室", "户", "戶", "楼", "樓", "层", "層", "门",
    "門", "组", "組", "巷", "院", "房",
];

/// Numbers of a part of an estate; never the only number of an address.
const PARTS: &[&str] = &["期", "区", "區", "段"];

/// Levels that an address may begin with.
const FIRST: &str = "号號弄栋棟幢座组組巷期区區单單#楼樓塔室";

/// Whether the first number of a Chinese address may be followed by `ch`.
pub(crate) fn may_be_counted(ch: char) -> bool {
    FIRST.contains(ch)
}

/// Names of estates and buildings end with one of these.
const PREMISES: &[&str] = &[
    "小区",
    "小區",
    "花园",
    "花園",
    "家园",
    "家園",
    "公寓",
    "广场",
    "廣場",
    "大厦",
    "大廈",
    "中心",
    "国际",
    "國際",
    "城",
    "苑",
    "园",
    "園",
    "阁",
    "閣",
    "绿洲",
    "天街",
    "小镇",
    "新村",
    "宿舍",
    "家属院",
    "坊",
    "湾",
    "府",
    "里",
    "庭",
    "居",
    "轩",
    "塔",
    "楼",
    "大楼",
    "门",
    "旺座",
    "院",
    "村",
    "庄",
    "soho",
    "名都",
    "公馆",
    "公館",
    "壹号院",
    "名邸",
    "首府",
    "世家",
    "豪庭",
    "天地",
    "邨",
    "樓",
    "山庄",
    "社区",
    "工业园",
    "软件园",
    "小学",
    "中学",
    "大学",
    "医院",
    "工厂",
    "都会",
    "时代",
    "印象",
    "尚品",
    "郡",
    "墅",
    "邸",
    "岸",
    "洲",
    "港",
    "峰",
    "台",
];

/// Provinces and their like, and what stands for one in an address.
const PROVINCES: &[&str] = &[
    "北京",
    "天津",
    "上海",
    "重庆",
    "河北",
    "山西",
    "辽宁",
    "吉林",
    "黑龙江",
    "江苏",
    "浙江",
    "安徽",
    "福建",
    "江西",
    "山东",
    "河南",
    "湖北",
    "湖南",
    "广东",
    "海南",
    "四川",
    "贵州",
    "云南",
    "陕西",
    "甘肃",
    "青海",
    "台湾",
    "臺灣",
    "内蒙古",
    "广西",
    "西藏",
    "宁夏",
    "新疆",
    "香港",
    "澳门",
    "澳門",
    "九龍",
    "九龙",
    "新界",
    "台北",
    "新北",
    "高雄",
];

/// Prefectures and larger county towns by their first two characters.
const CITIES: &str = "石家唐山秦皇邯郸邢台保定张家承德沧州廊坊衡水太原大同阳泉长治晋城朔州晋中运城忻州临汾吕梁\
呼和包头乌海赤峰通辽沈阳大连鞍山抚顺本溪丹东锦州营口阜新辽阳盘锦铁岭朝阳葫芦长春四平辽源通化白山松原白城延边延吉哈尔\
齐齐鸡西鹤岗双鸭大庆伊春佳木七台牡丹黑河绥化南京无锡徐州常州苏州南通连云淮安盐城扬州镇江泰州宿迁杭州宁波温州嘉兴湖州\
绍兴金华衢州舟山台州丽水义乌合肥芜湖蚌埠淮南马鞍淮北铜陵安庆黄山滁州阜阳宿州六安亳州池州宣城福州厦门莆田三明泉州漳州\
南平龙岩宁德南昌景德萍乡九江新余鹰潭赣州吉安宜春抚州上饶济南青岛淄博枣庄东营烟台潍坊济宁泰安威海日照临沂德州聊城滨州菏泽\
郑州开封洛阳平顶安阳鹤壁新乡焦作濮阳许昌漯河三门南阳商丘信阳周口驻马武汉黄石十堰宜昌襄阳鄂州荆门孝感荆州黄冈咸宁随州\
长沙株洲湘潭衡阳邵阳岳阳常德张家益阳郴州永州怀化娄底广州韶关深圳珠海汕头佛山江门湛江茂名肇庆惠州梅州汕尾河源阳江清远东莞\
中山潮州揭阳云浮南宁柳州桂林梧州北海防城钦州贵港玉林百色贺州河池来宾崇左海口三亚儋州成都自贡攀枝泸州德阳绵阳广元遂宁内江\
乐山南充眉山宜宾广安达州雅安巴中资阳贵阳六盘遵义安顺毕节铜仁兴义凯里都匀昆明曲靖玉溪保山昭通丽江普洱临沧大理楚雄拉萨\
西安铜川宝鸡咸阳渭南延安汉中榆林安康商洛兰州嘉峪金昌白银天水武威张掖平凉酒泉庆阳定西陇南西宁海东银川石嘴吴忠固原中卫\
乌鲁克拉吐鲁哈密台中台南基隆新竹嘉義桃園彰化宜蘭花蓮屏東苗栗雲林台東馬鞍";

/// Words in front of an address that are no part of it; an address begins behind the last.
const CUTS: &[&str] = &[
    "地址", "住在", "寄到", "送到", "寄给", "寄去", "地点", "位置", "门牌", "我家", "家住", "上门",
    "改派", "报修", "宽带", "收货", "导航", "单位", "公司", "对应", "就是", "应该", "在", "到",
    "是", "为", "成", "住", "寄", "送", "去", "放", "给", "往", "修", "：", "把", "了", "我", "的",
    "係", "业主", "这里", "这边", "家里", "我们",
];

/// Names of roads and places that hold a word of [`CUTS`].
const UNCUT: &[&str] = &[
    "解放", "成都", "成功", "开放", "大成", "为民", "鹿成", "天成", "在园", "到岗", "送变", "给水",
    "住宅", "公司",
];

/// Companies publish where their shops are.
const SHOPS: &[&str] = &[
    "门店",
    "店铺",
    "专柜",
    "营业厅",
    "网点",
    "展厅",
    "旗舰店",
    "分店",
    "实体店",
    "体验店",
    "自提点",
    "服务站",
    "服务中心",
    "維修點",
    "門市",
    "专卖店",
    "线下店",
    "维修点",
    "体验馆",
    "门市部",
];

/// What the public comes to, when it is announced as that: people give their address with the name
/// of one in it, too.
const PUBLIC: &[&str] = &[
    "支行",
    "分行",
    "驿站",
    "提车点",
    "酒店",
    "医院",
    "4s店",
    "车管所",
    "总部",
    "仓库",
    "派出所",
    "银行",
    "学校地址在",
    "展厅",
    "机场",
    "车站",
    "饭店",
    "餐厅",
    "影城",
    "商场",
    "店里",
    "门市:",
    "店:",
];

/// Units to the left of the first number that may belong to the address.
const LEFT: usize = 40;

/// Steps to the right of the first level.
const STEPS: usize = 10;

/// The addresses in `units`, as first unit and one past the last.
pub(super) fn find(units: &[Unit]) -> Vec<(usize, usize)> {
    let view = View(units);
    let mut found: Vec<(usize, usize)> = Vec::new();
    let mut at = 0;
    let mut floor = 0;
    while at < view.len() {
        let Some(level) = level(view, at).filter(|level| FIRST.contains(level.unit)) else {
            at += 1;
            continue;
        };
        match address(view, floor, at, level) {
            Some((start, end)) => {
                found.push((start, end));
                floor = end;
                at = end;
            }
            None => at = level.end,
        }
    }
    found
}

/// One number of an address and what it counts.
#[derive(Clone, Copy)]
struct Level {
    end: usize,
    /// First character of what it counts.
    unit: char,
}

/// A level at `at`: `18号`, `B座`, `附2号`, `三楼`, `12-3室`.
fn level(view: View<'_>, at: usize) -> Option<Level> {
    let is_number = |ch: char| ch.is_ascii_alphanumeric() || ch == '-';
    let before = view.before(at);
    let latin = view.at(at).is_ascii_alphanumeric();
    if latin && (is_number(before) || before == '.') {
        return None;
    }
    if let Some(end) = hyphened(view, at) {
        return Some(Level { end, unit: '#' });
    }
    let mut end = if latin {
        view.skip(at, 8, is_number)
    } else if is_numeral(view.at(at)) && !is_numeral(before) {
        view.skip(at, 8, is_numeral)
    } else {
        return None;
    };
    if latin && is_number(view.at(end)) {
        return None;
    }
    // Letters alone name a building, as does one of the stems.
    let digits = (at..end).any(|i| view.at(i).is_ascii_digit() || is_numeral(view.at(i)));
    if latin && !digits && end - at > 1
        || (at..end).filter(|&i| view.at(i).is_ascii_digit()).count() > 6
    {
        return None;
    }
    end += usize::from(
        view.at(end) == ' ' && latin && "号號座楼樓室栋棟幢单單".contains(view.at(end + 1)),
    );
    let unit = view.at(end);
    let past = LEVELS
        .iter()
        .chain(PARTS)
        .find(|word| view.starts(end, word))
        .map(|word| end + word.chars().count())?;
    if unit == '弄' && !latin {
        return None;
    }
    // 楼上 and 楼下 are beside a room, not in it.
    if matches!(unit, '楼' | '樓') && matches!(view.at(past), '上' | '下' | '道') && past == end + 1
    {
        return None;
    }
    (digits || matches!(unit, '座' | '栋' | '棟' | '幢' | '塔' | '室' | '区' | '區'))
        .then_some(Level { end: past, unit })
}

/// `8-1-602` and `12#-2-903` behind what says that a home follows, or an estate.
fn hyphened(view: View<'_>, at: usize) -> Option<usize> {
    if !view.at(at).is_ascii_digit() {
        return None;
    }
    let digits = |from: usize, most: usize| view.skip(from, most + 1, |ch| ch.is_ascii_digit());
    let building = digits(at, 2);
    let entrance = building + 1 + usize::from(view.at(building) == '#');
    let room = digits(entrance, 2) + 1;
    let end = digits(room, 4);
    let fits = (1..=2).contains(&(building - at))
        && view.at(entrance - 1) == '-'
        && (2..=3).contains(&(room - entrance))
        && view.at(room - 1) == '-'
        && (3..=4).contains(&(end - room))
        && !view.at(end).is_ascii_alphanumeric()
        && view.at(end) != '-';
    let front = view.skip_back(at, 2, |ch| matches!(ch, ':' | ' ' | '是'));
    let cued = || {
        view.before_any(front, &["门牌号", "门牌", "房号", "房间", "地址", "住址", "我家"])
            .is_some()
    };
    (fits && (cued() || is_han(view.before(at)) && ends_with_premises(view, at))).then_some(end)
}

fn is_numeral(ch: char) -> bool {
    matches!(ch, '十' | '百' | '千') || numeral(ch).is_some()
}

fn address(view: View<'_>, floor: usize, number: usize, first: Level) -> Option<(usize, usize)> {
    let left = left(view, floor, number);
    let (end, levels) = right(view, first);
    let name = view.skip_back(number, 1, |ch| ch == ' ').max(floor);
    let start = begin(view, left, name);
    if is_shop(view, start, end) {
        return None;
    }
    // 3号色 and 8号线 are none of a place.
    if levels == 1 && "色线線仓机柜口车厅台字钢球票床".contains(view.at(end)) {
        return None;
    }
    let length = name - start;
    let placed = has_place(view, start, name);
    let road = length >= 2 && ends_with_road(view, start, name);
    let estate = length >= 3 && ends_with_premises(view, name);
    let partial =
        matches!(first.unit, '期' | '区' | '區' | '单' | '單' | '楼' | '樓' | '室' | '塔' | '#');
    if (placed || road) && length >= 3 && !(partial && levels < 2) || estate && levels >= 2 {
        return Some((start, end));
    }
    // 興平樓1815室: a room of a building.
    if estate && first.unit == '室' && first.end - number >= 4 {
        return Some((start, end));
    }
    if levels >= 3 {
        // What stands in front of a building, its entrance and a room names the estate.
        let named = (2..=8).contains(&length) && !is_han(view.before(start));
        return Some((if named || estate { start } else { number }, end));
    }
    if hyphened(view, number) == Some(first.end) {
        return Some((if estate { start } else { number }, end));
    }
    // 2单元1103, 12栋305室: a home among others, wherever.
    let rooms = (end.saturating_sub(5)..end).filter(|&i| view.at(i).is_ascii_digit()).count();
    let house = matches!(first.unit, '栋' | '棟' | '幢' | '单' | '單') && levels == 2;
    (house && rooms >= 3 && end - number >= 6).then_some((number, end))
}

/// The first unit to the left that may belong: Chinese characters, and blanks behind a district.
fn left(view: View<'_>, floor: usize, number: usize) -> usize {
    let floor = floor.max(number.saturating_sub(LEFT));
    let mut start = view.skip_back(number, 1, |ch| ch == ' ').max(floor);
    while start > floor {
        let ch = view.before(start);
        let place = matches!(ch, ' ' | ',' | '-' | '/' | '\n')
            && start >= 3
            && (ch == ' ' || floor + 2 < start)
            && ("省市区區县縣镇鎮街道".contains(view.before(start - 1))
                || PROVINCES.iter().any(|place| view.ends(start - 1, place))
                || is_city(view, start - 3, start));
        if !is_han(ch) && !place {
            break;
        }
        start -= 1;
    }
    start
}

/// Where the address behind the first level ends, and how many levels it has.
fn right(view: View<'_>, first: Level) -> (usize, usize) {
    let (mut end, mut levels, mut unit) = (first.end, 1, first.unit);
    for _ in 0..STEPS {
        let mut here = end;
        if unit == '号' || unit == '號' {
            here = view.skip(here, 1, |ch| "甲乙丙丁".contains(ch));
        }
        let here = bracketed(view, here).unwrap_or(here);
        let here = if matches!(unit, '号' | '號') && view.starts(here, "自编") {
            here + 2
        } else {
            here
        };
        // 5号楼，2单元，901.
        let blank = view.skip(here, 1, |ch| {
            ch == ' ' || ch == ',' && (level(view, here + 1).is_some() || unit == '单')
        });
        let prefix = view.skip(blank, 1, |ch| "附第东西南北中之".contains(ch));
        if let Some(next) = level(view, prefix).or_else(|| level(view, blank)) {
            (end, unit) = (next.end, next.unit);
            levels += 1;
            continue;
        }
        // 8樓之3.
        if matches!(unit, '樓' | '楼' | '号' | '號') && view.at(blank) == '之' {
            let past = view.skip(blank + 1, 3, |ch| ch.is_ascii_digit());
            if past > blank + 1 {
                end = past;
                continue;
            }
        }
        // 乙单元.
        let stem = view.skip(here, 1, |ch| "甲乙丙丁".contains(ch));
        if stem > here
            && let Some(past) = view.after_any(stem, &["单元", "單元", "座", "栋"])
        {
            (end, unit) = (past, '单');
            levels += 1;
            continue;
        }
        // 东户, 中单元.
        if prefix > blank
            && let Some(past) = view.after_any(prefix, &["单元", "户", "室"])
        {
            end = past;
            unit = '户';
            continue;
        }
        if let Some(past) = room(view, here, blank, unit) {
            end = past;
            levels += 1;
            unit = '室';
            continue;
        }
        let Some(past) = premises(view, blank) else {
            end = if here > end && !is_han(view.at(here)) { here } else { end };
            break;
        };
        end = past;
        unit = '楼';
    }
    (end, levels)
}

/// Behind a building or place in brackets with a number behind it:
/// 1600号（陆家嘴商务广场）12楼.
fn bracketed(view: View<'_>, at: usize) -> Option<usize> {
    let at = view.skip(at, 1, |ch| ch == ' ');
    if view.at(at) != '(' {
        return None;
    }
    let close = view.skip(at + 1, 14, is_han);
    let past = close + 1;
    let follows = level(view, past).is_some() || view.at(past).is_ascii_digit();
    (close > at + 1 && view.at(close) == ')' && follows).then_some(past)
}

/// A room without a word: `2栋906`, `号8-801`, `19楼A`.
fn room(view: View<'_>, here: usize, blank: usize, unit: char) -> Option<usize> {
    let here = if unit == '号' || unit == '號' || unit == '室' { here } else { blank };
    if unit == '室' {
        return None;
    }
    let end = view.skip(here, 9, |ch| ch.is_ascii_alphanumeric() || ch == '-');
    let digits = (here..end).filter(|&i| view.at(i).is_ascii_digit()).count();
    let runs = view.at(end).is_ascii_alphanumeric() || view.before(end) == '-';
    let counts = "元块个件天次分点月日年".contains(view.at(end));
    if end == here {
        // 望京SOHO塔二二零一.
        let past = view.skip(here, 5, |ch| numeral(ch).is_some());
        return (past - here >= 3 && past - here <= 4).then_some(past);
    }
    let fits = match unit {
        '号' | '號' => digits > 0 && digits <= 7 && view.at(here).is_ascii_digit(),
        _ => digits <= 7 && (digits >= 2 || end - here == 1),
    };
    (fits && !runs && !counts && digits <= 7).then_some(end)
}

/// The end of the name of an estate or building at `at`, if a number or the end follows.
fn premises(view: View<'_>, at: usize) -> Option<usize> {
    if !is_han(view.at(at)) {
        return None;
    }
    let longest = view.skip(at, 14, |ch| is_han(ch) || "soho".contains(ch));
    (at + 2..=longest).rev().find(|&end| {
        let ends =
            PREMISES.iter().any(|word| view.ends(end, word) && end - at > word.chars().count());
        let next = view.at(end);
        let follows = level(view, end).is_some()
            || next == ' ' && level(view, end + 1).is_some()
            || next.is_ascii_alphanumeric()
            || (numeral(next).is_some() && numeral(view.at(end + 1)).is_some());
        let over = !is_han(next) && next != ' ';
        ends && (follows || over)
    })
}

/// Where the names of places begin within `left..name`.
fn begin(view: View<'_>, left: usize, name: usize) -> usize {
    let known = (left..name).find(|&at| {
        PROVINCES.iter().any(|place| {
            let past = at + place.chars().count();
            let road = view.skip(past, 1, |ch| "东西南北中東".contains(ch));
            view.starts(at, place) && past < name && !"路街道".contains(view.at(road))
        }) || is_city(view, at, name)
    });
    if let Some(at) = known {
        return at;
    }
    (left..name)
        .rev()
        .find_map(|at| {
            let past = view.after_any(at, CUTS).filter(|&past| past <= name)?;
            let uncut = UNCUT.iter().any(|word| {
                (0..word.chars().count()).any(|i| at >= i && view.starts(at - i, word))
            });
            (!uncut).then_some(past)
        })
        .unwrap_or(left)
}

/// Whether one of [`CITIES`] stands at `at` as the city of an address.
fn is_city(view: View<'_>, at: usize, name: usize) -> bool {
    let (one, two) = (view.at(at), view.at(at + 1));
    let listed = || {
        let mut characters = CITIES.chars();
        while let (Some(first), Some(second)) = (characters.next(), characters.next()) {
            if (first, second) == (one, two) {
                return true;
            }
        }
        false
    };
    // 四平路 and 北京东路 are roads of other cities.
    let road = view.skip(at + 2, 1, |ch| "东西南北中東".contains(ch));
    at + 2 < name && !"路街道弄巷".contains(view.at(road)) && listed()
}

/// Whether a district or the like stands in `start..name`.
fn has_place(view: View<'_>, start: usize, name: usize) -> bool {
    (start + 1..name).any(|i| {
        "省市区區县縣镇鎮乡鄉".contains(view.at(i))
            && i > start
            && !view.starts(i - 1, "小区")
            && !view.starts(i - 1, "地区")
            || view.starts(i, "街道")
    }) || PROVINCES.iter().any(|place| view.starts(start, place))
}

/// Whether the name in front of the number is that of a road or village.
fn ends_with_road(view: View<'_>, start: usize, name: usize) -> bool {
    let ch = view.before(name);
    let long = name - start >= 3;
    match ch {
        '路' => !["铁路", "公路", "线路", "网路", "电路", "半路", "道路", "一路"]
            .iter()
            .any(|word| view.ends(name, word)),
        '街' | '村' | '庄' | '弄' | '巷' | '屯' | '寨' => long,
        '道' => {
            view.ends(name, "大道")
                || long && matches!(view.at(view.skip(name, 6, |ch| ch.is_ascii_digit())), '號')
        }
        '同' => view.ends(name, "胡同"),
        '段' => (start..name).any(|i| matches!(view.at(i), '路' | '街')),
        _ => false,
    }
}

fn ends_with_premises(view: View<'_>, name: usize) -> bool {
    let name = view.skip_back(name, 2, |ch| ch == '期' || is_numeral(ch));
    PREMISES.iter().any(|word| view.ends(name, word)) || view.ends(name, "家园")
}

/// Whether the address is announced or spoken of as that of a shop.
fn is_shop(view: View<'_>, start: usize, end: usize) -> bool {
    let from = view.skip_back(start, 12, |ch| is_han(ch) || matches!(ch, ':' | ' '));
    (from..end).any(|at| SHOPS.iter().any(|word| view.starts(at, word)))
        || (from..start).any(|at| PUBLIC.iter().any(|word| view.starts(at, word)))
        || view
            .after_any(
                end,
                &["那家", "这家", "那个店", "的店", "店", "那间", "的门店", "门店", "展厅", "仓库"],
            )
            .is_some()
}
