import type { DeployOptions, DeployResult } from "@millrace/control";
import {
  isMillraceError,
  type JsonObject,
  parse,
  type ServingSettingsInput,
  servingSettingsInputSchema,
} from "@millrace/core";
import type { CommandContext, Result } from "./command.ts";
import { formatCard } from "./deployment-text.ts";
import { assignments, flag, seconds, usage, variables } from "./inputs.ts";
import { streamLogs } from "./log-text.ts";
import { changesNothing, formatPlan } from "./plan-text.ts";

/** How long a command may take. */
export const timeLimit = (byDefault: string) =>
  seconds("--timeout <time>", `How long it may take: seconds, or 90s, 10m. Default ${byDefault}.`);

/** The options of everything that makes a snapshot serve. */
export const deployInputs = {
  settings: assignments(
    "--set <key=value>",
    "Setting of the deployer; repeatable. Dots nest. The value is read as JSON, else as text.",
  ),
  serving: assignments(
    "--serving <key=value>",
    "Setting of how it serves, such as tracking.mode=sync; repeatable.",
  ),
  environment: variables(
    "--env <name=value>",
    "Environment variable of the service; repeatable. Not for secrets.",
  ),
  generateAuthKey: flag(
    "--generate-auth-key",
    "Callers must carry a random key. It is made once and stays with later deploys; `--serving generateAuthKey=false` takes it away.",
  ),
  timeoutSeconds: timeLimit("10m"),
  overtake: flag("--overtake", "Updates a deployment although it belongs to another user."),
} as const;

interface DeployValues {
  readonly settings?: JsonObject;
  readonly serving?: JsonObject;
  readonly environment?: Readonly<Record<string, string>>;
  readonly generateAuthKey: boolean;
  readonly timeoutSeconds?: number;
  readonly overtake: boolean;
}

/** Options for the client from those of the command line, without the question before a change. */
export function deployOptions(values: DeployValues): DeployOptions {
  const { serving, generateAuthKey, settings, environment, timeoutSeconds, overtake } = values;
  const effective = generateAuthKey ? { ...serving, generateAuthKey } : serving;
  return {
    overtake,
    ...(settings === undefined ? {} : { settings }),
    ...(environment === undefined ? {} : { environment }),
    ...(timeoutSeconds === undefined ? {} : { timeoutSeconds }),
    ...(effective === undefined ? {} : { serving: servingSettings(effective) }),
  };
}

/** @throws MillraceError `SERVING_SETTINGS_INVALID`, or `SECRET_IN_ARGUMENT`: every user of the machine can read arguments. */
export function servingSettings(given: JsonObject): ServingSettingsInput {
  if (Object.hasOwn(given, "authKey")) {
    throw usage(
      "SECRET_IN_ARGUMENT",
      "A key on the command line can be read in the list of processes and in the shell's history.",
      "Use --generate-auth-key, or set `serving.authKey` of a deployer in millrace.config.ts from an environment variable.",
    );
  }
  return parse(servingSettingsInputSchema, given, {
    what: "What --serving says",
    code: "SERVING_SETTINGS_INVALID",
  });
}

/** Deploys with progress, shows the plan, asks before an existing deployment changes, and prints its card. */
export async function carryOut(
  context: CommandContext,
  message: string,
  start: (
    options: Pick<DeployOptions, "signal" | "onProgress" | "confirm">,
  ) => Promise<DeployResult>,
  options: { readonly attach: boolean },
): Promise<Result | undefined> {
  const confirm: DeployOptions["confirm"] = (plan) => {
    if (changesNothing(plan)) return true;
    const about = formatPlan(plan, context.sideStyle);
    if (plan.exists && plan.action !== "create" && plan.action !== "no-op")
      return context.confirm(`Update deployment ${plan.deployment}?`, about);
    context.tell(about);
    return true;
  };
  const attempt = (more: Pick<DeployOptions, "overtake">) =>
    context.during(message, (call) => start({ ...call, ...more, confirm }));
  const result = await attempt({}).catch(async (error: unknown) => {
    if (!(await mayOvertake(context, error))) throw error;
    return attempt({ overtake: true });
  });
  const client = await context.client();
  const details = await client.deployments.get(result.deployment.id);
  const done = result.operation === null ? "Nothing to do: it serves this already.\n\n" : "";
  const text = () => done + formatCard(details, { style: context.style, now: Date.now() });
  const json = withoutDefaults(result);
  if (!options.attach) return { json, text };
  context.emit(`${context.json ? JSON.stringify(json) : text()}\n`);
  await streamLogs(context, (signal) =>
    client.deployments.logs(result.deployment.id, { follow: true, tail: 0, signal }),
  );
  return undefined;
}

/** Of the settings those that somebody chose; `plan` shows all. */
function withoutDefaults({ plan, ...result }: DeployResult): DeployResult {
  const settings = plan.settings.filter(({ origin }) => origin !== "default");
  return { ...result, plan: { ...plan, settings } };
}

/** Asks whether another user's deployment may be changed. `--yes` is no answer to that; `--overtake` is. */
async function mayOvertake(context: CommandContext, error: unknown): Promise<boolean> {
  const asks = isMillraceError(error) && error.code === "NOT_OWNER";
  if (!asks || context.yes || !context.terminal.stdin.isTerminal) return false;
  return context.confirm("Change it all the same?", error.message);
}
