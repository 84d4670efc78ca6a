import { isMillraceError, MillraceError } from "@millrace/core";
import { z } from "zod";
import { SSH_FAILED } from "./ssh-agent.ts";

/** What dockerode throws: the engine's answer, or what kept it from answering. */
const engineFaultSchema = z.object({
  statusCode: z.number().optional(),
  code: z.string().optional(),
  json: z.object({ message: z.string() }).optional().catch(undefined),
  message: z.string(),
});
type EngineFault = z.output<typeof engineFaultSchema>;

/** What to do about an image that cannot run our programs. */
export const NODE_IS_NEEDED =
  "Use an `image.base` that has Node 22.18 or newer as `node` on its PATH.";

interface Reading {
  readonly class: "unreachable" | "platform" | "conflict" | "usage";
  readonly code: string;
  readonly action: string;
  readonly retryable?: boolean;
}

/** The engine did not answer; `code` says why. */
const silent =
  (codes: RegExp) =>
  ({ code, statusCode }: EngineFault): boolean =>
    statusCode === undefined && code !== undefined && codes.test(code);
/** The engine's words, whatever the status: it tells what went wrong outside of it in its own words alone. */
const says =
  (words: RegExp) =>
  (_fault: EngineFault, text: string): boolean =>
    words.test(text);
const answers =
  (status: number, words = /^/) =>
  ({ statusCode }: EngineFault, text: string): boolean =>
    statusCode === status && words.test(text);

/** First row that fits. */
const READINGS: readonly (readonly [
  fits: (fault: EngineFault, text: string) => boolean,
  Reading,
])[] = [
  [
    silent(/^(?:EACCES|EPERM)$/),
    {
      class: "unreachable",
      code: "DOCKER_DENIED",
      action:
        "Add your user to the group docker and log in again, or name another engine by the setting `engine` or DOCKER_HOST.",
    },
  ],
  [
    silent(new RegExp(`^${SSH_FAILED}$`)),
    {
      class: "unreachable",
      code: "DOCKER_SSH_FAILED",
      action:
        "See that `ssh HOST docker version` works without a question: host key, login, and Docker on the other side.",
    },
  ],
  [
    silent(/CERT|TLS|SSL|^EPROTO$|SIGNATURE/),
    {
      class: "unreachable",
      code: "DOCKER_TLS_FAILED",
      action:
        "Correct the certificates (DOCKER_CERT_PATH, or those of the Docker context) or the port: 2376 with TLS, 2375 without.",
    },
  ],
  [
    answers(400, /HTTP request to an HTTPS server|client certificate/i),
    {
      class: "unreachable",
      code: "DOCKER_TLS_FAILED",
      action: "Set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH, or use a Docker context with TLS.",
    },
  ],
  [
    silent(/^/),
    {
      class: "unreachable",
      code: "DOCKER_UNREACHABLE",
      action:
        "Start Docker (systemctl start docker, or Docker Desktop), or name its engine by the setting `engine` or DOCKER_HOST.",
      retryable: true,
    },
  ],
  [
    ({ statusCode = 0 }) => statusCode === 401 || statusCode === 403 || statusCode === 407,
    {
      class: "unreachable",
      code: "DOCKER_DENIED",
      action: "Let the engine's access rules, or the proxy before it, allow these calls.",
    },
  ],
  [
    ({ statusCode = 0 }) => statusCode === 429 || (statusCode >= 502 && statusCode <= 504),
    {
      class: "unreachable",
      code: "DOCKER_BUSY",
      action: "Wait a moment: the engine, or what stands before it, is overloaded or starting.",
      retryable: true,
    },
  ],
  [
    says(/transport is closing|containerd.*(?:unavailable|not running)|engine is shutting down/i),
    {
      class: "unreachable",
      code: "DOCKER_BUSY",
      action: "Wait a moment: the engine is ending or starting.",
      retryable: true,
    },
  ],
  [
    says(/port is already allocated|address already in use/i),
    {
      class: "conflict",
      code: "PORT_IN_USE",
      action: "Choose another `port`, or end what holds it.",
    },
  ],
  [
    says(/cannot assign requested address/i),
    {
      class: "usage",
      code: "BIND_NOT_AVAILABLE",
      action: "Choose an address of the engine's machine as `bind`, or 127.0.0.1.",
    },
  ],
  [
    says(/no space left on device|disk quota exceeded/i),
    {
      class: "platform",
      code: "DISK_FULL",
      action: "Make room on the engine's disk: `docker system df` shows what takes it.",
    },
  ],
  [
    says(/toomanyrequests|too many requests|parsing HTTP 429/i),
    {
      class: "unreachable",
      code: "REGISTRY_BUSY",
      action: "Wait: the registry lets the engine pull only so often. A login allows more.",
      retryable: true,
    },
  ],
  [
    says(
      /pull access denied|access to the resource is denied|unauthorized|authentication required|no basic auth credentials/i,
    ),
    {
      class: "platform",
      code: "REGISTRY_DENIED",
      action: "Log in with `docker login` as somebody who may read the repository.",
    },
  ],
  [
    says(/x509: |tls: |server gave HTTP response to HTTPS client/i),
    {
      class: "platform",
      code: "REGISTRY_UNTRUSTED",
      action:
        "Let the engine trust the registry: put its certificate under /etc/docker/certs.d on the engine's machine, or name it in `insecure-registries` of the engine's daemon.json.",
    },
  ],
  [
    says(/lookup .*: no such host/i),
    {
      class: "platform",
      code: "REGISTRY_UNKNOWN",
      action: "Correct the registry's name, or let the engine's machine resolve it.",
    },
  ],
  [
    says(/unexpected (?:HTTP status|status from .*): 5\d\d|parsing HTTP 5\d\d/),
    {
      class: "unreachable",
      code: "REGISTRY_FAILED",
      action: "Wait; if it goes on, look into the registry's own log.",
      retryable: true,
    },
  ],
  [
    says(
      /dial tcp|lookup .*: |i\/o timeout|TLS handshake timeout|Client\.Timeout exceeded|^(?:(?:Get|Head) ".*": |unexpected )EOF$/i,
    ),
    {
      class: "unreachable",
      code: "REGISTRY_UNREACHABLE",
      action: "See that the engine's machine reaches the registry.",
      retryable: true,
    },
  ],
  [
    says(/no matching manifest|does not match the specified platform|exec format error/i),
    {
      class: "platform",
      code: "IMAGE_OTHER_PLATFORM",
      action: "Use an image for the engine's processor, or set `image.architecture`.",
    },
  ],
  [
    says(/executable file not found in \$PATH/i),
    {
      class: "platform",
      code: "IMAGE_WITHOUT_NODE",
      action: NODE_IS_NEEDED,
    },
  ],
  [
    says(
      /no such image|manifest unknown|manifest for .* not found|failed to resolve reference .*: not found$/i,
    ),
    {
      class: "platform",
      code: "IMAGE_MISSING",
      action: "Deploy again: the image is made and handed over anew.",
    },
  ],
  [
    answers(404, /network .* not found|no such network/i),
    {
      class: "usage",
      code: "NETWORK_MISSING",
      action: "Create the network, or correct the setting `networks`.",
    },
  ],
  [
    says(/address pools? .*fully subnetted|non-overlapping IPv4 address pool/i),
    {
      class: "platform",
      code: "NETWORKS_EXHAUSTED",
      action:
        "Remove networks that nobody uses (`docker network prune`), or give the engine more by `default-address-pools` of its daemon.json.",
    },
  ],
  [
    answers(409),
    {
      class: "conflict",
      code: "DOCKER_CONFLICT",
      action:
        "Somebody else works on the same containers. Wait a moment and run the command again.",
    },
  ],
  [
    says(/could not select device driver|nvidia|gpu/i),
    {
      class: "platform",
      code: "GPU_UNAVAILABLE",
      action: "Install the NVIDIA container toolkit on the engine's machine, or leave out `gpus`.",
    },
  ],
  [
    says(/(?:COPY|ADD) failed: /),
    {
      class: "platform",
      code: "BUILD_FAILED",
      action:
        "Correct the instruction of the Dockerfile, or what `.dockerignore` leaves out: paths begin at the folder of the Dockerfile.",
    },
  ],
  [
    says(/requires? BuildKit/i),
    {
      class: "usage",
      code: "DOCKERFILE_INVALID",
      action: "Leave out what needs BuildKit: the engine's own builder makes the image.",
    },
  ],
  [
    says(/dockerfile parse error|failed to parse dockerfile/i),
    {
      class: "usage",
      code: "DOCKERFILE_INVALID",
      action: "Correct the line of the Dockerfile that the engine names.",
    },
  ],
  [
    says(/logging driver does not support reading/i),
    {
      class: "usage",
      code: "LOGS_UNREADABLE",
      action:
        "Read the log where the driver writes it, or set `logDriver` to json-file, local or journald.",
    },
  ],
  [
    answers(400),
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

/** What dockerode puts before the engine's words. */
const DOCKERODE_PREFIX = /^\(HTTP code \d+\) [^-]*- /;

/**
 * Turns what a call to the engine threw into an error that says what to do. What is one already, aborts, and what does not
 * come from the engine stay as they are.
 * @param what What was done, such as "start the container x".
 */
export function engineError(thrown: unknown, what: string): unknown {
  if (isMillraceError(thrown)) return thrown;
  const { data: fault } = engineFaultSchema.safeParse(thrown);
  if (fault === undefined || fault.code === "ABORT_ERR") return thrown;
  if (fault.code === undefined && fault.statusCode === undefined) return thrown;
  const said = fault.json?.message ?? fault.message.replace(DOCKERODE_PREFIX, "");
  const text = said.trim().replace(/\.$/, "");
  const reading = READINGS.find(([fits]) => fits(fault, text))?.[1] ?? OTHERWISE;
  return new MillraceError({
    ...reading,
    message:
      fault.statusCode === undefined
        ? `The Docker engine cannot be reached: ${text}.`
        : `The Docker engine cannot ${what}: ${text}.`,
    cause: thrown,
  });
}

/** The same for what the engine says in the midst of an answer that began well. */
export function engineFault(text: string, what: string): unknown {
  return engineError(Object.assign(new Error(text), { statusCode: 500 }), what);
}

/** The engine does not know what was asked for, or is removing it. */
export function isMissing(thrown: unknown): boolean {
  const { data: fault } = engineFaultSchema.safeParse(thrown);
  if (fault?.statusCode === 409) return /marked for removal/.test(fault.message);
  return fault?.statusCode === 404;
}
