import type { Metric } from "../api";
import { Series } from "../chart";
import { keeping, type Place } from "../place";
import { Link, Panel, Shown, Tile } from "../parts";
import { metricName, t } from "../words";
import { useComparison, useSeries } from "./figures";

const TILES = [
  "rt.first_unanswered.v1",
  "art.v1",
  "frt.human.v1",
  "frt.any.v1",
  "resolved.v1",
  "csat.v1",
  "phrase.coverage.v1",
  "phrase.compliance.v1",
  "politeness.v1",
  "sentiment.v1",
  "emo.conv.v1",
  "complaint.rate.v1",
  "funnel.identification.v1",
  "funnel.emotion.v1",
  "funnel.solution.v1",
  "funnel.follow_up.v1",
  "promise.v1",
  "sla.frt.v1",
  "mtta.v1",
  "mttr.v1",
];

const SERIES = ["rt.first_unanswered.v1", "sentiment.v1", "phrase.coverage.v1", "complaint.rate.v1"];

function MetricTile(props: { metric: Metric; place: Place }) {
  return <Tile metric={props.metric} compared={useComparison(props.metric, props.place)} to={keeping(`/metrics/${props.metric.id}`)} />;
}

export function SeriesPanel(props: { metric: Metric; place: Place; theme: string; link?: boolean }) {
  const { metric } = props;
  const series = useSeries(metric, props.place);
  const rows = () => [["from", "to", "n", metric.id, "low", "high", "unit"], ...(series.data?.points ?? []).map((one) => [one.from, one.to, Number(one.n), one.value, one.low, one.high, metric.unit])];
  return (
    <Panel title={props.link ? metricName(metric.id) : t("series")} id={metric.id} csv={rows} png aside={props.link && <Link to={keeping(`/metrics/${metric.id}`)}>{t("details")}</Link>}>
      <Shown of={series} empty={({ points }) => points.every((point) => point.value === undefined)}>
        {({ points }) => <Series metric={metric} points={points} theme={props.theme} />}
      </Shown>
    </Panel>
  );
}

export function OverviewPage(props: { metrics: Metric[]; place: Place; theme: string }) {
  const find = (ids: string[]) => ids.map((id) => props.metrics.find((metric) => metric.id === id)).filter((metric) => metric !== undefined);
  return (
    <>
      <div class="tiles">
        {find(TILES).map((metric) => (
          <MetricTile key={metric.id} metric={metric} place={props.place} />
        ))}
      </div>
      <div class="two">
        {find(SERIES).map((metric) => (
          <SeriesPanel key={metric.id} metric={metric} place={props.place} theme={props.theme} link />
        ))}
      </div>
    </>
  );
}
