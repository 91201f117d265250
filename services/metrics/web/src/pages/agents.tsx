import type { Metric } from "../api";
import { ask, type Place } from "../place";
import { Choice } from "../parts";
import { about, metricName, t } from "../words";
import { Breakdown } from "./metric";

export function AgentsPage(props: { metrics: Metric[]; place: Place }) {
  const able = props.metrics.filter((metric) => metric.dimensions.includes("agent"));
  const wanted = props.place.search.get("metric") ?? "rt.first_unanswered.v1";
  const metric = able.find((one) => one.id === wanted) ?? able[0];
  if (!metric) return null;
  const ids = able.map((one) => one.id);
  return (
    <>
      <div class="bar-of-choices">
        <Choice label={t("metric")} of={ids} chosen={metric.id} name={metricName} choose={(id) => ask({ metric: id })} />
        <p class="quiet">{about(metric.about)}</p>
      </div>
      <Breakdown metric={metric} place={props.place} by="agent" title={metricName(metric.id)} />
    </>
  );
}
