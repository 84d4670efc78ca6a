import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { inspect } from "node:util";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { scratchFolder } from "../scratch.fixture.ts";
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

/** The login with its secret in clear. */
async function loginFor(registry: string, config: unknown): Promise<unknown> {
  const login = await findDockerLogin(registry, configured(config));
  if (login === null) return null;
  return login.kind === "password"
    ? `${login.username}:${login.password.reveal()}`
    : `token ${login.token.reveal()}`;
}

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
    expect(await findDockerLogin("r.test", join(folder, "nowhere"))).toBeNull();
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
    await expect(loginFor("r.test", config)).rejects.not.toThrow("secret-text");
  });

  it("is not shown by accident", async () => {
    const auths = { "r.test": { auth: base64("ada:hidden") } };
    const login = await findDockerLogin("r.test", configured({ auths }));
    expect(`${inspect(login)}${JSON.stringify(login)}`).not.toContain("hidden");
  });
});
