import { strict as assert } from "node:assert";
import {
  canonicalJson,
  isMillraceError,
  type MillraceError,
  type Plan,
  Secret,
} from "@millrace/core";
import type { Bench } from "../bench.ts";
import { show } from "../bench.ts";
import type { FixtureName } from "../fixtures.ts";
import { SECRET_NAME } from "../pipelines/instrument.ts";
import { keysOf, type Subject, type Variation } from "../subject.ts";

/** Everything on the platform and the number of changes so far, to compare before and after. */
export async function picture(bench: Bench): Promise<string> {
  const resources = [...(await bench.list())].sort((a, b) =>
    `${a.kind} ${a.name}` < `${b.kind} ${b.name}` ? -1 : 1,
  );
  return canonicalJson({ resources, changes: (await bench.platform.changes?.()) ?? null });
}

/** A fingerprint of every resource by its key. */
export async function fingerprints(bench: Bench): Promise<ReadonlyMap<string, string>> {
  return new Map(
    (await bench.list()).map(({ kind, name, fingerprint }) => [
      `${kind} ${name}`,
      fingerprint ?? "",
    ]),
  );
}

/** What the call is rejected with. */
export async function rejection(what: string, call: () => Promise<unknown>): Promise<unknown> {
  let result: unknown;
  try {
    result = await call();
  } catch (error) {
    return error;
  }
  assert.fail(`${what} should have failed, and gave ${show(result)}`);
}

export async function typedRejection(
  what: string,
  call: () => Promise<unknown>,
): Promise<MillraceError> {
  const error = await rejection(what, call);
  assert.ok(
    isMillraceError(error),
    `${what} failed with something that is no MillraceError: ${show(error)}`,
  );
  assert.match(error.code, /^[A-Z][A-Z0-9_]+$/, `${what} failed with the code ${error.code}`);
  assert.ok(error.message.length > 0, `${what} failed without a message`);
  assert.ok((error.action ?? "").length > 0, `${what} failed without advice: ${error.message}`);
  return error;
}

/** The fixture that uses as many kinds of resources as the deployer has. */
export function richest(
  bench: Bench,
  value = "conformance-secret-value-1",
): [FixtureName, Variation] {
  return bench.capabilities.secrets
    ? ["secret", { secrets: { [SECRET_NAME]: new Secret(value) } }]
    : ["v1", {}];
}

export function createdKeys({ changes }: Plan): string[] {
  return keysOf(changes.filter(({ action }) => action === "create"));
}

/** Exactly these resources exist. */
export async function expectOnly(bench: Bench, keys: readonly string[]): Promise<void> {
  await bench.until(
    `exactly ${keys.join(", ")} exist`,
    async () => keysOf(await bench.list()),
    (found) => canonicalJson(found) === canonicalJson(keys),
  );
}

export async function settled(calls: readonly Promise<unknown>[]): Promise<unknown[]> {
  const results = await Promise.allSettled(calls);
  return results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
}

/** Runs a call that may fail on the way, and keeps nothing of it. */
export async function whateverComes(call: () => Promise<unknown>): Promise<void> {
  try {
    await call();
  } catch {
    // The check goes on with what the platform holds now.
  }
}

export async function everyLog(subject: Subject): Promise<string[]> {
  return (await subject.logs()).map(({ text }) => text);
}

/** The forms in which a value is easily read back. */
function formsOf(value: string): string[] {
  const bytes = Buffer.from(value);
  return [
    value,
    JSON.stringify(value).slice(1, -1),
    encodeURIComponent(value),
    bytes.toString("base64").replace(/=+$/, ""),
    bytes.toString("hex"),
  ];
}

/** None of the secret values stands in the text. */
export function expectHidden(values: readonly string[], text: string, where: string): void {
  for (const value of values)
    for (const form of formsOf(value))
      assert.ok(!text.includes(form), `a secret value stands in ${where}: …${around(text, form)}…`);
}

/** What stands beside the value, to find the place; not the value. */
function around(text: string, form: string): string {
  const at = text.indexOf(form);
  return `${text.slice(Math.max(0, at - 40), at)}[secret]${text.slice(at + form.length, at + form.length + 20)}`;
}
