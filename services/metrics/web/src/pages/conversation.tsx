import { useEffect, useState } from "preact/hooks";
import { type Conversation, get, type Message, type Metric, type Reason, type WaitingHere } from "../api";
import { useAnswer } from "../answer";
import { duration, moment, short } from "../format";
import { ask, type Place } from "../place";
import { pull, toneOfPoints } from "../good";
import { Choice, Link, Named, Panel, Shown, Tag } from "../parts";
import { isRule, metricName, quoted, ruleName, t, valueName } from "../words";
import { saidRule } from "../said";
import { Behind } from "./metric";

const TARGETS = ["politeness", "sentiment", "complaint", "urgency"];
/** Where a score starts before anything is added. */
const BASE: Record<string, number> = { politeness: 55, sentiment: 0, complaint: 0, urgency: 0.02 };

/** What a reason rests on, in words. */
function inWords(reason: Reason): string {
  if (reason.class === "rule" || reason.class === "head") return isRule(reason.rule) ? ruleName(reason.rule) : reason.rule;
  return reason.rule === reason.class ? valueName(reason.class) : `${valueName(reason.class)} ${quoted(reason.rule)}`;
}

/** The same on the page, with the names of the engine to point at. */
function Because(props: { reason: Reason }) {
  const { reason } = props;
  const name = reason.rule === reason.class ? reason.class : `${reason.class} · ${reason.rule}`;
  const isOfRule = reason.class === "rule" || reason.class === "head";
  if (isOfRule && !isRule(reason.rule)) return <Named of={reason.rule} />;
  if (isOfRule) return <span title={name}>{ruleName(reason.rule)}</span>;
  return (
    <span title={name}>
      <Named of={reason.class} /> {reason.rule !== reason.class && quoted(reason.rule)}
    </span>
  );
}

/** A message's text with the words that its scores rest on marked. Offsets count Unicode scalars. */
function Text(props: { message: Message }) {
  const scalars = [...props.message.text];
  const whole = (reason: Reason) => reason.start === 0 && reason.end >= scalars.length;
  const marks = props.message.reasons.filter((reason) => reason.end > reason.start && !whole(reason));
  const cuts = [...new Set([0, scalars.length, ...marks.flatMap((mark) => [mark.start, Math.min(mark.end, scalars.length)])])].sort((a, b) => a - b);
  return (
    <p class="text">
      {cuts.slice(0, -1).map((from, index) => {
        const to = cuts[index + 1] ?? scalars.length;
        const words = scalars.slice(from, to).join("");
        const over = marks.filter((mark) => mark.start <= from && to <= mark.end);
        const first = over[0];
        if (!first) return words;
        const sum = over.reduce((sum, mark) => sum + Math.sign(pull(mark.target, mark.points)), 0);
        return (
          <mark key={from} class={sum > 0 ? "good" : sum < 0 ? "bad" : "plain"} title={over.map((mark) => `${valueName(mark.target)} ${mark.points > 0 ? "+" : ""}${mark.points}: ${inWords(mark)}`).join("\n")}>
            {words}
          </mark>
        );
      })}
    </p>
  );
}

/** How each score of a message comes about: where it starts, what is added, what it comes to. */
function Explained(props: { message: Message }) {
  const { message } = props;
  const scalars = [...message.text];
  // Known ones first, in the order of the scores; what else there is under the name it has.
  const targets = [...new Set([...TARGETS, ...message.reasons.map((reason) => reason.target)])].filter((target) => message.reasons.some((reason) => reason.target === target));
  const score: Record<string, number | undefined> = {
    politeness: message.politeness,
    sentiment: message.sentiment_value,
    urgency: message.urgent_probability,
  };
  if (message.politeness !== undefined && !targets.includes("politeness")) targets.unshift("politeness");
  return (
    <>
      <p class="quiet">{message.text}</p>
      {targets.length === 0 && <p class="quiet">{t("not_measured")}</p>}
      {targets.map((target) => {
        // What follows from the others comes after them.
        const isLast = (reason: Reason) => Number(reason.class === "rule" && reason.rule === "range");
        const reasons = message.reasons.filter((reason) => reason.target === target).sort((a, b) => isLast(a) - isLast(b));
        const base = BASE[target] ?? 0;
        const sum = reasons.reduce((sum, reason) => sum + reason.points, base);
        const digits = target === "politeness" ? 1 : 3;
        return (
          <table key={target} class="contributions">
            <caption>
              {valueName(target)} <strong>{(score[target] ?? sum).toFixed(digits)}</strong> {target === "politeness" && valueName(message.politeness_label)}
              {target === "sentiment" && valueName(message.sentiment)}
              {target === "urgency" && message.complaint_category && valueName(message.complaint_category)}
            </caption>
            <tbody>
              {base !== 0 && (
                <tr>
                  <th scope="row">{t("start")}</th>
                  <td />
                  <td class="number">{base}</td>
                </tr>
              )}
              {reasons.map((reason, index) => (
                <tr key={index}>
                  <th scope="row">{reason.start === 0 && reason.end >= scalars.length ? <em>{t("whole_message")}</em> : scalars.slice(reason.start, reason.end).join("")}</th>
                  <td class="quiet">
                    <Because reason={reason} />
                  </td>
                  <td class={`number ${isLast(reason) ? "" : toneOfPoints(reason.target, reason.points)}`}>
                    {reason.points > 0 ? "+" : ""}
                    {Number(reason.points.toFixed(3))}
                  </td>
                </tr>
              ))}
              <tr class="sum">
                <th scope="row">{t("sum")}</th>
                <td />
                <td class="number">{sum.toFixed(digits)}</td>
              </tr>
            </tbody>
          </table>
        );
      })}
      {message.engine && (
        <p class="quiet">
          {t("engine")} {message.engine} · {message.library.slice(0, 12)} · <code class="id">politeness.v1</code> <code class="id">sentiment.v1</code>
        </p>
      )}
    </>
  );
}

/** Whether the customer waits: told from the messages, since an unanswered turn is no fact yet. */
function WaitingNow(props: { of: WaitingHere | undefined; choose: (event: string) => void }) {
  const { of: waiting } = props;
  if (!waiting) return <dd class="quiet">{t("nobody_waiting")}</dd>;
  return (
    <dd class="missed-it">
      <button type="button" class="plain-link" onClick={() => props.choose(waiting.first_event_id)}>
        {t("waiting_since")} <time>{moment(waiting.since)}</time>
      </button>{" "}
      · {waiting.messages} {t("waiting_messages")}
    </dd>
  );
}

const seconds = (s: number | undefined) => (s === undefined ? t("not_measured") : duration(s * 1000));
const tell = (yes: boolean | undefined) => (yes === undefined ? t("not_measured") : yes ? "✓" : "✕");

function Facts(props: { of: Conversation; choose: (event: string) => void }) {
  const { cycles, turns, slots, promises, signals, incidents, waiting } = props.of;
  const open = cycles.some((cycle) => !cycle.ended_at);
  return (
    <>
      <Panel title={t("cycles")} id="frt.human.v1">
        {cycles.map((cycle) => (
          <dl key={cycle.cycle} class="facts">
            <dt>
              {cycle.cycle} · {cycle.resolved ? t("resolved") : cycle.ended_at ? t("ended") : t("still_open")}
            </dt>
            <dd>
              {t("first_reply")} {cycle.frt_human_seconds === undefined && !cycle.ended_at ? t("not_yet") : seconds(cycle.frt_human_seconds)} · {t("turns")} {cycle.turns} · {t("unanswered")} {cycle.unanswered}
            </dd>
            {!cycle.ended_at && <WaitingNow of={waiting} choose={props.choose} />}
            {cycle.care && (
              <>
                <dd>
                  {metricName("cl5.v1")} {cycle.care.cl5?.toFixed(2) ?? t("not_measured")} <code class="id">cl5.v1</code>
                </dd>
                <dd>
                  {metricName("emo.conv.v1")} {tell(cycle.care.converted)} <code class="id">emo.conv.v1</code>
                </dd>
                {cycle.care.complaint && (
                  <dd>
                    {metricName("funnel.identification.v1")} {tell(cycle.care.identified)} · {metricName("funnel.emotion.v1")} {tell(cycle.care.felt)} · {metricName("funnel.solution.v1")} {tell(cycle.care.solved)} ·{" "}
                    {metricName("funnel.follow_up.v1")} {tell(cycle.care.followed_up)} <code class="id">funnel.v1</code>
                  </dd>
                )}
              </>
            )}
          </dl>
        ))}
        {!open && waiting && (
          <dl class="facts">
            <dt>{t("still_open")}</dt>
            <WaitingNow of={waiting} choose={props.choose} />
          </dl>
        )}
        {cycles.length === 0 && !waiting && <p class="quiet">{t("not_measured")}</p>}
      </Panel>
      {signals.length + incidents.length > 0 && (
        <Panel title={t("signals")}>
          <ul class="plain">
            {signals.map((signal) => (
              <li key={signal.signal_id} class={signal.corrected ? "corrected" : ""}>
                <Tag of={signal.severity} /> <Named of={signal.kind} /> {signal.category && <Named of={signal.category} />}{" "}
                <span class="quiet">
                  {signal.rules.filter((rule) => rule !== "range").map((rule, index) => (
                    <span key={rule}>
                      {index > 0 && " · "}
                      <span title={rule}>{saidRule(rule)}</span>
                    </span>
                  ))}
                </span>
              </li>
            ))}
            {incidents.map((incident) => (
              <li key={incident.incident_id}>
                <Tag of={incident.state} /> <Link to={`/incidents/${incident.incident_id}`}>{short(incident.incident_id)}</Link>
              </li>
            ))}
          </ul>
        </Panel>
      )}
      <Panel title={t("turns")} id="rt.first_unanswered.v1">
        <ul class="plain">
          {turns.map((turn) => (
            <li key={`${turn.cycle}/${turn.turn}`}>
              {turn.turn} · {turn.answer_event_id ? seconds(turn.rt_first_unanswered_seconds) : t("unanswered")} <span class="quiet">{short(turn.agent)}</span>
            </li>
          ))}
          {waiting && <li class="missed-it">{t("waits_here")}</li>}
        </ul>
        {turns.length === 0 && !waiting && <p class="quiet">{t("not_measured")}</p>}
      </Panel>
      <Panel title={t("slots")} id="phrase.coverage.v1">
        <ul class="plain">
          {slots.map((slot, index) => (
            <li key={index} class={slot.present ? "said-it" : "missed-it"}>
              {slot.present ? "✓" : "✕"} <Named of={slot.slot} /> <span class="quiet">{t(slot.present ? "said" : "missing")}</span>
            </li>
          ))}
        </ul>
        {slots.length === 0 && <p class="quiet">{t("not_measured")}</p>}
      </Panel>
      {promises.length > 0 && (
        <Panel title={t("promises")} id="promise.v1">
          <ul class="plain">
            {promises.map((promise, index) => (
              <li key={index}>
                <Named of={promise.promise} /> · {t("due")} {moment(promise.due_at)} <Tag of={promise.state} />
              </li>
            ))}
          </ul>
        </Panel>
      )}
    </>
  );
}

export function ConversationPage(props: { id: string; place: Place }) {
  const found = useAnswer(`conversation ${props.id}`, (signal) => get<Conversation>(`/v1/conversations/${encodeURIComponent(props.id)}`, signal), 10_000);
  const [chosen, choose] = useState(props.place.search.get("event") ?? "");
  useEffect(() => {
    document.querySelector(".message.chosen")?.scrollIntoView({ block: "nearest" });
  }, [found.data === undefined, chosen]);
  return (
    <Shown of={found}>
      {(data) => {
        const message = data.messages.find((one) => one.event_id === chosen);
        const answers = new Map(data.turns.filter((turn) => turn.answer_event_id).map((turn) => [turn.answer_event_id, turn]));
        const changed = new Map(data.messages.flatMap((one) => (one.supersedes ? [[one.supersedes, "edit"]] : one.deletes ? [[one.deletes, "delete"]] : []) as [string, string][]));
        return (
          <div class="conversation">
            <Panel title={t("messages")} id={data.conversation_id}>
              <ol class="messages">
                {data.messages.map((one) => {
                  if (one.type !== "message" && one.type !== "edit") {
                    return (
                      <li key={one.event_id} class="event">
                        <time>{moment(one.sent_at)}</time> {valueName(one.type)} {one.status && valueName(one.status)} {one.role && valueName(one.role)}
                      </li>
                    );
                  }
                  const turn = answers.get(one.event_id);
                  return (
                    <li key={one.event_id} class={`message ${one.role} ${one.private ? "private" : ""} ${one.event_id === chosen ? "chosen" : ""} ${changed.get(one.event_id) ?? ""}`}>
                      <button type="button" aria-pressed={one.event_id === chosen} onClick={() => choose(one.event_id === chosen ? "" : one.event_id)}>
                        <span class="who">
                          {valueName(one.role)} {one.subtype && valueName(one.subtype)} {one.private && t("private")} {one.type === "edit" && valueName("edit")} <span title={one.author}>{short(one.author)}</span> <time>{moment(one.sent_at)}</time>
                        </span>
                        <Text message={one} />
                        <span class="scores">
                          {one.politeness !== undefined && (
                            <Tag of={one.politeness_label}>
                              {valueName(one.politeness_label)} {one.politeness.toFixed(0)}
                            </Tag>
                          )}
                          {one.sentiment && (
                            <Tag of={one.sentiment}>
                              {valueName(one.sentiment)} {one.sentiment_value?.toFixed(2)}
                            </Tag>
                          )}
                          {(one.complaint === "complaint" || one.complaint === "urgent") && (
                            <Tag of={one.complaint}>
                              {valueName(one.complaint)} {one.complaint_category && valueName(one.complaint_category)}
                            </Tag>
                          )}
                          {one.forbidden && <Tag of="forbidden_wording" />}
                          {turn && <span class="tag rt">{seconds(turn.rt_first_unanswered_seconds)}</span>}
                        </span>
                      </button>
                    </li>
                  );
                })}
              </ol>
            </Panel>
            <div class="side">
              <Panel title={t("score_of")} class={message ? "explained" : ""}>{message ? <Explained message={message} /> : <p class="quiet">{t("click_message")}</p>}</Panel>
              <Facts of={data} choose={choose} />
            </div>
          </div>
        );
      }}
    </Shown>
  );
}

/** Conversations by what was measured of them; those of one customer if the link names one. */
export function ConversationsPage(props: { metrics: Metric[]; place: Place }) {
  const wanted = props.place.search.get("metric") ?? "rt.first_unanswered.v1";
  const metric = props.metrics.find((one) => one.id === wanted) ?? props.metrics[0];
  const customer = props.place.search.get("customer");
  if (!metric) return null;
  return (
    <>
      <div class="bar-of-choices">
        <Choice label={t("metric")} of={props.metrics.map((one) => one.id)} chosen={metric.id} name={metricName} choose={(one) => ask({ metric: one })} />
        {customer !== null && (
          <button type="button" class="chip" title={`${t("clear")}: ${customer}`} onClick={() => ask({ customer: undefined })}>
            {t("by_customer")}: {short(customer)} ✕
          </button>
        )}
      </div>
      <Behind metric={metric} place={props.place} />
    </>
  );
}
