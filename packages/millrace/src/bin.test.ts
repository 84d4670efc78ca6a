import { execFile, spawn } from "node:child_process";
import { closeSync, existsSync, openSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";

const bin = join(import.meta.dirname, "../bin/millrace.js");
const run = promisify(execFile);
/** As where neither HOME nor the list of users says where it is. */
const noHome =
  "data:text/javascript,process.getBuiltinModule('node:os').homedir=()=>{throw new Error('ENOENT')}";

test("--version prints the package's version and loads nothing but its package.json", async () => {
  const { version } = JSON.parse(
    await readFile(join(import.meta.dirname, "../package.json"), "utf8"),
  );
  const hook =
    "data:text/javascript,import{registerHooks}from'node:module';registerHooks({resolve(s,c,n){if(!s.startsWith('file:'))process.stderr.write(s+'\\n');return n(s,c)}})";
  const { stdout, stderr } = await run(process.execPath, ["--import", hook, bin, "--version"]);
  expect(stdout).toBe(`${version}\n`);
  expect(stderr).toBe("");
});

test("an older Node is told what to do, with exit code 2", async () => {
  const pretend =
    "data:text/javascript,Object.defineProperty(process,'versions',{value:{...process.versions,node:'20.20.2'}})";
  const failure = await run(process.execPath, ["--import", pretend, bin, "--version"]).catch(
    (error: unknown) => error,
  );
  expect(failure).toMatchObject({ code: 2, stdout: "" });
  expect(String(failure)).toContain(
    "error NODE_TOO_OLD: Millrace needs Node 22.18 or newer; this is Node 20.20.2.",
  );
});

test("a module that needs the client is loaded only when a command asks for it", async () => {
  const { stdout } = await run(process.execPath, [bin, "--help"]);
  expect(stdout).toContain("Usage: npx millrace [options] [command]");
});

test("who has no home folder has no cache, and the command all the same", async () => {
  const { stdout } = await run(process.execPath, ["--import", noHome, bin, "--help"], {
    env: { PATH: process.env["PATH"] },
  });
  expect(stdout).toContain("Usage: npx millrace");
});

test("a command that cannot be loaded is told without a stack", async () => {
  const hook =
    "data:text/javascript,import{registerHooks}from'node:module';registerHooks({resolve(s,c,n){if(s==='commander')throw new Error('no commander');return n(s,c)}})";
  const failure = await run(process.execPath, ["--import", hook, bin, "--help"]).catch(
    (error: unknown) => error,
  );
  expect(failure).toMatchObject({
    code: 1,
    stdout: "",
    stderr: expect.stringMatching(/^error INTERNAL: no commander\nReinstall .*\n$/),
  });
});

test.skipIf(!existsSync("/dev/full"))("a disk that is full is told without a stack", async () => {
  const full = openSync("/dev/full", "w");
  onTestFinished(() => closeSync(full));
  const child = spawn(process.execPath, [bin, "--help"], { stdio: ["ignore", full, "pipe"] });
  const ended = new Promise((done) => child.once("close", done));
  expect(await text(child.stderr ?? expect.fail("it has no pipe"))).toMatch(
    /^error OUTPUT_LOST: .*ENOSPC.*\nSend .*\n$/,
  );
  expect(await ended).toBe(2);
});

const ENDLESS =
  "process.stderr.write('loads'); await new Promise((done) => setTimeout(done, 1e7)); export default {};";

test.each([
  ["configuration", { "millrace.config.js": ENDLESS }],
  [
    "plugin",
    {
      "millrace.config.js": "export default { plugins: ['./plugin.js'] };",
      "plugin.js": ENDLESS,
    },
  ],
])("the first Ctrl-C ends a command whose %s is still loading", async (_what, files) => {
  const folder = await mkdtemp(join(tmpdir(), "millrace-bin-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  for (const [name, content] of Object.entries({ "package.json": '{"type":"module"}', ...files }))
    await writeFile(join(folder, name), content);
  const child = spawn(process.execPath, [bin, "deployer", "flavors"], { cwd: folder });
  onTestFinished(() => void child.kill("SIGKILL"));
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (piece: string) => {
    stderr += piece;
    if (stderr === "loads") child.kill("SIGINT");
  });
  expect(await new Promise((done) => child.once("close", done))).toBe(130);
  expect(stderr).toContain("error INTERRUPTED");
});

test.each([
  ["never finishes loading", "await new Promise(() => {}); export default {};"],
  ["ends the process", "process.exit(0);"],
])("a configuration that %s is an error and no success", async (_what, content) => {
  const folder = await mkdtemp(join(tmpdir(), "millrace-bin-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, "millrace.config.js"), content);
  await writeFile(join(folder, "package.json"), '{"type":"module"}');
  const failure = await run(process.execPath, [bin, "deployment", "list"], { cwd: folder }).catch(
    (error: unknown) => error,
  );
  expect(failure).toMatchObject({ code: 2, stdout: "" });
  expect(String(failure)).toContain("error NEVER_LOADED");
});
