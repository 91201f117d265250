import { type Metric, post, type Scorecard } from "../api";
import { type Answer, useAnswer } from "../answer";
import { count, percent, short, value } from "../format";
import { ask, keeping, type Place, scopeOf } from "../place";
import { Choice, Id, interval, Link, Panel, Scroll, Shown } from "../parts";
import { Radar, type Spoke } from "../radar";
import { said } from "../said";
import { about, language, metricName, t, tell } from "../words";
import { useRank } from "./figures";
import { Breakdown } from "./metric";

const COLUMNS = ["rt.first_unanswered.v1", "phrase.coverage.v1", "politeness.v1", "emo.conv.v1", "complaint.rate.v1", "aht.v1"];

function useScorecard(place: Place, agent: string | undefined): Answer<Scorecard> {
  const search = new URLSearchParams(place.search);
  search.delete("agent");
  return useAnswer(
    `scorecard ${search} ${agent ?? ""}`,
    (signal) => {
      const { from, to, zone, filter } = scopeOf({ ...place, search }, ["channel", "queue"]);
      return post<Scorecard>("/v1/scorecards/scorecard.v1:query", { from, to, zone, filter: agent === undefined ? filter : { ...filter, agent } }, signal);
    },
    120_000,
  );
}

const spokes = (card: Scorecard): Spoke[] =>
  card.dimensions.map((one) => ({
    name: language() === "zh" ? one.name_zh : one.name_en,
    ...(one.score === undefined ? {} : { score: one.score }),
  }));

/** What the total would be without a fatal item: dimensions by their weights, as far as measured. */
function withoutFatal(card: Scorecard): number | undefined {
  const measured = card.dimensions.filter((one) => one.score !== undefined);
  const weight = measured.reduce((sum, one) => sum + one.weight, 0);
  return weight === 0 ? undefined : measured.reduce((sum, one) => sum + (one.score ?? 0) * one.weight, 0) / weight;
}

/** Which item made the total 0, and by how much it was over its bound. */
function Fatal(props: { of: Scorecard["fatal"][number]; card: Scorecard; metrics: Metric[] }) {
  const { of: one } = props;
  const metric = props.metrics.find((metric) => metric.id === one.metric_id);
  const show = (x: number | undefined) => (metric ? value(metric, x) : String(x));
  const rest = withoutFatal(props.card);
  return (
    <p class="missed-it">
      {tell("fatal_of", metricName(one.metric_id), show(one.figure?.value), show(one.above), rest === undefined ? t("not_measured") : rest.toFixed(0))} <Id of={one.metric_id} />
    </p>
  );
}

function Quality(props: { metrics: Metric[]; place: Place }) {
  const agent = props.place.search.get("agent") ?? undefined;
  const everybody = useScorecard(props.place, undefined);
  const own = useScorecard(props.place, agent);
  return (
    <Panel title={agent === undefined ? t("quality_all") : `${t("quality_of")} ${short(agent)}`} id="scorecard.v1" csv png>
      <Shown of={own}>
        {(card) => (
          <div class="quality">
            <Radar spokes={spokes(card)} beside={agent !== undefined && everybody.data ? spokes(everybody.data) : undefined} name={t("quality_all")} />
            <div>
              <p class={card.total === undefined ? "figure unmeasured" : "figure"}>
                {card.total === undefined ? t("not_measured") : card.total.toFixed(0)} <small>/ 100</small>
              </p>
              <p class="quiet">
                {t("measured_share")} {percent(card.measured)}
                {agent !== undefined && ` · ${t("dashed_is_all")}`}
              </p>
              <table class="list">
                <tbody>
                  {card.dimensions.map((one) => (
                    <tr key={one.key}>
                      <th scope="row">{language() === "zh" ? one.name_zh : one.name_en}</th>
                      <td class="number">{one.score === undefined ? t("not_measured") : one.score.toFixed(0)}</td>
                      <td class="quiet">
                        {one.indicators.map((it) => (
                          <span key={it.metric_id} class={it.points === undefined ? "indicator missing" : "indicator"} title={said(it.not_measured)}>
                            {metricName(it.metric_id)} {it.points === undefined ? t("not_measured") : it.points.toFixed(0)}
                          </span>
                        ))}
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
              {card.fatal.filter((one) => one.happened).map((one) => (
                <Fatal key={one.metric_id} of={one} card={card} metrics={props.metrics} />
              ))}
            </div>
          </div>
        )}
      </Shown>
    </Panel>
  );
}

function Table(props: { metrics: Metric[]; place: Place; chosen: string | null }) {
  const columns = COLUMNS.map((id) => props.metrics.find((metric) => metric.id === id)).filter((metric) => metric !== undefined);
  // The columns are always the same, so hooks come in one order.
  const boards = columns.map((metric) => useRank(metric, props.place, "agent"));
  const first = boards[0];
  const names = [...new Set(boards.flatMap((board) => board.data?.ranks.map((one) => one.group) ?? []))].filter((name) => name !== "").sort();
  if (!first) return null;
  return (
    <Panel title={t("agents_table")} csv>
      <Shown of={first} empty={({ ranks }) => ranks.length === 0}>
        {() => (
          <Scroll label={t("agents_table")}>
            <table class="list">
              <thead>
                <tr>
                  <th>{t("by_agent")}</th>
                  {columns.map((metric) => (
                    <th key={metric.id} class="number" title={`${metric.id}: ${about(metric.about)}`}>
                      {metricName(metric.id)}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {names.slice(0, 100).map((name) => (
                  <tr key={name} class={name === props.chosen ? "chosen" : ""}>
                    <th scope="row" title={name}>
                      <Link to={keeping("/agents", { agent: name })}>{short(name)}</Link>
                    </th>
                    {columns.map((metric, index) => {
                      const one = boards[index]?.data?.ranks.find((rank) => rank.group === name);
                      const range = one && interval(metric, one.figure);
                      return (
                        <td key={metric.id} class="number">
                          {one ? (
                            <Link to={keeping(`/metrics/${metric.id}`, { agent: name })} class={`cell ${one.standing}`}>
                              {value(metric, one.figure.value)}
                            </Link>
                          ) : (
                            <span class="quiet">{t("not_measured")}</span>
                          )}
                          {one && (
                            <span class="quiet interval">
                              {range && <span>{range}</span>}{" "}
                              <span>
                                {range && "· "}
                                {t("n")} {count(one.figure.n)}
                              </span>
                            </span>
                          )}
                        </td>
                      );
                    })}
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
        )}
      </Shown>
      <p class="quiet">{t("agents_about")}</p>
    </Panel>
  );
}

export function AgentsPage(props: { metrics: Metric[]; place: Place }) {
  const able = props.metrics.filter((metric) => metric.dimensions.includes("agent"));
  const wanted = props.place.search.get("metric") ?? "rt.first_unanswered.v1";
  const metric = able.find((one) => one.id === wanted) ?? able[0];
  if (!metric) return null;
  // Everybody's row stays while one is looked at.
  const search = new URLSearchParams(props.place.search);
  search.delete("agent");
  const all = { ...props.place, search };
  return (
    <>
      <Table metrics={props.metrics} place={all} chosen={props.place.search.get("agent")} />
      <Quality metrics={props.metrics} place={props.place} />
      <div class="bar-of-choices">
        <Choice label={t("metric")} of={able.map((one) => one.id)} chosen={metric.id} name={metricName} choose={(id) => ask({ metric: id })} />
        <p class="quiet">{about(metric.about)}</p>
      </div>
      <Breakdown metric={metric} place={all} by="agent" title={metricName(metric.id)} />
    </>
  );
}
