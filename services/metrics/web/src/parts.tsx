import type { ComponentChildren } from "preact";
import { useId, useRef } from "preact/hooks";
import { type Comparison, type Figure, type Metric, Problem } from "./api";
import type { Answer } from "./answer";
import { count, value } from "./format";
import { go } from "./place";
import { type Rows, rowsOf, saveCsv, savePng } from "./export";
import { toneOf, verdict } from "./good";
import { said } from "./said";
import { about, isKnown, language, metricName, t, valueName, type Word } from "./words";

/** What went wrong, in the reader's language as far as it is known. */
export function told(error: unknown): string {
  if (!(error instanceof Problem)) return String(error);
  const words = said(error.message);
  // Who reads Chinese is told at least of what kind it is.
  if (language() !== "zh" || words !== error.message) return words;
  return `${t(kindOf(error.status))}（${error.message}）`;
}

const KINDS: Record<number, Word> = { 0: "unreachable", 400: "bad_request", 403: "no_right", 404: "not_found", 409: "changed_meanwhile", 429: "too_much", 503: "unreachable", 504: "took_too_long" };
const kindOf = (status: number): Word => KINDS[status] ?? "error";

/** A link inside the console. */
export function Link(props: { to: string; class?: string; children: ComponentChildren; label?: string; current?: boolean }) {
  return (
    <a
      href={props.to}
      class={props.class}
      aria-label={props.label}
      aria-current={props.current ? "page" : undefined}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey) return;
        event.preventDefault();
        go(props.to);
      }}
    >
      {props.children}
    </a>
  );
}

/** A word of the contract as a chip, coloured by whether it is good or bad news. */
export function Tag(props: { of: string; children?: ComponentChildren; title?: string | undefined }) {
  return (
    <span class={`tag ${props.of} ${toneOf(props.of)}`} title={props.title}>
      {props.children ?? valueName(props.of)}
    </span>
  );
}

/** A word of the contract in the reader's language, or a name of somebody's own, marked as one. */
export function Named(props: { of: string }) {
  if (isKnown(props.of)) return <span title={props.of}>{valueName(props.of)}</span>;
  return (
    <code class="name" title={t("own_name")}>
      {props.of}
    </code>
  );
}

let known: readonly Metric[] = [];

/** What metrics there are, so that every id can say what it means. */
export function knowMetrics(metrics: readonly Metric[]): void {
  known = metrics;
}

/** The id of a metric, which says what it means when pointed at or reached by keyboard. */
export function Id(props: { of: string }) {
  const metric = known.find((one) => one.id === props.of);
  const name = useId();
  if (!metric) return <code class="id">{props.of}</code>;
  const lines = metric.benchmarks.map((line) => `${line.target ? t("target") : t("reference")} ${value(metric, line.value)}: ${about(line.about)}`);
  return (
    <span class="explains">
      <button type="button" class="id" aria-describedby={name}>
        {props.of}
      </button>
      <span role="tooltip" id={name}>
        <strong>{metricName(metric.id)}</strong> {about(metric.about)} {t(metric.better === "lower" ? "lower_is_better" : "higher_is_better")}
        {lines.map((line) => (
          <em key={line}>{line}</em>
        ))}
      </span>
    </span>
  );
}

/** A part of a page, with the id of the metric that it shows; `csv` and `png` can be taken along. */
export function Panel(props: { title: string; id?: string; aside?: ComponentChildren; class?: string; csv?: boolean | (() => Rows); png?: boolean; children: ComponentChildren }) {
  const section = useRef<HTMLElement>(null);
  const { csv, png, title } = props;
  const name = props.id && props.id !== title ? `${title} ${props.id}` : title;
  const take = (act: (element: HTMLElement) => void) => () => {
    if (section.current) act(section.current);
  };
  return (
    <section class={`panel ${props.class ?? ""}`} ref={section}>
      <header>
        <h2>{props.title}</h2>
        {props.id && <Id of={props.id} />}
        {(props.aside || csv || png) && (
          <div class="aside">
            {props.aside}
            {csv && (
              <button type="button" class="take" aria-label={`${t("export_csv")}: ${title}`} title={t("export_csv")} onClick={take((element) => saveCsv(name, typeof csv === "function" ? csv() : rowsOf(element)))}>
                CSV
              </button>
            )}
            {png && (
              <button type="button" class="take" aria-label={`${t("export_png")}: ${title}`} title={t("export_png")} onClick={take((element) => void savePng(name, element))}>
                PNG
              </button>
            )}
          </div>
        )}
      </header>
      {props.children}
    </section>
  );
}

/** What may be wider or taller than its place; by keyboard it is moved like any other page. */
export function Scroll(props: { label: string; tall?: boolean; children: ComponentChildren }) {
  return (
    <div class={props.tall ? "scroll tall" : "scroll"} role="group" aria-label={props.label} tabIndex={0}>
      {props.children}
    </div>
  );
}

/** What was answered, or what is known instead. */
export function Shown<T>(props: { of: Answer<T>; empty?: (data: T) => boolean; none?: string; children: (data: T) => ComponentChildren }) {
  const { data, problem, again } = props.of;
  if (data === undefined && problem) {
    return (
      <div class="problem" role="alert">
        <p>{t(kindOf(problem.status))}</p>
        <p class="quiet">{said(problem.message)}</p>
        <button type="button" onClick={again}>
          {t("retry")}
        </button>
      </div>
    );
  }
  if (data === undefined) return <p class="quiet loading">{t("loading")}</p>;
  return (
    <>
      {problem && (
        <p class="stale" role="status">
          {t("unreachable")}
        </p>
      )}
      {props.empty?.(data) ? <p class="quiet empty">{props.none ?? t("nothing")}</p> : props.children(data)}
    </>
  );
}

export const measureWord = (metric: Metric): Word => (metric.measure === "rate" ? "share" : metric.measure === "median" ? "p50" : "mean");

export function interval(metric: Metric, figure: Figure): string | undefined {
  if (figure.low === undefined || figure.high === undefined) return undefined;
  const floor = metric.unit === "ms" ? 0 : -Infinity;
  return `${value(metric, Math.max(floor, figure.low))} – ${value(metric, figure.high)}`;
}

const MARK = { met: "✓", missed: "✕", unsure: "?" } as const;

/** The lines that a figure is compared with. */
export function Lines(props: { metric: Metric; figure: Figure }) {
  const { metric, figure } = props;
  if (metric.benchmarks.length === 0) return null;
  return (
    <ul class="lines">
      {metric.benchmarks.map((line) => {
        const state = line.target && figure.value !== undefined ? verdict(metric, figure, line) : undefined;
        return (
          <li key={line.about} title={about(line.about)} class={state ?? "reference"}>
            {state ? `${MARK[state]} ` : ""}
            {line.target ? t("target") : t("reference")} {metric.better === "lower" ? "≤" : "≥"} {value(metric, line.value)}
            {!line.target && ` · ${about(line.about)}`}
            {state && <span class="sr">{` ${t(state)}`}</span>}
          </li>
        );
      })}
    </ul>
  );
}

/** One figure with all that belongs to it. */
export function Tile(props: { metric: Metric; compared: Answer<Comparison>; to?: string; title?: string; children?: ComponentChildren }) {
  const { metric } = props;
  const title = props.title ?? metricName(metric.id);
  return (
    <article class="tile">
      <h3>{props.to ? <Link to={props.to}>{title}</Link> : title}</h3>
      <Shown of={props.compared}>
        {(compared) => {
          const figure = compared.current;
          const range = interval(metric, figure);
          return (
            <>
              <p class={figure.value === undefined ? "figure unmeasured" : "figure"}>
                {value(metric, figure.value)} {figure.value !== undefined && metric.unit === "ms" && <small>{t(measureWord(metric))}</small>}
              </p>
              <p class="quiet">
                {t("n")} {count(figure.n)}
                {range && (
                  <>
                    {" · "}
                    <abbr title={t("interval")}>{range}</abbr>
                  </>
                )}
              </p>
              {figure.p50 !== undefined && metric.unit === "ms" && (
                <p class="quiet">
                  {metric.measure === "median" ? `${t("mean")} ${value(metric, figure.mean)}` : `${t("p50")} ${value(metric, figure.p50)}`} · {t("p90")} {value(metric, figure.p90)}
                </p>
              )}
              <Lines metric={metric} figure={figure} />
              {compared.difference !== undefined && (
                <p class={`change ${compared.standing}`} title={t("versus")}>
                  {compared.difference > 0 ? "▲" : compared.difference < 0 ? "▼" : "="}{" "}
                  {value(metric, Math.abs(compared.difference))} {t(compared.standing)}
                </p>
              )}
            </>
          );
        }}
      </Shown>
      {props.children}
      <Id of={metric.id} />
    </article>
  );
}

/** A choice among a few. */
export function Choice<T extends string>(props: { label: string; of: readonly T[]; chosen: T; name: (one: T) => string; choose: (one: T) => void }) {
  return (
    <label class="choice">
      <span>{props.label}</span>
      <select value={props.chosen} onChange={(event) => props.choose(event.currentTarget.value as T)}>
        {props.of.map((one) => (
          <option key={one} value={one} selected={one === props.chosen}>
            {props.name(one)}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Groups with their intervals on one scale, the best first. */
export function Intervals(props: {
  metric: Metric;
  rows: { key: string; name: string; figure: Figure; standing: string; to?: string }[];
  all?: Figure;
  head: string;
}) {
  const { metric, rows, all } = props;
  const ends = rows.flatMap(({ figure }) => [figure.low ?? figure.value ?? 0, figure.high ?? figure.value ?? 0]);
  if (all?.value !== undefined) ends.push(all.value);
  // Waits differ by what they are multiplied with, so their scale is logarithmic.
  const scale = (x: number) => (metric.unit === "ms" ? Math.log10(Math.max(x, 1_000)) : x);
  const floor = metric.unit === "score" || metric.unit === "ms" ? Math.min(...ends.map(scale)) : 0;
  const top = metric.unit === "ratio" ? 1 : Math.max(...ends.map(scale), floor + 1e-9);
  const at = (x: number) => `${Math.min(100, Math.max(0, ((scale(x) - floor) / (top - floor)) * 100))}%`;
  const target = metric.benchmarks.find((line) => line.target && scale(line.value) <= top);
  return (
    <Scroll label={props.head}>
      <table class="intervals">
        <thead>
          <tr>
            <th>{props.head}</th>
            <th class="number">{t(measureWord(metric))}</th>
            <th class="track">{t("interval")}</th>
            <th class="number">{t("n")}</th>
            <th>{t("compared_all")}</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ key, name, figure, standing, to }) => (
            <tr key={key}>
              <th scope="row" title={key}>
                {to ? <Link to={to}>{name}</Link> : name}
              </th>
              <td class="number">{value(metric, figure.value)}</td>
              <td class="track">
                <div class={`bar ${standing}`} role="img" aria-label={interval(metric, figure) ?? t("not_measured")} title={interval(metric, figure)}>
                  {figure.low !== undefined && figure.high !== undefined && (
                    <i class="range" style={{ left: at(figure.low), right: `calc(100% - ${at(figure.high)})` }} />
                  )}
                  {figure.value !== undefined && <i class="dot" style={{ left: at(figure.value) }} />}
                  {all?.value !== undefined && <i class="all" style={{ left: at(all.value) }} />}
                  {target && <i class="target" style={{ left: at(target.value) }} />}
                </div>
              </td>
              <td class="number">{count(figure.n)}</td>
              <td class={`standing ${standing}`} title={Number(figure.n) < 30 ? t("not_compared") : undefined}>
                {Number(figure.n) < 30 ? t("few") : t(standing as "better")}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <p class="quiet legend">
        <i class="key all" /> {t("all")} {value(metric, all?.value)}
        {target && (
          <>
            {" "}
            <i class="key target" /> {t("target")} {value(metric, target.value)}
          </>
        )}
      </p>
    </Scroll>
  );
}
