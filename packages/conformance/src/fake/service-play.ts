import { createHash } from "node:crypto";
import { SERVICE_CONFIG_VARIABLE, serviceConfigSchema } from "@millrace/core";
import { z } from "zod";
import { LEAK_VARIABLE, LEAKED } from "../pipelines/instrument.ts";
import type { Rollout, Spec } from "./records.ts";

/** How the platform plays a fixture pipeline, by the pipeline's name. */
interface Part {
  readonly version: number;
  /** Milliseconds until it is ready or has failed. */
  readonly startMs: number;
  /** What it logs when it fails to start; null when it starts. */
  readonly failure: string | null;
}

const QUICK_MS = 25;
const INIT_FAILURE = "conformance-init-failure";
/** Lines with a leaked secret, as a service of Millrace writes them. */
const LEAKS = Object.values(LEAKED).map((mark) => `${mark} [secret]`);
const PARTS: Readonly<Record<string, Part>> = {
  conformance_v1: { version: 1, startMs: QUICK_MS, failure: null },
  conformance_v2: { version: 2, startMs: QUICK_MS, failure: null },
  conformance_secret: { version: 1, startMs: QUICK_MS, failure: null },
  conformance_init_fails: { version: 1, startMs: QUICK_MS, failure: INIT_FAILURE },
  conformance_never_ready: { version: 1, startMs: 100, failure: INIT_FAILURE },
  conformance_slow: { version: 1, startMs: 1500, failure: null },
};

export function partOf(pipeline: string, environment: Spec["environment"]): Part {
  const part = PARTS[pipeline] ?? { version: 0, startMs: QUICK_MS, failure: null };
  return {
    ...part,
    startMs: Number(environment["CONFORMANCE_SLOW_MS"] ?? part.startMs),
    failure: environment[LEAK_VARIABLE] === undefined ? part.failure : LEAKS.join(", "),
  };
}

const parametersSchema = z.object({
  parameters: z
    .object({
      say: z.array(z.string()).default([]),
      sleepMs: z.number().default(0),
      leak: z.boolean().default(false),
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
  const { say, sleepMs, leak, environment } = parameters;
  const [value] = Object.values(secrets);
  if (leak && value !== undefined)
    return { status: 500, body: { success: false, outputs: null }, says: LEAKS, sleepMs: 0 };
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
