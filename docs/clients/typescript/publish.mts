// Publishes a file of events, a JSON object a line, and needs nothing but Node.js: 22.18 and later
// run it as it is, earlier ones after `npx tsc --module nodenext --target es2022 publish.mts`.
//
//   ZHILI_URL=http://127.0.0.1:7400 ZHILI_TOKEN=... node publish.mts events.jsonl
//
// Ends with 1 if an event was rejected, after saying which and why.

import { readFile } from "node:fs/promises";

interface Rejection {
  field: string;
  code: string;
  message: string;
}

interface Result {
  event_id?: string;
  /** Absent when the event is durable. */
  rejection?: Rejection;
}

// What one request may hold: well below the 1,000 events and 4 MiB that are taken.
const BATCH_EVENTS = 500;
const BATCH_BYTES = 1 << 20;
// Until a log that fails over takes events again, and then some.
const GIVE_UP_MS = 300_000;
// Longer than the 15 s that the service waits for its log.
const TIMEOUT_MS = 30_000;

/** Lines as bodies of requests. */
function* batches(lines: Iterable<string>): Generator<string> {
  let [batch, bytes]: [string[], number] = [[], 0];
  for (const line of lines) {
    if (line.trim() === "") continue;
    const size = new TextEncoder().encode(line).length + 1;
    if (batch.length === BATCH_EVENTS || (batch.length > 0 && bytes + size > BATCH_BYTES)) {
      yield batch.join("\n");
      [batch, bytes] = [[], 0];
    }
    batch.push(line);
    bytes += size;
  }
  if (batch.length > 0) yield batch.join("\n");
}

/** Status, hint and text of the answer; status 0 when there was none. */
async function ask(url: string, token: string, body: string): Promise<[number, string, string]> {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/x-ndjson" };
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  try {
    const answer = await fetch(`${url}/v1/events`, { method: "POST", headers, body, signal });
    return [answer.status, answer.headers.get("retry-after") ?? "", await answer.text()];
  } catch (error) {
    return [0, "", String(error)];
  }
}

/**
 * Results of one batch, an acknowledgement or a rejection for each event.
 *
 * Without an answer it is not known whether events were taken; sending them again is harmless,
 * because an event is known by its source and event_id.
 */
async function send(url: string, token: string, body: string): Promise<Result[]> {
  const giveUp = Date.now() + GIVE_UP_MS;
  for (let wait = 500; ; wait = Math.min(wait * 2, 30_000)) {
    const [status, hint, text] = await ask(url, token, body);
    // 400 has the same results where no event was taken.
    if (status === 200 || status === 400) {
      const { results } = JSON.parse(text) as { results?: Result[] };
      if (results) return results;
    }
    if (![0, 408, 429].includes(status) && status < 500) {
      throw new Error(`refused, ${status}: ${text}`);
    }
    // Not all at the same moment, and never before the hint.
    const pause = /^\d+$/.test(hint) ? Number(hint) * 1000 : wait * (0.5 + Math.random() / 2);
    if (Date.now() + pause > giveUp) throw new Error(`given up, ${status}: ${text}`);
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

const url = (process.env["ZHILI_URL"] ?? "http://127.0.0.1:7400").replace(/\/+$/, "");
const [token, file] = [process.env["ZHILI_TOKEN"], process.argv[2]];
if (token === undefined || file === undefined) {
  throw new Error("usage: ZHILI_TOKEN=... node publish.mts events.jsonl");
}
let [accepted, rejected] = [0, 0];
for (const body of batches((await readFile(file, "utf8")).split("\n"))) {
  for (const { event_id, rejection } of await send(url, token, body)) {
    if (rejection === undefined) {
      accepted += 1;
      continue;
    }
    rejected += 1;
    console.error(`${event_id ?? "?"}: ${rejection.field}: ${rejection.message}`);
  }
}
console.log(`${accepted} accepted, ${rejected} rejected`);
process.exitCode = rejected > 0 ? 1 : 0;
