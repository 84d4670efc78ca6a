import { defineCommand } from "../command.ts";
import { argument, rest, seconds, text } from "../inputs.ts";
import { parameterInputs, parametersFor } from "../parameter-inputs.ts";
import { formatDuration } from "../time.ts";

export const invoke = defineCommand({
  name: "invoke",
  summary: "Call a deployment",
  description:
    "Parameters are typed by the pipeline's input schema: --city Lisbon, --days 3, --flags.x true, --tag a --tag b for a " +
    "list, --fast and --no-fast for a boolean. A parameter that is named like an option of this command is given by " +
    "--param, or after --. Prints the outputs as JSON; with --output json the whole answer.",
  inputs: {
    deployment: argument("<deployment>", "Name, id or unique beginning of the id."),
    parameters: rest("Parameters of the pipeline: --name value."),
    ...parameterInputs,
    runName: text("--run-name <name>", "Name of the run that is recorded."),
    timeoutSeconds: seconds(
      "--timeout <time>",
      "Deadline of the run: seconds, or 90s, 10m. Default: the deployment's.",
    ),
  },
  examples: [
    "invoke weather --city Lisbon --days 3",
    "invoke weather --param timeout=3 --param city=Lisbon",
    'invoke weather --parameters \'{"city": "Lisbon"}\'',
    "invoke weather --parameters @request.json --output json",
  ],
  run: async (context, { deployment, parameters: words, runName, timeoutSeconds, ...sources }) => {
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
    return { json: answer, text: () => JSON.stringify(answer.outputs, null, 2) };
  },
});
