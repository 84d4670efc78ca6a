/**
 * The main job from end to end, as a user would type it: deploy the example pipeline, wait until it is healthy, call
 * it by command and by HTTP, look at the recorded runs. Run again, it updates in place. `--stack docker` does it in containers.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { connect } from "millrace";

const root = fileURLToPath(new URL("../../", import.meta.url));
const command = fileURLToPath(new URL("../../node_modules/.bin/millrace", import.meta.url));
const bold = (text: string): string => (process.stdout.isTTY ? `\u001b[1m${text}\u001b[0m` : text);

/** Runs one millrace command with its output on this terminal; a failure ends the demo with its exit code. */
function millrace(...args: readonly string[]): void {
  console.log(`\n${bold(`$ npx millrace ${args.join(" ")}`)}`);
  const { status } = spawnSync(command, args, {
    cwd: root,
    stdio: "inherit",
  });
  if (status !== 0) process.exit(status ?? 1);
}

/** A deployment stays with its stack, and a snapshot has one deployment: an earlier demo on another stack goes first. */
async function makeWay(name: string, stack: string): Promise<void> {
  const client = await connect({ directory: root });
  try {
    const { items } = await client.deployments.list();
    if (!items.some((one) => one.name === name && one.stack !== stack)) return;
  } finally {
    await client.close();
  }
  millrace("deployment", "delete", name, "--yes");
}

/** A container cannot write to the SQLite file of this machine: it records its runs in its log. */
function importRuns(deployment: string): void {
  console.log(
    `\n${bold(`$ npx millrace deployment logs ${deployment} --output json | npx millrace run import -`)}`,
  );
  const logs = spawnSync(command, ["deployment", "logs", deployment, "--output", "json"], {
    cwd: root,
    stdio: ["ignore", "pipe", "inherit"],
    maxBuffer: 100_000_000,
  });
  const { status } = spawnSync(command, ["run", "import", "-"], {
    cwd: root,
    input: logs.stdout,
    stdio: ["pipe", "inherit", "inherit"],
  });
  if (status !== 0) process.exit(status ?? 1);
}

async function invokeByHttp(deployment: string, body: object): Promise<void> {
  const client = await connect({ directory: root });
  try {
    const { deployment: record } = await client.deployments.get(deployment);
    const text = JSON.stringify(body);
    console.log(
      `\n${bold(`$ curl -X POST ${record.url}/invoke -H 'content-type: application/json' -d '${text}'`)}`,
    );
    const response = await fetch(`${record.url}/invoke`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: text,
    });
    console.log(JSON.stringify(await response.json(), null, 2));
    if (!response.ok) process.exit(1);
  } finally {
    await client.close();
  }
}

const { values } = parseArgs({
  options: { name: { type: "string", default: "weather" }, stack: { type: "string" } },
});
const stack = values.stack === undefined ? [] : ["--stack", values.stack];
const inContainers = values.stack === "docker";

if (inContainers) {
  const { engineForDemo } = await import("../../test-infra/docker/demo-engine.ts");
  await engineForDemo((message) => console.log(message)).catch(({ message }: Error) => {
    console.error(message);
    process.exit(1);
  });
}

if (values.stack !== undefined) await makeWay(values.name, values.stack);
millrace("deploy", "apps/weather/pipeline.ts", "--name", values.name, ...stack, "--yes");
millrace("deployment", "invoke", values.name, "--city", "Lisbon", "--month", "11");
await invokeByHttp(values.name, { parameters: { city: "Sydney" } });
if (inContainers) importRuns(values.name);
millrace("run", "list", "--limit", "5");

console.log(`
${bold("Look further")}
  npx millrace deployment describe ${values.name}     state, URL, schemas, how to call it
  npx millrace deployment logs ${values.name}         what the service writes
  npx millrace deployment history ${values.name}      every operation with its outcome
  npx millrace plan apps/weather/pipeline.ts --name ${values.name}
  npx millrace dev apps/weather/pipeline.ts          serve in the foreground, reload on change
  npx millrace deployment delete ${values.name} --yes

Edit apps/weather/pipeline.ts and run the demo again: the service is updated in place and loses no request.
`);
