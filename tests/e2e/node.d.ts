// What the client in TypeScript uses of Node.js, for a compiler without its types.
declare module "node:fs/promises" {
  export function readFile(path: string, encoding: "utf8"): Promise<string>;
}
declare const process: {
  env: Record<string, string | undefined>;
  argv: (string | undefined)[];
  exitCode?: number;
};
