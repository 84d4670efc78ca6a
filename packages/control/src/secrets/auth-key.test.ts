import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Secret, servingSettingsSchema } from "@millrace/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { authKeyName, forgetAuthKeys, hashAuthKey, wantedAuthKey } from "./auth-key.ts";
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
  readonly keep?: boolean;
}

function want({ serving = {}, currentHash = null, keep = true }: Wanted) {
  const isExplicit = serving.generateAuthKey !== undefined;
  const settings = servingSettingsSchema.parse(serving);
  return wantedAuthKey(
    { deploymentId: "d", serving: settings, isExplicit, currentHash, keep },
    store,
  );
}

/** Deploys with a key and gives its digest. */
async function withGeneratedKey(): Promise<string> {
  const hash = await want({ serving: { generateAuthKey: true } });
  if (hash === null) throw new Error("no key");
  return hash;
}

const kept = async (hash: string | null): Promise<string | undefined> =>
  hash === null ? undefined : (await store.get(authKeyName("d", hash)))?.reveal();

describe("the key of a deployment", () => {
  it("is none unless one is asked for", async () => {
    expect(await want({})).toBeNull();
    expect(await store.names()).toEqual([]);
  });

  it("is generated once, and kept by updates that ask for one again or say nothing of keys", async () => {
    const currentHash = await withGeneratedKey();
    for (const serving of [{ generateAuthKey: true }, {}])
      expect(await want({ serving, currentHash })).toBe(currentHash);
    expect(await store.names()).toHaveLength(1);
  });

  it("stays where an update says nothing of keys and only another machine has it", async () => {
    const currentHash = hashAuthKey(new Secret("0123456789abcdef"));
    expect(await want({ currentHash })).toBe(currentHash);
    expect(await store.names()).toEqual([]);
  });

  it("is another one where one is asked for and only another machine has it", async () => {
    const currentHash = hashAuthKey(new Secret("0123456789abcdef"));
    const hash = await want({ serving: { generateAuthKey: true }, currentHash });
    expect(hash).not.toBe(currentHash);
    expect(await kept(hash)).toBeDefined();
  });

  it("goes when that is asked for", async () => {
    const currentHash = await withGeneratedKey();
    expect(await want({ serving: { generateAuthKey: false }, currentHash })).toBeNull();
  });

  it("can be given, and the one before stays until the update has succeeded", async () => {
    const before = await withGeneratedKey();
    const given = await want({ serving: { authKey: "0123456789abcdef" }, currentHash: before });
    expect(await kept(given)).toBe("0123456789abcdef");
    expect(await kept(before)).toBeDefined();
    await forgetAuthKeys("d", store, given);
    expect(await kept(before)).toBeUndefined();
    expect(await store.names()).toHaveLength(1);
  });

  it("is written nowhere by a plan", async () => {
    expect(await want({ serving: { generateAuthKey: true }, keep: false })).not.toBeNull();
    expect(await store.names()).toEqual([]);
  });
});
