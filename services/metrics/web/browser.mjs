// A Chromium to look at the console with, and what judges accessibility in it.

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";

const executablePath = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) => path && existsSync(path));
if (!executablePath) {
  console.error("skipped: no Chromium to look at the console with; install one or set CHROMIUM");
  process.exit(75);
}
const { chromium } = await import("playwright-core").catch(() => {
  console.error("skipped: playwright-core is not installed; run `make console`");
  process.exit(75);
});

/** To be run in a page. */
export const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Starts it; to be closed. */
export const launch = () => chromium.launch({ executablePath, args: ["--no-sandbox"] });
