import { type Metric, post, type ProfileFigure } from "../api";
import { useAnswer } from "../answer";
import { count, duration, percent } from "../format";
import { keeping, type Place, scopeOf } from "../place";
import { Panel, Scroll, Shown, Tile } from "../parts";
import { said } from "../said";
import { t, valueName } from "../words";
import { useComparison } from "./figures";
import { LevelTiles } from "./library";
import { Breakdown } from "./metric";
import { SeriesPanel } from "./overview";

const TILES = ["rt.first_unanswered.v1", "art.v1", "frt.human.v1", "complaint.rate.v1", "escalation.rate.v1", "emo.conv.v1", "resolved.v1", "concurrency.v1"];
/** By how much complaints should be fewer than before (metric book: a fifth). */
const FEWER = 0.2;

function ShiftTile(props: { metric: Metric; place: Place }) {
  const { metric } = props;
  const compared = useComparison(metric, props.place);
  const now = compared.data?.current.value;
  const before = compared.data?.baseline.value;
  const change = now !== undefined && before ? now / before - 1 : undefined;
  return (
    <Tile metric={metric} compared={compared} to={keeping(`/metrics/${metric.id}`)}>
      {metric.id === "complaint.rate.v1" && (
        <p class={`change ${change !== undefined && change <= -FEWER ? "better" : ""}`} title={t("against_baseline")}>
          {t("against_baseline")} {change === undefined ? t("not_measured") : `${change > 0 ? "+" : "−"}${percent(Math.abs(change))}`} · {t("target")} −{percent(FEWER)}
        </p>
      )}
    </Tile>
  );
}

/** How waits look to the platforms. */
function Profiles(props: { place: Place }) {
  const known = useAnswer(
    `profiles ${props.place.search}`,
    (signal) => {
      const { from, to, filter } = scopeOf(props.place, ["agent", "channel", "queue"]);
      return post<{ figures: ProfileFigure[] }>("/v1/profiles", { from, to, filter }, signal);
    },
    60_000,
  );
  return (
    <Panel title={t("profiles")} id="within.*.v1" csv>
      <Shown of={known}>
        {({ figures }) => (
          <Scroll label={t("profiles")}>
            <table class="list">
              <thead>
                <tr>
                  <th>{t("platform")}</th>
                  <th>{t("metric")}</th>
                  <th class="number">{t("value")}</th>
                  <th class="number">{t("n")}</th>
                  <th>{t("source")}</th>
                </tr>
              </thead>
              <tbody>
                {figures.map((one) => (
                  <tr key={one.metric_id}>
                    <th scope="row">{valueName(one.profile)}</th>
                    <td>{valueName(one.metric_id)}</td>
                    <td class="number">{one.value === undefined ? t("not_measured") : one.unit === "s" ? duration(one.value * 1000) : percent(one.value)}</td>
                    <td class="number">{count(one.n)}</td>
                    <td class="quiet">{one.not_measured ? t("no_threshold") : said(one.source)}</td>
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

export function ShiftPage(props: { metrics: Metric[]; place: Place; theme: string }) {
  const { metrics, place } = props;
  const find = (id: string) => metrics.find((metric) => metric.id === id);
  const wait = find("rt.first_unanswered.v1");
  const coverage = find("phrase.coverage.v1");
  const rate = find("complaint.rate.v1");
  if (!wait || !coverage || !rate) return null;
  return (
    <>
      <div class="tiles">
        {TILES.map(find)
          .filter((metric) => metric !== undefined)
          .map((metric) => (
            <ShiftTile key={metric.id} metric={metric} place={place} />
          ))}
        <LevelTiles metric={coverage} place={place} />
      </div>
      <Profiles place={place} />
      <div class="two">
        <SeriesPanel metric={wait} place={place} theme={props.theme} link />
        <SeriesPanel metric={rate} place={place} theme={props.theme} link />
      </div>
      <div class="two">
        <Breakdown metric={wait} place={place} by="agent" title={t("wait_by_agent")} />
        <Breakdown metric={wait} place={place} by="queue" title={t("wait_by_queue")} />
      </div>
    </>
  );
}
