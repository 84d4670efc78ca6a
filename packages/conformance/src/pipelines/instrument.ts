import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { definePipeline, defineStep, type ProcessContext } from "@millrace/core";
import { z } from "zod";

export const SECRET_NAME = "CONFORMANCE_SECRET";
/** With this variable set, the start of the pipeline with a secret leaks it and fails. */
export const LEAK_VARIABLE = "CONFORMANCE_LEAK";
/** What begins each line with a leaked secret, by where it is written. */
export const LEAKED = {
  stdout: "conformance-leak-stdout",
  stderr: "conformance-leak-stderr",
} as const;

const input = z.object({
  /** Lines to write to the log, and to emit. */
  say: z.array(z.string()).default([]),
  sleepMs: z.number().min(0).default(0),
  fail: z.boolean().default(false),
  /** Prints the secret, and fails with it. */
  leak: z.boolean().default(false),
  /** Environment variable to report. */
  environment: z.string().default(""),
});

export interface InstrumentOptions {
  readonly name: string;
  readonly version: number;
  readonly secrets?: readonly string[];
  readonly onInit?: (context: ProcessContext) => Promise<void>;
}

/** What careless code does with a secret. */
export function leak(value: string): never {
  console.log(`${LEAKED.stdout} ${value}`);
  console.error(`${LEAKED.stderr} ${value}`);
  throw new Error(`conformance-leak-error ${value}`);
}

/** A pipeline that does and reports what the suite asks it to. */
export function instrument({ name, version, secrets = [], onInit }: InstrumentOptions) {
  const report = defineStep({
    name: "report",
    input,
    output: z.object({
      version: z.number(),
      secret: z.string().nullable(),
      environment: z.string().nullable(),
    }),
    run: async ({ say, sleepMs, fail, leak: leaks, environment }, { emit, signal, secret }) => {
      for (const line of say) {
        process.stdout.write(`${line}\n`);
        emit("said", line);
      }
      try {
        await sleep(sleepMs, undefined, { signal });
      } catch (error) {
        process.stdout.write("conformance-aborted\n");
        throw error;
      }
      if (fail) throw new Error("conformance-internal-detail");
      const [first] = secrets;
      const value = first === undefined ? null : secret(first).reveal();
      if (leaks && value !== null) leak(value);
      return {
        version,
        secret: value === null ? null : createHash("sha256").update(value).digest("hex"),
        environment: process.env[environment] ?? null,
      };
    },
  });
  return definePipeline({
    name,
    input,
    secrets,
    settings: { serving: { drainSeconds: 5 } },
    ...(onInit === undefined
      ? {}
      : {
          onInit: async (context): Promise<null> => {
            await onInit(context);
            return null;
          },
        }),
    build: (parameters) => ({ report: report(parameters) }),
  });
}
