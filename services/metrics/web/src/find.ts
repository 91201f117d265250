// Finding what somebody names: by the platform's own id, or by the pseudonym that stands for it here.

import { type Figure, get, type Kind, post, Problem, pseudonyms } from "./api";

/** What was found, and where it is shown. */
export interface Found {
  kind: Kind;
  pseudonym: string;
  to: string;
}

export type Outcome =
  | { is: "found"; found: Found[] }
  | { is: "nothing" }
  /** Ids of the platform cannot be asked for, or not by this caller. */
  | { is: "unavailable"; problem: Problem };

const KINDS: Kind[] = ["conversation", "customer", "agent"];
const PREFIX: Record<string, Kind> = { v_: "conversation", c_: "customer", a_: "agent" };

/** How far back a customer's or an agent's traces are looked for, milliseconds: as far as a page shows. */
const BACK_MS = 90 * 86_400_000;

/** The kind that a pseudonym says; undefined for what is none. */
export const kindOf = (id: string): Kind | undefined => (/^[vca]_[a-z2-7]{10,64}$/.test(id) ? PREFIX[id.slice(0, 2)] : undefined);

/** Where what was found is shown. */
export function pageOf(kind: Kind, pseudonym: string): string {
  const name = encodeURIComponent(pseudonym);
  switch (kind) {
    case "conversation":
      return `/conversations/${name}`;
    case "customer":
      return `/conversations?customer=${name}&metric=sentiment.v1&order=latest&range=90d`;
    case "agent":
      return `/agents?agent=${name}&range=90d`;
  }
}

/** Whether anything is known under a name. */
async function exists(kind: Kind, pseudonym: string, signal: AbortSignal | undefined): Promise<boolean> {
  const now = Date.now();
  const range = { from: new Date(now - BACK_MS).toISOString(), to: new Date(now + 3_600_000).toISOString() };
  try {
    switch (kind) {
      case "conversation":
        await get(`/v1/conversations/${encodeURIComponent(pseudonym)}`, signal);
        return true;
      case "customer": {
        const body = { ...range, customer: pseudonym, limit: 1 };
        const { observations } = await post<{ observations?: unknown[] }>("/v1/metrics/sentiment.v1:observations", body, signal);
        return (observations ?? []).length > 0;
      }
      case "agent": {
        const { current } = await post<{ current?: Figure }>("/v1/metrics/politeness.v1:compare", { ...range, filter: { agent: pseudonym } }, signal);
        return Number(current?.n ?? 0) > 0;
      }
    }
  } catch (error) {
    // Not there, or not for this caller's eyes: which of the two, nobody is told.
    if (error instanceof Problem && (error.status === 404 || error.status === 403)) return false;
    throw error;
  }
}

/** The first of several names that something is known under: those of older keys come later. */
async function first(kind: Kind, names: string[], signal: AbortSignal | undefined): Promise<Found[]> {
  for (const pseudonym of names) {
    if (await exists(kind, pseudonym, signal)) return [{ kind, pseudonym, to: pageOf(kind, pseudonym) }];
  }
  return [];
}

/** Looks up what somebody has typed, as one kind or as any. */
export async function find(typed: string, only?: Kind, signal?: AbortSignal): Promise<Outcome> {
  const id = typed.trim();
  if (!id) return { is: "nothing" };
  const kind = kindOf(id);
  if (kind) {
    const found = await first(kind, [id], signal);
    return found.length > 0 ? { is: "found", found } : { is: "nothing" };
  }
  const kinds = only ? [only] : KINDS;
  const asked = await Promise.allSettled(kinds.map(async (kind) => first(kind, await pseudonyms(kind, id, signal), signal)));
  const found = asked.flatMap((one) => (one.status === "fulfilled" ? one.value : []));
  if (found.length > 0) return { is: "found", found };
  const refused = asked.find((one) => one.status === "rejected");
  if (!refused) return { is: "nothing" };
  if (refused.reason instanceof Problem && [0, 403, 404, 405, 501, 503].includes(refused.reason.status)) return { is: "unavailable", problem: refused.reason };
  throw refused.reason;
}
