//! Dialogue acts, and what a message consists of alone.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::LazyLock;

use zhili_tone::{Act, Assessment, ContextLine, Engine, Message, Role};

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new().unwrap());

fn assess(role: Role, text: &str) -> Assessment {
    ENGINE.assess(&Message { role, text, lang: None, context: &[] })
}

#[test]
fn a_greeting_alone_is_not_substantive() {
    for text in [
        "您好",
        "亲,在的",
        "您好，请问有什么可以帮您？",
        "在的呢亲~",
        "Hello!",
        "Hi there, how can I help you today?",
    ] {
        let result = assess(Role::Agent, text);
        assert!(result.is_greeting_only() && !result.is_substantive(), "{text}: {:?}", result.only);
    }
}

#[test]
fn a_holding_reply_alone_is_not_substantive() {
    for text in [
        "稍等",
        "好的，请您稍等一下",
        "您好，我帮您查一下，请稍等",
        "正在为您查询",
        "One moment please",
        "Let me check that for you",
    ] {
        let result = assess(Role::Agent, text);
        assert!(result.is_holding_only() && !result.is_substantive(), "{text}: {:?}", result.only);
    }
}

#[test]
fn an_answer_is_substantive_with_any_greeting() {
    for text in [
        "您好，您的订单明天送达",
        "请稍等，订单已经发出",
        "没有货了",
        "Hello, your order ships tomorrow",
        "No",
    ] {
        assert!(assess(Role::Agent, text).is_substantive(), "{text}");
    }
}

#[test]
fn thanks_or_farewell_alone_open_no_turn() {
    for text in
        ["谢谢", "好的，谢谢啦", "嗯嗯谢谢您", "再见", "ok thanks", "Thank you so much, bye!"]
    {
        assert!(!assess(Role::Customer, text).opens_turn(), "{text}");
    }
}

#[test]
fn anything_more_than_thanks_opens_a_turn() {
    for text in [
        "谢谢，那什么时候发货",
        "好的",
        "在吗",
        "谢谢你们毁了我的生日",
        "thanks but where is it",
        "",
    ] {
        assert!(assess(Role::Customer, text).opens_turn(), "{text}");
    }
}

#[test]
fn acts_are_named() {
    let result = assess(
        Role::Agent,
        "非常抱歉，理解您的心情，我们会尽快为您处理，建议您先重启一下，可以吗？",
    );
    for act in [Act::Apology, Act::Empathy, Act::Promise, Act::Advice, Act::Question] {
        assert!(result.acts.contains(act), "{act} in {:?}", result.acts);
    }
}

#[test]
fn roles_are_asked_for_different_scores() {
    let (agent, customer) = (assess(Role::Agent, "您好"), assess(Role::Customer, "滚"));
    assert!(agent.politeness.is_some() && agent.sentiment.is_none() && agent.complaint.is_none());
    assert!(customer.politeness.is_none() && customer.sentiment.is_some() && !customer.forbidden);
}

#[test]
fn traps_are_no_forbidden_wording() {
    for text in [
        "不知道您是否方便提供照片",
        "尿不湿有现货的",
        "一共250元",
        "给您推荐我靠垫这款",
        "干果礼盒今天发",
        "电脑死机可以重启",
        "您自己操作一下就可以",
        "美的空调有货",
        "报警器需要两节电池",
        "支持工商银行付款",
        "曝光补偿在菜单里调",
        "滚筒洗衣机有货",
    ] {
        let result = assess(Role::Agent, text);
        assert!(!result.forbidden, "{text}: {:?}", result.evidence);
    }
}

#[test]
fn saying_the_same_again_colours_satisfaction() {
    let text = "我的包裹现在到哪里了";
    let message = |context| Message { role: Role::Customer, text, lang: None, context };
    let again = [
        ContextLine { role: Role::Customer, text },
        ContextLine { role: Role::Agent, text: "您好" },
    ];
    assert_eq!(ENGINE.assess(&message(&[])).satisfaction.unwrap().as_str(), "neutral");
    assert_eq!(ENGINE.assess(&message(&again)).satisfaction.unwrap().as_str(), "neg");
}
