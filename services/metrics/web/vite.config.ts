import { utimesSync } from "node:fs";
import { defineConfig } from "vite";

export default defineConfig({
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    modulePreload: { polyfill: false },
    // Everything is a file of its own: the policy of the pages allows nothing inline.
    assetsInlineLimit: 0,
  },
  server: {
    // `npm run dev` beside a running system.
    proxy: { "/v1": "http://127.0.0.1:7403", "/session": "http://127.0.0.1:7403" },
  },
  plugins: [
    {
      name: "seen-by-cargo",
      closeBundle() {
        // The build script embeds what is built here, and looks again when its own file is newer.
        const now = new Date();
        utimesSync(new URL("../build.rs", import.meta.url), now, now);
      },
    },
  ],
});
