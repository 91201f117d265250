// What services say in English sentences, in Chinese. Where the contract has a code there are words
// for it in words.ts; these are the sentences that are kept as they were said: notes of timelines,
// results of deliveries, answers to commands. One that is not known here stays as it is.

import { isRule, language, quoted, ruleName, tell, valueName } from "./words";

/** `$1` and so on stand for what the groups hold. */
const SENTENCES: [RegExp, string][] = (
  [
    // Timelines of incidents.
    ["nobody is reachable: the team has no destination; configure one to page for this incident", "联系不到任何人：班组没有配置通知渠道，请为此事件配置一个"],
    ["the policy has come to its end and nobody has acknowledged", "升级策略已走完，仍无人认领"],
    ["historical: recorded, nobody is paged", "历史数据：只记录，不通知"],
    ["within the cool-down of the resolved incident: nobody is paged", "仍在已解决事件的冷却期内，不通知"],
    ["the severity rose", "级别上升"],
    ["a person was erased", "已按要求删除个人数据"],
    ["the acknowledgement of (.+) timed out", "$1 认领后超时未处理"],
    ["the snooze of (.+) has ended", "$1 的暂缓已到期"],
    ["(.+) is at work in the conversation", "$1 正在处理该会话"],
    ["step (\\d+) of (\\d+), pass (\\d+)", "第 $1 步（共 $2 步），第 $3 轮"],
    ["nobody was to be paged for it, and nobody has taken it", "此类事件不通知，也没有人处理"],
    ["maintenance has ended, the policy goes on", "维护窗口已结束，升级策略继续"],
    ["the team can be paged since its configuration changed", "配置变更后，班组可以收到通知"],
    ["the destination is no longer configured as it was", "该通知渠道的配置已变更"],
    ["its kind pages nobody", "此类事件不通知"],
    ["silence (\\S+) matches it", "与静默 $1 匹配"],
    ["maintenance window (\\S+) matches it", "与维护窗口 $1 匹配"],
    ["(.+) is in the conversation", "$1 正在该会话中"],
    ["too many incidents of its queue are open, one of kind storm pages for all", "该队列未解决事件过多，由一条汇总事件统一通知"],
    ["everybody of its policy has quiet hours, or nobody is on call", "策略中的人都在免打扰时段，或无人值班"],
    ["done already when the command came first", "此前已经执行过"],
    ["no destination of its policy is configured any more: it starts again with the policy of now", "原策略的通知渠道都已不在配置中，按现在的策略重新开始"],
    // Results of deliveries.
    ["the incident was acknowledged", "事件已被认领"],
    ["the incident was snoozed", "事件已暂缓"],
    ["the incident was reassigned", "事件已转派"],
    ["the incident was suppressed", "事件暂不通知"],
    ["the incident was resolved", "事件已解决"],
    ["quiet hours", "免打扰时段"],
    ["a later step pages the same destination", "后面的步骤会通知同一渠道"],
    // Answers to commands.
    ["no such incident: it does not exist or was resolved over 24 hours ago", "没有这个事件：不存在，或已解决超过 24 小时"],
    ["the incident has changed since: version (\\d+) was seen, it is at (\\d+) now; look again and repeat the command with a new id", "事件刚刚已被更改（看到的是版本 $1，现在是 $2），请看最新状态后再操作"],
    ["the page is still on its way and is tried again by itself", "通知仍在发送，会自动重试"],
    ["(.+) has acknowledged it already", "$1 已经认领"],
    ["it is resolved already", "事件已经解决"],
    ["it is marked as a false positive already", "已经标为误报"],
    ["a snooze ends later than now and within 7 days; this one would last .*", "暂缓须在现在之后、7 天之内结束"],
    ['the team has no destination or policy called "(.+)"; name one of its configuration', "班组没有名为“$1”的通知渠道或策略，请填配置中的名称"],
    ["the command id was used for another command; choose a new one", "命令编号已用于另一条命令"],
    // Why something was not measured.
    ["nothing was observed", "没有观测值"],
    ["agents are not scored", "坐席不评分"],
    // Where the platforms' ways of counting come from.
    ["diantuoyi\\.com/article/4966 \\(average\\), g8108\\.cn \\(3-minute rate\\); merchants' pages, not the platform's own", "diantuoyi.com/article/4966（均值）、g8108.cn（3 分钟回复率）；商家资料，非平台官方"],
    ["insight\\.xiaoduoai\\.com D1qA; a merchant tool's page, not the platform's own", "insight.xiaoduoai.com D1qA；商家工具资料，非平台官方"],
    ["gstsqh\\.com\\.cn, cymth\\.com; merchants' pages that disagree on an older limit of one hour", "gstsqh.com.cn、cymth.com；商家资料，对早期一小时上限说法不一"],
  ] as [string, string][]
).map(([said, words]) => [new RegExp(`^${said}$`), words]);

/** Begins the words for what holds an incident's pages back. */
const UNPAGED = "nobody is paged: ";

function one(sentence: string): string | undefined {
  if (sentence.startsWith(UNPAGED)) return `不通知任何人：${said(sentence.slice(UNPAGED.length))}`;
  for (const [said, words] of SENTENCES) if (said.test(sentence)) return sentence.replace(said, words);
  return undefined;
}

/** A sentence of a service in the reader's language, as far as it is known. */
export function said(sentence: string): string {
  if (language() !== "zh") return sentence;
  return one(sentence) ?? sentence.split("; ").map((part) => one(part) ?? part).join("；");
}

/** What a rule that counts says in a word; undefined for any other. */
export function asSaid(rule: string): string | undefined {
  const again = /^complaints_(\d+)_in_(\d+)d$/.exec(rule);
  if (again?.[1] && again[2]) return tell("complains_nth", again[2], again[1]);
  const burst = /^(\d+)_in_(\d+)min_usual_([\d.]+)$/.exec(rule);
  if (burst?.[1] && burst[2] && burst[3]) return tell("burst_of", burst[2], burst[1], burst[3]);
  const about = /^burst\.(\w+)$/.exec(rule);
  if (about?.[1]) return tell("burst_by", valueName(about[1]));
  const risk = /^risk_(\d+)$/.exec(rule);
  if (risk?.[1]) return tell("burst_risk", risk[1]);
  return undefined;
}

/** A rule of a signal in words: one that counts, one of the engine, or the phrase that was found. */
export const saidRule = (rule: string): string => asSaid(rule) ?? (isRule(rule) ? ruleName(rule) : quoted(rule));
