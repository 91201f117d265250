//! Chinese names: a surname and one or two characters, where something says that a name comes.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;
use std::sync::LazyLock;

use crate::Kind;
use crate::fold::Unit;
use crate::view::{CharHasher, View, Words, is_han};

/// Surnames of one character, from the frequent to the rare.
const SURNAMES: &str = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾萧田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈\
姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤常温康施文牛樊葛邢\
安齐易乔伍庞颜倪庄聂章鲁岳翟殷詹申欧耿关兰焦俞左柳甘祝包宁尚符舒阮柯纪梅童凌毕单季裴霍涂成苗谷盛曲翁冉骆蓝路游辛靳管\
柴蒙鲍华喻祁蒲房滕屈饶解牟艾尤阳时穆农司卓古吉缪简车项连芦麦褚娄窦戚岑景党宫费卜冷晏席卫米柏宗瞿桂全佟应臧闵苟邬边卞姬\
师和仇栾隋商刁沙荣巫寇桑郎甄丛仲虞敖巩明佘池查麻苑迟邝官封谈匡鞠惠荆乐冀郁胥南班储原栗燕楚鄢劳谌奚皮粟冼蔺楼盘满闻位\
厉伊仝区郜海阚花权强帅屠豆朴盖练廉禹井祖漆巴丰支卿国狄平计索宣晋相初门云容敬来扈晁芮都普阙浦戈伏鹿薄邸雍辜阎昌酆鲍凤花\
俞酆窦章水云昝窦於宓蓬终暨居衡步阿昃养鞠须诸葛蔚越夔隆巢蒯荤後逯盍益桓公祝张張陳劉楊黃趙吳孫馬馮鄧許鄭謝韓蕭葉鍾盧賈\
亓逄郏邴扶揭璩练練仰卓隗郗郯劳鄂仉缑亢魯蘇呂蔣譚陸範閻嚴龍賀顧龔萬錢湯喬龐顏倪莊聶歐關蘭寧紀單畢駱藍華饒車連婁費衛應臧邊師榮鄔區鞏賴赖羅";

/// How many of [`SURNAMES`] are frequent; among the others are more and more common words.
const FREQUENT: usize = 180;

/// Surnames of two characters.
const COMPOUND: &[&str] = &[
    "欧阳", "歐陽", "司马", "司馬", "上官", "诸葛", "諸葛", "东方", "皇甫", "尉迟", "公孙", "慕容",
    "令狐", "司徒", "夏侯", "长孙", "宇文", "端木", "南宫", "独孤", "轩辕", "百里",
    // What names of the Tibetans, Mongols and others begin with.
    "扎西", "索朗", "次仁", "达娃", "卓玛", "格桑", "旦增", "尼玛", "平措", "央金", "洛桑", "斯琴",
    "乌日", "那日", "巴特", "阿依", "古丽", "艾合", "阿不", "买买",
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
    "付款人",
    "汇款人",
    "打款人",
    "贷款人",
    "借款人",
    "还款人",
    "担保人",
    "被保人",
    "受益人",
    "出险人",
    "报案人",
    "驾驶人",
    "驾驶员",
    "乘机人",
    "同行人",
    "同住人",
    "预订人",
    "订房人",
    "订票人",
    "取票人",
    "领票人",
    "参会人",
    "报修人",
    "来电人",
    "代办人",
    "委托人",
    "受托人",
    "负责人",
    "发货人",
    "代收人",
    "代签人",
    "就诊人",
    "经纪人",
    "推荐人",
    "介绍人",
    "领奖人",
    "中奖人",
    "获奖者",
    "应聘者",
    "使用人",
    "主账号人",
    "实名人",
    "开户人",
    "主卡人",
    "副卡人",
    "认证人",
    "要保人",
    "訂購人",
    "預訂人",
    "收款方",
    "付款方",
    "转给了",
    "轉給了",
    "法定代表人",
    "法人代表",
    "账户名称",
    "账户名",
    "賬戶名",
    "用户名称",
    "户主名",
    "实名的是",
    "信息是",
    "主叫",
    "本名",
    "大名",
    "原名",
    "全名",
    "对方账户",
    "我叫做",
    "过户给",
    "更名为",
    "过给",
    "簽收人",
    "提貨人",
    "申請人",
    "持卡者",
    "房客",
    "名字叫",
    "英文名",
    "护照上是",
    "使用者",
    "被投诉人",
    "招呼叫",
    "户口本上叫",
    "身份证上叫",
    "姓 名",
    "姓  名",
    "被保險人",
    "收件者",
    "聯絡",
    "取貨人",
    "乘客名",
    "手叫",
    "姨叫",
    "傅叫",
    "经理叫",
    "司机叫",
    "中介叫",
    "东叫",
    "师叫",
    "生叫",
    "友叫",
    "事叫",
];

/// Roles: a name may follow at once, or behind a colon; most often other words do.
const ROLES: &[&str] = &[
    "客户",
    "客戶",
    "乘客",
    "旅客",
    "患者",
    "机主",
    "户主",
    "车主",
    "业主",
    "学生",
    "家长",
    "法人",
    "本人",
    "师傅",
    "店员",
    "抬头",
    "用户",
    "会员",
    "住户",
    "租客",
    "房东",
    "快递员",
    "派件员",
    "派送员",
    "配送员",
    "送餐员",
    "骑手",
    "司机",
    "客服",
    "客服代表",
    "员工",
    "销售",
    "业务员",
    "客户经理",
    "理财经理",
    "保险经理",
    "经理",
    "中介",
    "店长",
    "医生",
    "老师",
    "教练",
    "空乘",
    "乘务员",
    "服务员",
    "导购",
    "保安",
    "顾问",
    "主播",
    "学员",
    "病人",
    "孩子",
    "宝宝",
    "小孩",
    "我妈",
    "我爸",
    "我爷爷",
    "我奶奶",
    "我姥姥",
    "我外婆",
    "我朋友",
    "我同事",
    "我弟",
    "我哥",
    "我姐",
    "我妹",
    "我老婆",
    "我老公",
    "我爱人",
    "我媳妇",
    "我儿子",
    "我女儿",
    "我先生",
    "嘉宾",
    "投诉",
    "举报",
    "用戶",
    "會員",
    "顧客",
    "顾客",
    "维修师傅",
    "的客户",
    "的员工",
    "理赔的",
    "领导",
    "班主任",
    "租户",
    "邻居",
    "室友",
    "闺蜜",
    "老板",
    "推销员",
];

/// What announces a name now and then only: the end of the name has to show.
const HINTS: &[&str] = &["我是", "我係", "您是", "你是", "请问是", "实名是", "叫", "名", "是我妈"];

/// What may stand in front of a name that a telephone number, a title or 收 follows.
const LINKS: &[&str] = &[
    "是",
    "找",
    "联系",
    "聯絡",
    "寄给",
    "写",
    "给",
    "转",
    "请",
    "送给",
    "发给",
    "交给",
    "转给",
    "让",
    "替",
    "用",
    "以",
    "過戶給",
    "请找",
    "寄給",
    "送給",
    "請找",
    "轉",
    "交給",
    "由",
    "快递给",
    "找一下",
];

/// Those of [`LINKS`] that give something to somebody or take it.
const GIVEN_TO: &[&str] = &[
    "找",
    "联系",
    "聯絡",
    "寄给",
    "送给",
    "发给",
    "交给",
    "转给",
    "过户给",
    "快递给",
    "给",
    "让",
    "替",
    "用",
    "以",
    "请找",
    "转",
    "让我爸",
    "让我妈",
    "寄給",
    "送給",
    "交給",
    "找一下",
];

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
    "=",
    "|",
    "-",
    "填错了",
    "写错了",
    "错了",
    "应该是",
    "应为",
    "是我",
    "我哥",
    "我姐",
    "我弟",
    "我妹",
    "我女儿",
    "我儿子",
    "改做",
    "改为",
    "變成",
    "寫",
    "名",
    "不对",
    "全称",
    "\n",
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
const SURE_SEQUELS: &[&str] = &[
    "先生",
    "女士",
    "小姐",
    "本人",
    "收",
    "来电",
    "电话",
    "手机",
    "身份证",
    "反映",
    "代收",
    "签收",
    "簽收",
    "下单",
    "名下",
    "号码",
    "的卡",
    "的号",
    "的名字",
    "的身份",
    "的账",
    "的妈",
    "的爸",
    "的家长",
    "的航班",
    "的订单",
    "的电话",
    "态度",
    "服务态",
    "挂我",
    "骂",
    "收了我",
    "骗",
    "乱收",
    "约的",
    "上门",
    "要求",
    "投诉",
    "拒绝",
    "不是",
    "交的",
    "充的",
    "办的",
    "去取",
    "去营业",
    "说的",
    "开的",
    "给我",
    "把",
    "您好",
    "你好",
    "就行",
    "就好",
    "可以",
    "那里",
    "那边",
    "这边",
    "了,能",
];

/// Titles: behind a surname they name nobody.
const TITLES: &[&str] = &[
    "先生", "女士", "小姐", "老师", "经理", "医生", "师傅", "总", "太太", "同学", "主管", "店长",
    "阿姨", "叔叔", "大哥", "大姐", "老板", "律师", "教授", "主任", "哥", "姐", "工", "某",
];

/// First characters of all surnames.
static BEGINNINGS: LazyLock<HashSet<char, BuildHasherDefault<CharHasher>>> = LazyLock::new(|| {
    let compound = COMPOUND.iter().filter_map(|surname| surname.chars().next());
    SURNAMES.chars().chain(compound).collect()
});
static FIELDS_INDEX: LazyLock<Words> = LazyLock::new(|| Words::by_last(FIELDS));
static ROLES_INDEX: LazyLock<Words> = LazyLock::new(|| Words::by_last(ROLES));
static HINTS_INDEX: LazyLock<Words> = LazyLock::new(|| Words::by_last(HINTS));
static LINKS_INDEX: LazyLock<Words> = LazyLock::new(|| Words::by_last(LINKS));
static GIVEN_TO_INDEX: LazyLock<Words> = LazyLock::new(|| Words::by_last(GIVEN_TO));
static SEQUELS_INDEX: LazyLock<Words> = LazyLock::new(|| Words::by_first(SEQUELS));
static SURE_SEQUELS_INDEX: LazyLock<Words> = LazyLock::new(|| Words::by_first(SURE_SEQUELS));
static FILLERS_INDEX: LazyLock<Words> = LazyLock::new(|| Words::by_first(FILLERS));
/// Words that begin with a surname and are none.
static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let lines = include_str!("words.zh.txt").lines();
    Words::by_first(&lines.filter(|line| !line.starts_with('#')).collect::<Vec<_>>())
});

/// Characters that no given name has.
const NOT_GIVEN: &str = "的了吗呢吧啊呀哦嘛我你您他她它们这那是不没在就也都要说和跟与或但被把给让请问用号码電电话机址单件包钱款退换货\
什怎么几很太再还又才已以能会想去来到从对为向人名字写错误致信息填改下";

/// Whether `ch` is in every spelling of some cue, so that a text without one has no name in it.
pub(crate) fn is_cue_part(ch: char) -> bool {
    is_cue_end(ch) || matches!(ch, '收' | '先' | '女' | '小')
}

/// Whether a cue may end with `ch`.
fn is_cue_end(ch: char) -> bool {
    matches!(
        ch,
        '名' | '字'
            | '人'
            | '件'
            | '户'
            | '戶'
            | '客'
            | '者'
            | '主'
            | '生'
            | '长'
            | '师'
            | '傅'
            | '员'
            | '叫'
            | '姓'
            | '头'
            | '手'
            | '息'
            | '妈'
            | '爸'
            | '寄'
            | '是'
            | '係'
            | '找'
            | '系'
            | '絡'
            | '给'
            | '写'
            | '转'
            | '请'
            | '让'
            | '替'
            | '用'
            | '以'
            | '诉'
            | '报'
            | '举'
            | '方'
            | '友'
            | '事'
            | '服'
            | '乘'
            | '工'
            | '领'
            | '东'
            | '餐'
            | '介'
            | '將'
            | '由'
            | '轉'
            | '給'
            | '下'
            | '弟'
            | '哥'
            | '姐'
            | '妹'
            | '婆'
            | '公'
            | '女'
            | '儿'
            | '媳'
            | '子'
            | '宝'
            | '业'
            | '售'
            | '理'
            | '医'
            | '教'
            | '练'
            | '务'
            | '导'
            | '安'
            | '问'
            | '播'
            | '学'
            | '病'
            | '保'
            | '商'
            | '居'
            | '舍'
            | '室'
            | '蜜'
            | '板'
            | '销'
            | '員'
            | '機'
            | '票'
            | '称'
            | '稱'
            | '表'
            | '問'
            | '做'
            | '上'
            | '为'
            | '更'
            | '送'
            | '了'
            | '爷'
            | '奶'
            | '姥'
    )
}

/// Whether a Chinese name may begin with `ch`.
pub(crate) fn may_begin(ch: char) -> bool {
    BEGINNINGS.contains(&ch)
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
            // 乘机人闫妮妮和段奕宁.
            let second = view.skip(end, 1, |ch| "和跟与及、".contains(ch));
            if second > end
                && let Some(past) = full_name(view, second)
            {
                found.push((second, past));
                at = past;
            }
        } else {
            if matches!(view.at(at), '先' | '女' | '小')
                && view.after_any(at, &["先生", "女士", "小姐"]).is_some()
                && let Some((start, end)) = addressed(view, at)
                && found.last().is_none_or(|&(_, past)| past <= start)
            {
                found.push((start, end));
            }
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
    let is_field = view.before_any(at + 1, FIELDS_INDEX.of(view.before(at + 1))).is_some();
    let role = || {
        view.before_any(at + 1, ROLES_INDEX.of(view.before(at + 1))).is_some()
            && !view.ends(at + 1, "日本人")
    };
    if !is_field && !role() {
        return None;
    }
    let mut start = at + 1;
    let mut sure = false;
    while let Some(past) =
        view.after_any(start, FILLERS_INDEX.of(view.at(start))).filter(|&past| past <= at + 14)
    {
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
    let end = name_end(view, start, doubt).or_else(|| full_name(view, start))?;
    Some((start, end))
}

/// Where a surname and two characters behind a role end, when the clause ends there or goes on as
/// one does about a person: 客户瞿颖颖态度, 快递员仇晓光，138...
fn full_name(view: View<'_>, start: usize) -> Option<usize> {
    let end = family(view, start)? + 2;
    let over = !is_han(view.at(end)) && view.at(end) != '·';
    let goes_on = || {
        view.after_any(end, SURE_SEQUELS_INDEX.of(view.at(end))).is_some()
            || is_frequent(view.at(start))
                && view.after_any(end, SEQUELS_INDEX.of(view.at(end))).is_some()
    };
    (is_name(view, start, end) && (over || goes_on())).then_some(end)
}

/// The name behind a hint that ends with the character at `at`.
fn hint(view: View<'_>, at: usize) -> Option<(usize, usize)> {
    let start = at + 1;
    if view.before_any(start, HINTS_INDEX.of(view.before(start))).is_some()
        && let Some(end) = name_end(view, start, Doubt::Much)
    {
        return Some((start, end));
    }
    view.before_any(start, LINKS_INDEX.of(view.before(start)))?;
    if let Some(end) = titled(view, start) {
        return Some((start, end));
    }
    view.before_any(start, GIVEN_TO_INDEX.of(view.before(start)))?;
    // 用, 让 and 给 of one character stand in front of anything.
    let sure = view
        .before_any(start, GIVEN_TO_INDEX.of(view.before(start)))
        .is_some_and(|first| first + 2 <= start);
    let end = full_name(view, start).filter(|&end| {
        let sought = matches!(view.before(start), '找' | '转') && is_frequent(view.at(start));
        sure || sought || view.after_any(end, SURE_SEQUELS_INDEX.of(view.at(end))).is_some()
    })?;
    Some((start, end))
}

/// Where a name at `start` ends that a title follows: 是简美妍女士.
fn titled(view: View<'_>, start: usize) -> Option<usize> {
    [3, 2, 4].into_iter().map(|length| start + length).find(|&end| {
        view.after_any(end, &["先生", "女士", "小姐", "本人"]).is_some()
            && is_name(view, start, end)
    })
}

/// A full name with its title where a clause opens: 麦家辉先生，您的订单.
fn addressed(view: View<'_>, at: usize) -> Option<(usize, usize)> {
    let start = [3, 4].into_iter().filter_map(|length| at.checked_sub(length)).find(|&start| {
        is_name(view, start, at) && family(view, start).is_some_and(|end| end + 2 == at)
    })?;
    let opens = !is_han(view.before(start))
        || view.before_any(start, &["尊敬的", "亲爱的", "您好", "你好", "客户"]).is_some();
    opens.then_some((start, at))
}

/// The name in front of 收 at the end of a clause: 钱多多收.
fn receiver(view: View<'_>, at: usize) -> Option<usize> {
    let past = view.at(at + 1);
    if !matches!(past, '\0' | ',' | '。' | ' ' | ')' | '1' | ']') {
        return None;
    }
    let end = view.skip_back(at, 1, |ch| matches!(ch, '(' | ' '));
    [2, 3].into_iter().filter_map(|length| end.checked_sub(length)).find(|&start| {
        let opens = !is_han(view.before(start))
            || view.before_any(start, LINKS_INDEX.of(view.before(start))).is_some();
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
        !is_han(next) || view.after_any(end, SEQUELS_INDEX.of(view.at(end))).is_some()
    };
    let ends: Vec<usize> = (surname + 1..=most).filter(|&end| is_name(view, start, end)).collect();
    if doubt == Doubt::Much {
        return ends.into_iter().rev().find(|&end| {
            let next = view.at(end);
            !is_han(next) && next != '·'
                || view.after_any(end, SURE_SEQUELS_INDEX.of(view.at(end))).is_some()
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
        || "張陳劉楊黃趙吳孫馬馮鄧許鄭謝韓羅蕭葉鍾盧蘇呂蔣譚陸閻嚴龍賀顧龔萬錢湯喬龐顏倪莊聶歐關賴賈鄒魏詹".contains(ch)
}

/// Whether `start..end` reads as a surname with a given name.
fn is_name(view: View<'_>, start: usize, end: usize) -> bool {
    family(view, start).is_some_and(|surname| {
        surname < end
            && (surname..end).all(|i| is_given(view.at(i)))
            && view.after_any(surname, TITLES).is_none_or(|past| past < end)
            && !WORDS.of(view.at(start)).iter().any(|word| view.starts(start, word))
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
            Kind::Mobile
                | Kind::Landline
                | Kind::Phone
                | Kind::Address
                | Kind::IdCard
                | Kind::BankCard
        ) {
            continue;
        }
        let past = view.skip_back(start, 3, |ch| " ,、()收-/\n".contains(ch));
        for length in [3, 2] {
            let Some(first) = past.checked_sub(length) else { continue };
            let opens =
                matches!(view.before(first), '\0' | ' ' | ',' | ':' | '\n' | ']' | '。' | ';')
                    || view.before_any(first, LINKS_INDEX.of(view.before(first))).is_some();
            let parted = matches!(kind, Kind::Address | Kind::BankCard);
            let alone = !parted || past < start;
            if opens && alone && is_name(view, first, past) && is_frequent_enough(view, first) {
                found.push((first, past));
                break;
            }
        }
        // Behind a number and in front of another, or alone: 138... 张三 浙江省...
        let first = view.skip(end, 2, |ch| matches!(ch, ' ' | ',' | '\n'));
        let past = view.skip(first, 4, is_han);
        let next = view.skip(past, 2, |ch| matches!(ch, ' ' | ',' | '\n'));
        let alone = || {
            past == first + 3
                && matches!(view.at(past), '\0' | ',' | '\n' | '。' | ';')
                && first > end
                && is_frequent(view.at(first))
        };
        if past > first && (view.at(next) == ']' || alone()) && is_name(view, first, past) {
            found.push((first, past));
        }
    }
    found
}

/// Rare surnames are common words; beside a number they are taken for those.
fn is_frequent_enough(view: View<'_>, start: usize) -> bool {
    !"和师来都门国支平计相原明应须时满容公强位普居步养".contains(view.at(start))
}
