import { type ChildProcess, spawn } from "node:child_process";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { type DeployerContext, type DeploymentRequest, MillraceError } from "@millrace/core";
import { askSupervisor } from "./control-client.ts";
import type { Status } from "./control-protocol.ts";
import { inheritedEnvironment } from "./environment.ts";
import type { ListeningSocket } from "./listening-socket.ts";
import type { Places } from "./places.ts";
import type { LocalSettings } from "./settings.ts";

const START_TIMEOUT_MS = 15_000;
const POLL_MS = 10;
const MAX_OUTPUT = 4_096;

export interface SupervisorStart {
  readonly stateDirectory: string;
  readonly places: Places;
  readonly request: DeploymentRequest<LocalSettings>;
  readonly listening: ListeningSocket;
}

/**
 * Starts a supervisor that outlives this process, and waits until one answers: this one, or another that was quicker.
 * @throws MillraceError `SUPERVISOR_NOT_STARTED` with what it wrote.
 */
export async function startSupervisor(
  { stateDirectory, places, request, listening }: SupervisorStart,
  context: DeployerContext,
): Promise<Status> {
  context.progress("Starting the supervisor");
  const child = spawnSupervisor({ stateDirectory, places, request, listening });
  const output = collectOutput(child);
  try {
    return await answering(child, output, places, context);
  } finally {
    child.stderr?.destroy();
    child.unref();
  }
}

function spawnSupervisor({
  stateDirectory,
  places,
  request,
  listening,
}: SupervisorStart): ChildProcess {
  const { host, port } = request.settings;
  const script = fileURLToPath(new URL(`./supervisor${extname(import.meta.url)}`, import.meta.url));
  try {
    return spawn(
      process.execPath,
      [
        "--disable-warning=ExperimentalWarning",
        script,
        stateDirectory,
        places.deploymentId,
        host,
        String(listening.port),
        ...(port === undefined ? [] : [String(port)]),
      ],
      {
        detached: true,
        cwd: "/",
        env: inheritedEnvironment(process.env),
        stdio: ["ignore", "ignore", "pipe", listening.descriptor],
      },
    );
  } finally {
    listening.close();
  }
}

interface Output {
  text: string;
  failure: Error | null;
}

function collectOutput(child: ChildProcess): Output {
  const output: Output = { text: "", failure: null };
  child.once("error", (error) => {
    output.failure = error;
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    output.text = (output.text + chunk.toString("utf8")).slice(-MAX_OUTPUT);
  });
  return output;
}

async function answering(
  child: ChildProcess,
  output: Output,
  places: Places,
  { clock, signal }: DeployerContext,
): Promise<Status> {
  const deadline = clock.now() + START_TIMEOUT_MS;
  for (;;) {
    const status = await askSupervisor(places, { type: "status" }, signal);
    if (status !== null) return status;
    // Exit code 0 means that another supervisor was quicker: it answers soon.
    const ended = child.signalCode !== null || (child.exitCode !== null && child.exitCode !== 0);
    if (ended || output.failure !== null || clock.now() > deadline) {
      throw notStarted(places, child, output);
    }
    await clock.sleep(POLL_MS, signal);
  }
}

function notStarted(places: Places, child: ChildProcess, output: Output): MillraceError {
  return new MillraceError({
    class: "platform",
    code: "SUPERVISOR_NOT_STARTED",
    message: `The supervisor of deployment ${places.deploymentId} did not start: ${lastLine(output.text) ?? `it has not answered (exit code ${child.exitCode})`}.`,
    action: "See that the state directory can be written and the machine has room for a process.",
    details: { exitCode: child.exitCode, signal: child.signalCode, output: output.text },
    cause: output.failure ?? undefined,
  });
}

/** The message of an uncaught error stands in the line that names its type. */
function lastLine(text: string): string | undefined {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return lines.find((line) => /^\w*Error\b/.test(line)) ?? lines.at(-1);
}
