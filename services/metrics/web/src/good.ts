// What is good and what is bad, in one place: colours follow it on every page. Metrics say by
// themselves which way they are better (`better` of the registry).

import type { Benchmark, Figure, Metric } from "./api";

export type Tone = "good" | "bad" | "amber" | "";

/** Which way a score of a message is good: 1 the higher the better, -1 the lower. */
const SCORES: Record<string, 1 | -1> = { politeness: 1, sentiment: 1, complaint: -1, urgency: -1 };

/** What points for a score do for the good; 0 for a score that is not known here. */
export const pull = (target: string, points: number): number => points * (SCORES[target] ?? 0);

export function toneOfPoints(target: string, points: number): Tone {
  const good = pull(target, points);
  return good > 0 ? "good" : good < 0 ? "bad" : "";
}

/** Words of the contract that are good or bad news by themselves. */
const TONES: Record<string, Tone> = {
  critical: "bad",
  high: "bad",
  warning: "amber",
  urgent: "bad",
  complaint: "amber",
  impolite: "bad",
  neg: "bad",
  polite: "good",
  pos: "good",
  triggered: "bad",
  acknowledged: "amber",
  snoozed: "amber",
  suppressed: "amber",
  resolved: "good",
  pending: "amber",
  sending: "amber",
  broken: "bad",
  kept: "good",
  delivered: "good",
  failed: "bad",
  forbidden_wording: "bad",
  breached: "bad",
  warned: "amber",
  met: "good",
};

export const toneOf = (word: string): Tone => TONES[word] ?? "";

/** How grave an incident is, for lists that begin with the gravest. */
const GRAVE = ["critical", "high", "warning", "info"];

/** The gravest first, of equally grave ones the oldest: who waits longest is next. */
export function byGravity<T extends { severity: string; triggered_at?: string }>(a: T, b: T): number {
  const grave = (one: T) => {
    const place = GRAVE.indexOf(one.severity);
    return place < 0 ? GRAVE.length : place;
  };
  return grave(a) - grave(b) || (a.triggered_at ?? "").localeCompare(b.triggered_at ?? "");
}

/** Whether a line is reached for all that the interval allows. */
export function verdict(metric: Pick<Metric, "better">, figure: Pick<Figure, "value" | "low" | "high">, line: Pick<Benchmark, "value">): "met" | "missed" | "unsure" {
  const { low, high, value: x } = figure;
  if (x === undefined) return "unsure";
  const [worst, best] = metric.better === "lower" ? [high ?? x, low ?? x] : [low ?? x, high ?? x];
  const reaches = (x: number) => (metric.better === "lower" ? x <= line.value : x >= line.value);
  if (reaches(worst)) return "met";
  return reaches(best) ? "unsure" : "missed";
}
