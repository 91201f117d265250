import { useEffect, useMemo, useState } from "preact/hooks";
import type { ComponentChildren } from "preact";
import { type ActiveAgent, get, type Incident, type Metric, type Waiting, type Wall } from "../api";
import { useAnswer, useStream } from "../answer";
import { clock, count, counted, duration, moment, short } from "../format";
import { byGravity } from "../good";
import { Lines, Link, Panel, Shown, Tag } from "../parts";
import { t, valueName } from "../words";
import { aboutOf, titleOf } from "./incidents";

/** Seconds of a wait from which it is amber, and red (S3: an answer within 100 s, 120 s at the latest). */
const AMBER = 100_000;
const RED = 120_000;

const heatOf = (ms: number) => (ms >= RED ? "red" : ms >= AMBER ? "amber" : "");

/** Red once a reply is late, amber once that is near. */
function heatOfDue(one: Waiting, now: number): string {
  const passed = (time: string | undefined) => time !== undefined && new Date(time).getTime() < now;
  return passed(one.due_at) ? "red" : passed(one.close_at) ? "amber" : "";
}

function useNow(): number {
  const [now, set] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => set(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

/** How long somebody waits; as urgent as its target says, where there is one. */
function Wait(props: { since: string; now: number; of?: Waiting }) {
  const ms = Math.max(0, props.now - new Date(props.since).getTime());
  return <strong class={`wait ${props.of?.due_at ? heatOfDue(props.of, props.now) : heatOf(ms)}`}>{counted(ms)}</strong>;
}

/** How long until a reply is due, or by how much it is late. */
function Countdown(props: { of: Waiting; now: number }) {
  const { of: one, now } = props;
  if (!one.due_at) return null;
  const left = new Date(one.due_at).getTime() - now;
  const words = t(one.target === "frt" ? "target_frt" : "target_nrt");
  return (
    <strong class={`wait ${heatOfDue(one, now)}`} title={`${words}: ${moment(one.due_at)}`}>
      {t(left < 0 ? "overdue_by" : "due_in")} {counted(Math.abs(left))}
    </strong>
  );
}

/** Somebody who waits: what they said, since when, and until when an answer is due. */
function Line(props: { of: Waiting; now: number; may: (right: string) => boolean; lead: ComponentChildren }) {
  const { of: one } = props;
  return (
    <li class={one.urgent ? "urgent" : ""}>
      {props.lead}
      <div>
        <p class="said">{one.text ?? short(one.conversation_id)}</p>
        <p class="quiet">
          {one.urgent && <Tag of="urgent" />}
          {one.sentiment && <Tag of={one.sentiment} />}
          {one.target && <span class="tag">{t(one.target === "frt" ? "target_frt" : "target_nrt")}</span>}
          {one.channel} {one.queue} <span title={one.agent}>{one.agent && short(one.agent)}</span>{" "}
          {props.may("transcripts") && (
            <Link to={`/conversations/${encodeURIComponent(one.conversation_id)}`} label={`${t("conversation")} ${one.conversation_id}`}>
              {short(one.conversation_id)}
            </Link>
          )}
        </p>
      </div>
    </li>
  );
}

/** Who has how many conversations, and whose customer waits longest. */
function Agents(props: { of: ActiveAgent[]; now: number }) {
  return (
    <ul class="agents">
      {props.of.slice(0, 60).map((one) => (
        <li key={one.agent} class={one.longest_since ? heatOf(props.now - new Date(one.longest_since).getTime()) : ""}>
          <Link to={`/agents?agent=${encodeURIComponent(one.agent)}&range=24h`} label={`${t("by_agent")} ${one.agent}`}>
            {short(one.agent)}
          </Link>
          <dl>
            <dt>{t("open_short")}</dt>
            <dd>{count(one.open_conversations)}</dd>
            <dt>{t("waiting_short")}</dt>
            <dd>{count(one.waiting_customers)}</dd>
            <dt>{t("longest_wait")}</dt>
            <dd>{one.longest_since ? <Wait since={one.longest_since} now={props.now} /> : "–"}</dd>
            <dt>{t("last_message")}</dt>
            <dd>{one.last_message_at ? <time title={moment(one.last_message_at)}>{clock(one.last_message_at)}</time> : "–"}</dd>
          </dl>
        </li>
      ))}
    </ul>
  );
}

function Counter(props: { name: string; value: string; more?: string | undefined; heat?: string; id?: string }) {
  return (
    <article class={`counter ${props.heat ?? ""}`}>
      <h3>{props.name}</h3>
      <p class="figure">{props.value}</p>
      {props.more && <p class="quiet">{props.more}</p>}
      {props.id && <code class="id">{props.id}</code>}
    </article>
  );
}

export function WallPage(props: { metrics: Metric[]; may: (right: string) => boolean }) {
  const now = useNow();
  const wall = useStream<Wall>("/v1/wall:watch", "/v1/wall");
  const at = wall.data?.at;
  // Waits are counted by the server's clock, whatever the one of this screen says. How far it is ahead
  // is told when a wall arrives: later ones are some seconds apart.
  const ahead = useMemo(() => (at === undefined ? 0 : new Date(at).getTime() - Date.now()), [at]);
  const incidents = props.may("incidents");
  const open = useAnswer(
    `open ${incidents}`,
    async (signal) => (incidents ? await get<{ incidents: Incident[] }>("/v1/incidents?limit=12", signal) : { incidents: [] }),
    4_000,
  );
  const response = props.metrics.find((metric) => metric.id === "rt.first_unanswered.v1");
  const target = props.metrics.find((metric) => metric.id === "art.v1");
  return (
    <Shown of={wall}>
      {(seen) => {
        const steady = Math.abs(ahead) > 5_000 ? ahead : 0;
        const oldest = seen.waiting[0];
        const wait = oldest ? Math.max(0, now + steady - new Date(oldest.since).getTime()) : 0;
        const urgent = Number(seen.urgent_incidents);
        return (
          <>
            <div class="counters">
              <Counter name={t("waiting_customers")} value={count(seen.waiting_customers)} heat={Number(seen.waiting_customers) > 0 ? "amber" : ""} more={`${t("open_conversations")} ${count(seen.open_conversations)}`} />
              <Counter name={t("oldest")} value={oldest ? counted(wait) : "–"} heat={heatOf(wait)} id="rt.first_unanswered.v1" />
              <Counter
                name={t("at_risk")}
                value={seen.has_targets ? count(seen.at_risk) : "–"}
                heat={Number(seen.overdue) > 0 ? "red" : Number(seen.at_risk) > 0 ? "amber" : ""}
                more={seen.has_targets ? `${t("overdue_count")} ${count(seen.overdue)}` : t("no_targets")}
                id="sla.frt.v1"
              />
              <Counter name={t("urgent_incidents")} value={count(urgent)} heat={urgent > 0 ? "red" : ""} more={`${t("unacknowledged")} ${count(seen.unacknowledged_incidents)} · ${t("open_incidents")} ${count(seen.open_incidents)}`} />
              <Counter name={t("negative")} value={count(seen.negative_conversations)} more={`${t("agents_active")} ${count(seen.agents)}`} id="sentiment.v1" />
              <article class="counter">
                <h3>{t("response_lately")}</h3>
                <p class={seen.response.p50 === undefined ? "figure unmeasured" : "figure"}>{seen.response.p50 === undefined ? t("not_measured") : duration(seen.response.p50)}</p>
                <p class="quiet">
                  {t("p50")} · {t("p90")} {seen.response.p90 === undefined ? "–" : duration(seen.response.p90)} · {t("n")} {count(seen.response.n)}
                </p>
                {response && target && <Lines metric={{ ...response, benchmarks: target.benchmarks }} figure={seen.response} />}
                <code class="id">rt.first_unanswered.v1</code>
              </article>
            </div>
            {seen.has_targets && (
              <Panel title={t("at_risk")} id="sla.nrt.v1" class="risks">
                {seen.risks.length === 0 ? (
                  <p class="quiet">{t("nobody_at_risk")}</p>
                ) : (
                  <ul class="queue wide">
                    {seen.risks.slice(0, 12).map((one) => (
                      <Line key={one.conversation_id} of={one} now={now + steady} may={props.may} lead={<Countdown of={one} now={now + steady} />} />
                    ))}
                  </ul>
                )}
              </Panel>
            )}
            <div class="two">
              <Panel
                title={t("waiting_list")}
                aside={
                  <span class="live">
                    ● {t("live")} <time class="quiet">{clock(seen.at)}</time>
                  </span>
                }
              >
                {seen.waiting.length === 0 ? (
                  <p class="quiet empty">{t("nobody_waits")}</p>
                ) : (
                  <ul class="queue">
                    {seen.waiting.slice(0, 30).map((one) => (
                      <Line key={one.conversation_id} of={one} now={now + steady} may={props.may} lead={<Wait since={one.since} now={now + steady} of={one} />} />
                    ))}
                  </ul>
                )}
              </Panel>
              {incidents && (
                <Panel title={t("incidents")}>
                  <Shown of={open} empty={(list) => list.incidents.length === 0} none={t("no_incidents")}>
                    {(list) => (
                      <ul class="queue graded">
                        {[...list.incidents].sort(byGravity).map((one) => (
                          <li key={one.incident_id}>
                            <Tag of={one.severity} />
                            <div>
                              <p class="said">
                                <Link to={`/incidents/${one.incident_id}`}>{titleOf(one)}</Link>
                              </p>
                              <p class="quiet">
                                {aboutOf(one)} · {valueName(one.state)} {one.owner} {one.triggered_at && <time>{moment(one.triggered_at)}</time>}
                              </p>
                            </div>
                          </li>
                        ))}
                      </ul>
                    )}
                  </Shown>
                </Panel>
              )}
            </div>
            <Panel title={t("agents_now")}>
              {seen.active_agents.length === 0 ? <p class="quiet">{t(Number(seen.agents) > 0 ? "agents_withheld" : "no_agents_now")}</p> : <Agents of={seen.active_agents} now={now + steady} />}
            </Panel>
          </>
        );
      }}
    </Shown>
  );
}
