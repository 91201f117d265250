import { useEffect, useState } from "preact/hooks";
import { get, type Incident, type Metric, type Wall } from "../api";
import { useAnswer, useStream } from "../answer";
import { clock, count, duration, short } from "../format";
import { Lines, Link, Panel, Shown } from "../parts";
import { t, valueName } from "../words";

/** Seconds of a wait from which it is amber, and red (S3: an answer within 100 s, 120 s at the latest). */
const AMBER = 100_000;
const RED = 120_000;

function useNow(): number {
  const [now, set] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => set(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

function Wait(props: { since: string; now: number; ahead: number }) {
  const ms = Math.max(0, props.now + props.ahead - new Date(props.since).getTime());
  const heat = ms >= RED ? "red" : ms >= AMBER ? "amber" : "";
  return <strong class={`wait ${heat}`}>{duration(Math.floor(ms / 1000) * 1000)}</strong>;
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
  const incidents = props.may("incidents");
  const open = useAnswer(
    `open ${incidents}`,
    async (signal) => (incidents ? await get<{ incidents: Incident[] }>("/v1/incidents?limit=20", signal) : { incidents: [] }),
    4_000,
  );
  const response = props.metrics.find((metric) => metric.id === "rt.first_unanswered.v1");
  const target = props.metrics.find((metric) => metric.id === "art.v1");
  return (
    <Shown of={wall}>
      {(seen) => {
        // Waits are counted by the server's clock, whatever the one of this screen says.
        const ahead = new Date(seen.at).getTime() - Date.now();
        const steady = Math.abs(ahead) > 5_000 ? ahead : 0;
        const oldest = seen.waiting[0];
        const wait = oldest ? new Date(seen.at).getTime() - new Date(oldest.since).getTime() : 0;
        const urgent = Number(seen.urgent_incidents);
        return (
          <>
            <div class="counters">
              <Counter name={t("waiting_customers")} value={count(seen.waiting_customers)} heat={Number(seen.waiting_customers) > 0 ? "amber" : ""} more={`${t("open_conversations")} ${count(seen.open_conversations)}`} />
              <Counter name={t("oldest")} value={oldest ? duration(Math.floor(wait / 1000) * 1000) : "–"} heat={wait >= RED ? "red" : wait >= AMBER ? "amber" : ""} id="rt.first_unanswered.v1" />
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
                      <li key={one.conversation_id} class={one.urgent ? "urgent" : ""}>
                        <Wait since={one.since} now={now} ahead={steady} />
                        <div>
                          <p class="said">{one.text ?? short(one.conversation_id)}</p>
                          <p class="quiet">
                            {one.urgent && <span class="tag critical">{t("urgent")}</span>}
                            {one.sentiment && <span class={`tag ${one.sentiment}`}>{valueName(one.sentiment)}</span>}
                            {one.channel} {one.queue} {one.agent && short(one.agent)}{" "}
                            {props.may("transcripts") && <Link to={`/conversations/${encodeURIComponent(one.conversation_id)}`}>{short(one.conversation_id)}</Link>}
                          </p>
                        </div>
                      </li>
                    ))}
                  </ul>
                )}
              </Panel>
              {incidents && (
                <Panel title={t("incidents")}>
                  <Shown of={open} empty={(list) => list.incidents.length === 0} none={t("no_incidents")}>
                    {(list) => (
                      <ul class="queue">
                        {list.incidents.map((one) => (
                          <li key={one.incident_id}>
                            <span class={`tag ${one.severity}`}>{valueName(one.severity)}</span>
                            <div>
                              <p class="said">
                                <Link to={`/incidents/${one.incident_id}`}>{one.evidence[0]?.excerpt || valueName(one.kind)}</Link>
                              </p>
                              <p class="quiet">
                                {valueName(one.category || one.kind)} · {valueName(one.state)} {one.owner} {one.triggered_at && <time>{clock(one.triggered_at)}</time>}
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
          </>
        );
      }}
    </Shown>
  );
}
