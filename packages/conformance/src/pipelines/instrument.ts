import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { definePipeline, defineStep } from "@millrace/core";
import { z } from "zod";

export const SECRET_NAME = "CONFORMANCE_SECRET";

const input = z.object({
  /** Lines to write to the log, and to emit. */
  say: z.array(z.string()).default([]),
  sleepMs: z.number().min(0).default(0),
  fail: z.boolean().default(false),
  /** Environment variable to report. */
  environment: z.string().default(""),
});

export interface InstrumentOptions {
  readonly name: string;
  readonly version: number;
  readonly secrets?: readonly string[];
  readonly onInit?: (signal: AbortSignal) => Promise<void>;
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
    run: async ({ say, sleepMs, fail, environment }, { emit, signal, secret }) => {
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
      return {
        version,
        secret:
          first === undefined
            ? null
            : createHash("sha256").update(secret(first).reveal()).digest("hex"),
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
          onInit: async ({ signal }): Promise<null> => {
            await onInit(signal);
            return null;
          },
        }),
    build: (parameters) => ({ report: report(parameters) }),
  });
}
