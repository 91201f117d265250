#!/usr/bin/env node
// Makes the pictures of docs/screenshots from a running system: what one sees of every page without
// scrolling, in both languages. Fails when a picture is larger than the documentation should hold.
//
// usage: screenshots.mjs --metrics URL --token FILE [--range RANGE]
// ends with 0 made, 1 failed, 75 there is no Chromium (CHROMIUM names one)

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { launch } from "./browser.mjs";

const { values: given } = parseArgs({
  options: {
    metrics: { type: "string", default: "http://127.0.0.1:7403" },
    token: { type: "string", default: ".zhili/token" },
    range: { type: "string", default: "7d" },
  },
});

/** Most bytes of one picture. */
const MOST = 120 * 1024;
const folder = fileURLToPath(new URL("../../../docs/screenshots/", import.meta.url));
mkdirSync(folder, { recursive: true });
const token = readFileSync(given.token, "utf8").trim();
const browser = await launch();
const packer = await browser.newPage();
let status = 0;

/** The same picture as WebP, which the browser can make and we need no program for. */
async function packed(png) {
  const base64 = await packer.evaluate(async (png) => {
    const bitmap = await createImageBitmap(await (await fetch(`data:image/png;base64,${png}`)).blob());
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    const blob = await canvas.convertToBlob({ type: "image/webp", quality: 0.8 });
    const bytes = new Uint8Array(await blob.arrayBuffer());
    let text = "";
    for (const byte of bytes) text += String.fromCharCode(byte);
    return btoa(text);
  }, png.toString("base64"));
  return Buffer.from(base64, "base64");
}

for (const lang of ["zh", "en"]) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, locale: lang === "zh" ? "zh-CN" : "en-GB", timezoneId: "Asia/Shanghai" });
  const page = await context.newPage();
  await page.goto(`${given.metrics}/?lang=${lang}&theme=light`);
  await page.fill("input[name=token]", token);
  await page.click("button[type=submit]");
  await page.waitForSelector("nav");
  const pages = [
    ["/", "wall"],
    ["/shift", "shift"],
    ["/overview", "overview"],
    ["/agents", "agents"],
    ["/complaints", "complaints"],
    ["/incidents", "incidents"],
    ["/conversations?metric=politeness.v1&order=least", "conversations"],
    ["/phrases", "phrases"],
    ["/library", "library"],
    ["/health", "health"],
  ];
  const look = async (path, name) => {
    await page.goto(`${given.metrics}${path}${path.includes("?") ? "&" : "?"}range=${given.range}&lang=${lang}&theme=light`);
    await page.waitForSelector("main .panel, main .tile, main .counter");
    await page.waitForFunction(() => !document.querySelector(".loading"), undefined, { timeout: 30_000 });
    const file = `${folder}${name}-${lang}.webp`;
    const picture = await packed(await page.screenshot());
    writeFileSync(file, picture);
    if (picture.length > MOST) {
      console.error(`${file} has ${picture.length} bytes, more than ${MOST}`);
      status = 1;
    }
  };
  for (const [path, name] of pages) {
    await look(path, name);
    if (name === "incidents") {
      // With one that was chosen, as whoever works with it sees it.
      await look(await page.locator(".queue.choose a").first().getAttribute("href").then((href) => href.split("?")[0]), name);
    }
    if (name !== "conversations") continue;
    const one = new URL(await page.locator(".list a[href^='/conversations/']").first().getAttribute("href"), given.metrics);
    await look(`${one.pathname}${one.search}`, "conversation");
  }
  await context.close();
}
await browser.close();
process.exit(status);
