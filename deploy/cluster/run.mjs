#!/usr/bin/env node
// Runs Zhili on one machine the way it runs on many: one Kafka broker, the store, two replicas of
// each service as processes of their own, all on loopback. Publishes samples, says where things are,
// prints `ready` and serves until Ctrl-C. Everything ends with it, however it ends; data stays.
//
// usage: run.mjs [--bin DIR] [--data DIR] [--port-base N] [--publish PATH]... [--webhook URL]
//   --bin        folder of the binaries [target/release]
//   --data       folder of all that is kept [.zhili-cluster]
//   --port-base  of the first replicas (as `zhili up` has it); the second ones are 10 above, the
//                broker 20 above [7400]
//   --publish    files or folders of dialogues or events, once everything is ready
//   --webhook    pages the person on call

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, openSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const SERVICES = ["ingest", "scoring", "escalation", "metrics"];
const REPLICAS = 2;
const PARTITIONS = 12;
// How long a part may take to be ready on a slow machine.
const PATIENCE_MS = 120_000;
// Longer than the services let calls in progress take to end (8 s).
const GRACE_MS = 20_000;

class Failure extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

function options() {
  try {
    return parseArgs({
      options: {
        bin: { type: "string", default: "target/release" },
        data: { type: "string", default: ".zhili-cluster" },
        "port-base": { type: "string", default: "7400" },
        publish: { type: "string", multiple: true, default: [] },
        webhook: { type: "string" },
      },
    }).values;
  } catch (error) {
    throw new Failure(64, error.message);
  }
}

const deploy = dirname(dirname(fileURLToPath(import.meta.url)));
let given, data, base;
// Said by Ctrl-C or by a part that cannot go on.
let stopping = false;
let stop;
const stopped = new Promise((say) => (stop = say));
const running = new Map();

/// Starts a part whose standard input is tied to this process. It is in a process group of its own,
/// so that Ctrl-C reaches it through us only, in the right order.
function launch(name, program, args) {
  const log = openSync(join(data, "logs", `${name}.log`), "a", 0o600);
  const child = spawn(program, args, { stdio: ["pipe", log, log], detached: true });
  child.stdin.on("error", () => {});
  const part = { name, child };
  part.ended = new Promise((done) => {
    child.on("error", (error) => done(`cannot start ${program}: ${error.message}`));
    child.on("exit", (code, signal) => done(`it ended with ${signal ?? code}`));
  });
  running.set(name, part);
  return part;
}

/// Starts a part and starts it again whenever it ends.
async function keep(name, program, args) {
  for (let pause = 200; !stopping; pause = Math.min(pause * 2, 5_000)) {
    const begun = Date.now();
    const why = await launch(name, program, args).ended;
    if (stopping) return;
    if (Date.now() - begun > 30_000) pause = 200;
    console.error(`cluster: ${name}: ${why}, see ${data}/logs/${name}.log; starting it again`);
    await Promise.race([sleep(pause), stopped]);
  }
}

async function end(names, how) {
  const parts = names.map((name) => running.get(name)).filter(Boolean);
  for (const part of parts) how(part.child);
  await Promise.all(
    parts.map(async (part) => {
      const slow = await Promise.race([part.ended, sleep(GRACE_MS, "slow", { ref: false })]);
      if (slow === "slow") part.child.kill("SIGKILL");
    }),
  );
}

/// Runs a command to its end.
async function run(program, args, stdio = ["ignore", "inherit", "inherit"]) {
  const child = spawn(program, args, { stdio });
  const code = await new Promise((done, failed) => {
    child.on("error", (error) => failed(new Failure(69, `cannot run ${program}: ${error.message}`)));
    child.on("exit", (code) => done(code ?? 1));
  });
  if (code !== 0) throw new Failure(code, `${[program, ...args].join(" ")} failed`);
}

async function until(what, reached) {
  const deadline = Date.now() + PATIENCE_MS;
  while (!stopping) {
    const missing = await reached();
    if (!missing) return;
    if (Date.now() > deadline) throw new Failure(69, `${what}: ${missing}; see ${data}/logs`);
    await sleep(50);
  }
}

function accepts(port) {
  return new Promise((answer) => {
    const socket = createConnection({ host: "127.0.0.1", port });
    socket.on("connect", () => answer(true)).on("error", () => answer(false));
    socket.on("connect", () => socket.destroy());
  });
}

async function asked(url) {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(5_000) });
    return response.ok ? null : (await response.text()).trim();
  } catch {
    return "it does not answer";
  }
}

/// The file itself, or the files of dialogues and events in a folder.
function filesIn(path) {
  if (!existsSync(path)) throw new Failure(64, `--publish ${path}: there is no such file or folder`);
  if (!statSync(path).isDirectory()) return [path];
  const names = readdirSync(path).filter((name) => /\.jsonl(\.gz)?$/.test(name));
  return names.sort().map((name) => join(path, name));
}

const port = (service, replica) => base + 10 * replica + SERVICES.indexOf(service);
const quoted = JSON.stringify;

/// The settings of one replica.
function settings(service, replica) {
  let text = `[${service}]\nlisten = "127.0.0.1:${port(service, replica)}"\n`;
  if (service === "ingest") {
    text = `pseudonym_key = ${quoted(join(data, "pseudonym.key"))}\n\n${text}`;
  } else {
    text += `member = "${service}-${replica}"\n`;
  }
  if (service === "escalation") {
    // Everything is on this machine, so a receiver may be too.
    text += "allow_private_destinations = true\n";
    if (given.webhook) {
      text += `\n[escalation.default_webhook]\nurl = ${quoted(given.webhook)}\nallow_private = true\n`;
    }
  }
  if (service === "metrics") {
    text += `escalation = "http://127.0.0.1:${port("escalation", replica)}"\n`;
    text += `receipt_key = ${quoted(join(data, "receipt.key"))}\n`;
    const password = quoted(join(data, "token"));
    text += `\n[clickhouse]\nurl = "http://127.0.0.1:${base + 4}"\npassword_file = ${password}\n`;
  }
  text += `\n[kafka]\nbrokers = "127.0.0.1:${base + 20}"\npartitions = ${PARTITIONS}\nreplication = 1\n`;
  text += `\n[auth]\ntokens = ${quoted(join(data, "tokens.json"))}\n`;
  const file = join(data, `${service}-${replica}.toml`);
  writeFileSync(file, text, { mode: 0o600 });
  return file;
}

async function secrets(zhili) {
  for (const key of ["pseudonym.key", "receipt.key"].map((name) => join(data, name))) {
    if (!existsSync(key)) writeFileSync(key, randomBytes(32), { mode: 0o600 });
  }
  if (existsSync(join(data, "token"))) return;
  const roles = ["admin", "supervisor", "qa"].flatMap((role) => ["--role", role]);
  const token = openSync(join(data, "token"), "w", 0o600);
  const made = ["token", "create", "admin", "--data", data, ...roles];
  await run(zhili, made, ["ignore", token, "inherit"]).catch((error) => {
    rmSync(join(data, "token"));
    throw error;
  });
}

async function cluster() {
  given = options();
  data = resolve(given.data);
  base = Number(given["port-base"]);
  if (!Number.isInteger(base) || base < 1 || base > 65_500) {
    throw new Failure(64, "--port-base: give a number from 1 to 65500");
  }
  mkdirSync(join(data, "logs"), { recursive: true, mode: 0o700 });
  const ports = [base + 4, base + 20, base + 21];
  for (let replica = 0; replica < REPLICAS; replica++) {
    ports.push(...SERVICES.map((service) => port(service, replica)));
  }
  for (const port of ports) {
    if (await accepts(port)) {
      throw new Failure(69, `port ${port} is taken; stop what uses it or give another --port-base`);
    }
  }
  const binary = (name) => join(resolve(given.bin), name);
  const zhili = binary("zhili");
  await secrets(zhili);

  const broker = [join(data, "kafka"), String(base + 20), String(base + 21)];
  keep("kafka", join(deploy, "kafka/run.sh"), ["--tied", "--keep", ...broker]);
  const store = ["--data", join(data, "store"), "--listen", `127.0.0.1:${base + 4}`];
  const tied = ["--key-file", join(data, "token"), "--die-with-parent", String(process.pid)];
  keep("store", zhili, ["store", ...store, ...tied]);
  await until("kafka", async () => (await accepts(base + 20)) ? null : "it does not answer");
  if (stopping) return;
  const size = ["--partitions", String(PARTITIONS), "--replication", "1"];
  const quiet = ["ignore", "ignore", "inherit"];
  await run(zhili, ["topics", "apply", "--kafka", `127.0.0.1:${base + 20}`, ...size], quiet);
  await until("store", () => asked(`http://127.0.0.1:${base + 4}/ping`));

  const replicas = [];
  for (let replica = 0; replica < REPLICAS; replica++) {
    for (const service of SERVICES) {
      replicas.push({ name: `${service}-${replica}`, port: port(service, replica) });
      const tied = ["--config", settings(service, replica), "--tied"];
      keep(`${service}-${replica}`, binary(`zhili-${service}`), tied);
    }
  }
  for (const { name, port } of replicas) {
    await until(name, () => asked(`http://127.0.0.1:${port}/readyz`));
  }
  if (stopping) return;
  // Where the command line finds the system.
  const at = (port) => `http://127.0.0.1:${port}`;
  const addresses = Object.fromEntries(SERVICES.map((name) => [name, at(port(name, 0))]));
  const announced = JSON.stringify({ ...addresses, store: at(base + 4) }, null, 2);
  writeFileSync(join(data, "running.json"), announced, { mode: 0o600 });
  const files = given.publish.flatMap(filesIn);
  if (files.length > 0) await run(zhili, ["publish", "--data", data, ...files]);
  if (stopping) return;

  const words = replicas.map(({ name, port }) => [name, at(port)]);
  words.push(["store", at(base + 4)], ["kafka", `127.0.0.1:${base + 20}`]);
  words.push(["data", data], ["token", join(data, "token")]);
  for (const [name, address] of words) console.log(`${name.padEnd(13)} ${address}`);
  if (!given.webhook) {
    console.log("warning       no --webhook: incidents are seen with `zhili incidents` and page nobody");
  }
  console.log("ready");
  await stopped;
}

function signalled() {
  stopping = true;
  stop();
}
process.on("SIGINT", signalled).on("SIGTERM", signalled).on("SIGHUP", signalled);

let code = 0;
try {
  await Promise.race([cluster(), stopped]);
} catch (error) {
  // What was interrupted fails, and that is no failure.
  if (!stopping) {
    code = error.code ?? 1;
    console.error(`cluster: ${error instanceof Failure ? error.message : error.stack}`);
  }
}
stopping = true;
stop();
if (data) rmSync(join(data, "running.json"), { force: true });
// What reads and writes ends before what is read and written.
const replicas = [...running.keys()].filter((name) => name !== "kafka" && name !== "store");
await end(replicas, (child) => child.kill("SIGTERM"));
await end(["store"], (child) => child.kill("SIGTERM"));
await end(["kafka"], (child) => child.stdin.write("stop\n"));
process.exit(code);
