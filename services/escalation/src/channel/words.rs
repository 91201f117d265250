//! The words of a card, in Chinese and in English.

use zhili_incident::{Family, Language, Reason, Severity, Speaker};

use zhili_proto::escalation::v1 as pb;

use crate::card::{Card, Other};

/// Longest name of a category or kind within a title; ours are far shorter.
const LONGEST_NAME: usize = 64;

/// What a card says first: how bad, what about, which step. Bounded, because it is never cut.
pub(crate) fn title(card: &Card, language: Language) -> String {
    if card.is_test && !card.excerpt.is_empty() {
        let (team, destination) = (&card.team, &card.destination);
        let excerpt: String = card.excerpt.chars().take(4 * LONGEST_NAME).collect();
        return match language {
            Language::Zh => {
                format!("【告警】{team} 团队的通知渠道 {destination} 无法送达：{excerpt}")
            }
            Language::En => {
                format!("[alarm] {destination} of team {team} cannot be reached: {excerpt}")
            }
        };
    }
    if card.is_test {
        let (team, destination) = (&card.team, &card.destination);
        return match language {
            Language::Zh => {
                format!("【测试】{team} 团队的通知渠道 {destination} 可以送达，无需处理")
            }
            Language::En => {
                format!("[test] {destination} of team {team} can be reached; nothing to do")
            }
        };
    }
    let about = if card.category.is_empty() { &card.kind } else { &card.category };
    let about = subject(card.severity, card.family, about, language);
    let step = step(card, language);
    match (language, card.others.len()) {
        (Language::Zh, 0) => format!("{about}，{step}"),
        (Language::En, 0) => format!("{about}, {step}"),
        (Language::Zh, others) => format!("{about}，{step}，另有 {others} 起"),
        (Language::En, others) => format!("{about}, {step}, and {others} more"),
    }
}

/// The same for an incident as it is told of.
pub(crate) fn title_of(incident: &pb::Incident, language: Language) -> String {
    let severity = match incident.severity() {
        pb::incident::Severity::Critical => Severity::Critical,
        pb::incident::Severity::High => Severity::High,
        pb::incident::Severity::Warning => Severity::Warning,
        _ => Severity::Info,
    };
    let family = match incident.family() {
        pb::Family::Wording => Family::Wording,
        pb::Family::Sla => Family::Sla,
        pb::Family::Crisis => Family::Crisis,
        _ => Family::Complaint,
    };
    let about = if incident.category.is_empty() { &incident.kind } else { &incident.category };
    subject(severity, family, about, language)
}

/// How bad an incident is and what it is about.
fn subject(severe: Severity, about: Family, name: &str, language: Language) -> String {
    let (severity, family) = (severity(severe, language), family(about, language));
    let name: String = category(name, language).chars().take(LONGEST_NAME).collect();
    match language {
        Language::Zh => format!("【{severity}】{family}：{name}"),
        Language::En => format!("[{severity}] {family}: {name}"),
    }
}

/// An incident that is told of with another, in one line.
pub(crate) fn other(other: &Other, language: Language) -> String {
    let subject = subject(other.severity, other.family, &other.about, language);
    format!("{subject} {} {}", other.conversation_id, other.incident_id)
}

/// Heading of the incidents that are told of with another.
pub(crate) fn others(language: Language) -> &'static str {
    match language {
        Language::Zh => "同时等待处理",
        Language::En => "Also waiting",
    }
}

fn step(card: &Card, language: Language) -> String {
    let (step, steps) = (card.step, card.steps);
    match (language, card.step as usize > card.steps) {
        (Language::Zh, false) => format!("第 {step}/{steps} 步"),
        (Language::Zh, true) => "升级流程已走完".to_owned(),
        (Language::En, false) => format!("step {step} of {steps}"),
        (Language::En, true) => "the policy has come to its end".to_owned(),
    }
}

/// Labels and values in the order of their use to somebody in a hurry.
pub(crate) fn facts(card: &Card, language: Language) -> Vec<(&'static str, String)> {
    if card.is_test {
        return Vec::new();
    }
    let zh = language == Language::Zh;
    let say = |chinese: &'static str, english: &'static str| if zh { chinese } else { english };
    let mut facts = vec![(say("通知原因", "Why now"), reason(card.reason, language).to_owned())];
    if card.waited_ms() >= 1_000 {
        facts.push((say("已等待", "Waiting for"), duration(card.waited_ms(), language)));
    }
    if let Some(next) = &card.next {
        let (who, after) = (next.destinations.join(", "), duration(next.after_ms, language));
        let words = if zh {
            format!("{after}内无人确认则通知 {who}")
        } else {
            format!("{who} in {after} if nobody acknowledges")
        };
        facts.push((say("下一步", "Next"), words));
    }
    for (label, value) in [
        (say("坐席", "Agent"), &card.agent),
        (say("队列", "Queue"), &card.queue),
        (say("渠道", "Channel"), &card.channel),
        (say("客户", "Customer"), &card.customer),
        (say("客户等级", "Customer tier"), &card.tier),
        (say("会话", "Conversation"), &card.conversation_id),
    ] {
        if !value.is_empty() {
            facts.push((label, value.clone()));
        }
    }
    let trend: Vec<String> = card.sentiments().map(|value| format!("{value:+.1}")).collect();
    if trend.len() > 1 {
        let label = say("客户情绪（-1 至 1）", "Customer's sentiment (-1 to 1)");
        facts.push((label, trend.join(" → ")));
    }
    if card.signals > 1 {
        facts.push((say("累计信号", "Signals"), card.signals.to_string()));
    }
    if card.pass > 1 {
        facts.push((say("通知轮次", "Pass"), card.pass.to_string()));
    }
    if let Some(previous) = &card.previous {
        facts.push((say("上一事件", "Previous incident"), previous.clone()));
    }
    facts.push((say("事件", "Incident"), card.incident_id.clone()));
    facts
}

/// Heading of the rules that matched.
pub(crate) fn rules(language: Language) -> &'static str {
    match language {
        Language::Zh => "判定依据",
        Language::En => "Rules",
    }
}

/// Heading of the messages.
pub(crate) fn messages(language: Language) -> &'static str {
    match language {
        Language::Zh => "相关消息（已脱敏）",
        Language::En => "Messages (masked)",
    }
}

/// Who says it, and what.
pub(crate) fn message(speaker: Option<Speaker>, text: &str, language: Language) -> String {
    let who = match (speaker, language) {
        (None, _) => return text.to_owned(),
        (Some(Speaker::Customer), Language::Zh) => "客户：",
        (Some(Speaker::Agent), Language::Zh) => "坐席：",
        (Some(Speaker::Machine), Language::Zh) => "机器人：",
        (Some(Speaker::Supervisor), Language::Zh) => "主管：",
        (Some(Speaker::Customer), Language::En) => "customer: ",
        (Some(Speaker::Agent), Language::En) => "agent: ",
        (Some(Speaker::Machine), Language::En) => "robot: ",
        (Some(Speaker::Supervisor), Language::En) => "supervisor: ",
    };
    format!("{who}{text}")
}

/// A rule that matched, with the score and the message it was found in.
pub(crate) fn rule(rule: &str, probability: f64, event_id: &str, language: Language) -> String {
    match language {
        Language::Zh => format!("{rule}（得分 {probability:.2}，消息 {event_id}）"),
        Language::En => format!("{rule} (score {probability:.2}, message {event_id})"),
    }
}

/// What the link of a card is called.
pub(crate) fn open(language: Language) -> &'static str {
    match language {
        Language::Zh => "查看并处理",
        Language::En => "Open and answer",
    }
}

pub(crate) fn severity(severity: Severity, language: Language) -> &'static str {
    match (severity, language) {
        (Severity::Info, Language::Zh) => "提示",
        (Severity::Warning, Language::Zh) => "警告",
        (Severity::High, Language::Zh) => "高",
        (Severity::Critical, Language::Zh) => "严重",
        (Severity::Info, Language::En) => "info",
        (Severity::Warning, Language::En) => "warning",
        (Severity::High, Language::En) => "high",
        (Severity::Critical, Language::En) => "critical",
    }
}

fn family(family: Family, language: Language) -> &'static str {
    match (family, language) {
        (Family::Complaint, Language::Zh) => "客户投诉",
        (Family::Wording, Language::Zh) => "坐席用语",
        (Family::Sla, Language::Zh) => "响应超时",
        (Family::Crisis, Language::Zh) => "危机",
        (Family::Complaint, Language::En) => "Customer complaint",
        (Family::Wording, Language::En) => "Agent wording",
        (Family::Sla, Language::En) => "Response time",
        (Family::Crisis, Language::En) => "Crisis",
    }
}

/// Categories of urgent complaints by their Chinese names; what is not known stays as it is.
fn category(name: &str, language: Language) -> &str {
    if language == Language::En {
        return name;
    }
    match name {
        "crisis" => "人身危机",
        "safety" => "人身安全",
        "police" => "报警",
        "legal" => "法律诉讼",
        "regulator" => "监管投诉",
        "media" => "媒体曝光",
        "loss" => "资金损失",
        "repeat" => "重复投诉",
        other => other,
    }
}

fn reason(reason: Reason, language: Language) -> &'static str {
    match (reason, language) {
        (Reason::Triggered, Language::Zh) => "新事件",
        (Reason::NextStep, Language::Zh) => "上一步无人确认",
        (Reason::StepFailed, Language::Zh) => "上一步的通知均未送达",
        (Reason::Repeat, Language::Zh) => "一轮已结束，仍无人确认",
        (Reason::Fallback, Language::Zh) => "升级流程已走完，仍无人确认",
        (Reason::SeverityRise, Language::Zh) => "严重程度上升",
        (Reason::AckTimeout, Language::Zh) => "确认后超时未处理",
        (Reason::Reconfigured, Language::Zh) => "通知配置已变更",
        (Reason::SnoozeEnded, Language::Zh) => "暂缓时间已到",
        (Reason::Released, Language::Zh) => "静默已结束",
        (Reason::Reassigned, Language::Zh) => "已转派",
        (Reason::EscalatedNow, Language::Zh) => "有人要求立即升级",
        (Reason::Acknowledged, Language::Zh) => "已有人确认",
        (Reason::Resolved, Language::Zh) => "已解决",
        (Reason::Triggered, Language::En) => "new incident",
        (Reason::NextStep, Language::En) => "nobody acknowledged the step before",
        (Reason::StepFailed, Language::En) => "no page of the step before could be delivered",
        (Reason::Repeat, Language::En) => "nobody acknowledged; the policy starts again",
        (Reason::Fallback, Language::En) => "the policy has come to its end, nobody acknowledged",
        (Reason::SeverityRise, Language::En) => "the severity rose",
        (Reason::AckTimeout, Language::En) => "the acknowledgement timed out",
        (Reason::Reconfigured, Language::En) => "the configuration has changed",
        (Reason::SnoozeEnded, Language::En) => "the snooze has ended",
        (Reason::Released, Language::En) => "a silence has ended",
        (Reason::Reassigned, Language::En) => "it was reassigned",
        (Reason::EscalatedNow, Language::En) => "somebody escalated it",
        (Reason::Acknowledged, Language::En) => "somebody answers for it",
        (Reason::Resolved, Language::En) => "it is over",
    }
}

/// A span of time in its two largest units.
pub(crate) fn duration(ms: i64, language: Language) -> String {
    let seconds = ms.max(0) / 1_000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let parts = [
        (days, " 天", " d"),
        (hours, " 小时", " h"),
        (minutes, " 分钟", " min"),
        (seconds % 60, " 秒", " s"),
    ];
    let mut parts: Vec<String> = parts
        .into_iter()
        .skip_while(|(count, _, _)| *count == 0)
        .take(2)
        .filter(|(count, _, _)| *count > 0)
        .map(|(count, zh, en)| format!("{count}{}", if language == Language::Zh { zh } else { en }))
        .collect();
    if parts.is_empty() {
        parts.push(if language == Language::Zh { "0 秒" } else { "0 s" }.to_owned());
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_told_in_its_two_largest_units() {
        for (ms, zh, en) in [
            (0, "0 秒", "0 s"),
            (59_999, "59 秒", "59 s"),
            (60_000, "1 分钟", "1 min"),
            (3_600_000, "1 小时", "1 h"),
            (3_661_000, "1 小时 1 分钟", "1 h 1 min"),
            (90_061_000, "1 天 1 小时", "1 d 1 h"),
        ] {
            assert_eq!(duration(ms, Language::Zh), zh);
            assert_eq!(duration(ms, Language::En), en);
        }
    }
}
