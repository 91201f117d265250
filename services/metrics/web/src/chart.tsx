import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Bin, Metric, Point } from "./api";
import { count, value } from "./format";
import { interval } from "./parts";
import { language, t } from "./words";

const color = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Steps of an axis of milliseconds that people count in. */
const WAITS = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400, 172_800, 604_800].map((seconds) => seconds * 1000);

const localeOf = () => (language() === "zh" ? "zh-CN" : "en-GB");
const day = (date: Date) => date.toLocaleDateString(localeOf(), { month: "numeric", day: "numeric" });
const hour = (date: Date) => date.toLocaleTimeString(localeOf(), { hour: "2-digit", minute: "2-digit", hour12: false });

/** A metric over time with its interval and the lines it is compared with; gaps where nothing was measured. */
export function Series(props: { metric: Metric; points: Point[]; theme: string }) {
  const { metric, points } = props;
  const holder = useRef<HTMLDivElement>(null);
  const [pointed, point] = useState<number>();
  useEffect(() => {
    const element = holder.current;
    if (!element) return;
    const of = (read: (point: Point) => number | undefined) => points.map((point) => read(point) ?? null);
    const times = points.map((point) => new Date(point.from).getTime() / 1000);
    const floor = metric.unit === "ms" || metric.unit === "count" ? 0 : -Infinity;
    const figures = of((point) => point.value);
    const low = of((point) => (point.value === undefined ? undefined : Math.max(floor, point.low ?? point.value)));
    const high = of((point) => point.high ?? point.value);
    const measured = [...figures, ...low, ...high].filter((x): x is number => x !== null);
    const most = Math.max(...measured);
    // A line far above everything would press the figures flat.
    const top = Math.max(most, ...metric.benchmarks.map((line) => line.value).filter((x) => x <= most * 3));
    const bottom = metric.unit === "score" ? Math.min(...measured) : 0;
    const axis = { stroke: color("--quiet"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line"), width: 1 }, font: "12px system-ui" };
    const hidden = { stroke: "transparent", points: { show: false } };
    const chart = new uPlot(
      {
        width: element.clientWidth,
        height: 240,
        padding: [14, 12, 0, 0],
        cursor: { y: false, points: { size: 7 } },
        legend: { show: false },
        scales: { y: { range: metric.unit === "ratio" ? [0, 1] : [bottom, Math.min(metric.greatest ?? Infinity, top + ((top - bottom) * 0.08 || 1))] } },
        axes: [
          {
            ...axis,
            values: (_, splits, __, ___, step) =>
              splits.map((at) => {
                const date = new Date(at * 1000);
                return step >= 86_400 || (date.getHours() === 0 && date.getMinutes() === 0) ? day(date) : hour(date);
              }),
          },
          { ...axis, size: 74, ...(metric.unit === "ms" ? { incrs: WAITS } : {}), values: (_, splits) => splits.map((x) => value(metric, x)) },
        ],
        series: [{}, { stroke: color("--accent"), width: 2, points: { show: true, size: 5 } }, hidden, hidden],
        bands: [{ series: [3, 2], fill: color("--accent-soft") }],
        hooks: {
          setCursor: [(plot) => point(plot.cursor.idx ?? undefined)],
          draw: [
            (plot) => {
              const { ctx, bbox } = plot;
              ctx.save();
              for (const line of metric.benchmarks) {
                const y = plot.valToPos(line.value, "y", true);
                if (y < bbox.top || y > bbox.top + bbox.height) continue;
                ctx.strokeStyle = ctx.fillStyle = color(line.target ? "--good" : "--quiet");
                ctx.setLineDash([6, 4]);
                ctx.lineWidth = devicePixelRatio;
                ctx.beginPath();
                ctx.moveTo(bbox.left, y);
                ctx.lineTo(bbox.left + bbox.width, y);
                ctx.stroke();
                ctx.font = `${11 * devicePixelRatio}px system-ui`;
                ctx.textAlign = "left";
                // Above the line where there is room, else below it.
                const above = y - bbox.top > 16 * devicePixelRatio;
                ctx.textBaseline = above ? "bottom" : "top";
                ctx.fillText(`${line.target ? t("target") : t("reference")} ${value(metric, line.value)}`, bbox.left + 6, y + (above ? -2 : 3) * devicePixelRatio);
              }
              ctx.restore();
            },
          ],
        },
      },
      [times, figures, low, high],
      element,
    );
    const watch = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height: 240 }));
    watch.observe(element);
    return () => {
      watch.disconnect();
      chart.destroy();
    };
  }, [points, metric, props.theme, language()]);
  const shown = pointed === undefined ? undefined : points[pointed];
  const last = points.findLast((one) => one.value !== undefined);
  return (
    <>
      <p class="quiet readout">{shown ? told(metric, shown) : t("hover")}</p>
      <div class="chart" ref={holder} role="img" aria-label={`${metric.id}: ${last ? told(metric, last) : t("not_measured")}`} />
    </>
  );
}

/** One point in words. */
function told(metric: Metric, point: Point): string {
  const date = new Date(point.from);
  const range = interval(metric, point);
  return `${day(date)} ${hour(date)} · ${value(metric, point.value)}${range ? ` (${range})` : ""} · ${t("n")} ${count(point.n)}`;
}

/** How values are spread; every bin says its count. */
export function Histogram(props: { metric: Metric; bins: Bin[] }) {
  const { metric, bins } = props;
  const first = bins.findIndex((bin) => Number(bin.n) > 0);
  let last = bins.length - 1;
  while (last > first && Number(bins[last]?.n) === 0) last -= 1;
  const shown = bins.slice(Math.max(0, first), last + 1);
  const most = Math.max(1, ...shown.map((bin) => Number(bin.n)));
  const whole = metric.unit === "count";
  const edge = (x: number) => (whole ? String(x) : value(metric, x));
  return (
    <table class="histogram">
      <tbody>
        {shown.map((bin) => (
          <tr key={bin.low}>
            <th scope="row">{whole ? (bin.high === undefined ? `≥ ${bin.low}` : bin.low) : bin.high === undefined ? `≥ ${edge(bin.low)}` : `${edge(bin.low)} – ${edge(bin.high)}`}</th>
            <td>
              <i style={{ width: `${(Number(bin.n) / most) * 100}%` }} />
            </td>
            <td class="number">{count(bin.n)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
