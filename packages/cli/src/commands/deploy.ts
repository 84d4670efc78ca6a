import type { Source } from "@millrace/control";
import { defineCommand } from "../command.ts";
import { carryOut, deployInputs, deployOptions, timeLimit } from "../deploying.ts";
import { flag, optionalArgument, text, usage } from "../inputs.ts";
import { changesNothing, formatPlan } from "../plan-text.ts";
import { EXIT_WITH_CHANGES } from "../program.ts";

const target = {
  source: optionalArgument(
    "[source]",
    "Module of the pipeline: pipeline.ts, or pipeline.ts#name for a named export.",
  ),
  snapshot: text("--snapshot <name>", "Takes this snapshot in place of a source."),
  name: text("-n, --name <name>", "Name of the deployment. Default: the pipeline's."),
  stack: text(
    "-s, --stack <name>",
    "Stack to deploy with. Default: that of the deployment, else the active one.",
  ),
  ...deployInputs,
} as const;

export const deploy = defineCommand({
  name: "deploy",
  summary: "Deploy a pipeline or snapshot as an HTTP service, or update it in place",
  description:
    "Shows the plan and, before a deployment that exists is changed, asks. Where nobody can be asked (standard input is " +
    "no terminal) such a change needs --yes. Settings count in the order: defaults, deployer, pipeline, command line.",
  inputs: {
    ...target,
    update: flag("--no-update", "Refuses to touch a deployment that exists."),
    attach: flag("-a, --attach", "Goes on with the service's log lines."),
  },
  examples: [
    "deploy pipeline.ts",
    "deploy pipeline.ts --name weather --yes",
    "deploy pipeline.ts --set port=8080 --serving tracking.mode=sync --generate-auth-key",
    "deploy --snapshot weather-v2 --name weather",
  ],
  run: async (context, values) => {
    const client = await context.client();
    const source = sourceOf(values);
    const options = { ...deployOptions(values), ...namesOf(values), update: values.update };
    return carryOut(
      context,
      "Deploying",
      (call) => client.deploy(source, { ...options, ...call }),
      values,
    );
  },
});

export const plan = defineCommand({
  name: "plan",
  summary: "Show what a deploy would change, and change nothing",
  description:
    "Prints + for what is created, ~ for what is updated, ± for what is replaced and - for what goes away.",
  inputs: {
    ...target,
    timeoutSeconds: timeLimit("1m"),
    detailedExitCode: flag(
      "--detailed-exit-code",
      "Exits with 10 when a deploy has something to do.",
    ),
  },
  examples: [
    "plan pipeline.ts --name weather",
    "plan pipeline.ts --output json",
    "plan --snapshot weather-v2 --detailed-exit-code",
  ],
  run: async (context, values) => {
    const client = await context.client();
    const options = { ...deployOptions(values), ...namesOf(values) };
    const found = await context.during("Planning", (call) =>
      client.plan(sourceOf(values), { ...options, ...call }),
    );
    return {
      json: found,
      text: () => formatPlan(found, context.style),
      exitCode: values.detailedExitCode && !changesNothing(found) ? EXIT_WITH_CHANGES : 0,
    };
  },
});

function namesOf(values: { readonly name?: string; readonly stack?: string }) {
  return {
    ...(values.name === undefined ? {} : { name: values.name }),
    ...(values.stack === undefined ? {} : { stack: values.stack }),
  };
}

/** @throws MillraceError `SOURCE_MISSING` unless there is exactly one of both. */
export function sourceOf(values: { readonly source?: string; readonly snapshot?: string }): Source {
  if (values.source !== undefined && values.snapshot === undefined) return values.source;
  if (values.source === undefined && values.snapshot !== undefined)
    return { snapshot: values.snapshot };
  throw usage(
    "SOURCE_MISSING",
    values.source === undefined
      ? "Neither a source nor a snapshot was named."
      : "Both a source and a snapshot were named.",
    "Name either the pipeline's module, such as pipeline.ts, or --snapshot NAME.",
  );
}
