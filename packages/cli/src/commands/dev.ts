import type { DevEvent } from "@millrace/control";
import { summarizeError } from "@millrace/core";
import { defineCommand } from "../command.ts";
import { servingSettings } from "../deploying.ts";
import { curlCommand } from "../deployment-text.ts";
import { formatError } from "../error-text.ts";
import { argument, assignments, number, variables } from "../inputs.ts";
import { formatLogLine } from "../log-text.ts";
import { shortId } from "../plan-text.ts";
import { exampleParameters } from "../schema.ts";
import type { Style } from "../style.ts";

export const dev = defineCommand({
  name: "dev",
  summary: "Serve a pipeline in the foreground and reload it when its source changes",
  description:
    "The new version takes over once it was built and is ready; one that cannot be built or started is told, and the " +
    "one before goes on. Ctrl-C answers the requests in flight and ends. With --output json each event and each log line " +
    "is one JSON object per line.",
  inputs: {
    source: argument(
      "<source>",
      "Module of the pipeline: pipeline.ts, or pipeline.ts#name for a named export.",
    ),
    port: number(
      "-p, --port <port>",
      "Port to serve on. Default 8000, and the next free one after it.",
      {
        integer: true,
        min: 1,
        max: 65_535,
      },
    ),
    serving: assignments(
      "--serving <key=value>",
      "Setting of how it serves, such as logLevel=debug; repeatable.",
    ),
    environment: variables(
      "--env <name=value>",
      "Environment variable of the service; repeatable.",
    ),
  },
  examples: ["dev pipeline.ts", "dev pipeline.ts --port 8080 --serving logLevel=debug"],
  run: async (context, { source, port, serving, environment }) => {
    const client = await context.client();
    const { style } = context;
    const write = (json: object, text: string) => {
      if (context.json) context.emit(`${JSON.stringify(json)}\n`);
      else if (text !== "") context.emit(`${text}\n`);
    };
    await client.dev(source, {
      signal: AbortSignal.any([context.signal, context.terminal.stdout.closed]),
      ...(port === undefined ? {} : { port }),
      ...(serving === undefined ? {} : { serving: servingSettings(serving) }),
      ...(environment === undefined ? {} : { environment }),
      onEvent: (event) =>
        write(
          event.type === "failed" ? { ...event, error: summarizeError(event.error) } : event,
          formatEvent(event, style),
        ),
      onLog: (line) => write({ type: "log", ...line }, formatLogLine(line, style)),
    });
    return undefined;
  },
});

function formatEvent(event: DevEvent, style: Style): string {
  switch (event.type) {
    case "building":
      return style("dim", event.file === null ? "Building …" : `${event.file} changed, building …`);
    case "serving":
      return [
        `${style("green", "Serving")} ${style("bold", event.snapshot.pipelineName)} ${shortId(event.snapshot.id)} on ${style("bold", event.url)}`,
        style(
          "dim",
          curlCommand(event.url, exampleParameters(event.manifest.pipeline.inputSchema), undefined),
        ),
      ].join("\n");
    case "unchanged":
      return style("dim", "Nothing that is served has changed.");
    case "failed": {
      const error = formatError(event.error, { style, debug: false }).trimEnd();
      return `${error}\n${style("dim", event.serving ? "The version before goes on serving." : "Nothing serves until this is mended.")}`;
    }
    case "stopping":
      return style("dim", "Answering what is in flight …");
  }
}
