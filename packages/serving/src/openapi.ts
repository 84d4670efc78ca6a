import { type JsonSchema, RUN_NAME_PATTERN } from "@millrace/core";
import { PROBLEMS, type ProblemCode } from "./problem.ts";
import { type Path, ROUTES } from "./route-table.ts";
import type { Service } from "./service.ts";

/** The interface of this service as OpenAPI 3.1, with the pipeline's own schemas. */
export function openApi(service: Service): JsonSchema {
  const { config, pipeline } = service;
  return {
    openapi: "3.1.0",
    info: {
      title: config.deployment.name,
      version: config.revision,
      summary: `The pipeline ${pipeline.name} as a service`,
      ...(pipeline.description === undefined ? {} : { description: pipeline.description }),
    },
    servers: [{ url: "/" }],
    paths: Object.fromEntries(ROUTES.map((route) => [route.path, pathItem(route, service)])),
    components: {
      schemas: {
        // An $id of their own keeps references inside of them (`#/$defs/…`) pointing into them.
        Parameters: { $id: "parameters", ...pipeline.inputSchema },
        Outputs: { $id: "outputs", ...pipeline.outputSchema },
        InvokeRequest: invokeRequest(config.serving.requestTimeoutSeconds, pipeline.inputSchema),
        InvokeAnswer: invokeAnswer,
        InvokeFailure: { allOf: [ref("Problem"), invokeFailure] },
        Metadata: metadata,
        Problem: problem,
        Health: health,
      },
      ...(config.authKeyHash === null
        ? {}
        : {
            securitySchemes: {
              bearer: { type: "http", scheme: "bearer", description: "The deployment's key." },
              basic: {
                type: "http",
                scheme: "basic",
                description: "Any user name; the key as password.",
              },
            },
          }),
    },
  };
}

function ref(name: string): JsonSchema {
  return { $ref: `#/components/schemas/${name}` };
}

function pathItem(route: (typeof ROUTES)[number], service: Service): JsonSchema {
  const secured = route.key && service.config.authKeyHash !== null;
  return {
    [route.method.toLowerCase()]: {
      operationId: route.path === "/invoke" ? "invoke" : `get${route.path.replaceAll(/\W/g, "_")}`,
      summary: route.summary,
      ...(secured ? { security: [{ bearer: [] }, { basic: [] }] } : {}),
      ...(route.path === "/invoke" ? invokeOperation(service.pipeline.inputSchema) : {}),
      responses: {
        ...success(route.path),
        ...failures(route.path, secured),
      },
    },
  };
}

function invokeOperation(inputSchema: JsonSchema): JsonSchema {
  return {
    description:
      "Runs the pipeline once and answers with its outputs. A client that hangs up cancels the run.",
    requestBody: {
      required: wantsParameters(inputSchema),
      content: { "application/json": { schema: ref("InvokeRequest") } },
    },
  };
}

function success(path: Path): JsonSchema {
  const json = (description: string, schema: JsonSchema): JsonSchema => ({
    200: { description, content: { "application/json": { schema } } },
  });
  switch (path) {
    case "/invoke":
      return {
        200: {
          description:
            "The run completed. With the type of events asked for: the run has begun, and its last event tells how it ended.",
          content: {
            "application/json": { schema: ref("InvokeAnswer") },
            "text/event-stream": { schema: invokeEvents },
          },
        },
      };
    case "/health":
    case "/health/live":
    case "/health/ready":
      return json("Yes.", ref("Health"));
    case "/info":
    case "/openapi.json":
      return json("The description.", { type: "object" });
    case "/metrics":
      return {
        200: {
          description: "The metrics.",
          content: { "text/plain": { schema: { type: "string" } } },
        },
      };
    case "/docs":
      return {
        200: { description: "The page.", content: { "text/html": { schema: { type: "string" } } } },
      };
  }
}

/** Problems that only `POST /invoke` has. */
const OF_INVOKE: readonly ProblemCode[] = [
  "BODY_MALFORMED",
  "BODY_TOO_LARGE",
  "MEDIA_TYPE_UNSUPPORTED",
  "CONTENT_ENCODING_UNSUPPORTED",
  "REQUEST_INVALID",
  "QUEUE_FULL",
  "STEP_FAILED",
  "STEP_TIMEOUT",
  "STEP_INPUT_INVALID",
  "STEP_OUTPUT_INVALID",
  "OUTPUT_NOT_JSON",
  "INTERNAL",
  "NOT_READY",
  "DRAINING",
  "QUEUE_TIMEOUT",
  "RUN_TIMEOUT",
];

function failures(path: string, secured: boolean): JsonSchema {
  if (path === "/health" || path === "/health/ready") {
    return {
      503: { description: "No.", content: { "application/json": { schema: ref("Health") } } },
    };
  }
  const codes: readonly ProblemCode[] = [
    ...(path === "/invoke" ? OF_INVOKE : []),
    ...(secured ? (["UNAUTHENTICATED"] as const) : []),
  ];
  const byStatus = Map.groupBy(codes, (code) => PROBLEMS[code].status);
  // Whoever has no key is told nothing of the deployment, at /invoke either.
  const schemaOf = (group: readonly ProblemCode[]): JsonSchema =>
    ref(path === "/invoke" && !group.includes("UNAUTHENTICATED") ? "InvokeFailure" : "Problem");
  return Object.fromEntries(
    [...byStatus].map(([status, group]) => [
      status,
      {
        description: group.map((code) => `${code}: ${PROBLEMS[code].title}.`).join(" "),
        ...(status === 429 || status === 503
          ? { headers: { "Retry-After": { schema: { type: "integer" }, description: "Seconds." } } }
          : {}),
        content: { "application/problem+json": { schema: schemaOf(group) } },
      },
    ]),
  );
}

/** Whether a request without parameters cannot be valid. */
function wantsParameters({ required }: JsonSchema): boolean {
  return Array.isArray(required) && required.length > 0;
}

function invokeRequest(maxTimeout: number, inputSchema: JsonSchema): JsonSchema {
  return {
    type: "object",
    properties: {
      parameters: ref("Parameters"),
      run_name: {
        type: "string",
        minLength: 1,
        maxLength: 200,
        pattern: RUN_NAME_PATTERN,
        description: "Name of the run. Default: made up.",
      },
      timeout: {
        type: "number",
        exclusiveMinimum: 0,
        maximum: maxTimeout,
        description: "Deadline in seconds.",
      },
    },
    ...(wantsParameters(inputSchema) ? { required: ["parameters"] } : {}),
    additionalProperties: false,
  };
}

const metadata: JsonSchema = {
  type: "object",
  properties: {
    deployment_id: { type: "string" },
    deployment_name: { type: "string" },
    snapshot_id: { type: "string" },
    snapshot_name: { type: ["string", "null"] },
    pipeline_name: { type: "string" },
    run_id: { type: ["string", "null"], description: "UUIDv7. Null when no run began." },
    run_name: { type: ["string", "null"] },
    parameters_used: {
      description: "The parameters with defaults filled in. Null when no run began.",
    },
    recorded: {
      const: false,
      description: "Only in mode sync, and only when neither the store nor its spool took the run.",
    },
  },
  required: [
    "deployment_id",
    "deployment_name",
    "snapshot_id",
    "snapshot_name",
    "pipeline_name",
    "run_id",
    "run_name",
    "parameters_used",
  ],
};

const invokeAnswer: JsonSchema = {
  type: "object",
  properties: {
    success: { const: true },
    outputs: ref("Outputs"),
    execution_time: { type: "number", description: "Seconds." },
    metadata: ref("Metadata"),
    error: { type: "null" },
  },
  required: ["success", "outputs", "execution_time", "metadata", "error"],
};

const invokeEvents: JsonSchema = {
  type: "string",
  description:
    "Server-sent events. `emit`: what a step emits, with the data `{step, event, data}`. `dropped`: how many events were " +
    "left out because the client did not read, with the data `{events}`. `result`, always the last one: the InvokeAnswer " +
    "or InvokeFailure of the run.",
};

const problem: JsonSchema = {
  type: "object",
  description: "RFC 9457. `code` is stable.",
  properties: {
    type: { type: "string" },
    title: { type: "string" },
    status: { type: "integer" },
    detail: { type: "string" },
    code: { type: "string", enum: Object.keys(PROBLEMS) },
    request_id: { type: "string" },
    run_id: { type: "string" },
    step: { type: "string", description: "Id of the step that failed." },
    issues: {
      type: "array",
      items: {
        type: "object",
        properties: {
          path: { type: "array", items: { type: ["string", "integer"] } },
          message: { type: "string" },
        },
        required: ["path", "message"],
      },
    },
  },
  required: ["type", "title", "status", "detail", "code", "request_id"],
};

const invokeFailure: JsonSchema = {
  type: "object",
  properties: {
    success: { const: false },
    outputs: { type: "null" },
    execution_time: { type: ["number", "null"], description: "Seconds." },
    metadata: ref("Metadata"),
    error: {
      type: "object",
      properties: {
        code: { type: "string" },
        message: { type: "string" },
        step: { type: ["string", "null"] },
        stack: { type: ["string", "null"] },
      },
      required: ["code", "message", "step"],
    },
  },
  required: ["success", "outputs", "execution_time", "metadata", "error"],
};

const health: JsonSchema = {
  type: "object",
  properties: {
    status: { enum: ["ok", "starting", "draining"] },
    deployment_id: { type: "string" },
    snapshot_id: { type: "string" },
    revision: { type: "string" },
  },
  required: ["status", "deployment_id", "snapshot_id", "revision"],
};
