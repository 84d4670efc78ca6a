import { isMillraceError, MillraceError, messageOf } from "@millrace/core";
import { z } from "zod";

/** What dockerode throws: the engine's answer, or what kept it from answering. */
const engineFaultSchema = z.object({
  statusCode: z.number().optional(),
  code: z.string().optional(),
  reason: z.string().optional(),
  json: z.object({ message: z.string() }).optional().catch(undefined),
  message: z.string(),
});
type EngineFault = z.output<typeof engineFaultSchema>;

interface Reading {
  readonly class: "unreachable" | "platform" | "conflict" | "usage";
  readonly code: string;
  readonly action: string;
  readonly retryable?: boolean;
}

/** First row that fits. */
const READINGS: readonly (readonly [
  fits: (fault: EngineFault, text: string) => boolean,
  Reading,
])[] = [
  [
    ({ code }) => code === "EACCES" || code === "EPERM",
    {
      class: "unreachable",
      code: "DOCKER_DENIED",
      action:
        "Add your user to the group docker and log in again, or name another engine by the setting `engine` or DOCKER_HOST.",
    },
  ],
  [
    ({ code, statusCode }) => statusCode === undefined && code !== undefined,
    {
      class: "unreachable",
      code: "DOCKER_UNREACHABLE",
      action:
        "Start Docker (systemctl start docker, or Docker Desktop), or name its engine by the setting `engine` or DOCKER_HOST.",
      retryable: true,
    },
  ],
  [
    (_fault, text) => /port is already allocated|address already in use/i.test(text),
    {
      class: "conflict",
      code: "PORT_IN_USE",
      action: "Choose another `port`, or end what holds it.",
    },
  ],
  [
    (_fault, text) => /cannot assign requested address/i.test(text),
    {
      class: "usage",
      code: "BIND_NOT_AVAILABLE",
      action: "Choose an address of the engine's machine as `bind`, or 127.0.0.1.",
    },
  ],
  [
    (_fault, text) => /no space left on device/i.test(text),
    {
      class: "platform",
      code: "DISK_FULL",
      action: "Make room on the engine's disk: `docker system df` shows what takes it.",
    },
  ],
  [
    ({ statusCode }, text) => statusCode === 404 && /no such image|manifest unknown/i.test(text),
    {
      class: "platform",
      code: "IMAGE_MISSING",
      action: "Deploy again: the image is made and handed over anew.",
      retryable: false,
    },
  ],
  [
    ({ statusCode }, text) => statusCode === 404 && /network .* not found/i.test(text),
    {
      class: "usage",
      code: "NETWORK_MISSING",
      action: "Create the network, or correct the setting `networks`.",
    },
  ],
  [
    ({ statusCode }) => statusCode === 409,
    {
      class: "conflict",
      code: "DOCKER_CONFLICT",
      action:
        "Somebody else works on the same containers. Wait a moment and run the command again.",
    },
  ],
  [
    (_fault, text) => /could not select device driver|nvidia|gpu/i.test(text),
    {
      class: "platform",
      code: "GPU_UNAVAILABLE",
      action: "Install the NVIDIA container toolkit on the engine's machine, or leave out `gpus`.",
    },
  ],
  [
    ({ statusCode }) => statusCode === 400,
    {
      class: "usage",
      code: "DOCKER_REFUSED",
      action: "Correct the setting that the engine names.",
    },
  ],
];

const OTHERWISE: Reading = {
  class: "platform",
  code: "DOCKER_FAILED",
  action: "See what the engine says, and its log (journalctl -u docker).",
};

/**
 * Turns what a call to the engine threw into an error that says what to do. What is one already, and aborts, stay as they are.
 * @param what What was done, such as "start the container x".
 */
export function engineError(thrown: unknown, what: string): unknown {
  if (isMillraceError(thrown)) return thrown;
  const { data: fault } = engineFaultSchema.safeParse(thrown);
  if (fault === undefined || fault.code === "ABORT_ERR") return thrown;
  const text = fault.json?.message ?? fault.reason ?? fault.message;
  const reading = READINGS.find(([fits]) => fits(fault, text))?.[1] ?? OTHERWISE;
  return new MillraceError({
    ...reading,
    message:
      reading.class === "unreachable"
        ? `The Docker engine cannot be reached: ${messageOf(thrown)}.`
        : `The Docker engine cannot ${what}: ${text.trim().replace(/\.$/, "")}.`,
    cause: thrown,
  });
}

/** The engine does not know what was asked for. */
export function isMissing(thrown: unknown): boolean {
  return engineFaultSchema.safeParse(thrown).data?.statusCode === 404;
}
