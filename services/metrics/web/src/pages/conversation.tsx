import { useEffect, useState } from "preact/hooks";
import { type Conversation, get, type Message, type Metric, type Reason } from "../api";
import { useAnswer } from "../answer";
import { duration, moment, short } from "../format";
import { ask, go, type Place } from "../place";
import { Choice, Link, Panel, Shown } from "../parts";
import { metricName, t, valueName, type Word } from "../words";
import { Behind } from "./metric";

const TARGETS = ["politeness", "sentiment", "complaint", "urgency"] as const;
/** Where a score starts before anything is added. */
const BASE: Record<string, number> = { politeness: 55, sentiment: 0, complaint: 0, urgency: 0.02 };

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
        const good = over.reduce((sum, mark) => sum + (mark.target === "complaint" || mark.target === "urgency" ? -Math.abs(mark.points) : mark.points), 0) >= 0;
        return (
          <mark key={from} class={good ? "good" : "bad"} title={over.map((mark) => `${t(mark.target as Word)} ${mark.points > 0 ? "+" : ""}${mark.points}: ${mark.rule}`).join("\n")}>
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
  const targets = TARGETS.filter((target) => message.reasons.some((reason) => reason.target === target));
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
        const reasons = message.reasons.filter((reason) => reason.target === target);
        const base = BASE[target] ?? 0;
        const sum = reasons.reduce((sum, reason) => sum + reason.points, base);
        const digits = target === "politeness" ? 1 : 3;
        return (
          <table key={target} class="contributions">
            <caption>
              {t(target)} <strong>{(score[target] ?? sum).toFixed(digits)}</strong> {target === "politeness" && valueName(message.politeness_label)}
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
                    {reason.class} {reason.rule !== reason.class && reason.rule}
                  </td>
                  <td class={`number ${reason.points < 0 ? "minus" : "plus"}`}>
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

const seconds = (s: number | undefined) => (s === undefined ? t("not_measured") : duration(s * 1000));
const tell = (yes: boolean | undefined) => (yes === undefined ? t("not_measured") : yes ? "✓" : "✕");

function Facts(props: { of: Conversation }) {
  const { cycles, turns, slots, promises, signals, incidents } = props.of;
  return (
    <>
      <Panel title={t("cycles")} id="frt.human.v1">
        {cycles.map((cycle) => (
          <dl key={cycle.cycle} class="facts">
            <dt>
              {cycle.cycle} · {cycle.resolved ? t("resolved") : cycle.ended_at ? t("ended") : t("still_open")}
            </dt>
            <dd>
              {t("first_reply")} {seconds(cycle.frt_human_seconds)} · {t("turns")} {cycle.turns} · {t("unanswered")} {cycle.unanswered}
            </dd>
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
        {cycles.length === 0 && <p class="quiet">{t("not_measured")}</p>}
      </Panel>
      {signals.length + incidents.length > 0 && (
        <Panel title={t("signals")}>
          <ul class="plain">
            {signals.map((signal) => (
              <li key={signal.signal_id} class={signal.corrected ? "corrected" : ""}>
                <span class={`tag ${signal.severity}`}>{valueName(signal.severity)}</span> {valueName(signal.kind)} {signal.category && valueName(signal.category)} <span class="quiet">{signal.rules.join(", ")}</span>
              </li>
            ))}
            {incidents.map((incident) => (
              <li key={incident.incident_id}>
                <span class={`tag ${incident.state}`}>{valueName(incident.state)}</span> <Link to={`/incidents/${incident.incident_id}`}>{short(incident.incident_id)}</Link>
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
        </ul>
        {turns.length === 0 && <p class="quiet">{t("not_measured")}</p>}
      </Panel>
      <Panel title={t("slots")} id="phrase.coverage.v1">
        <ul class="plain">
          {slots.map((slot, index) => (
            <li key={index} class={slot.present ? "said-it" : "missed-it"}>
              {slot.present ? "✓" : "✕"} {valueName(slot.slot)} <span class="quiet">{t(slot.present ? "said" : "missing")}</span>
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
                {valueName(promise.promise)} · {t("due")} {moment(promise.due_at)} <span class={`tag ${promise.state}`}>{valueName(promise.state)}</span>
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
    document.querySelector(".message.chosen")?.scrollIntoView({ block: "center" });
  }, [found.data === undefined]);
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
                            <span class={`tag ${one.politeness_label}`}>
                              {valueName(one.politeness_label)} {one.politeness.toFixed(0)}
                            </span>
                          )}
                          {one.sentiment && (
                            <span class={`tag ${one.sentiment}`}>
                              {valueName(one.sentiment)} {one.sentiment_value?.toFixed(2)}
                            </span>
                          )}
                          {(one.complaint === "complaint" || one.complaint === "urgent") && (
                            <span class={`tag ${one.complaint === "urgent" ? "critical" : "warning"}`}>
                              {valueName(one.complaint)} {one.complaint_category && valueName(one.complaint_category)}
                            </span>
                          )}
                          {one.forbidden && <span class="tag critical">{valueName("forbidden_wording")}</span>}
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
              <Facts of={data} />
            </div>
          </div>
        );
      }}
    </Shown>
  );
}

/** Finding a conversation: by its id, or by what was measured of it. */
export function ConversationsPage(props: { metrics: Metric[]; place: Place }) {
  const [id, setId] = useState("");
  const wanted = props.place.search.get("metric") ?? "rt.first_unanswered.v1";
  const metric = props.metrics.find((one) => one.id === wanted) ?? props.metrics[0];
  if (!metric) return null;
  return (
    <>
      <div class="bar-of-choices">
        <Choice label={t("metric")} of={props.metrics.map((one) => one.id)} chosen={metric.id} name={metricName} choose={(one) => ask({ metric: one })} />
        <form
          class="look-up"
          onSubmit={(event) => {
            event.preventDefault();
            if (id.trim()) go(`/conversations/${encodeURIComponent(id.trim())}`);
          }}
        >
          <label class="choice">
            <span>{t("conversation_id")}</span>
            <input value={id} onInput={(event) => setId(event.currentTarget.value)} />
          </label>
          <button type="submit">{t("look_up")}</button>
        </form>
      </div>
      <Behind metric={metric} place={props.place} />
    </>
  );
}

