import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Secret } from "@millrace/core";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { State } from "./control-protocol.ts";
import { inheritedEnvironment } from "./environment.ts";
import { type Places, placesOf } from "./places.ts";
import { removeAllSecretFiles, removeSecretFiles, writeSecretFiles } from "./secret-files.ts";
import { readState, writeState } from "./state-file.ts";

let places: Places;

beforeEach(() => {
  places = placesOf(mkdtempSync(join(tmpdir(), "millrace-files-")), crypto.randomUUID());
  mkdirSync(places.folder, { recursive: true, mode: 0o700 });
});

afterEach(() => {
  removeAllSecretFiles(places);
  rmSync(dirname(dirname(places.folder)), { recursive: true, force: true });
});

const state: State = {
  version: 1,
  deploymentId: "1",
  pid: 1,
  startTime: null,
  host: "127.0.0.1",
  port: 8000,
  wantedPort: null,
  stopping: false,
  current: null,
  next: null,
  rollout: null,
  ready: 0,
  error: null,
  workers: [],
  restarts: 0,
};

describe("the state file", () => {
  test("is read as it was written, by its owner alone", () => {
    expect(readState(places.stateFile)).toBeNull();
    writeState(places.stateFile, state);
    writeState(places.stateFile, { ...state, port: 8001 });
    expect(readState(places.stateFile)).toEqual({ ...state, port: 8001 });
    expect(statSync(places.stateFile).mode & 0o777).toBe(0o600);
    expect(readdirSync(places.folder)).toEqual(["state.json"]);
  });

  test.each(["", "{", '{"version":2}', "[]"])("with %j in it is refused by name", (text) => {
    writeFileSync(places.stateFile, text);
    expect(() => readState(places.stateFile)).toThrow(
      expect.objectContaining({
        code: "LOCAL_STATE_INVALID",
        message: expect.stringContaining(places.stateFile),
      }),
    );
  });
});

describe("secret files", () => {
  const secrets = { TOKEN: new Secret("value"), OTHER: new Secret("") };

  test("can be read by their owner alone and are removed", () => {
    const folder = writeSecretFiles(places, "worker-1", secrets);
    const second = writeSecretFiles(places, "worker-2", secrets);
    expect(readFileSync(join(folder, "TOKEN"), "utf8")).toBe("value");
    expect(statSync(join(folder, "TOKEN")).mode & 0o777).toBe(0o600);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    removeSecretFiles(folder);
    expect(existsSync(folder)).toBe(false);
    expect(existsSync(second)).toBe(true);
    removeAllSecretFiles(places);
    expect(existsSync(second)).toBe(false);
  });

  test("go elsewhere when the best place could be read by others", () => {
    const best = dirname(writeSecretFiles(places, "worker-1", secrets));
    chmodSync(best, 0o755);
    const folder = writeSecretFiles(places, "worker-2", secrets);
    expect(dirname(folder)).not.toBe(best);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
  });
});

test("only what is listed is inherited", () => {
  expect(
    inheritedEnvironment({ PATH: "/bin", LC_ALL: "C", TZ: "UTC", API_KEY: "x", NODE_OPTIONS: "x" }),
  ).toEqual({ PATH: "/bin", LC_ALL: "C", TZ: "UTC" });
});
