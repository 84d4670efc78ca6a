import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Secret } from "@millrace/core";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { SecretFile } from "./secret-file.ts";
import { validSecretName } from "./secret-name.ts";
import { hiddenSecrets, type SecretPlaces, secretValues } from "./values.ts";

let places: SecretPlaces;

beforeEach(async () => {
  const folder = await mkdtemp(join(tmpdir(), "millrace-secrets-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  places = {
    environment: {},
    envFile: join(folder, ".env"),
    store: new SecretFile(join(folder, "secrets.json")),
  };
});

async function revealed(
  names: readonly string[],
  from: SecretPlaces = places,
): Promise<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(await secretValues(names, from)).map(([name, secret]) => [
      name,
      secret.reveal(),
    ]),
  );
}

describe("secretValues", () => {
  it("prefers the environment, then the .env file, then the secret store", async () => {
    for (const name of ["A", "B", "C"]) await places.store.set(name, new Secret(`store ${name}`));
    await writeFile(places.envFile, "A=\"file A\"\nB='file B' # note\nUNUSED=1\n");
    expect(
      await revealed(["A", "B", "C"], { ...places, environment: { A: "environment A" } }),
    ).toEqual({ A: "environment A", B: "file B", C: "store C" });
  });

  it("tells which values of the store another place hides", async () => {
    for (const name of ["A", "B", "C"]) await places.store.set(name, new Secret("x"));
    await writeFile(places.envFile, "A=1\nB=2\nD=3\nC=\n");
    expect(await hiddenSecrets({ ...places, environment: { A: "4" } })).toEqual(
      new Map([
        ["A", "the environment"],
        ["B", places.envFile],
      ]),
    );
  });

  it("takes a place that says nothing for one that is not there", async () => {
    await places.store.set("A", new Secret("store A"));
    await writeFile(places.envFile, "A=\n");
    expect(await revealed(["A"], { ...places, environment: { A: "" } })).toEqual({ A: "store A" });
  });

  it("names all that have no value, and the ways to give one, and no value of another", async () => {
    await places.store.set("C", new Secret("hunter2"));
    const error = await secretValues(["A", "C", "constructor", "__proto__"], places).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({
      code: "SECRET_MISSING",
      class: "usage",
      details: { missing: ["A", "constructor", "__proto__"] },
    });
    expect(error).toMatchObject({
      message: expect.stringContaining("A, constructor, __proto__"),
      action: expect.stringMatching(/environment variable.*\.env.*npx millrace secret set A/),
    });
    expect(JSON.stringify(error)).not.toContain("hunter2");
  });

  it("gives values that cannot be printed", async () => {
    const values = await secretValues(["A"], { ...places, environment: { A: "hunter2" } });
    expect(JSON.stringify(values) + String(values["A"])).not.toContain("hunter2");
  });

  it("says when the .env file cannot be read", async () => {
    await mkdir(places.envFile);
    await expect(secretValues(["A"], places)).rejects.toMatchObject({
      code: "ENV_FILE_UNREADABLE",
    });
    expect(await revealed([])).toEqual({});
  });
});

describe("validSecretName", () => {
  it.each(["A", "_A", "token_2", "x".repeat(128)])("takes %j", (name) => {
    expect(validSecretName(name)).toBe(name);
  });

  it.each(["", "2A", "A-B", "a/b", "../x", "ä", "A B", "A\n", "__proto__", "x".repeat(129)])(
    "refuses %j",
    (name) => {
      expect(() => validSecretName(name)).toThrow(
        expect.objectContaining({ code: "NAME_INVALID" }),
      );
    },
  );
});
