#!/usr/bin/env node
// Logs into the console at an identity provider in a browser, in both languages, and looks at what becomes of
// whoever does not agree. The provider's page is that of the tests: links with the ids `agree` and `refuse`.
//
// usage: login.mjs --metrics URL --provider NAME --person NAME [--shots DIR]
// ends with 0 passed, 1 failed, 75 there is no Chromium to look with (CHROMIUM names one)

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { axe, launch } from "./browser.mjs";

const { values: given } = parseArgs({
  options: {
    metrics: { type: "string" },
    provider: { type: "string" },
    person: { type: "string" },
    shots: { type: "string" },
  },
});

if (given.shots) mkdirSync(given.shots, { recursive: true });

const expect = (condition, what) => {
  if (!condition) throw new Error(what);
};
const browser = await launch();
let status = 0;
try {
  for (const [lang, button, refused] of [
    ["zh", `用 ${given.provider} 登录`, "身份提供方没有同意登录。"],
    ["en", `Log in with ${given.provider}`, "The identity provider did not agree."],
  ]) {
    const context = await browser.newContext({ locale: lang === "zh" ? "zh-CN" : "en-GB" });
    const page = await context.newPage();
    const wrong = [];
    page.on("pageerror", (error) => wrong.push(String(error)));
    await page.goto(`${given.metrics}/agents?range=30d`);
    const link = page.getByRole("link", { name: button });
    await link.waitFor();
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    const serious = violations.filter((one) => ["serious", "critical"].includes(one.impact));
    expect(serious.length === 0, `axe: ${serious.map((one) => one.id)}`);
    if (given.shots) await page.screenshot({ path: join(given.shots, `login-${lang}.png`) });

    // Who does not agree is back where it began, and is told so.
    await link.click();
    await page.click("#refuse");
    await page.getByRole("alert").filter({ hasText: refused }).waitFor();

    // Who does is where they wanted to be.
    await page.goto(`${given.metrics}/agents?range=30d`);
    await page.getByRole("link", { name: button }).click();
    await page.click("#agree");
    await page.locator("nav ul a").first().waitFor();
    expect(page.url() === `${given.metrics}/agents?range=30d`, `it leads to ${page.url()}`);
    const title = await page.locator(".settings button:last-child").getAttribute("title");
    expect(title.startsWith(`${given.person} ·`), `${title} is logged in`);

    // A script sees no cookie, and only that of the session is left.
    expect((await page.evaluate(() => document.cookie)) === "", "a script sees a cookie");
    const cookies = await context.cookies();
    const [session] = cookies;
    expect(cookies.length === 1 && session.name === "zhili_session", `cookies: ${cookies.map((one) => one.name)}`);
    expect(session.httpOnly && session.sameSite === "Strict", JSON.stringify(session));

    // What happened before is in no page that the browser goes back to.
    await page.reload();
    await page.locator("nav ul a").first().waitFor();
    await page.click(".settings button:last-child");
    await page.getByRole("link", { name: button }).waitFor();
    expect(wrong.length === 0, wrong.join("; "));
    await context.close();
  }
  console.log("people log in at the provider in both languages");
} catch (error) {
  console.error(error.stack ?? error);
  status = 1;
}
await browser.close();
process.exit(status);
