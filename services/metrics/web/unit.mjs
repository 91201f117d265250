#!/usr/bin/env node
// What the console says and finds, without a browser and without a system: words for every name that
// the engine and the services have, which way is good, and finding by a platform's id against
// answers that are made up here.
//
// usage: unit.mjs
// ends with 0 passed, 1 failed, 75 vite is not there (`make console` installs it)

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const { createServer } = await import("vite").catch(() => {
  console.error("skipped: vite is not installed; run `make console`");
  process.exit(75);
});

const root = fileURLToPath(new URL(".", import.meta.url));
globalThis.document = { documentElement: {} };
const server = await createServer({ root, configFile: false, logLevel: "error", server: { middlewareMode: true, hmr: false, ws: false }, appType: "custom", optimizeDeps: { noDiscovery: true } });
after(() => server.close());
const load = (file) => server.ssrLoadModule(`/src/${file}`);
const words = await load("words.ts");
const good = await load("good.ts");
const { said, asSaid } = await load("said.ts");
const { find, kindOf, pageOf } = await load("find.ts");

/** Sources of the services whose names people see. */
const source = (path) => readFileSync(new URL(`../../../${path}`, import.meta.url), "utf8");
const names = (text, from, to) => {
  const begin = text.indexOf(from);
  assert.ok(begin >= 0, `${from} is not there any more`);
  return [...text.slice(begin, text.indexOf(to, begin)).matchAll(/=> "([^"]+)"/g)].map((match) => match[1]);
};

test("every rule of the engine has words in both languages", () => {
  const rules = names(source("crates/tone/src/score.rs"), "rules! {", "\n}");
  assert.ok(rules.length > 10, String(rules));
  for (const rule of rules) {
    for (const language of ["zh", "en"]) {
      words.setLanguage(language);
      assert.ok(words.isRule(rule), rule);
      assert.notEqual(words.ruleName(rule), rule);
    }
    words.setLanguage("zh");
    assert.match(words.ruleName(rule), /[\u4e00-\u9fff]/, rule);
  }
});

test("every class of the engine, every kind of signal and every state has words", () => {
  const known = [
    ...names(source("crates/tone/src/library.rs"), "classes! {", "\n}"),
    ...names(source("crates/dialogue/src/output.rs"), "pub fn name(self) -> &'static str", "\n    }\n"),
    ...[...source("crates/tone/src/assessment.rs").matchAll(/names!\((?:Target|UrgentCategory|ComplaintLabel|Polarity|PolitenessLabel) \{([^}]+)\}/g)].flatMap((one) => [...one[1].matchAll(/=> "([^"]+)"/g)].map((match) => match[1])),
    ...[...source("proto/zhili/escalation/v1/escalation.proto").matchAll(/^message (?:Incident|Page|IncidentEvent) \{[^]*?^\}/gm)]
      .flatMap((message) => [...message[0].matchAll(/enum \w+ \{([^}]+)\}/g)])
      .flatMap((one) => [...one[1].matchAll(/^\s+(\w+) = [1-9]/gm)].map((match) => match[1])),
    "rule",
    "head",
  ];
  assert.ok(known.length > 60, String(known.length));
  words.setLanguage("zh");
  for (const name of known) {
    assert.ok(words.isKnown(name), `${name} has no words`);
    assert.match(words.valueName(name), /[\u4e00-\u9fff]/, name);
  }
});

test("a name of somebody's own stays as it is", () => {
  for (const language of ["zh", "en"]) {
    words.setLanguage(language);
    for (const name of ["our_rule", "constructor", "promise.of.ours"]) {
      assert.equal(words.valueName(name), name);
      assert.ok(!words.isKnown(name));
    }
  }
});

test("points for what is bad are not good", () => {
  assert.equal(good.toneOfPoints("urgency", 0.6), "bad");
  assert.equal(good.toneOfPoints("urgency", -0.6), "good");
  assert.equal(good.toneOfPoints("complaint", 1), "bad");
  assert.equal(good.toneOfPoints("politeness", 10), "good");
  assert.equal(good.toneOfPoints("sentiment", -0.4), "bad");
  assert.equal(good.toneOfPoints("something_new", 3), "");
  assert.equal(good.toneOf("urgent"), "bad");
  assert.equal(good.toneOf("our_state"), "");
});

test("a line is met in the metric's own direction", () => {
  const figure = { value: 5, low: 4, high: 6 };
  assert.equal(good.verdict({ better: "lower" }, figure, { value: 10 }), "met");
  assert.equal(good.verdict({ better: "higher" }, figure, { value: 10 }), "missed");
  assert.equal(good.verdict({ better: "lower" }, figure, { value: 5 }), "unsure");
});

test("the gravest incident comes first and of equally grave ones the oldest", () => {
  const one = (name, severity, triggered_at) => ({ name, severity, triggered_at });
  const list = [one("late warning", "warning", "2026-01-02"), one("new critical", "critical", "2026-01-03"), one("old high", "high", "2026-01-01"), one("old critical", "critical", "2026-01-01"), one("of their own", "ours", "2025-01-01")];
  assert.deepEqual(list.sort(good.byGravity).map((it) => it.name), ["old critical", "new critical", "old high", "late warning", "of their own"]);
});

test("sentences of the services that are known are Chinese on the Chinese page", () => {
  words.setLanguage("zh");
  assert.equal(said("the acknowledgement of 小李 timed out"), "小李 认领后超时未处理");
  assert.equal(said("the severity rose; its kind pages nobody"), "级别上升；此类事件不通知");
  assert.equal(said("nobody is paged: its kind pages nobody"), "不通知任何人：此类事件不通知");
  assert.equal(said("HTTP 503 Service Unavailable"), "HTTP 503 Service Unavailable");
  assert.equal(asSaid("complaints_3_in_7d"), "7 天内第 3 次投诉");
  assert.equal(asSaid("我要投诉"), undefined);
  words.setLanguage("en");
  assert.equal(said("the severity rose"), "the severity rose");
});

test("every note that the fold of incidents writes is known", () => {
  words.setLanguage("zh");
  const files = ["suppression", "incident", "page", "lifecycle", "forgetting", "presence"];
  const sentences = files.flatMap((file) => [...source(`crates/incident/src/${file}.rs`).matchAll(/(?:=>|note =|note: |write_str\(|cause\(|\{)\s*"([a-z][^"{}]*(?:\\\n[^"{}]*)?)"/g)].map((match) => match[1].replace(/\\\n\s*/g, "")));
  const words_ = sentences.filter((one) => /^[a-z'-]+( [^ ]+){2,}$/.test(one));
  assert.ok(words_.length > 10, String(words_));
  for (const sentence of words_) assert.match(said(sentence), /[\u4e00-\u9fff]/, sentence);
});

test("where the platforms' ways of counting come from is told in Chinese", () => {
  words.setLanguage("zh");
  for (const profile of ["jd", "pdd", "taobao"]) {
    const from = /^source = "(.+)"$/m.exec(source(`crates/dialogue/profiles/${profile}.toml`))?.[1];
    assert.match(said(from), /[\u4e00-\u9fff]/, from);
  }
});

/** Answers requests like the service would. */
function answering(answers) {
  const asked = [];
  globalThis.fetch = async (path, init) => {
    const body = init.body ? JSON.parse(init.body) : undefined;
    asked.push([path, body]);
    const [status, answer] = answers(path, body);
    return { status, ok: status < 400, text: async () => JSON.stringify(answer), statusText: "" };
  };
  return asked;
}

const V = "v_xty2htwzpc4cmkvb24k3oa7rhd";
const C = "c_gwsbohirm5x7f2qk3n4o6p7aab";
const nobody = [404, { detail: "there is no such thing" }];

test("a pseudonym says by itself what it is", async () => {
  assert.equal(kindOf(V), "conversation");
  assert.equal(kindOf(C), "customer");
  assert.equal(kindOf("8813001"), undefined);
  assert.equal(kindOf("v_我"), undefined);
  const asked = answering((path) => (path === `/v1/conversations/${V}` ? [200, {}] : nobody));
  assert.deepEqual(await find(` ${V} `), { is: "found", found: [{ kind: "conversation", pseudonym: V, to: pageOf("conversation", V) }] });
  assert.equal(asked.length, 1, "nothing else is asked");
});

test("an id of the platform is asked for by each kind and shown where something is known", async () => {
  const older = "v_aaaaaaaaaaaaaaaaaaaaaaaaaa";
  const asked = answering((path, body) => {
    if (path === "/v1/pseudonyms") return [200, { pseudonyms: body.kind === "conversation" ? [V, older] : [] }];
    return path === `/v1/conversations/${older}` ? [200, {}] : nobody;
  });
  const outcome = await find("8813001");
  assert.deepEqual(outcome.found.map((one) => one.to), [`/conversations/${older}`]);
  const kinds = asked.filter(([path]) => path === "/v1/pseudonyms").map(([, body]) => body);
  assert.deepEqual(kinds.map((body) => body.kind).sort(), ["agent", "conversation", "customer"]);
  assert.ok(kinds.every((body) => body.id === "8813001"));
});

test("a customer leads to their conversations", async () => {
  answering((path, body) => {
    if (path === "/v1/pseudonyms") return [200, { pseudonyms: [C] }];
    assert.equal(body.customer, C);
    return [200, { observations: [{}] }];
  });
  const outcome = await find("u-1", "customer");
  assert.equal(outcome.found[0].to, pageOf("customer", C));
  assert.ok(outcome.found[0].to.startsWith(`/conversations?customer=${C}&`));
});

test("what nobody knows is told as not found, and what cannot be asked as that", async () => {
  answering((path) => (path === "/v1/pseudonyms" ? [200, { pseudonyms: [V] }] : nobody));
  assert.deepEqual(await find("no-such", "conversation"), { is: "nothing" });
  answering(() => [503, { detail: "ingest cannot be asked" }]);
  assert.equal((await find("8813001")).is, "unavailable");
  answering(() => [500, { detail: "a defect" }]);
  await assert.rejects(find("8813001"), /a defect/);
});
