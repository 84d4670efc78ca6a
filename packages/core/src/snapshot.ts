import { z } from "zod";
import type { Graph, Wire } from "./authoring/graph.ts";
import { servingSettingsInputSchema } from "./serving-settings.ts";

export const MANIFEST_FILE = "manifest.json";
/** Version of the manifest's form. A reader refuses a newer one. */
export const MANIFEST_VERSION = 1;

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const path = z.array(z.union([z.string(), z.int()])).readonly();
const jsonSchema = z.record(z.string(), z.unknown()).readonly();

const wireSchema: z.ZodType<Wire> = z.lazy(() =>
  z.discriminatedUnion("from", [
    z.object({ from: z.literal("input"), path }),
    z.object({ from: z.literal("step"), step: z.string(), path }),
    z.object({ from: z.literal("value"), value: z.json() }),
    z.object({ from: z.literal("object"), fields: z.record(z.string(), wireSchema) }),
    z.object({ from: z.literal("array"), items: z.array(wireSchema) }),
  ]),
);

const graphSchema: z.ZodType<Graph> = z.object({
  steps: z.array(
    z.object({
      id: z.string(),
      name: z.string(),
      input: wireSchema,
      after: z.array(z.string()),
      retries: z.object({
        limit: z.int(),
        delayMs: z.number(),
        factor: z.number(),
        maxDelayMs: z.number(),
      }),
      timeoutSeconds: z.number().nullable(),
      cache: z.object({ ttlSeconds: z.number() }).nullable(),
    }),
  ),
  outputs: z.record(z.string(), wireSchema),
});

/**
 * What a snapshot is: the file `manifest.json` beside the bundle. It holds everything that control and serving need to
 * know without running user code. Its canonical JSON's SHA-256 is the snapshot's id, so it holds no time, no path of
 * the machine that made it and no secret.
 */
export const snapshotManifestSchema = z.strictObject({
  version: z.literal(MANIFEST_VERSION),
  pipeline: z.strictObject({
    name: z.string(),
    description: z.string().nullable(),
    /** The bundle's entry, relative to the snapshot's folder, and the export that holds the pipeline. */
    entry: z.string(),
    export: z.string(),
    graph: graphSchema,
    inputSchema: jsonSchema,
    outputSchema: jsonSchema,
    secrets: z.array(z.string()),
  }),
  settings: z.strictObject({
    serving: servingSettingsInputSchema,
    deployer: z.record(z.string(), z.record(z.string(), z.json())),
  }),
  /** Every file of the bundle by path relative to the snapshot's folder, with `/` between parts. */
  files: z.record(z.string(), z.strictObject({ digest, size: z.int() })),
  /** Packages that cannot be bundled, by name, with the exact version. */
  externals: z.record(z.string(), z.string()),
  /** Lowest Node version that the bundle runs on. */
  node: z.string(),
});

export type SnapshotManifest = z.output<typeof snapshotManifestSchema>;
