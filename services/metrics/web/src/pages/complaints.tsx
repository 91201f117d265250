import { type Complaints, type ComplaintSignal, type Metric, post } from "../api";
import { useAnswer } from "../answer";
import { count, group, moment, percent, short, value } from "../format";
import { keeping, type Place, scopeOf } from "../place";
import { verdict } from "../good";
import { interval, Link, Named, Panel, Scroll, Shown, Tag, Tile } from "../parts";
import { asSaid } from "../said";
import { about, metricName, t, valueName } from "../words";
import { useComparison } from "./figures";
import { Breakdown } from "./metric";
import { SeriesPanel } from "./overview";

const TILES = ["complaint.rate.v1", "complaint.urgent.v1", "escalation.rate.v1", "complaint.again.v1", "promise.v1", "soothing.v1"];
const FUNNEL = ["funnel.identification.v1", "funnel.emotion.v1", "funnel.solution.v1", "funnel.follow_up.v1"];

/** The conversations of a metric that failed, or those that count. */
const behind = (metric: string, order: "least" | "greatest", more: Record<string, string> = {}) => keeping("/conversations", { metric, order, ...more });

function Step(props: { metric: Metric; place: Place; reads: boolean }) {
  const { metric } = props;
  const compared = useComparison(metric, props.place);
  return (
    <tr title={about(metric.about)}>
      <th scope="row">
        <Link to={keeping(`/metrics/${metric.id}`)}>{metricName(metric.id).replace(/^.*[：:]\s*/, "")}</Link>
      </th>
      {compared.data === undefined ? (
        <td colSpan={5}>
          <Shown of={compared}>{() => null}</Shown>
        </td>
      ) : (
        <StepFigures metric={metric} figure={compared.data.current} reads={props.reads} />
      )}
    </tr>
  );
}

function StepFigures(props: { metric: Metric; figure: { n: string; value?: number; low?: number; high?: number }; reads: boolean }) {
  const { metric, figure } = props;
  const line = metric.benchmarks[0];
  const failed = figure.value === undefined ? 0 : Math.round(Number(figure.n) * (1 - figure.value));
  return (
    <>
      <td class="number">{value(metric, figure.value)}</td>
      <td class="track">
        <div class="funnel" role="img" aria-label={interval(metric, figure) ?? t("not_measured")} title={interval(metric, figure)}>
          <i class={line ? verdict(metric, figure, line) : ""} style={{ width: percent(figure.value ?? 0) }} />
          {line && <b style={{ left: percent(line.value) }} title={`${t("reference")} ${percent(line.value)}`} />}
        </div>
      </td>
      <td class="number">{line ? percent(line.value) : ""}</td>
      <td class="number">{count(figure.n)}</td>
      <td class="number">{props.reads && failed > 0 ? <Link to={behind(metric.id, "least")}>{count(failed)}</Link> : count(failed)}</td>
    </>
  );
}

function Funnel(props: { metrics: Metric[]; place: Place; reads: boolean }) {
  return (
    <Panel title={t("funnel")} id="funnel.v1" csv>
      <Scroll label={t("funnel")}>
        <table class="list">
          <thead>
            <tr>
              <th>{t("stage")}</th>
              <th class="number">{t("share")}</th>
              <th class="track" />
              <th class="number">{t("reference")}</th>
              <th class="number">{t("n")}</th>
              <th class="number">{t("failed")}</th>
            </tr>
          </thead>
          <tbody>
            {props.metrics.map((metric) => (
              <Step key={metric.id} metric={metric} place={props.place} reads={props.reads} />
            ))}
          </tbody>
        </table>
      </Scroll>
      <p class="quiet">{t("funnel_about")}</p>
    </Panel>
  );
}

/** Counts, each a way to the conversations behind it. */
function Count(props: { n: string; to: string | undefined }) {
  return <td class="number">{props.to && Number(props.n) > 0 ? <Link to={props.to}>{count(props.n)}</Link> : count(props.n)}</td>;
}

/** What a signal rests on, which its rules say in a word; what it is about stands beside it. */
function inWords(rules: string[]): string {
  const words = rules.filter((rule) => !rule.startsWith("burst.")).map(asSaid);
  return words.filter((one) => one !== undefined).join(" · ") || t("complains_again");
}

function Signals(props: { of: ComplaintSignal[]; burst: boolean }) {
  return (
    <ul class="queue graded tall">
      {props.of.map((one, index) => (
        <li key={index}>
          <Tag of={one.severity} />
          <div>
            <p class="said">
              {props.burst && `${t(`about_${one.dimension}` as "about_topic")} ${group(one.dimension, one.value)} · `}
              {inWords(one.rules)}
            </p>
            <p class="quiet">
              <time>{moment(one.at)}</time> {one.excerpt}{" "}
              {one.conversation_id && <Link to={`/conversations/${encodeURIComponent(one.conversation_id)}`}>{short(one.conversation_id)}</Link>}
              {one.related.length > 0 && ` ${t(props.burst ? "comes_from" : "before_it")}: `}
              {one.related.slice(0, 5).map((id) => (
                <>
                  <Link key={id} to={`/conversations/${encodeURIComponent(id)}`}>
                    {short(id)}
                  </Link>{" "}
                </>
              ))}
            </p>
          </div>
        </li>
      ))}
    </ul>
  );
}

export function ComplaintsPage(props: { metrics: Metric[]; place: Place; theme: string; may: (right: string) => boolean }) {
  const { metrics, place } = props;
  const reads = props.may("transcripts");
  const find = (ids: string[]) => ids.map((id) => metrics.find((metric) => metric.id === id)).filter((metric) => metric !== undefined);
  const [rate] = find(["complaint.rate.v1"]);
  const [solved] = find(["funnel.solution.v1"]);
  const known = useAnswer(
    `complaints ${place.search}`,
    (signal) => {
      const { from, to, filter } = scopeOf(place, ["channel", "queue"]);
      return post<Complaints>("/v1/complaints", { from, to, filter }, signal);
    },
    30_000,
  );
  if (!rate || !solved) return null;
  return (
    <>
      <div class="tiles">
        {find(TILES).map((metric) => (
          <ComplaintTile key={metric.id} metric={metric} place={place} />
        ))}
      </div>
      <Funnel metrics={find(FUNNEL)} place={place} reads={reads} />
      <SeriesPanel metric={rate} place={place} theme={props.theme} link />
      <div class="two">
        <Panel title={t("urgent_by")} id="complaint.urgent.v1" csv>
          <Shown of={known}>
            {({ urgent }) => urgent.length === 0 ? <p class="quiet">{t("no_urgent")}</p> : (
              <table class="list">
                <thead>
                  <tr>
                    <th>{t("by_category")}</th>
                    <th class="number">{t("messages")}</th>
                    <th class="number">{t("conversations")}</th>
                  </tr>
                </thead>
                <tbody>
                  {urgent.map((one) => (
                    <tr key={one.category}>
                      <th scope="row">{one.category ? <Named of={one.category} /> : t("no_category")}</th>
                      <td class="number">{count(one.messages)}</td>
                      <Count n={one.conversations} to={reads ? behind("complaint.urgent.v1", "greatest", { category: one.category }) : undefined} />
                    </tr>
                  ))}
                </tbody>
              </table>
            )}
          </Shown>
        </Panel>
        <Panel title={t("promises")} id="promise.v1" csv>
          <Shown of={known}>
            {({ promises }) => promises.length === 0 ? <p class="quiet">{t("no_promises")}</p> : (
              <Scroll label={t("promises")}>
                <table class="list">
                  <thead>
                    <tr>
                      <th>{t("by_promise")}</th>
                      <th class="number">{t("made")}</th>
                      <th class="number">{valueName("kept")}</th>
                      <th class="number">{valueName("broken")}</th>
                      <th class="number">{valueName("pending")}</th>
                      <th class="number">{t("overdue")}</th>
                      <th class="number">{t("not_known")}</th>
                    </tr>
                  </thead>
                  <tbody>
                    {promises.map((one) => {
                      const to = (order: "least" | "greatest") => (reads ? behind("promise.v1", order, { promise: one.promise }) : undefined);
                      return (
                        <tr key={one.promise}>
                          <th scope="row"><Named of={one.promise} /></th>
                          <td class="number">{count(one.made)}</td>
                          <Count n={one.kept} to={to("greatest")} />
                          <Count n={one.broken} to={to("least")} />
                          <td class="number">{count(one.pending)}</td>
                          <td class="number">{count(one.overdue)}</td>
                          <td class="number">{count(Number(one.unknown) + Number(one.not_followed))}</td>
                        </tr>
                      );
                    })}
                  </tbody>
                </table>
              </Scroll>
            )}
          </Shown>
        </Panel>
      </div>
      <div class="two">
        <Breakdown metric={rate} place={place} by="topic" title={t("rate_by_topic")} />
        <Breakdown metric={solved} place={place} by="topic" title={t("solved_by_topic")} />
      </div>
      <div class="two">
        <Panel title={t("repeats")}>
          <Shown of={known}>{({ repeats }) => (repeats.length === 0 ? <p class="quiet">{t("no_repeats")}</p> : <Signals of={repeats} burst={false} />)}</Shown>
        </Panel>
        <Panel title={t("bursts")}>
          <Shown of={known}>{({ bursts }) => (bursts.length === 0 ? <p class="quiet">{t("no_bursts")}</p> : <Signals of={bursts} burst />)}</Shown>
        </Panel>
      </div>
      {reads && (
        <Panel title={t("pending_promises")} id="promise.v1" csv>
          <Shown of={known}>
            {({ pending }) =>
              pending.length === 0 ? (
                <p class="quiet">{t("no_pending")}</p>
              ) : (
                <Scroll label={t("pending_promises")}>
                  <table class="list">
                    <thead>
                      <tr>
                        <th>{t("due")}</th>
                        <th>{t("by_promise")}</th>
                        <th>{t("conversation")}</th>
                        <th>{t("filter_agent")}</th>
                        <th>{t("filter_queue")}</th>
                      </tr>
                    </thead>
                    <tbody>
                      {pending.slice(0, 50).map((one) => (
                        <tr key={`${one.conversation_id}/${one.made_event_id}`}>
                          <th scope="row">
                            <time class={new Date(one.due_at).getTime() < Date.now() ? "missed-it" : ""}>{moment(one.due_at)}</time>
                          </th>
                          <td>{valueName(one.promise)}</td>
                          <td>
                            <Link to={`/conversations/${encodeURIComponent(one.conversation_id)}?event=${encodeURIComponent(one.made_event_id)}`}>{short(one.conversation_id)}</Link>
                          </td>
                          <td title={one.agent}>{short(one.agent)}</td>
                          <td>{one.queue}</td>
                        </tr>
                      ))}
                    </tbody>
                  </table>
                </Scroll>
              )
            }
          </Shown>
        </Panel>
      )}
    </>
  );
}

function ComplaintTile(props: { metric: Metric; place: Place }) {
  return <Tile metric={props.metric} compared={useComparison(props.metric, props.place)} to={keeping(`/metrics/${props.metric.id}`)} />;
}
