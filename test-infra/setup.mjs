#!/usr/bin/env node
/**
 * Sets the repository up and runs one of its programs: `node test-infra/setup.mjs [--no-build] [PROGRAM.ts [ARGUMENT …]]`.
 * Without a program it only sets up. `--no-build` is for the test command, which builds as one of its lanes, so that a
 * broken build is counted.
 *
 * It needs Node 20 and npm, and brings the rest: pnpm in the version that package.json names, the packages of the
 * lockfile, among them Node 24, and the build. Each part runs only when something changed. The program then runs under
 * that Node 24, with node_modules/.bin first on PATH. Plain JavaScript, since it runs before anything is installed.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const OLDEST_NODE = 20;
const root = fileURLToPath(new URL("..", import.meta.url));
const bin = join(root, "node_modules", ".bin");
const marker = join(root, "node_modules", ".millrace-setup");

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

/** Runs a command to its end; its output is shown only when it fails. */
function quietly(what, command, args, defaults = {}) {
  process.stderr.write(`${what} …\n`);
  const { status, error, stdout, stderr } = spawnSync(command, args, {
    cwd: root,
    encoding: "utf8",
    env: { ...defaults, ...environment() },
    maxBuffer: 64 * 1024 * 1024,
  });
  if (status === 0) return;
  fail(`${what} failed:\n${error?.message ?? ""}${stdout ?? ""}${stderr ?? ""}`);
}

function environment() {
  return {
    ...process.env,
    PATH: `${bin}${delimiter}${process.env.PATH ?? ""}`,
    TURBO_TELEMETRY_DISABLED: "1",
    DO_NOT_TRACK: "1",
  };
}

/** pnpm reads .npmrc, but none of npm's environment variables and not npm's global file. */
function registryOfNpm() {
  const { status, stdout } = spawnSync("npm", ["config", "get", "registry"], {
    cwd: root,
    encoding: "utf8",
  });
  return status === 0 ? { pnpm_config_registry: stdout.trim() } : {};
}

/** Digest over everything that decides what is installed. */
function wantedInstall() {
  const manifests = ["packages", "apps"].flatMap((folder) =>
    globWorkspaces(folder).map((name) => join(folder, name, "package.json")),
  );
  const hash = createHash("sha256");
  for (const file of ["package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml", ...manifests]) {
    hash.update(file).update(readFileSync(join(root, file)));
  }
  return hash.digest("hex");
}

function globWorkspaces(folder) {
  return readdirSync(join(root, folder)).filter((name) =>
    existsSync(join(root, folder, name, "package.json")),
  );
}

function install() {
  const wanted = wantedInstall();
  if (existsSync(marker) && readFileSync(marker, "utf8") === wanted) return;
  const { packageManager } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  quietly(
    "Installing the packages of the lockfile",
    "npm",
    ["exec", "--yes", `--package=${packageManager}`, "--", "pnpm", "install", "--frozen-lockfile"],
    registryOfNpm(),
  );
  writeFileSync(marker, wanted);
}

function build() {
  const { status, stdout, stderr } = spawnSync(join(bin, "tsc"), ["-b"], {
    cwd: root,
    encoding: "utf8",
    env: environment(),
  });
  if (status !== 0) fail(`The build failed:\n${stdout}${stderr}`);
}

function run(program, args) {
  const child = spawn(join(bin, "node"), [program, ...args], {
    cwd: root,
    stdio: "inherit",
    env: environment(),
  });
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => fail(`${program} could not be started: ${error.message}`));
  child.on("exit", (code, signal) => {
    if (signal === null) process.exit(code);
    for (const name of signals) process.removeAllListeners(name);
    process.kill(process.pid, signal);
  });
}

if (Number(process.versions.node.split(".")[0]) < OLDEST_NODE) {
  fail(
    `This repository needs Node ${OLDEST_NODE} or newer to set itself up; this is Node ${process.versions.node}.\nInstall a newer Node and try again.`,
  );
}
const given = process.argv.slice(2);
const noBuild = given[0] === "--no-build";
const [program, ...args] = noBuild ? given.slice(1) : given;
install();
if (!noBuild) build();
if (program !== undefined) run(program, args);
