import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, createReadStream, mkdirSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { text } from "node:stream/consumers";
import { inspect } from "node:util";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { quiet, scratchFolder } from "../scratch.fixture.ts";
import { findDockerLogin } from "./docker-login.ts";

const folder = scratchFolder();
let count = 0;

function configured(config: unknown): string {
  const directory = join(folder, String(count++));
  mkdirSync(directory);
  const text = typeof config === "string" ? config : JSON.stringify(config);
  writeFileSync(join(directory, "config.json"), text);
  return directory;
}

/** The login for the repository `team/app`, with its secret in clear. */
async function loginFor(registry: string, config: unknown): Promise<unknown> {
  const name = { registry, repository: "team/app" };
  const login = await findDockerLogin(name, quiet.signal, configured(config));
  if (login === null) return null;
  return login.kind === "password"
    ? `${login.username}:${login.password.reveal()}`
    : `token ${login.token.reveal()}`;
}

const NAME = { registry: "r.test", repository: "team/app" };
const base64 = (text: string) => Buffer.from(text).toString("base64");

/** A program as Docker's helpers are: told the registry on stdin. */
function helper(name: string, script: string): void {
  const file = join(folder, "bin", `docker-credential-${name}`);
  writeFileSync(file, `#!/bin/sh\nread -r registry\n${script}\n`);
  chmodSync(file, 0o755);
}

beforeAll(() => {
  mkdirSync(join(folder, "bin"));
  vi.stubEnv("PATH", `${join(folder, "bin")}${delimiter}${process.env["PATH"]}`);
  helper(
    "good",
    'echo "{\\"ServerURL\\":\\"$registry\\",\\"Username\\":\\"ada\\",\\"Secret\\":\\"for $1 $registry\\"}"',
  );
  helper("token", 'echo "{\\"Username\\":\\"<token>\\",\\"Secret\\":\\"t\\"}"');
  helper("empty", 'echo "credentials not found in native keychain"; exit 1');
  helper("broken", 'echo "the keychain is locked" >&2; exit 1');
  helper("odd", "echo hello");
  helper("telling", 'echo starting; printf "\\033[31mthe vault is sealed\\033[0m\\n"; exit 1');
  helper(
    "blabbing",
    'echo "{\\"Username\\":\\"ada\\","; echo "\\"Secret\\":\\"secret-text\\"}"; exit 3',
  );
  helper("endless", "exec yes secret-text");
});

describe("the login of Docker's configuration", () => {
  it.each([
    [
      "user and password",
      "r.test:5000",
      { auths: { "r.test:5000": { auth: base64("ada:se:cret") } } },
      "ada:se:cret",
    ],
    [
      "a key that is a URL",
      "r.test",
      { auths: { "https://r.test/v1/": { auth: base64("ada:x") } } },
      "ada:x",
    ],
    [
      "Docker Hub",
      "docker.io",
      { auths: { "https://index.docker.io/v1/": { auth: base64("ada:hub") } } },
      "ada:hub",
    ],
    [
      "an identity token",
      "r.test",
      { auths: { "r.test": { auth: base64("ada:"), identitytoken: "t" } } },
      "token t",
    ],
    [
      "fields in clear",
      "r.test",
      { auths: { "r.test": { username: "ada", password: "p" } } },
      "ada:p",
    ],
    [
      "fields in clear that are empty",
      "r.test",
      {
        auths: {
          "r.test": { auth: base64("ada:p"), username: "", password: "", identitytoken: "" },
        },
      },
      "ada:p",
    ],
    [
      "an auth with zeros at its end",
      "r.test",
      { auths: { "r.test": { auth: base64("ada:p\0\0") } } },
      "ada:p",
    ],
    [
      "the part of the registry that the repository is in",
      "r.test",
      {
        auths: {
          "r.test/other": { auth: base64("a:other") },
          "r.test": { auth: base64("a:all") },
          "r.test/te": { auth: base64("a:te") },
          "r.test/team/app": { auth: base64("a:app") },
          "r.test/team": { auth: base64("a:team") },
        },
      },
      "a:app",
    ],
    [
      "the registry, where no part has a login",
      "r.test",
      { auths: { "r.test/team": {}, "https://r.test/v2/": { auth: base64("a:all") } } },
      "a:all",
    ],
    ["other parts alone", "r.test", { auths: { "r.test/other": { auth: base64("a:x") } } }, null],
    ["an entry that is null", "r.test", { auths: { "r.test": null } }, null],
    ["nothing but nulls", "r.test", { auths: null, credHelpers: null, credsStore: null }, null],
    ["an empty file", "r.test", "", null],
    ["another registry", "r.test", { auths: { "s.test": { auth: base64("ada:x") } } }, null],
    ["an empty entry", "r.test", { auths: { "r.test": {} } }, null],
    [
      "a helper for the registry",
      "r.test",
      { credHelpers: { "r.test": "good" }, credsStore: "empty" },
      "ada:for get r.test",
    ],
    ["a helper for all", "r.test", { credsStore: "good" }, "ada:for get r.test"],
    [
      "a helper at Docker Hub",
      "docker.io",
      { credsStore: "good" },
      "ada:for get https://index.docker.io/v1/",
    ],
    ["a helper with a token", "r.test", { credsStore: "token" }, "token t"],
    ["a helper that has none", "r.test", { credsStore: "empty" }, null],
    [
      "a helper that has none, and the file",
      "r.test",
      { credsStore: "empty", auths: { "r.test": { auth: base64("a:b") } } },
      "a:b",
    ],
  ])("is found: %s", async (_, registry, config, expected) => {
    expect(await loginFor(registry, config)).toBe(expected);
  });

  it("is none where there is no configuration", async () => {
    const nowhere = join(folder, "nowhere");
    expect(await findDockerLogin(NAME, quiet.signal, nowhere)).toBeNull();
  });

  it.each([
    ["no JSON", '{ "auths": secret-text', "DOCKER_CONFIG_INVALID", "no JSON"],
    ["of another form", { auths: [] }, "DOCKER_CONFIG_INVALID", "auths"],
    [
      "an auth that is none",
      { auths: { "r.test": { auth: base64("nocolon") } } },
      "DOCKER_CONFIG_INVALID",
      "r.test",
    ],
    [
      "a helper that is missing",
      { credsStore: "missing" },
      "CREDENTIAL_HELPER_FAILED",
      "not on the PATH",
    ],
    [
      "a helper that fails",
      { credsStore: "broken" },
      "CREDENTIAL_HELPER_FAILED",
      "the keychain is locked",
    ],
    [
      "a helper that fails and says why where its answer should be",
      { credsStore: "telling" },
      "CREDENTIAL_HELPER_FAILED",
      ": the vault is sealed.",
    ],
    [
      "a helper that fails with its answer",
      { credsStore: "blabbing" },
      "CREDENTIAL_HELPER_FAILED",
      "it ended with an error",
    ],
    [
      "a helper that says too much",
      { credsStore: "endless" },
      "CREDENTIAL_HELPER_FAILED",
      "more than 1 MiB",
    ],
    [
      "a helper that says something else",
      { credsStore: "odd" },
      "CREDENTIAL_HELPER_FAILED",
      "no JSON",
    ],
    [
      "a helper that is a path",
      { credsStore: "../../bin/sh" },
      "CREDENTIAL_HELPER_FAILED",
      "no program's name",
    ],
  ])("is not taken from %s", async (_, config, code, why) => {
    const looking = loginFor("r.test", config);
    await expect(looking).rejects.toMatchObject({ code, message: expect.stringContaining(why) });
    const thrown = await loginFor("r.test", config).catch((error: unknown) => error);
    expect(inspect(thrown, { depth: 9 })).not.toContain("secret-text");
  });

  it("is not shown by accident", async () => {
    const auths = { "r.test": { auth: base64("ada:hidden") } };
    const login = await findDockerLogin(NAME, quiet.signal, configured({ auths }));
    expect(`${inspect(login)}${JSON.stringify(login)}`).not.toContain("hidden");
  });

  it("is waited for no longer than the signal wants, and what the helper started ends with it", async () => {
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    helper("hanging", `sleep 1000 > ${pipe} & wait`);
    const stop = new AbortController();
    const reason = new Error("enough");
    const looking = findDockerLogin(NAME, stop.signal, configured({ credsStore: "hanging" }));
    const held = createReadStream(pipe);
    await once(held, "open");
    stop.abort(reason);
    await expect(looking).rejects.toBe(reason);
    // The pipe ends when the last that holds it has ended.
    expect(await text(held)).toBe("");
  });
});
