// What the metrics service answers. 64-bit integers come as texts; what is absent was not measured.

export interface Figure {
  n: string;
  /** What the metric is by its measure: mean, median or share; `low` and `high` are around it. */
  value?: number;
  low?: number;
  high?: number;
  mean?: number;
  p50?: number;
  p90?: number;
  p99?: number;
}

export interface Benchmark {
  value: number;
  target: boolean;
  about: string;
}

export interface Metric {
  id: string;
  about: string;
  unit: "ms" | "score" | "ratio" | "count";
  measure: "mean" | "median" | "rate";
  better: "lower" | "higher";
  dimensions: string[];
  benchmarks: Benchmark[];
  least?: number;
  greatest?: number;
}

export interface Point extends Figure {
  from: string;
  to: string;
  group: string;
}

export type Standing = "better" | "worse" | "not_distinguishable";

export interface Rank {
  group: string;
  figure: Figure;
  standing: Standing;
}

export interface Comparison {
  current: Figure;
  baseline: Figure;
  difference?: number;
  low?: number;
  high?: number;
  standing: Standing;
}

export interface Bin {
  low: number;
  high?: number;
  n: string;
}

export interface Observation {
  conversation_id: string;
  event_id: string;
  at: string;
  value: number;
  agent: string;
  channel: string;
  queue: string;
}

export interface Waiting {
  conversation_id: string;
  since: string;
  agent: string;
  channel: string;
  queue: string;
  text?: string;
  sentiment: string;
  urgent: boolean;
  /** Absent without a target. */
  due_at?: string;
  close_at?: string;
  target?: "frt" | "nrt" | "";
}

/** An agent with open conversations. */
export interface ActiveAgent {
  agent: string;
  open_conversations: string;
  waiting_customers: string;
  longest_since?: string;
  negative_conversations: string;
  last_message_at?: string;
}

export interface Wall {
  at: string;
  open_conversations: string;
  waiting_customers: string;
  negative_conversations: string;
  agents: string;
  open_incidents: string;
  unacknowledged_incidents: string;
  urgent_incidents: string;
  response: Figure;
  waiting: Waiting[];
  /** Replies that are close to their target or late, and the late ones. */
  at_risk: string;
  overdue: string;
  risks: Waiting[];
  active_agents: ActiveAgent[];
  has_targets: boolean;
}

export interface Reason {
  start: number;
  end: number;
  class: string;
  rule: string;
  points: number;
  target: string;
}

export interface Message {
  event_id: string;
  type: string;
  sent_at: string;
  role: string;
  subtype: string;
  author: string;
  private: boolean;
  text: string;
  status: string;
  supersedes: string;
  deletes: string;
  sentiment: string;
  sentiment_value?: number;
  sentiment_confidence?: number;
  politeness?: number;
  politeness_label: string;
  complaint: string;
  complaint_category: string;
  urgent_probability?: number;
  forbidden: boolean;
  acts: string[];
  reasons: Reason[];
  engine: string;
  library: string;
}

export interface Turn {
  cycle: number;
  turn: number;
  started_at: string;
  agent: string;
  first_event_id: string;
  answer_event_id: string;
  rt_first_unanswered_seconds?: number;
  rt_last_msg_seconds?: number;
  rt_human_seconds?: number;
  sla_nrt: string;
}

export interface Care {
  mood_begin?: number;
  mood_end?: number;
  cl5?: number;
  converted?: boolean;
  aggravations: number;
  complaint: boolean;
  topic: string;
  identified?: boolean;
  felt?: boolean;
  solved?: boolean;
  followed_up?: boolean;
  soothing?: number;
}

export interface Cycle {
  cycle: number;
  started_at: string;
  ended_at?: string;
  resolved: boolean;
  reopened: boolean;
  turns: number;
  unanswered: number;
  frt_any_seconds?: number;
  frt_human_seconds?: number;
  frt_substantive_seconds?: number;
  sla_frt: string;
  sla_resolution: string;
  care?: Care;
}

export interface Slot {
  cycle: number;
  slot: string;
  level: string;
  due_event_id: string;
  present: boolean;
  event_id: string;
}

export interface Commitment {
  promise: string;
  made_at: string;
  due_at: string;
  state: string;
  made_event_id: string;
  event_id: string;
}

export interface Signal {
  signal_id: string;
  family: string;
  kind: string;
  category: string;
  severity: string;
  event_id: string;
  effective_at: string;
  probability: number;
  rules: string[];
  corrected: boolean;
}

export interface ConversationIncident {
  incident_id: string;
  family: string;
  kind: string;
  category: string;
  state: string;
  severity: string;
  triggered_at?: string;
  owner: string;
}

export interface Conversation {
  conversation_id: string;
  messages: Message[];
  turns: Turn[];
  cycles: Cycle[];
  slots: Slot[];
  promises: Commitment[];
  signals: Signal[];
  incidents: ConversationIncident[];
  /** Absent while no customer waits. */
  waiting?: WaitingHere;
}

/** What the customer has said since the last answer of a person. */
export interface WaitingHere {
  since: string;
  first_event_id: string;
  messages: number;
}

export interface Incident {
  incident_id: string;
  team: string;
  queue?: string;
  conversation_id: string;
  family: string;
  kind: string;
  category: string;
  state: string;
  severity: string;
  version: string;
  triggered_at?: string;
  acknowledged_at?: string;
  resolved_at?: string;
  owner: string;
  signals: string;
  evidence: { excerpt: string; event_id: string; kind: string; probability: number; rules?: string[]; related?: string[] }[];
  exhausted_reason: string;
  assigned_to?: string;
  /** When a snooze ends, or the policy acts next. */
  next_at?: string;
  pages?: IncidentPage[];
}

/** Something that a person has to do, or pages reach nobody: a word for programs, and a sentence. */
export interface Warning {
  code: string;
  /** In English, for who knows no words for the code. */
  message: string;
  tenant: string;
  team: string;
  families?: string[];
  cause: string;
  destination: string;
  detail: string;
  count: string;
}

/** One notification to one destination. */
export interface IncidentPage {
  page_id: string;
  destination: string;
  state: string;
  attempts: number;
  detail: string;
  reason: string;
  created_at?: string;
}

export interface IncidentEvent {
  event_id: string;
  type: string;
  at: string;
  actor: string;
  note: string;
  state: string;
  severity: string;
  version: string;
}

export interface ComplaintSignal {
  at: string;
  severity: string;
  dimension: string;
  value: string;
  rules: string[];
  conversation_id: string;
  related: string[];
  excerpt?: string;
}

export interface Complaints {
  urgent: { category: string; messages: string; conversations: string }[];
  promises: { promise: string; made: string; kept: string; broken: string; pending: string; unknown: string; not_followed: string; overdue: string }[];
  pending: { promise: string; made_at: string; due_at: string; conversation_id: string; made_event_id: string; agent: string; queue: string }[];
  repeats: ComplaintSignal[];
  bursts: ComplaintSignal[];
}

export interface StandardPhrase {
  id: string;
  scene: string;
  level: string;
  text: string;
  lang: string;
  messages: string;
  conversations: string;
  agents: string;
  last_at?: string;
  standing: "unused" | "overused" | "used";
}

export interface PhraseUse {
  messages: string;
  conversations: string;
  phrases: StandardPhrase[];
  wordings: { class: string; words: string; uses: string; conversations: string; agents: string; points: number }[];
  libraries: { library: string; first_at: string; last_at: string }[];
}

export interface DataHealth {
  events: string;
  live: string;
  late: string;
  delay_p50_seconds?: number;
  delay_p99_seconds?: number;
  scoring_p50_seconds?: number;
  scoring_p99_seconds?: number;
  newest_at?: string;
  lag_records: string;
  lag_seconds: number;
  trouble: string;
  messages: string;
  unscored: string;
  heard: string;
  unknown_language: string;
  unknown_role: string;
  masked: { kind: string; places: string; messages: string }[];
  dead_letters: { component: string; reason: string; records: string; last_at: string }[];
  notifiers: { destination: string; channel: string; delivered: string; failed: string; attempts: string; detail: string }[];
}

export interface ProfileFigure {
  profile: string;
  source: string;
  metric_id: string;
  unit: "s" | "ratio";
  value?: number;
  n: string;
  not_measured: string;
}

export interface Scorecard {
  version: number;
  total?: number;
  measured: number;
  dimensions: {
    key: string;
    name_zh: string;
    name_en: string;
    weight: number;
    score?: number;
    indicators: { metric_id: string; weight: number; points?: number; figure: Figure; not_measured: string }[];
  }[];
  fatal: { metric_id: string; above: number; happened: boolean; figure?: Figure; not_measured: string }[];
}

export interface Welcome {
  name: string;
  tenant: string;
  permissions: string[];
  csrf: string;
}

/** What the other side said; `status` 0 if it could not be reached. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

let csrf = "";
let loggedOut = () => {};

export function whenLoggedOut(then: () => void): void {
  loggedOut = then;
}

async function call<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const headers: Record<string, string> = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (method !== "GET") headers["x-csrf-token"] = csrf;
  const init: RequestInit = { method, headers, credentials: "same-origin" };
  if (body !== undefined) init.body = JSON.stringify(body);
  if (signal) init.signal = signal;
  let answer: Response;
  try {
    answer = await fetch(path, init);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, String(error));
  }
  if (answer.status === 204) return undefined as T;
  const text = await answer.text();
  if (!answer.ok) {
    if (answer.status === 401 && path !== "/session") loggedOut();
    let detail = text;
    try {
      detail = JSON.parse(text).detail ?? text;
    } catch {
      // Not ours: something on the way answered.
    }
    throw new Problem(answer.status, detail || answer.statusText);
  }
  return JSON.parse(text) as T;
}

export const get = <T>(path: string, signal?: AbortSignal) => call<T>("GET", path, undefined, signal);
export const post = <T>(path: string, body: unknown, signal?: AbortSignal) => call<T>("POST", path, body, signal);

export type Kind = "conversation" | "customer" | "agent";

/** What an id of the platform stands under here, the newest key's name first; empty for none. */
export const pseudonyms = async (kind: Kind, id: string, signal?: AbortSignal): Promise<string[]> => (await post<{ pseudonyms?: string[] }>("/v1/pseudonyms", { kind, id }, signal)).pseudonyms ?? [];

export async function whoAmI(): Promise<Welcome> {
  const welcome = await call<Welcome>("GET", "/session");
  csrf = welcome.csrf;
  return welcome;
}

/** Name of the identity provider at which people log in, if there is one. */
export const provider = async () => (await get<{ name?: string }>("/login/provider")).name;

export async function logIn(token: string): Promise<Welcome> {
  const welcome = await call<Welcome>("POST", "/session", { token });
  csrf = welcome.csrf;
  return welcome;
}

export async function logOut(): Promise<void> {
  await call<void>("DELETE", "/session");
  csrf = "";
}
