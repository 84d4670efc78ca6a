import { createHash } from "node:crypto";
import { SERVICE_CONFIG_VARIABLE, serviceConfigSchema } from "@millrace/core";
import { z } from "zod";
import type { Rollout, Spec } from "./records.ts";

/** How the platform plays a fixture pipeline, by the pipeline's name. */
interface Part {
  readonly version: number;
  /** Milliseconds until it is ready or has failed. */
  readonly startMs: number;
  readonly starts: boolean;
}

const QUICK_MS = 25;
const PARTS: Readonly<Record<string, Part>> = {
  conformance_v1: { version: 1, startMs: QUICK_MS, starts: true },
  conformance_v2: { version: 2, startMs: QUICK_MS, starts: true },
  conformance_secret: { version: 1, startMs: QUICK_MS, starts: true },
  conformance_init_fails: { version: 1, startMs: QUICK_MS, starts: false },
  conformance_never_ready: { version: 1, startMs: 100, starts: false },
  conformance_slow: { version: 1, startMs: 1500, starts: true },
};

export function partOf(pipeline: string, environment: Spec["environment"]): Part {
  const part = PARTS[pipeline] ?? { version: 0, startMs: QUICK_MS, starts: true };
  return { ...part, startMs: Number(environment["CONFORMANCE_SLOW_MS"] ?? part.startMs) };
}

const parametersSchema = z.object({
  parameters: z
    .object({
      say: z.array(z.string()).default([]),
      sleepMs: z.number().default(0),
      environment: z.string().optional(),
    })
    .prefault({}),
});

export interface Answer {
  readonly status: number;
  readonly body: unknown;
  /** Lines that the service writes. */
  readonly says: readonly string[];
  readonly sleepMs: number;
}

/** What a served revision answers to a health check. */
export function answerHealth(spec: Spec): Answer {
  const config = serviceConfigSchema.parse(
    JSON.parse(spec.environment[SERVICE_CONFIG_VARIABLE] ?? "null"),
  );
  const body = {
    status: "ok",
    deployment_id: config.deployment.id,
    snapshot_id: config.snapshot.id,
    revision: config.revision,
  };
  return { status: 200, body, says: [], sleepMs: 0 };
}

/** What a served revision answers to an invocation. */
export function answerInvoke(
  { spec, pipeline }: Rollout,
  secrets: Readonly<Record<string, string>>,
  body: unknown,
): Answer {
  const { parameters } = parametersSchema.parse(body);
  const { say, sleepMs, environment } = parameters;
  const [value] = Object.values(secrets);
  const report = {
    version: partOf(pipeline, spec.environment).version,
    secret: value === undefined ? null : createHash("sha256").update(value).digest("hex"),
    environment: environment === undefined ? null : (spec.environment[environment] ?? null),
  };
  return {
    status: 200,
    body: { success: true, outputs: { report }, error: null },
    says: say,
    sleepMs,
  };
}
