// Where the reader is: everything that a page shows can be linked to.

import { useEffect, useState } from "preact/hooks";

export interface Place {
  path: string;
  search: URLSearchParams;
  /** What stands behind `#`, which a browser keeps to itself: what may name a person. */
  fragment: string;
}

function fragment(): string {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    // Written by hand, and no text.
    return "";
  }
}

const read = (): Place => ({ path: location.pathname, search: new URLSearchParams(location.search), fragment: fragment() });
const listeners = new Set<() => void>();
const tell = () => listeners.forEach((listener) => listener());
addEventListener("popstate", tell);

export function go(url: string): void {
  if (url === location.pathname + location.search + location.hash) return;
  history.pushState(null, "", url);
  scrollTo(0, 0);
  tell();
}

/** The same without a way back to where one is. */
export function replace(url: string): void {
  history.replaceState(null, "", url);
  scrollTo(0, 0);
  tell();
}

/** Changes the question without adding to the history; undefined takes a part away. */
export function ask(changes: Record<string, string | undefined>): void {
  const search = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined) search.delete(name);
    else search.set(name, value);
  }
  const text = search.toString();
  history.replaceState(null, "", location.pathname + (text ? `?${text}` : "") + location.hash);
  tell();
}

/** A path that keeps the range and the filters. */
export function keeping(path: string, more: Record<string, string> = {}): string {
  const search = new URLSearchParams();
  for (const name of ["range", "baseline", ...FILTERS]) {
    const value = new URLSearchParams(location.search).get(name);
    if (value !== null) search.set(name, value);
  }
  for (const [name, value] of Object.entries(more)) search.set(name, value);
  const text = search.toString();
  return path + (text ? `?${text}` : "");
}

export function usePlace(): Place {
  const [place, set] = useState(read);
  useEffect(() => {
    const listener = () => set(read());
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  return place;
}

export const RANGES = { "1h": 3_600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000, "90d": 7_776_000 } as const;
export type Range = keyof typeof RANGES;
/** How far back the period lies that figures are compared with, seconds; 0 for the one right before. */
export const BASELINES = { before: 0, week: 604_800, month: 2_419_200 } as const;
export type Baseline = keyof typeof BASELINES;

export function baselineOf(place: Place): Baseline {
  const baseline = place.search.get("baseline") ?? "before";
  return baseline in BASELINES ? (baseline as Baseline) : "before";
}

export const FILTERS = ["agent", "channel", "queue", "hour", "weekday", "day", "level", "slot", "topic", "category", "promise"] as const;

const BUCKETS: Record<Range, number> = { "1h": 300, "24h": 3_600, "7d": 21_600, "30d": 86_400, "90d": 86_400 };

/** What figures are asked about. */
export interface Scope {
  from: string;
  to: string;
  zone: string;
  filter: Record<string, string>;
}

export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

export function rangeOf(place: Place): Range {
  const range = place.search.get("range") ?? "7d";
  return range in RANGES ? (range as Range) : "7d";
}

export const bucketOf = (range: Range): number => BUCKETS[range];

/** The range up to the end of the bucket that is going on, so that buckets begin at full hours and days. */
export function scopeOf(place: Place, allowed: readonly string[]): Scope {
  const range = rangeOf(place);
  const bucket = BUCKETS[range] * 1000;
  const offset = new Date().getTimezoneOffset() * 60_000;
  const to = Math.ceil((Date.now() - offset) / bucket) * bucket + offset;
  const filter: Record<string, string> = {};
  for (const name of FILTERS) {
    const value = place.search.get(name);
    if (value !== null && allowed.includes(name)) filter[name] = value;
  }
  return {
    from: new Date(to - RANGES[range] * 1000).toISOString(),
    to: new Date(to).toISOString(),
    zone,
    filter,
  };
}
