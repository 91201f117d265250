import type { Metric } from "../api";
import { Histogram } from "../chart";
import { count, group, moment, short, value } from "../format";
import { ask, keeping, type Place } from "../place";
import { Choice, Intervals, Link, Panel, Scroll, Shown, Tile } from "../parts";
import { about, metricName, t, type Word } from "../words";
import { useComparison, useDistribution, useObservations, useRank } from "./figures";
import { SeriesPanel } from "./overview";

const ORDERS = ["latest", "greatest", "least"] as const;

function DistributionPanel(props: { metric: Metric; place: Place }) {
  const spread = useDistribution(props.metric, props.place);
  return (
    <Panel title={t("distribution")} id={props.metric.id} csv={() => [["low", "high", "n"], ...(spread.data?.bins ?? []).map((bin) => [bin.low, bin.high, Number(bin.n)])]}>
      <Shown of={spread} empty={({ figure }) => figure.value === undefined}>
        {({ figure, bins }) => (
          <>
            <p class="quiet">
              {t("p50")} {value(props.metric, figure.p50)} · {t("p90")} {value(props.metric, figure.p90)} · {t("p99")} {value(props.metric, figure.p99)} · {t("n")} {count(figure.n)}
            </p>
            <Histogram metric={props.metric} bins={bins} />
          </>
        )}
      </Shown>
    </Panel>
  );
}

/** Groups of a metric, each a way to narrow everything else. */
export function Breakdown(props: { metric: Metric; place: Place; by: string; title?: string; choose?: boolean }) {
  const { metric, place, by } = props;
  const ranked = useRank(metric, place, by);
  const times = by === "hour" || by === "weekday" || by === "day";
  return (
    <Panel
      title={props.title ?? t("breakdown")}
      id={metric.id}
      csv={() => [
        [by, metric.id, "low", "high", "n", "standing", "unit"],
        ...(ranked.data?.ranks ?? []).map((one) => [one.group, one.figure.value, one.figure.low, one.figure.high, Number(one.figure.n), one.standing, metric.unit]),
      ]}
      aside={props.choose && <Choice label={t("by")} of={metric.dimensions} chosen={by} name={(one) => t(`by_${one}` as Word)} choose={(one) => ask({ by: one })} />}
    >
      <Shown of={ranked} empty={({ ranks }) => ranks.length === 0}>
        {({ all, ranks }) => (
          <Intervals
            metric={metric}
            all={all}
            head={t(`by_${by}` as Word)}
            rows={(times ? [...ranks].sort((a, b) => a.group.localeCompare(b.group)) : ranks).slice(0, 100).map((one) => ({
              key: one.group,
              name: group(by, one.group),
              figure: one.figure,
              standing: one.standing,
              to: keeping(`/metrics/${metric.id}`, { [by]: one.group }),
            }))}
          />
        )}
      </Shown>
    </Panel>
  );
}

/** What a figure rests on, each with its conversation. */
export function Behind(props: { metric: Metric; place: Place; chosen?: boolean }) {
  const { metric, place } = props;
  const wanted = place.search.get("order");
  const order = ORDERS.find((one) => one === wanted) ?? (metric.better === "lower" ? "greatest" : "least");
  const rows = useObservations(metric, place, order);
  return (
    <Panel title={t("behind")} id={metric.id} csv={() => [["conversation_id", "event_id", "at", metric.id, "agent", "channel", "queue"], ...(rows.data?.observations ?? []).map((one) => [one.conversation_id, one.event_id, one.at, one.value, one.agent, one.channel, one.queue])]} aside={<Choice label={t("order")} of={ORDERS} chosen={order} name={(one) => t(`order_${one}`)} choose={(one) => ask({ order: one })} />}>
      <Shown of={rows} empty={({ observations }) => observations.length === 0}>
        {({ observations }) => (
          <Scroll label={t("behind")}>
            <table class="list">
              <thead>
                <tr>
                  <th>{t("conversation")}</th>
                  <th class="number">{t("value")}</th>
                  <th>{t("filter_agent")}</th>
                  <th>{t("filter_channel")}</th>
                  <th>{t("time")}</th>
                </tr>
              </thead>
              <tbody>
                {observations.map((one, index) => (
                  <tr key={index}>
                    <th scope="row">
                      <Link to={`/conversations/${encodeURIComponent(one.conversation_id)}${one.event_id ? `?event=${encodeURIComponent(one.event_id)}` : ""}`}>{short(one.conversation_id)}</Link>
                    </th>
                    <td class="number">{metric.measure === "rate" ? (one.value === 1 ? "✓" : "✕") : value(metric, one.value)}</td>
                    <td title={one.agent}>{short(one.agent)}</td>
                    <td>{one.channel}</td>
                    <td>
                      <time>{moment(one.at)}</time>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
        )}
      </Shown>
    </Panel>
  );
}

export function MetricPage(props: { metric: Metric; metrics: Metric[]; place: Place; theme: string; may: (right: string) => boolean }) {
  const { metric, place } = props;
  const wanted = place.search.get("by") ?? "agent";
  const by = metric.dimensions.includes(wanted) ? wanted : (metric.dimensions[0] ?? "day");
  return (
    <>
      <div class="lead">
        <Tile metric={metric} compared={useComparison(metric, place)} />
        <div class="about">
          <h2>{metricName(metric.id)}</h2>
          <p>{about(metric.about)}</p>
          <ul class="quiet">
            {metric.benchmarks.map((line) => (
              <li key={line.about}>
                {value(metric, line.value)}: {about(line.about)}
              </li>
            ))}
          </ul>
        </div>
      </div>
      <SeriesPanel metric={metric} place={place} theme={props.theme} />
      <div class="two">
        <Breakdown metric={metric} place={place} by={by} choose />
        {metric.measure !== "rate" && <DistributionPanel metric={metric} place={place} />}
        {props.may("transcripts") && <Behind metric={metric} place={place} />}
      </div>
    </>
  );
}
