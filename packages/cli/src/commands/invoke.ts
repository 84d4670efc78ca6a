import type { InvokeOptions } from "@millrace/control";
import { type CommandContext, defineCommand } from "../command.ts";
import { argument, flag, rest, seconds, text } from "../inputs.ts";
import { parameterInputs, parametersFor } from "../parameter-inputs.ts";
import { formatDuration } from "../time.ts";

export const invoke = defineCommand({
  name: "invoke",
  summary: "Call a deployment",
  description:
    "Parameters are typed by the pipeline's input schema: --city Lisbon, --days 3, --flags.x true, --tag a --tag b for a " +
    "list, --fast and --no-fast for a boolean. A parameter that is named like an option of this command is given by " +
    "--param, or after --. Prints the outputs as JSON; with --output json the whole answer. With --events, what the steps emit goes to standard " +
    "error; with --output json each event is a line of standard output, and the answer is the last one.",
  inputs: {
    deployment: argument("<deployment>", "Name, id or unique beginning of the id."),
    parameters: rest("Parameters of the pipeline: --name value."),
    ...parameterInputs,
    runName: text("--run-name <name>", "Name of the run that is recorded."),
    events: flag("--events", "Print what the steps emit, as it comes."),
    timeoutSeconds: seconds(
      "--timeout <time>",
      "Deadline of the run: seconds, or 90s, 10m. Default: the deployment's.",
    ),
  },
  examples: [
    "invoke weather --city Lisbon --days 3",
    "invoke weather --param timeout=3 --param city=Lisbon",
    "invoke writer --topic rivers --events",
    'invoke weather --parameters \'{"city": "Lisbon"}\'',
    "invoke weather --parameters @request.json --output json",
  ],
  run: async (
    context,
    { deployment, parameters: words, runName, timeoutSeconds, events, ...sources },
  ) => {
    const client = await context.client();
    const { manifest } = await client.deployments.get(deployment);
    // Without a manifest nothing serves: the call itself says so best.
    const parameters = await parametersFor(
      context,
      { words, ...sources },
      manifest?.pipeline.inputSchema ?? {},
    );
    const answer = await context.during(`Calling ${deployment}`, ({ signal }) =>
      client.invoke(deployment, parameters, {
        signal,
        ...(events ? listening(context) : {}),
        ...(runName === undefined ? {} : { runName }),
        ...(timeoutSeconds === undefined ? {} : { timeoutSeconds }),
      }),
    );
    context.tell(
      context.sideStyle(
        "dim",
        `Run ${answer.metadata.run_name} took ${formatDuration(answer.execution_time * 1000)}.`,
      ),
    );
    if (answer.metadata.recorded === false)
      context.tell(
        context.sideStyle(
          "yellow",
          "The run is not recorded: the service reaches no store and has no room for it. Its log says why.",
        ),
      );
    if (events && context.json) {
      emitLine(context, answer);
      return undefined;
    }
    return { json: answer, text: () => JSON.stringify(answer.outputs, null, 2) };
  },
});

function listening(context: CommandContext): Pick<InvokeOptions, "onEvent" | "onDropped"> {
  return {
    onEvent: (told) => {
      if (context.json) return emitLine(context, told);
      const name = context.sideStyle("dim", `${told.step} ${told.event}`);
      context.tell(`${name} ${JSON.stringify(told.data)}`);
    },
    onDropped: (events) => {
      if (context.json) return emitLine(context, { dropped: events });
      const text = `The service left out ${events} events: they were not read fast enough.`;
      context.tell(context.sideStyle("yellow", text));
    },
  };
}

function emitLine(context: CommandContext, value: object): void {
  context.emit(`${JSON.stringify(value)}\n`);
}
