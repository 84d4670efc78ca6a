import type { CallOptions, Client } from "@millrace/control";
import {
  type DeploymentRecord,
  ERROR_CLASSES,
  isMillraceError,
  type MillraceError,
  summarizeError,
  toMillraceError,
} from "@millrace/core";
import { agree } from "./agree.ts";
import type { CommandContext, Result } from "./command.ts";
import { formatError } from "./error-text.ts";
import { argumentList, flag, usage } from "./inputs.ts";
import { allItems } from "./page.ts";
import { paintStatus } from "./style.ts";
import { formatTable } from "./table.ts";

/** How commands that take several deployments are told which. */
export const bulkInputs = {
  deployments: argumentList("[deployments...]", "Names, ids or unique beginnings of ids."),
  all: flag("--all", "Every deployment of the project."),
  mine: flag("--mine", "With --all: only one's own."),
} as const;

export interface Selection {
  readonly deployments: readonly string[];
  readonly all: boolean;
  readonly mine: boolean;
}

interface Action<T> {
  /** Asked before anything happens: `Delete`. Null asks nothing. */
  readonly question: string | null;
  /** Present participle for progress: `Deleting`. */
  readonly doing: string;
  readonly work: (client: Client, id: string, call: CallOptions) => Promise<T>;
  /** One or more lines for people. */
  readonly done: (name: string, value: T) => string;
}

type Target = Pick<DeploymentRecord, "id" | "name" | "status" | "stack" | "userName">;

type Outcome<T> =
  | { readonly deployment: string; readonly ok: true; readonly value: T }
  | { readonly deployment: string; readonly ok: false; readonly error: MillraceError };

interface BulkResult extends Result {
  readonly json: { readonly items: readonly unknown[] };
}

/**
 * Does the same with one deployment after the other. One that fails does not keep the others from being done; the exit
 * code is then that of the first failure. An interruption does, and the exit code is its own; what was done until then is told
 * all the same, because the records that knew it may be gone.
 */
export async function bulk<T>(
  context: CommandContext,
  selection: Selection,
  action: Action<T>,
): Promise<BulkResult> {
  const client = await context.client();
  const { targets, failures } = await select(client, selection);
  if (targets.length > 0 && action.question !== null) {
    const what =
      targets.length === 1
        ? `deployment ${targets[0]?.name}`
        : `these ${targets.length} deployments`;
    await agree(context, `${action.question} ${what}?`, formatTargets(targets, context));
  }
  const outcomes: Outcome<T>[] = [...failures];
  for (const target of targets)
    outcomes.push(await attempt(context, client, target, action, targets.length > 1));
  return resultOf(outcomes, action, context);
}

async function attempt<T>(
  context: CommandContext,
  client: Client,
  target: Target,
  action: Action<T>,
  isOneOfSeveral: boolean,
): Promise<Outcome<T>> {
  const { signal } = context;
  const name = isOneOfSeveral ? `${target.name}: ` : "";
  try {
    signal.throwIfAborted();
    const value = await context.during(`${action.doing} ${target.name}`, (call) => {
      const onProgress: CallOptions["onProgress"] = (event) =>
        call.onProgress({ ...event, message: `${name}${event.message}` });
      return action.work(client, target.id, { ...call, onProgress });
    });
    return { deployment: target.name, ok: true, value };
  } catch (error) {
    const stopped = signal.aborted && !isMillraceError(error);
    const told = toMillraceError(stopped ? signal.reason : error);
    return { deployment: target.name, ok: false, error: told };
  }
}

async function select(
  client: Client,
  { deployments, all, mine }: Selection,
): Promise<{ targets: Target[]; failures: Outcome<never>[] }> {
  if (all === deployments.length > 0) {
    throw usage(
      "TARGET_MISSING",
      all ? "Both names and --all were given." : "No deployment was named.",
      "Name deployments, or use --all.",
    );
  }
  if (all) {
    const targets = await allItems((query) => client.deployments.list({ ...query, mine }));
    return { targets, failures: [] };
  }
  const targets = new Map<string, Target>();
  const failures: Outcome<never>[] = [];
  for (const name of deployments) {
    try {
      const { deployment } = await client.deployments.get(name);
      targets.set(deployment.id, deployment);
    } catch (error) {
      if (deployments.length === 1) throw error;
      failures.push({ deployment: name, ok: false, error: toMillraceError(error) });
    }
  }
  return { targets: [...targets.values()], failures };
}

function formatTargets(targets: readonly Target[], { sideStyle }: CommandContext): string {
  const rows = targets.map((target) => [
    target.name,
    paintStatus(target.status, sideStyle),
    target.stack,
    target.userName,
  ]);
  return formatTable(["NAME", "STATUS", "STACK", "OWNER"], rows, sideStyle);
}

/** What was done goes to standard output, what failed to standard error. */
function resultOf<T>(
  outcomes: readonly Outcome<T>[],
  action: Action<T>,
  { terminal, sideStyle }: CommandContext,
): BulkResult {
  const failures = outcomes.flatMap((outcome) => (outcome.ok ? [] : [outcome]));
  for (const [error, of] of Map.groupBy(failures, (failure) => failure.error)) {
    const names = of.map(({ deployment }) => deployment).join(", ");
    const what = formatError(error, { style: sideStyle, debug: false });
    terminal.stderr.write(`${sideStyle("red", "failed")} ${names}: ${what}`);
  }
  const items = outcomes.map((outcome) =>
    outcome.ok ? outcome : { ...outcome, error: summarizeError(outcome.error) },
  );
  const lines = outcomes.flatMap((outcome) =>
    outcome.ok ? [action.done(outcome.deployment, outcome.value)] : [],
  );
  const decisive = failures.find(({ error }) => error.class === "aborted") ?? failures[0];
  return {
    json: { items },
    text: () => (outcomes.length === 0 ? "No deployments." : lines.join("\n")),
    exitCode: decisive === undefined ? 0 : ERROR_CLASSES[decisive.error.class].exitCode,
  };
}
