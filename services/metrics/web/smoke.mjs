#!/usr/bin/env node
// Looks at every page of the console of a running system, as people would: in both languages, on a
// screen and on a phone, by light and by dark. Fails when a page shows an error, a panel without
// anything in it, or words cut off at the side; when something comes from elsewhere; when axe finds
// something serious; when an action does not do what it says.
//
// usage: smoke.mjs --metrics URL --ingest URL --token FILE [--shots DIR]
// ends with 0 passed, 1 failed, 75 there is no Chromium to look with (CHROMIUM names one)

import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { axe, launch } from "./browser.mjs";

const { values: given } = parseArgs({
  options: {
    metrics: { type: "string", default: "http://127.0.0.1:7403" },
    ingest: { type: "string", default: "http://127.0.0.1:7400" },
    token: { type: "string", default: ".zhili/token" },
    shots: { type: "string" },
  },
});

const token = readFileSync(given.token, "utf8").trim();
const failures = [];
const fail = (where, what) => failures.push(`${where}: ${what}`);

/** Publishes what a customer, or an agent, says: in a conversation of its own unless `of` names one. */
async function ask(id, text, queue = "", of = id, role = "customer") {
  const answer = await fetch(`${given.ingest}/v1/events`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({
      source: "smoke",
      event_id: id,
      conversation_id: of,
      type: "message",
      sent_at: new Date().toISOString(),
      channel: "chat",
      author: { id: `${role}-${of}`, role },
      text,
      queue,
    }),
  });
  const body = await answer.json();
  if (!answer.ok || body.accepted !== 1) throw new Error(`ingest refused: ${JSON.stringify(body)}`);
}

const browser = await launch();

/** A window that is logged in, and that notes what goes wrong in it. */
async function open(view) {
  const context = await browser.newContext({ viewport: view.size, locale: view.lang === "zh" ? "zh-CN" : "en-GB", timezoneId: "Asia/Shanghai" });
  const page = await context.newPage();
  page.on("pageerror", (error) => fail(page.url(), error));
  page.on("console", (message) => {
    // The first question, who is logged in, is answered with 401 before anybody is; 403 is asked for, and the
    // 400 of an incident that is given to somebody who is not there, and the 404 of what is looked for.
    const at = message.location().url;
    const asked = / (401|403) /.test(message.text()) || (/ 400 /.test(message.text()) && at.endsWith(":reassign")) || (/ 404 /.test(message.text()) && at.includes("/v1/conversations/"));
    if (message.type() === "error" && !asked) fail(page.url(), message.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(given.metrics) && !request.url().startsWith("data:")) fail(page.url(), `asks for ${request.url()}`);
  });
  await page.goto(`${given.metrics}/?lang=${view.lang}&theme=${view.theme}`);
  await page.fill("input[name=token]", token);
  await page.click("button[type=submit]");
  await page.waitForSelector("nav");
  const cookie = (await context.cookies())[0];
  if (!cookie?.httpOnly || cookie.sameSite !== "Strict") fail("log in", `the cookie is ${JSON.stringify(cookie)}`);
  return page;
}

/** Waits until a page has all its answers, and looks at it. */
async function look(page, path, name, view) {
  const join_ = path.includes("?") ? "&" : "?";
  await page.goto(`${given.metrics}${path}${join_}lang=${view.lang}&theme=${view.theme}`);
  await page.waitForSelector("main .panel, main .tile", { state: "attached" });
  await page.waitForFunction(() => !document.querySelector(".loading"), undefined, { timeout: 20_000 });
  const where = `${name} ${view.name}`;
  const seen = await page.evaluate(() => ({
    problems: [...document.querySelectorAll(".problem")].map((one) => one.textContent),
    empty: [...document.querySelectorAll(".panel")].filter((one) => one.querySelector(".empty") || one.children.length < 2).map((one) => one.querySelector("h2")?.textContent),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    // Only what a scale or a page of its own names may lack an id.
    unnamed: [...document.querySelectorAll(".tile")].filter((one) => !one.querySelector(".id")).length,
    words: document.querySelector("main").innerText,
    abouts: [...document.querySelectorAll("[role=tooltip]")].map((one) => one.textContent),
    // What the services say by themselves, beside what people wrote.
    said: [...document.querySelectorAll(".stale, .timeline li > .quiet, .contributions td.quiet, .missed-it")].map((one) => one.textContent.replace(/「[^」]*」|`[^`]*`/g, "")),
    cut: [...document.querySelectorAll("main th, main td, main .standing, main .figure, main .queue .wait, main h2, main h3")].filter((one) => one.clientWidth > 0 && one.scrollWidth > one.clientWidth + 1).map((one) => one.textContent),
  }));
  for (const problem of seen.problems) fail(where, problem);
  for (const panel of seen.empty) fail(where, `the panel "${panel}" is empty`);
  if (seen.overflow > 0) fail(where, `is ${seen.overflow} px wider than the window`);
  if (seen.cut.length > 0) fail(where, `cuts "${seen.cut[0]}" off`);
  if (seen.unnamed > 0) fail(where, `${seen.unnamed} tiles do not name their metric`);
  if (/undefined|NaN|\[object|null/.test(seen.words)) fail(where, `says ${seen.words.match(/.*(undefined|NaN|\[object|null).*/)[0]}`);
  await page.evaluate(axe);
  const barriers = await page.evaluate(async () => {
    const found = await window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa"], resultTypes: ["violations"] });
    return found.violations.filter((one) => one.impact === "serious" || one.impact === "critical").map((one) => `${one.id}: ${one.help}: ${one.nodes[0].html.slice(0, 160)}`);
  });
  for (const barrier of barriers) fail(where, barrier);
  if (view.lang === "zh") {
    // Sentences that were left in the registry's language; names of systems and people are none.
    const english = [...seen.abouts, ...seen.said].filter((text) => /[a-z]+ [a-z]+ [a-z]+/.test(text));
    if (english.length > 0) fail(where, `is not in Chinese: ${english[0]}`);
  }
  if (given.shots) await page.screenshot({ path: join(given.shots, `${name}-${view.name}.png`), fullPage: true });
  return seen.words;
}

if (given.shots) mkdirSync(given.shots, { recursive: true });
const views = [
  { name: "zh-light-1440", lang: "zh", theme: "light", size: { width: 1440, height: 900 } },
  { name: "en-dark-1440", lang: "en", theme: "dark", size: { width: 1440, height: 900 } },
  { name: "zh-dark-390", lang: "zh", theme: "dark", size: { width: 390, height: 844 } },
  { name: "en-light-390", lang: "en", theme: "light", size: { width: 390, height: 844 } },
];

try {
  const round = Date.now().toString(36);
  // In a queue, and answered: what the choice of queues is made of.
  await ask(`queue-${round}`, "请问怎么退货？", "returns");
  await ask(`reply-${round}`, "亲，您好，这就为您查询。", "returns", `queue-${round}`, "agent");
  await ask(`waits-${round}`, "订单一直没有发货，到底什么时候能到？");

  // What happens is seen without a reload.
  const first = await open(views[0]);
  await first.waitForSelector(".queue .wait", { timeout: 20_000 });
  // By its words and not by how many wait: another one may be answered in the same moment.
  const asked = Date.now();
  await ask(`more-${round}`, "你好，请问还有人在吗？");
  await first.waitForSelector(".queue:has-text('你好，请问还有人在吗')", { timeout: 15_000 });
  console.log(`a message is on the wall after ${Date.now() - asked} ms`);

  // Who serves whom: the one who has answered has an open conversation.
  await first.waitForSelector(".agents li a[href*='agent=a_']", { timeout: 15_000 });

  // Found by the platform's own id, by the pseudonym that it has here, and not at all.
  const search = async (typed) => {
    await first.keyboard.press("/");
    await first.waitForFunction(() => document.activeElement?.id === "search");
    await first.keyboard.type(typed);
    await first.keyboard.press("Enter");
  };
  await search(`more-${round}`);
  await first.waitForSelector(".message:has-text('你好，请问还有人在吗')", { timeout: 15_000 });
  if (!/\/conversations\/v_/.test(first.url())) fail("search", `a conversation's id leads to ${first.url()}`);
  await first.waitForSelector(".facts:has-text('客户等待中')");
  const pseudonym = new URL(first.url()).pathname.split("/")[2];
  await first.goto(`${given.metrics}/?lang=zh`);
  await first.waitForSelector(".counters");
  await first.locator("main h1").click();
  await search(pseudonym);
  await first.waitForSelector(".message:has-text('你好，请问还有人在吗')", { timeout: 15_000 });
  await first.locator("main h1").click();
  await search(`customer-more-${round}`);
  await first.waitForSelector(`.list a[href^='/conversations/${pseudonym}']`, { timeout: 15_000 });
  await first.locator("main h1").click();
  await search(`agent-queue-${round}`);
  await first.waitForFunction(() => location.pathname === "/agents" && location.search.includes("agent=a_"), undefined, { timeout: 15_000 });
  await first.waitForSelector("main .panel");
  await first.locator("main h1").click();
  await search(`nothing-${round}`);
  await first.waitForSelector(`main:has-text('没有与“nothing-${round}”相符的')`, { timeout: 15_000 });

  // From a figure to the conversations behind it, and to how a score comes about.
  await first.goto(`${given.metrics}/overview?range=30d`);
  await first.click(".tile a[href*='politeness.v1']");
  await first.waitForSelector(".list a");
  const conversation = new URL(await first.locator(".list a").first().getAttribute("href"), given.metrics).pathname;
  await first.click(".list a");
  await first.waitForSelector(".message.chosen");
  await first.waitForSelector(".contributions");
  const [score, sum] = await first.evaluate(() => {
    const table = document.querySelector(".contributions");
    return [table.querySelector("caption strong").innerText, table.querySelector(".sum .number").innerText];
  });
  if (score !== sum) fail("conversation", `the score is ${score}, its contributions come to ${sum}`);

  const incident = await first.evaluate(async () => (await (await fetch("/v1/incidents?limit=1")).json()).incidents[0].incident_id);
  const pages = [
    ["/", "wall"],
    ["/overview?range=30d", "overview"],
    ["/agents?range=30d", "agents"],
    ["/shift?range=30d", "shift"],
    ["/phrases?range=30d", "phrases"],
    ["/complaints?range=30d", "complaints"],
    ["/library?range=30d", "library"],
    ["/health?range=30d", "health"],
    ["/metrics/rt.first_unanswered.v1?range=30d&by=hour", "metric"],
    ["/incidents", "incidents"],
    [`/incidents/${incident}`, "incident"],
    ["/conversations?range=30d", "conversations"],
    [conversation, "conversation"],
    [`/conversations/${pseudonym}`, "waiting"],
    [`/search#nothing-${round}`, "search"],
  ];
  for (const view of views) {
    const page = view === views[0] ? first : await open(view);
    for (const [path, name] of pages) {
      const words = await look(page, path, name, view);
      if (view.lang === "en" && !["conversation", "wall", "library", "waiting"].includes(name) && !name.startsWith("incident") && /[\u4e00-\u9fff]/.test(words)) fail(`${name} ${view.name}`, `says ${words.match(/.*[\u4e00-\u9fff].*/)[0]}`);
    }
    if (page !== first) await page.context().close();
  }

  // Filter and range are in the link, and what it leads to is narrowed.
  await first.goto(`${given.metrics}/shift?range=30d&lang=en`);
  const queues = first.locator(".filters select").nth(2);
  await first.waitForFunction(() => document.querySelectorAll(".filters select")[2]?.options.length > 1, undefined, { timeout: 15_000 });
  const queue = await queues.evaluate((select) => select.options[1].value);
  await queues.selectOption(queue);
  await first.locator(".filters select").nth(1).selectOption("week");
  const link = new URL(first.url()).searchParams;
  if (link.get("queue") !== queue || link.get("range") !== "30d" || link.get("baseline") !== "week") fail("link", `the choice is not in ${first.url()}`);
  await first.reload();
  await first.waitForFunction((queue) => document.querySelectorAll(".filters select")[2]?.value === queue, queue, { timeout: 15_000 });

  // What an id means is told to whoever reaches it by keyboard.
  const told = first.locator(".tile .explains").first();
  await told.locator("button").focus();
  await told.getByRole("tooltip").waitFor();

  // Figures go along as a file, and nothing in it runs in a spreadsheet.
  const bad = '=HYPERLINK("http://x")';
  await ask(`sheet-${round}`, "请问什么时候发货？", bad);
  await first.waitForFunction(
    async (bad) => {
      const [from, to] = [new Date(Date.now() - 86_400_000).toISOString(), new Date(Date.now() + 3_600_000).toISOString()];
      const headers = { "x-csrf-token": (await (await fetch("/session")).json()).csrf, "content-type": "application/json" };
      const answer = await fetch("/v1/metrics/sentiment.v1:rank", { method: "POST", headers, body: JSON.stringify({ from, to, by: "queue" }) });
      return (await answer.json()).ranks?.some((one) => one.group === bad);
    },
    bad,
    { timeout: 20_000, polling: 200 },
  );
  await first.goto(`${given.metrics}/metrics/sentiment.v1?range=24h&by=queue&lang=en`);
  const take = async (title, kind) => {
    const panel = first.locator(".panel", { has: first.getByRole("heading", { name: title, exact: true }) });
    await panel.locator("td, canvas").first().waitFor();
    const [download] = await Promise.all([first.waitForEvent("download"), panel.getByRole("button", { name: kind === "csv" ? "Export CSV" : "Export picture" }).click()]);
    if (!download.suggestedFilename().endsWith(`.${kind}`)) fail("export", `the file is called ${download.suggestedFilename()}`);
    return readFileSync(await download.path());
  };
  const sheet = (await take("Breakdown", "csv")).toString("utf8");
  const cells = `"'=HYPERLINK(""http://x"")"`;
  if (!sheet.startsWith("\uFEFFqueue,sentiment.v1,low,high,n") || !sheet.includes(`\r\n${cells},`)) fail("export", `the sheet is ${sheet}`);
  const series = (await take("Over time", "csv")).toString("utf8").trim().split("\r\n");
  if (series.length !== 25) fail("export", `a day has ${series.length - 1} hours`);
  const picture = await take("Over time", "png");
  if (!picture.subarray(0, 8).equals(Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])) || picture.length < 2_000) fail("export", "the picture is none");

  // From a count on the page of complaints to the conversations behind it.
  await first.goto(`${given.metrics}/complaints?range=30d&lang=en`);
  await first.locator("td a[href*='category=']").first().click();
  await first.waitForSelector(".list a[href^='/conversations/']");

  // One agent's dimensions, with what was not measured.
  await first.goto(`${given.metrics}/agents?range=30d&lang=en`);
  await first.locator("tbody th a").first().click();
  await first.waitForSelector(".radar .unmeasured");
  if (!new URL(first.url()).searchParams.get("agent")) fail("agents", `the agent is not in ${first.url()}`);

  // An incident is acknowledged, put off and resolved, and the page says so, and who was told of it. It can
  // be given to somebody who is there, and to nobody else.
  await first.goto(`${given.metrics}/incidents/${incident}?lang=en`);
  await first.waitForSelector(".detail h3:has-text('Notifications') + :is(.deliveries, .quiet)");
  await first.fill(".actions input[list]", "nobody-of-that-name");
  await first.click(`.actions button:has-text("Reassign")`);
  await first.waitForSelector(".actions [role=status]:has-text('nobody-of-that-name')", { timeout: 15_000 });
  const steps = [["Acknowledge", "acknowledged"], ["Snooze", "snoozed"], ["Acknowledge", "acknowledged"], ["Resolve", "resolved"]];
  for (const [button, state] of steps) {
    await first.fill(".actions input:not([list])", `looked at by the smoke test`);
    await first.click(`.actions button:has-text("${button}")`);
    await first.waitForSelector(`.detail .tag.${state}`, { timeout: 15_000 });
    // It is done when the timeline has it, and not before.
    const done = () => [...document.querySelectorAll(".detail [role=status]")].some((one) => one.textContent.trim() === "done");
    await first.waitForFunction(done, undefined, { timeout: 15_000 });
    const newest = await first.locator(".timeline strong").allInnerTexts();
    if (!newest.includes(state)) fail("incident", `is done while the timeline says ${newest}`);
  }
  await first.waitForSelector(".timeline q", { timeout: 15_000 });

  // Without the session's second secret nothing can be changed.
  const status = await first.evaluate(async (incident) => (await fetch(`/v1/incidents/${incident}:resolve`, { method: "POST" })).status, incident);
  if (status !== 403) fail("csrf", `a POST without the secret is answered with ${status}`);

  await first.click(".settings button:last-child");
  await first.waitForSelector("input[name=token]");
} catch (error) {
  fail("the test", error.stack ?? error);
}
await browser.close();
for (const failure of failures) console.error(failure);
console.log(failures.length === 0 ? "every page of the console is as it should be" : `${failures.length} failures`);
process.exit(failures.length === 0 ? 0 : 1);
