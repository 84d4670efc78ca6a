import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Secret, servingSettingsSchema } from "@millrace/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  authKeyName,
  forgetAuthKeys,
  hashAuthKey,
  keepAuthKey,
  wantedAuthKey,
} from "./auth-key.ts";
import { SecretFile } from "./secret-file.ts";

let folder: string;
let store: SecretFile;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "millrace-auth-key-"));
  store = new SecretFile(join(folder, "secrets.json"));
});

afterEach(() => rmSync(folder, { recursive: true }));

interface Wanted {
  readonly serving?: { readonly authKey?: string; readonly generateAuthKey?: boolean };
  readonly currentHash?: string | null;
}

function want({ serving = {}, currentHash = null }: Wanted) {
  const isExplicit = serving.generateAuthKey !== undefined;
  const settings = servingSettingsSchema.parse(serving);
  return wantedAuthKey({ deploymentId: "d", serving: settings, isExplicit, currentHash }, store);
}

/** Keeps what is wanted, as a deploy does, and gives its digest. */
async function deploy(wanted: Wanted): Promise<string> {
  const { hash, key } = await want(wanted);
  if (hash === null) throw new Error("no key");
  if (key !== null) await keepAuthKey("d", key, store);
  return hash;
}

const kept = async (hash: string): Promise<string | undefined> =>
  (await store.get(authKeyName("d", hash)))?.reveal();

describe("the key of a deployment", () => {
  it("is none unless one is asked for", async () => {
    expect(await want({})).toEqual({ hash: null, key: null });
  });

  it("is generated once, and kept by updates that ask for one again or say nothing of keys", async () => {
    const currentHash = await deploy({ serving: { generateAuthKey: true } });
    expect(await kept(currentHash)).toBeDefined();
    for (const serving of [{ generateAuthKey: true }, {}])
      expect(await want({ serving, currentHash })).toEqual({ hash: currentHash, key: null });
  });

  it("stays where an update says nothing of keys and only another machine has it", async () => {
    const currentHash = hashAuthKey(new Secret("0123456789abcdef"));
    expect(await want({ currentHash })).toEqual({ hash: currentHash, key: null });
  });

  it("is another one where one is asked for and only another machine has it", async () => {
    const currentHash = hashAuthKey(new Secret("0123456789abcdef"));
    const hash = await deploy({ serving: { generateAuthKey: true }, currentHash });
    expect(hash).not.toBe(currentHash);
    expect(await kept(hash)).toBeDefined();
  });

  it("goes when that is asked for", async () => {
    const currentHash = await deploy({ serving: { generateAuthKey: true } });
    const serving = { generateAuthKey: false };
    expect(await want({ serving, currentHash })).toEqual({ hash: null, key: null });
  });

  it("can be given, and the one before stays until the update has succeeded", async () => {
    const before = await deploy({ serving: { generateAuthKey: true } });
    const given = await deploy({ serving: { authKey: "0123456789abcdef" }, currentHash: before });
    expect(await kept(given)).toBe("0123456789abcdef");
    expect(await kept(before)).toBeDefined();
    await forgetAuthKeys("d", store, given);
    expect(await kept(before)).toBeUndefined();
    expect(await store.names()).toHaveLength(1);
  });

  it("is written nowhere before it is to be kept", async () => {
    expect((await want({ serving: { generateAuthKey: true } })).key).not.toBeNull();
    expect(await store.names()).toEqual([]);
  });
});
