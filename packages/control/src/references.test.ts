import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openStore } from "@millrace/store";
import { expect, it, onTestFinished } from "vitest";
import { capturingFlavor } from "./capturing-flavor.fixture.ts";
import { connect } from "./connect.ts";

/** The problems of a configuration with one deployment, made with the stack, deployer and flavor "cloud". */
async function problemsOf(config: object): Promise<readonly string[]> {
  const root = await mkdtemp(join(tmpdir(), "millrace-references-"));
  onTestFinished(() => rm(root, { recursive: true }));
  await writeFile(join(root, "millrace.config.json"), JSON.stringify(config));
  const flavors = ["local", "cloud", "other"].map((name) => capturingFlavor(name).flavor);
  const client = await connect({ directory: root, home: join(root, "home"), user: "ann", flavors });
  onTestFinished(() => client.close());
  const store = await openStore({ url: join(root, "home", "millrace.db") });
  onTestFinished(() => store.close());
  const { id: projectId } = await store.projects.ensure("default");
  const { id: userId } = await store.users.ensure("ann");
  const names = { stack: "cloud", deployer: "cloud", flavor: "cloud" };
  await store.deployments.create({
    projectId,
    userId,
    name: "weather",
    ...names,
    deployerSettings: {},
  });
  return client.config.problems();
}

const whole = {
  deployers: { cloud: { flavor: "cloud" } },
  stacks: { cloud: { deployer: "cloud" } },
};

it("says nothing where everything that is named exists", async () => {
  expect(await problemsOf(whole)).toEqual([]);
});

it.each([
  ["the active stack", { ...whole, stack: "gone" }, 'active stack is "gone"'],
  [
    "a stack's deployer",
    { ...whole, stacks: { ...whole.stacks, odd: { deployer: "gone" } } },
    'stack "odd" names the deployer "gone"',
  ],
  [
    "a deployer's flavor",
    { ...whole, deployers: { ...whole.deployers, odd: { flavor: "clud" } } },
    'deployer "odd" cannot be used: No plugin provides the flavor "clud". Did you mean "cloud"?',
  ],
  [
    "a deployment's stack",
    { ...whole, stacks: {} },
    'Deployment "weather" was made with the stack "cloud", which does not exist any more.',
  ],
  [
    "a deployment's deployer",
    { stacks: { cloud: { deployer: "default" } } },
    'Deployment "weather" was made with the deployer "cloud", which does not exist any more.',
  ],
  [
    "both of a deployment",
    {},
    'made with the stack "cloud" and the deployer "cloud", which do not exist any more. It is managed',
  ],
  [
    "the flavor of a deployment's deployer",
    { ...whole, deployers: { cloud: { flavor: "other" } } },
    'deployer "cloud" of flavor "cloud", which is of flavor "other" now.',
  ],
  [
    "settings of a deployer",
    {
      ...whole,
      deployers: {
        ...whole.deployers,
        odd: { flavor: "other", settings: { cpu: "abc", worker: 2 } },
      },
    },
    'deployer "odd" cannot be used: The settings for flavor "other" have faults: cpu: ',
  ],
])("names what does not exist or is wrong: %s", async (_what, config, words) => {
  expect(await problemsOf(config)).toEqual([expect.stringContaining(words)]);
});
