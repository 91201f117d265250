//! What people say in simulated conversations: templates with slots in braces.
//!
//! A class promises how the text is to be read (a holding reply holds, an urgent text is urgent
//! for its category); a test holds the engine against it.

/// The same class in both languages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Class {
    pub(super) zh: &'static [&'static str],
    pub(super) en: &'static [&'static str],
}

/// Opens a conversation or goes on asking.
pub(super) const QUESTIONS: Class = Class {
    zh: &[
        "你好，订单{order}什么时候发货？",
        "请问{item}还有货吗",
        "我买的{item}能开发票吗？抬头写公司的",
        "订单{order}的物流三天没动了，帮我看一下",
        "这款{item}和旧款有什么区别？",
        "在吗，想问下{item}怎么退换",
        "我想把收货地址改到{city}，还来得及吗",
        "{item}收到了，少了一个配件，怎么补寄？",
        "满{amount}元的券为什么用不了呀",
        "你们{city}的门店周末开门吗？",
        "我的会员什么时候到期，怎么关自动续费",
        "请问退款一般几天到账？订单{order}",
        "{item}支持几年保修，在哪里登记？",
        "我昨天买的今天就降价{amount}元，可以补差价吗",
        "能不能把订单{order}里的{item}换成大一号的",
        "快递显示已签收，可我没收到{item}",
        "安装师傅约在明天下午可以吗",
        "账号登录不上，一直说验证码不对",
        "这个{item}怎么连手机？说明书没看明白",
        "发到{city}运费多少，几天能到？",
    ],
    en: &[
        "Hi, when will order {order} ship?",
        "Is the {item} still in stock?",
        "Could you change the delivery address of {order} to {city}?",
        "My {item} arrived without the charger, how do I get one?",
        "How long does a refund take? It is about order {order}",
        "What is the warranty on the {item}?",
        "Can I swap the {item} for a bigger size?",
        "I can't log in, the code never arrives",
        "Do you deliver to {city} on weekends?",
        "The price dropped by {amount} yesterday, can you match it?",
        "Where do I find the invoice for {order}?",
        "How do I pair the {item} with my phone?",
    ],
};

/// Adds to a question while waiting.
pub(super) const FOLLOW_UPS: Class = Class {
    zh: &[
        "还有一个问题，能开收据吗",
        "在不在？",
        "我是{days}天前下的单",
        "订单号是{order}",
        "颜色要黑色的",
        "最好这周能到",
        "我看页面上写的是{days}天内",
        "另外{item}的运费怎么算？",
        "图片我发不出来，能加个微信吗",
        "就是上次买的那个{item}",
        "？？",
        "我这边等着出门，什么时候有结果？",
    ],
    en: &[
        "The order number is {order}",
        "I ordered it {days} days ago",
        "Are you there?",
        "It should be the black one",
        "And what about the shipping fee?",
        "I need it by the end of the week, is that possible?",
        "It is the same {item} as last time",
    ],
};

/// Says something personal; each has one slot for personal data.
pub(super) const PERSONAL: Class = Class {
    zh: &[
        "我的手机号是{phone}",
        "电话{phone}，收件人姓李，麻烦登记一下",
        "身份证号{id}，帮我查下实名",
        "退到这张银行卡{card}可以吗",
        "发票发到邮箱 {email} 吧",
        "联系不上就打{phone}",
    ],
    en: &[
        "My phone number is {phone}",
        "Please send the invoice to {email}",
        "Can you refund to my card {card}?",
        "You can reach me at {email} any time",
    ],
};

/// Is unhappy, asks for nobody else.
pub(super) const ANGRY: Class = Class {
    zh: &[
        "等了{days}天还没人处理，你们服务太差了",
        "{item}用了一次就坏了，质量真差",
        "又让我等了半天，太失望了",
        "说好{days}天到，到现在都没到，真让人生气",
        "这{item}做工太烂了，根本没法用",
        "问你半天都不回答我，什么态度",
    ],
    en: &[
        "I have been waiting for {days} days, this service is terrible",
        "The {item} broke after one use, awful quality",
        "I am really disappointed, nobody answers my question",
        "This is the worst {item} I ever bought",
    ],
};

/// Must reach a supervisor: the category and what is said.
pub(super) const URGENT: &[(&str, Class)] = &[
    (
        "regulator",
        Class {
            zh: &[
                "我要打12315投诉你们，{amount}元必须退",
                "我已经向消费者协会投诉了，订单{order}",
                "我要去市场监管局举报你们",
            ],
            en: &[
                "If you don't refund {order} today I will report you to the consumer protection agency",
            ],
        },
    ),
    (
        "legal",
        Class {
            zh: &["律师函已经在写了，我们法院见", "不赔我就起诉你们，订单{order}我都留了证据"],
            en: &[
                "My lawyer will contact you, see you in court",
                "I am going to sue you over order {order}",
            ],
        },
    ),
    (
        "media",
        Class {
            zh: &["我要找记者曝光你们这家店", "我要发到微博和抖音曝光你们"],
            en: &["I will go to the press and expose you on social media"],
        },
    ),
    (
        "police",
        Class {
            zh: &["你们这是诈骗，我已经报警了", "我现在就报警，让警察来处理"],
            en: &["This is fraud, I have called the police"],
        },
    ),
    (
        "safety",
        Class {
            zh: &["{item}充电的时候起火了，孩子手被烫伤了", "{item}漏电，我妈被电伤送医院了"],
            en: &["The {item} caught fire and my son got burned"],
        },
    ),
    (
        "loss",
        Class {
            zh: &[
                "我的账户正在被盗刷，已经少了{amount}元，快冻结",
                "有人在盗刷我的卡，快帮我冻结账户",
            ],
            en: &["Money is being stolen from my account right now, please freeze it"],
        },
    ),
    (
        "crisis",
        Class {
            zh: &["我不想活了，活着没意思", "我真的想自杀"],
            en: &["I want to kill myself", "I don't want to live anymore"],
        },
    ),
];

/// Thanks or says farewell, nothing else.
pub(super) const THANKS: Class = Class {
    zh: &["谢谢", "好的谢谢", "谢谢您", "好的，谢谢，再见", "谢谢啦", "非常感谢"],
    en: &["Thanks", "Thank you!", "ok thanks", "Thank you, bye"],
};

/// The platform's greeting in the agent's name.
pub(super) const AUTO_GREETINGS: Class = Class {
    zh: &["您好，欢迎光临，客服正在赶来", "亲，欢迎您，人工客服马上为您服务"],
    en: &["Welcome! An agent will be with you shortly."],
};

/// An agent greets, nothing else.
pub(super) const GREETINGS: Class =
    Class { zh: &["您好", "您好，在的", "亲，在的"], en: &["Hello!", "Hi there"] };

/// An agent asks to wait, nothing else.
pub(super) const HOLDING: Class = Class {
    zh: &["稍等", "请您稍等", "好的，请稍等一下", "您稍等，我查一下"],
    en: &["One moment please", "Please hold on", "Just a moment"],
};

/// An agent answers, politely.
pub(super) const POLITE: Class = Class {
    zh: &[
        "您好，您的订单已经打包，今天18点前发出，感谢您的耐心等待",
        "非常抱歉给您带来不便，配件我已为您登记补寄，预计{days}天内送达",
        "理解您的心情，我这边已经为您申请退款{amount}元，请您留意到账短信",
        "感谢您的咨询，{item}目前有货，您可以直接下单",
        "根据您的描述，建议您先重启{item}再试一次，还有问题随时联系我",
        "已经帮您改好地址了，请您放心，届时会送到{city}",
        "抱歉让您久等了，快递站点回复今天派送，请您保持电话畅通",
        "您好，发票已开好，您在订单详情里就能下载",
        "差价{amount}元已经为您申请，{days}天内原路退回，请您留意",
        "好的，已经为您预约明天下午上门安装，请问还有什么可以帮您？",
    ],
    en: &[
        "Thank you for waiting, your order ships today and arrives within {days} days",
        "I am sorry for the inconvenience, I have requested a refund of {amount} for you",
        "Thank you for asking, the {item} is in stock",
        "I understand, I have changed the address to {city}. Please let me know if you need anything else",
        "Please restart the {item} first and let me know if that helps",
    ],
};

/// An agent answers in few words.
pub(super) const PLAIN: Class = Class {
    zh: &[
        "{days}天到账",
        "有货",
        "已经改到{city}了",
        "明天发货",
        "发票在订单详情里下载",
        "保修{days}年",
    ],
    en: &["It ships tomorrow", "The {item} is in stock", "Refunds take {days} days"],
};

/// An agent answers so that it costs customers.
pub(super) const BLUNT: Class = Class {
    zh: &["这个退不了", "不知道，你问快递", "没办法"],
    en: &["You have to wait", "We cannot do that", "Can't help you with that"],
};

/// Wording that is never acceptable.
pub(super) const FORBIDDEN: Class = Class {
    zh: &["你有病吧", "神经病，滚", "你是不是傻逼"],
    en: &["You are an idiot", "Shut up, stupid"],
};

/// An agent's last words.
pub(super) const CLOSINGS: Class = Class {
    zh: &["感谢您的咨询，祝您生活愉快，再见", "不客气，有需要随时联系我们，祝您购物愉快"],
    en: &["You are welcome, have a nice day!", "Thank you for contacting us, goodbye"],
};

/// A bot answers.
pub(super) const BOT: Class = Class {
    zh: &[
        "您好，我是智能助手小知，请问您要咨询订单、物流还是售后？",
        "为您找到相关问题：如何查看物流？请在“我的订单”中点击“查看物流”。",
        "没有听明白您的问题，您可以换个说法，或回复“人工”转接客服。",
        "{item}的保修说明已发到您的消息中心。",
    ],
    en: &[
        "Hello, I am the assistant. Is it about an order, a delivery or a return?",
        "You can track your parcel under My Orders. Reply AGENT to talk to a person.",
    ],
};

/// A customer wants a person.
pub(super) const WANTS_PERSON: Class = Class {
    zh: &["转人工", "人工客服", "我要找人工，{item}的问题你答不了"],
    en: &["agent please", "I need to talk to a person about the {item}"],
};

/// A note among colleagues.
pub(super) const NOTES: Class = Class {
    zh: &["客户第二次来问，注意跟进", "已联系仓库核实", "需要主管审批差价{amount}元"],
    en: &["Second contact, follow up", "Asked the warehouse", "Refund of {amount} needs approval"],
};

/// What can be bought.
pub(super) const ITEMS: Class = Class {
    zh: &[
        "蓝牙耳机",
        "电饭煲",
        "运动鞋",
        "扫地机器人",
        "保温杯",
        "羽绒服",
        "行李箱",
        "空气炸锅",
        "儿童手表",
        "台灯",
        "净水器",
        "键盘",
        "双肩包",
        "电动牙刷",
        "投影仪",
        "婴儿推车",
    ],
    en: &[
        "headphones",
        "rice cooker",
        "running shoes",
        "robot vacuum",
        "backpack",
        "desk lamp",
        "keyboard",
        "air fryer",
        "suitcase",
        "projector",
    ],
};

/// Where things go.
pub(super) const CITIES: Class = Class {
    zh: &["上海", "成都", "广州", "西安", "武汉", "沈阳", "昆明", "厦门", "兰州", "长沙"],
    en: &["Leeds", "Austin", "Toronto", "Perth", "Dublin", "Singapore"],
};
