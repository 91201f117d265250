import type { Metric } from "../api";
import type { Place } from "../place";
import { keeping } from "../place";
import { Tile } from "../parts";
import { metricName, t } from "../words";
import { useComparison } from "./figures";
import { Breakdown } from "./metric";
import { SeriesPanel } from "./overview";

function PhraseTile(props: { metric: Metric; place: Place }) {
  return <Tile metric={props.metric} compared={useComparison(props.metric, props.place)} to={keeping(`/metrics/${props.metric.id}`)} />;
}

export function PhrasesPage(props: { metrics: Metric[]; place: Place; theme: string }) {
  const coverage = props.metrics.find((metric) => metric.id === "phrase.coverage.v1");
  const compliance = props.metrics.find((metric) => metric.id === "phrase.compliance.v1");
  if (!coverage || !compliance) return null;
  return (
    <>
      <div class="tiles">
        <PhraseTile metric={coverage} place={props.place} />
        <PhraseTile metric={compliance} place={props.place} />
      </div>
      <div class="two">
        <Breakdown metric={coverage} place={props.place} by="level" title={t("coverage_by_level")} />
        <Breakdown metric={coverage} place={props.place} by="slot" title={t("coverage_by_slot")} />
      </div>
      <SeriesPanel metric={coverage} place={props.place} theme={props.theme} link />
      <div class="two">
        <Breakdown metric={coverage} place={props.place} by="agent" title={metricName(coverage.id)} />
        <Breakdown metric={compliance} place={props.place} by="agent" title={metricName(compliance.id)} />
      </div>
    </>
  );
}
