import type { Metric } from "./api";
import { language, t, valueName, weekday } from "./words";

const locale = () => (language() === "zh" ? "zh-CN" : "en-GB");
const number = (value: number, digits: number) =>
  value.toLocaleString(locale(), { maximumFractionDigits: digits, minimumFractionDigits: digits });

/** A length of time as people say it. */
export function duration(ms: number): string {
  const zh = language() === "zh";
  const unit = (value: string, zhUnit: string, enUnit: string) => `${value}${zh ? " " + zhUnit : " " + enUnit}`;
  const seconds = ms / 1000;
  if (Math.abs(seconds) < 10) return unit(number(seconds, 1), "秒", "s");
  if (Math.abs(seconds) < 100) return unit(number(seconds, 0), "秒", "s");
  const minutes = seconds / 60;
  if (minutes < 100) {
    const whole = Math.floor(minutes);
    const rest = Math.round(seconds - whole * 60);
    return rest === 60 || rest === 0
      ? unit(number(Math.round(minutes), 0), "分", "min")
      : `${unit(String(whole), "分", "min")} ${unit(String(rest), "秒", "s")}`;
  }
  const hours = minutes / 60;
  if (hours < 48) return unit(number(hours, 1), "小时", "h");
  return unit(number(hours / 24, 1), "天", "d");
}

/** A length of time that is counted: in whole seconds. */
export function counted(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds >= 100) return duration(seconds * 1000);
  return `${seconds} ${language() === "zh" ? "秒" : "s"}`;
}

export function value(metric: Pick<Metric, "unit" | "greatest">, x: number | undefined): string {
  if (x === undefined) return t("not_measured");
  switch (metric.unit) {
    case "ms":
      return duration(x);
    case "ratio":
      return `${number(x * 100, 1)}%`;
    case "score":
      return number(x, (metric.greatest ?? 1) >= 100 ? 1 : 2);
    default:
      return number(x, 2);
  }
}

export const percent = (x: number): string => `${number(x * 100, 0)}%`;

export const count = (n: string | number): string => Number(n).toLocaleString(locale());

/** A share of some; of nothing it was not measured. */
export const share = (part: string, whole: string): string => (Number(whole) === 0 ? t("not_measured") : `${number((Number(part) / Number(whole)) * 100, 1)}%`);

export const day = (iso: string): string => new Date(iso).toLocaleDateString(locale(), { year: "numeric", month: "2-digit", day: "2-digit" });

export const moment = (iso: string): string =>
  new Date(iso).toLocaleString(locale(), { month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

export const clock = (iso: string): string => new Date(iso).toLocaleTimeString(locale(), { hour12: false });

/** A pseudonym is long and says nothing; its beginning tells it apart. */
export const short = (id: string): string => (id.length > 12 ? id.slice(0, 10) + "…" : id);

export function group(by: string, name: string): string {
  if (name === "") return t("none");
  if (by === "agent") return short(name);
  if (by === "weekday") return weekday(name);
  if (by === "hour") return `${name}:00`;
  if (["level", "slot", "topic", "category", "promise"].includes(by)) return valueName(name);
  return name;
}
