import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type {
  CallOptions,
  DeploymentDetails,
  DeploymentPlan,
  DeployOptions,
  InvokeOptions,
  PruneOptions,
  RunOptions,
} from "@millrace/control";
import {
  type DeploymentRecord,
  ERROR_CLASSES,
  type ErrorClass,
  MillraceError,
  type OperationRecord,
  type RunRecord,
  Secret,
} from "@millrace/core";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  deploymentPlan,
  deploymentRecord,
  details,
  inputSchema,
  manifest,
  runCommand,
  SNAPSHOT_ID,
  snapshotRecord,
} from "./host.fixture.ts";

const operation: OperationRecord = {
  id: "operation",
  deploymentId: "d",
  kind: "provision",
  outcome: "succeeded",
  userName: "ada",
  snapshotId: SNAPSHOT_ID,
  revision: "r2",
  previousSnapshotId: null,
  overrides: {},
  error: null,
  startedAt: 1000,
  endedAt: 2500,
};

function fault(kind: ErrorClass, code = "SOME_CODE"): MillraceError {
  return new MillraceError({ class: kind, code, message: "It went wrong.", action: "Do that." });
}

describe("the command line", () => {
  test("help lists every command and every exit code", async () => {
    const { code, stdout } = await runCommand(["--help"]);
    expect(code).toBe(0);
    for (const word of [
      "init",
      "dev",
      "run",
      "deploy",
      "plan",
      "invoke",
      "snapshot",
      "deployment",
      "deployer",
      "stack",
      "secret",
      "config",
    ]) {
      expect(stdout).toMatch(new RegExp(`^  ${word} `, "m"));
    }
    for (const { exitCode, meaning } of Object.values(ERROR_CLASSES))
      expect(stdout).toContain(`${exitCode}  ${meaning}`);
    expect(stdout).toMatch(/\n +8 .*\n +10 {2}plan --detailed-exit-code: .*\n +130 /);
  });

  test.each([
    ["init"],
    ["dev"],
    ["run"],
    ["run", "list"],
    ["run", "show"],
    ["deploy"],
    ["plan"],
    ["invoke"],
    ...[
      "list",
      "describe",
      "invoke",
      "logs",
      "refresh",
      "provision",
      "deprovision",
      "delete",
      "history",
      "rollback",
      "wait",
    ].map((name) => ["deployment", name]),
    ...["create", "list", "show", "deploy", "delete"].map((name) => ["snapshot", name]),
    ...["flavors", "register", "list", "describe", "delete"].map((name) => ["deployer", name]),
    ...["register", "list", "describe", "set", "delete"].map((name) => ["stack", name]),
    ...["set", "list", "delete"].map((name) => ["secret", name]),
    ["config", "show"],
  ])("%s %s has help with an example", async (...words) => {
    const { code, stdout } = await runCommand([...words, "--help"]);
    expect(code).toBe(0);
    expect(stdout).toContain(`Usage: npx millrace ${words.join(" ")}`);
    expect(stdout).toMatch(/Examples:\n {2}\$ npx millrace /);
    expect(stdout).toContain("--output <format>");
  });

  test("a subcommand's help is without the options of the command that it belongs to", async () => {
    expect((await runCommand(["run", "list", "--help"])).stdout).not.toContain("--snapshot");
    const { stdout } = await runCommand(["run", "--help"]);
    expect(stdout).toContain("--snapshot");
    expect(stdout).toMatch(/^ {2}list /m);
  });

  test("the README has the same exit codes", async () => {
    const readme = await readFile(join(import.meta.dirname, "../README.md"), "utf8");
    for (const { exitCode, meaning } of Object.values(ERROR_CLASSES)) {
      expect(readme).toMatch(new RegExp(`^\\| ${exitCode} +\\| ${meaning} +\\|$`, "m"));
    }
  });

  test("`help deploy` is `deploy --help`", async () => {
    expect((await runCommand(["help", "deploy"])).stdout).toBe(
      (await runCommand(["deploy", "--help"])).stdout,
    );
  });

  test("--version prints the version", async () => {
    expect(await runCommand(["--version"])).toMatchObject({ code: 0, stdout: "1.2.3\n" });
  });

  test.each([
    [["deploiment", "list"], "COMMAND_UNKNOWN", "Did you mean deployment?"],
    [["deployment", "lst"], "COMMAND_UNKNOWN", "Did you mean list?"],
    [["deployment", "list", "--pipelin", "x"], "OPTION_UNKNOWN", "Did you mean --pipeline?"],
    [["deployment", "list", "--status", "RUNING"], "OPTION_INVALID", 'Did you mean "RUNNING"?'],
    [
      ["deployment", "describe"],
      "ARGUMENT_MISSING",
      "See npx millrace deployment describe --help.",
    ],
    [
      ["deployment", "describe", "a", "b"],
      "ARGUMENT_EXCESS",
      "See npx millrace deployment describe --help.",
    ],
    [
      ["deployer", "register", "mine", "local"],
      "ARGUMENT_EXCESS",
      "Write for example: npx millrace deployer register second --flavor local. See",
    ],
    [
      ["deployment", "logs", "a", "--tail", "-1"],
      "OPTION_INVALID",
      "Use a whole number from 0 on.",
    ],
    [
      ["deployment", "logs", "a", "--since", "yesterday"],
      "OPTION_INVALID",
      "Use a time ago such as 10m",
    ],
    [
      ["deployment", "wait", "a", "--timeout", "soon"],
      "OPTION_INVALID",
      "Use seconds, or a time such as 90s",
    ],
    [["deployment", "list", "--output", "yaml"], "OPTION_INVALID", "Use table or json."],
    [["deploy"], "SOURCE_MISSING", "Name either the pipeline's module"],
    [["deploy", "a.ts", "--snapshot", "b"], "SOURCE_MISSING", "Name either the pipeline's module"],
    [["deploy", "a.ts", "--set", "port"], "OPTION_INVALID", "Write --set key=value."],
    [
      ["deploy", "a.ts", "--serving", "maxQueu=1"],
      "SERVING_SETTINGS_INVALID",
      'did you mean "maxQueue"?',
    ],
    [
      ["deploy", "a.ts", "--serving", "authKey=0123456789abcdef"],
      "SECRET_IN_ARGUMENT",
      "Use --generate-auth-key",
    ],
    [["run", "lst"], "SOURCE_UNKNOWN", 'Did you mean "run list"?'],
    [["run", "list", "--snapshot", "x"], "OPTION_UNKNOWN", "See npx millrace run list --help."],
    [["run", "--snapshot", "x", "list"], "OPTION_UNKNOWN", "See npx millrace run list --help."],
    [["invoke", "--city", "Lisbon"], "ARGUMENT_MISSING", "See npx millrace invoke --help."],
    [["deployer", "register", "x"], "OPTION_MISSING", "Add -f, --flavor <name>."],
    [["deployment", "delete"], "TARGET_MISSING", "Name deployments, or use --all."],
  ])("%j ends with %s and says what to do", async (argv, code, advice) => {
    const finished = await runCommand(argv);
    expect(finished.code).toBe(2);
    expect(finished.stdout).toBe("");
    expect(finished.stderr).toContain(`error ${code}: `);
    expect(finished.stderr).toContain(advice);
  });

  test("a group without a subcommand prints its help and is a usage error", async () => {
    const { code, stderr } = await runCommand(["deployment"]);
    expect(code).toBe(2);
    expect(stderr).toContain("Usage: npx millrace deployment");
  });
});

describe("errors", () => {
  test.each(Object.entries(ERROR_CLASSES))(
    "class %s gives its exit code",
    async (kind, { exitCode }) => {
      const list = async () => {
        throw fault(kind as ErrorClass);
      };
      const finished = await runCommand(["deployment", "list"], {
        calls: { deployments: { list } },
      });
      expect(finished.code).toBe(exitCode);
      expect(finished.stderr).toBe("error SOME_CODE: It went wrong.\nDo that.\n");
    },
  );

  test("with --output json standard output carries the error as an object", async () => {
    const list = async () => {
      throw fault("unreachable");
    };
    const { stdout, stderr } = await runCommand(["deployment", "list", "-o", "json"], {
      calls: { deployments: { list } },
    });
    expect(JSON.parse(stdout)).toEqual({
      error: {
        class: "unreachable",
        code: "SOME_CODE",
        message: "It went wrong.",
        action: "Do that.",
        retryable: false,
      },
    });
    expect(stderr).toContain("error SOME_CODE");
  });

  test("issues are printed one per line", async () => {
    const list = async () => {
      throw new MillraceError({
        class: "usage",
        code: "X",
        message: "Two faults.",
        issues: [
          { path: ["a", 0], message: "is wrong" },
          { path: [], message: "is odd" },
        ],
      });
    };
    const { stderr } = await runCommand(["deployment", "list"], {
      calls: { deployments: { list } },
    });
    expect(stderr).toBe("error X: Two faults.\n  a[0]: is wrong\n  is odd\n");
  });

  test("--debug prints stack and causes", async () => {
    const list = async () => {
      throw new MillraceError({
        class: "platform",
        code: "X",
        message: "Outer.",
        cause: new Error("the inner cause"),
      });
    };
    const calls = { deployments: { list } };
    expect((await runCommand(["deployment", "list", "--debug"], { calls })).stderr).toContain(
      "the inner cause",
    );
    expect((await runCommand(["deployment", "list"], { calls })).stderr).not.toContain(
      "the inner cause",
    );
  });
});

describe("lists", () => {
  const page = {
    items: [{ ...deploymentRecord(), pipelineName: "weather", snapshotName: null }],
    cursor: "next",
  };

  test("one page is shown, and that there is more", async () => {
    const asked: unknown[] = [];
    const list = async (query: unknown) => {
      asked.push(query);
      return page;
    };
    const { stdout } = await runCommand(["deployment", "list", "--status", "running"], {
      calls: { deployments: { list } },
    });
    expect(asked).toEqual([{ status: "RUNNING", mine: false, limit: 50 }]);
    expect(stdout).toMatch(/^NAME +STATUS +PIPELINE +SNAPSHOT/);
    expect(stdout).toMatch(
      /^weather +RUNNING +weather +3f2a9c813f2a +default +ada +(?:just now|\d+ s ago) +http:\/\/127\.0\.0\.1:8000$/m,
    );
    expect(stdout).toContain("There is more: --cursor next, or --all-pages.");
  });

  test.each([
    [[], "No deployments. Make one: npx millrace deploy pipeline.ts\n"],
    [["--status", "ABSENT"], "No deployment is like that.\n"],
    [["--mine"], "No deployment is like that.\n"],
  ])("says that there is none: %j", async (words, text) => {
    const list = async () => ({ items: [], cursor: null });
    const { stdout } = await runCommand(["deployment", "list", ...words], {
      calls: { deployments: { list } },
    });
    expect(stdout).toBe(text);
  });

  test("JSON carries items and cursor", async () => {
    const { stdout } = await runCommand(["deployment", "list", "--output", "json"], {
      calls: { deployments: { list: async () => page } },
    });
    expect(JSON.parse(stdout)).toEqual(page);
  });

  test("--all-pages fetches every page", async () => {
    const list = async ({ cursor }: { cursor?: string } = {}) =>
      cursor === undefined ? page : { ...page, cursor: null };
    const { stdout } = await runCommand(["deployment", "list", "--all-pages", "-o", "json"], {
      calls: { deployments: { list } },
    });
    expect(JSON.parse(stdout)).toMatchObject({
      items: [{ name: "weather" }, { name: "weather" }],
      cursor: null,
    });
  });
});

describe("deploy", () => {
  function deployment(plan = deploymentPlan()) {
    const given: DeployOptions[] = [];
    const deploy = async (_source: unknown, options: DeployOptions = {}) => {
      given.push(options);
      options.onProgress?.({ at: 0, deployment: "weather", message: "Starting the worker" });
      if ((await options.confirm?.(plan)) === false) throw fault("aborted", "DEPLOY_DECLINED");
      return { deployment: deploymentRecord(), operation, plan };
    };
    return { given, calls: { deploy, deployments: { get: async () => details() } } };
  }

  test("hands settings, serving and environment over as typed values", async () => {
    const { given, calls } = deployment();
    const argv = [
      "deploy",
      "pipeline.ts",
      "--name",
      "w",
      "--yes",
      "--set",
      "port=8080",
      "--set",
      "range.first=9000",
      "--set",
      "label=8a",
    ];
    const { code } = await runCommand(
      [
        ...argv,
        "--serving",
        "tracking.mode=sync",
        "--generate-auth-key",
        "--env",
        "A=1=2",
        "--timeout",
        "90s",
        "--no-update",
        "--overtake",
      ],
      { calls },
    );
    expect(code).toBe(0);
    expect(given[0]).toMatchObject({
      name: "w",
      settings: { port: 8080, range: { first: 9000 }, label: "8a" },
      serving: { tracking: { mode: "sync" }, generateAuthKey: true },
      environment: { A: "1=2" },
      timeoutSeconds: 90,
      update: false,
      overtake: true,
    });
  });

  test("prints a card that says how to call it", async () => {
    const { stdout, stderr } = await runCommand(["deploy", "pipeline.ts", "--yes"], deployment());
    expect(stdout).toContain("weather  RUNNING");
    expect(stdout).toContain("http://127.0.0.1:8000/docs");
    expect(stdout).toContain("npx millrace invoke weather --city text --days 3");
    expect(stdout).toContain(
      `curl http://127.0.0.1:8000/invoke -H 'Content-Type: application/json' -d '{"parameters":{"city":"text","days":3}}'`,
    );
    expect(stdout).toContain("npx millrace deployment rollback weather");
    expect(stderr).toContain("~ port: 8000 → 8080");
    expect(stderr).toContain("Starting the worker");
  });

  test("asks before an existing deployment changes, and a no stops it", async () => {
    const yes = await runCommand(["deploy", "pipeline.ts"], { ...deployment(), answers: ["y"] });
    expect(yes.code).toBe(0);
    expect(yes.stderr).toContain("Update deployment weather? [y/N]");
    const no = await runCommand(["deploy", "pipeline.ts"], { ...deployment(), answers: [""] });
    expect(no.code).toBe(130);
    expect(no.stderr).toContain("error DEPLOY_DECLINED");
  });

  test("where nobody can answer, a change is refused and a creation is not", async () => {
    const change = await runCommand(["deploy", "pipeline.ts"], deployment());
    expect(change.code).toBe(2);
    expect(change.stderr).toContain("error CONFIRMATION_NEEDED");
    expect(change.stderr).toContain("--yes");
    expect(change.stderr).toContain("~ port: 8000 → 8080");
    const creation = await runCommand(
      ["deploy", "pipeline.ts"],
      deployment(deploymentPlan({ action: "create", exists: false })),
    );
    expect(creation.code).toBe(0);
  });

  test("another user's deployment is changed only after a question, which --yes does not answer", async () => {
    const given: DeployOptions[] = [];
    const deploy = async (_source: unknown, options: DeployOptions = {}) => {
      given.push(options);
      if (options.overtake !== true) throw fault("conflict", "NOT_OWNER");
      return { deployment: deploymentRecord(), operation, plan: deploymentPlan() };
    };
    const calls = { deploy, deployments: { get: async () => details() } };
    expect((await runCommand(["deploy", "p.ts", "-y"], { calls, answers: ["y"] })).code).toBe(4);
    expect((await runCommand(["deploy", "p.ts"], { calls, answers: ["n"] })).code).toBe(4);
    expect((await runCommand(["deploy", "p.ts"], { calls, answers: ["y"] })).code).toBe(0);
    expect(given.map(({ overtake }) => overtake)).toEqual([false, false, false, true]);
  });

  test("the key is masked in the card", async () => {
    const calls = {
      ...deployment().calls,
      deployments: { get: async () => details({ hasAuthKey: true }) },
    };
    const { stdout } = await runCommand(["deploy", "pipeline.ts", "-y"], { calls });
    expect(stdout).toContain("••••••••");
    expect(stdout).toContain("-H 'Authorization: Bearer <key>'");
  });

  test("with --output json only the settings that somebody chose are printed", async () => {
    const settings = [
      { name: "deployer.port", value: 8000, origin: "command line" },
      { name: "deployer.host", value: "127.0.0.1", origin: "default" },
    ] as const;
    const { calls } = deployment(deploymentPlan({ settings }));
    const { stdout } = await runCommand(["deploy", "p.ts", "-y", "-o", "json"], { calls });
    expect(JSON.parse(stdout).plan.settings).toEqual([settings[0]]);
  });

  test("--quiet prints no progress and no plan", async () => {
    const { stderr } = await runCommand(["deploy", "pipeline.ts", "-y", "-q"], deployment());
    expect(stderr).toBe("");
  });
});

describe("plan", () => {
  test("says of what exists and serves nothing that it comes back, and notes what one should know", async () => {
    const plan = async () =>
      deploymentPlan({
        action: "create",
        exists: true,
        notes: ["The secret A is taken from .env."],
      });
    const { stdout } = await runCommand(["plan", "pipeline.ts"], { calls: { plan } });
    expect(stdout).toContain(
      "Deployment weather serves nothing now and will be brought into service.",
    );
    expect(stdout).toContain("The secret A is taken from .env.");
  });

  test("prints what would change, one line per resource and field", async () => {
    const plan = async () =>
      deploymentPlan({
        interrupts: true,
        changes: [
          {
            action: "update",
            kind: "process",
            name: "millrace-weather",
            fields: [
              { field: "port", before: 8000, after: 8080 },
              { field: "revision", before: "a".repeat(64), after: "b".repeat(64) },
              { field: "label", after: "new" },
              { field: "secret API_TOKEN" },
            ],
          },
          { action: "create", kind: "folder", name: "data", fields: [] },
          { action: "no-op", kind: "volume", name: "same", fields: [] },
          { action: "delete", kind: "folder", name: "old", fields: [] },
        ],
      });
    const { code, stdout } = await runCommand(["plan", "pipeline.ts"], { calls: { plan } });
    expect(code).toBe(0);
    expect(stdout).toBe(
      [
        "Deployment weather will be updated in place.",
        "Snapshot 3f2a9c813f2a",
        "  ~ process millrace-weather",
        "    ~ port: 8000 → 8080",
        "    ~ revision: aaaaaaaaaaaa → bbbbbbbbbbbb",
        "    + label: new",
        "    ~ secret API_TOKEN",
        "  + folder data",
        "  - folder old",
        "Requests will fail, or the URL will change, while this is carried out.",
        "",
      ].join("\n"),
    );
  });

  test("says so when nothing would change", async () => {
    const plan = async () => deploymentPlan({ action: "no-op", changes: [] });
    const { stdout } = await runCommand(["plan", "pipeline.ts"], { calls: { plan } });
    expect(stdout).toContain("Deployment weather has no changes.");
  });

  test("says what is unfinished where the platform needs nothing more, as does deploy", async () => {
    const made = deploymentPlan({
      action: "no-op",
      changes: [],
      snapshot: { from: SNAPSHOT_ID, to: `sha256:${"b".repeat(64)}` },
      picksUp: { ...operation, outcome: "interrupted" },
    });
    const text = [
      "Deployment weather needs no change on its platform, and is yet to be seen serving.",
      "Snapshot 3f2a9c813f2a → bbbbbbbbbbbb",
      "Picks up the last provision (interrupted).",
      "",
    ].join("\n");
    const calls = { plan: async () => made };
    expect((await runCommand(["plan", "pipeline.ts"], { calls })).stdout).toBe(text);
    const deploy = async (_source: unknown, options?: DeployOptions) => {
      expect(await options?.confirm?.(made)).toBe(true);
      return { deployment: deploymentRecord(), operation, plan: made };
    };
    const get = async () => details();
    const deployed = await runCommand(["deploy", "pipeline.ts"], {
      calls: { deploy, deployments: { get } },
    });
    expect(deployed.stderr).toContain(text);
  });

  test("--detailed-exit-code tells whether a deploy has something to do", async () => {
    const code = async (changes: Partial<DeploymentPlan>) =>
      (
        await runCommand(["plan", "p.ts", "--detailed-exit-code"], {
          calls: { plan: async () => deploymentPlan(changes) },
        })
      ).code;
    expect(await code({ action: "update" })).toBe(10);
    expect(await code({ action: "no-op" })).toBe(0);
    expect(await code({ action: "no-op", picksUp: operation })).toBe(10);
    const snapshot = { from: null, to: SNAPSHOT_ID };
    expect(await code({ action: "no-op", snapshot })).toBe(10);
  });
});

describe("describe", () => {
  const describeOf = async (changes: Partial<DeploymentRecord>) => {
    const get = async () => details({ deployment: deploymentRecord(changes) });
    const argv = ["deployment", "describe", "weather"];
    return (await runCommand(argv, { calls: { deployments: { get } } })).stdout;
  };
  const managing = (text: string) =>
    [...text.matchAll(/npx millrace deployment (\w+) weather /g)].map(([, command]) => command);

  test.each([
    ["RUNNING", ["logs", "history", "rollback", "deprovision", "delete"]],
    ["ERROR", ["provision", "logs", "history", "delete"]],
    ["ABSENT", ["provision", "history", "delete"]],
    ["UNKNOWN", ["refresh", "logs", "history"]],
    ["PENDING", ["wait", "logs", "history"]],
  ] as const)("what is offered for one that is %s fits that", async (status, commands) => {
    expect(managing(await describeOf({ status }))).toEqual(commands);
  });

  test("what never served is not to be provisioned again", async () => {
    const text = await describeOf({ status: "ERROR", snapshotId: null });
    expect(managing(text)).toEqual(["logs", "history", "delete"]);
  });

  test("where no other snapshot has served, there is none to go back to", async () => {
    const get = async () => details({ previousSnapshotId: null });
    const argv = ["deployment", "describe", "weather"];
    const { stdout } = await runCommand(argv, { calls: { deployments: { get } } });
    expect(managing(stdout)).toEqual(["logs", "history", "deprovision", "delete"]);
  });

  test("an old observation says how old it is, and how to look again", async () => {
    const observedAt = Date.now() - 10 * 60_000 - 1000;
    expect(await describeOf({ observedAt })).toContain(
      "RUNNING (as of 10 min ago; look again with: npx millrace deployment refresh weather)",
    );
    expect(await describeOf({ observedAt, status: "ABSENT" })).toContain("(observed 10 min ago)");
    const list = async () => ({
      items: [{ ...deploymentRecord({ observedAt }), pipelineName: null, snapshotName: null }],
      cursor: null,
    });
    const { stdout } = await runCommand(["deployment", "list"], {
      calls: { deployments: { list } },
    });
    expect(stdout).toContain("npx millrace deployment refresh --all");
  });

  test("a snapshot's name is its own and not the pipeline's; a platform's lists are lines", async () => {
    const workers = [
      { replica: "worker-1", pid: 7 },
      { replica: "worker-2", pid: 8 },
    ];
    const text = await describeOf({ metadata: { workers, none: [] } });
    expect(text).toMatch(/Snapshot +3f2a9c813f2a\n +Pipeline +weather\n/);
    expect(text).toMatch(
      /workers +replica worker-1, pid 7\n +replica worker-2, pid 8\n +none +none/,
    );
  });

  test("shows the secrets that the pipeline declares, and what the deploy was given", async () => {
    const pipeline = { ...manifest.pipeline, secrets: ["API_TOKEN", "OTHER"] };
    const get = async () =>
      details({
        manifest: { ...manifest, pipeline },
        overrides: {
          settings: { port: 8080 },
          serving: { logLevel: "debug", tracking: { mode: "sync" } },
          environment: { FOO: "1" },
        },
        deployment: deploymentRecord({ metadata: { pid: 7 }, observedAt: Date.now() - 61_000 }),
      });
    const { stdout } = await runCommand(["deployment", "describe", "weather"], {
      calls: { deployments: { get } },
    });
    expect(stdout).toMatch(/^ {2}Secrets +API_TOKEN, OTHER$/m);
    expect(stdout).toContain(
      [
        "Settings",
        "  deployer.port     8080",
        "  serving.logLevel  debug",
        '  serving.tracking  {"mode":"sync"}',
        "",
        "Environment",
        "  FOO  1",
        "",
        "Platform (as of 1 min ago)",
        "  pid  7",
        "",
      ].join("\n"),
    );
  });

  test("shows the fields of what is in a list", async () => {
    const outputSchema = {
      type: "object",
      properties: {
        flights: {
          type: "array",
          items: {
            type: "object",
            properties: { legs: { type: "array", items: { $ref: "#/$defs/leg" } } },
          },
        },
      },
      $defs: { leg: { type: "object", properties: { seat: { type: "string" } } } },
    };
    const pipeline = { ...manifest.pipeline, outputSchema };
    const get = async () => details({ manifest: { ...manifest, pipeline } });
    const { stdout } = await runCommand(["deployment", "describe", "weather"], {
      calls: { deployments: { get } },
    });
    expect(stdout).toMatch(/^ {2}flights\[\]\.legs +object\[\] /m);
    expect(stdout).toMatch(/^ {2}flights\[\]\.legs\[\]\.seat +string /m);
  });

  test("offers to look again at what was interrupted", async () => {
    const get = async () =>
      details({
        deployment: deploymentRecord({ status: "PENDING" }),
        lastOperation: { ...operation, outcome: "interrupted", endedAt: null },
      });
    const { stdout } = await runCommand(["deployment", "describe", "weather"], {
      calls: { deployments: { get } },
    });
    expect(stdout).toMatch(/Last operation +provision interrupted \d+ d ago, by ada\n/);
    expect(managing(stdout)).toEqual(["refresh", "logs", "history"]);
  });

  test("history says what became of operations whose process is gone, and not how long they took", async () => {
    const items = [
      { ...operation, outcome: "interrupted", endedAt: null },
      { ...operation, outcome: "abandoned" },
      { ...operation, userName: "clock", endedAt: operation.startedAt - 86_396_048 },
      operation,
    ] as const;
    const history = async () => ({ items, cursor: null });
    const { stdout } = await runCommand(["deployment", "history", "weather"], {
      calls: { deployments: { history } },
    });
    expect(stdout).toMatch(
      /interrupted .* ada +its process is gone; the next command picks it up\n/,
    );
    expect(stdout).toMatch(
      /abandoned .* ada +its process was gone; the operation after it took over\n/,
    );
    expect(stdout).toMatch(/succeeded .* clock *\n/);
    expect(stdout).toMatch(/succeeded .* ada +1\.5 s *\n/);
  });

  test("masks the key unless it is asked for", async () => {
    const get = async (_name: string, options?: { showSecret?: boolean }) =>
      details({
        hasAuthKey: true,
        authKey: options?.showSecret === true ? new Secret("the-clear-key") : null,
      });
    const masked = await runCommand(["deployment", "describe", "weather"], {
      calls: { deployments: { get } },
    });
    expect(masked.stdout).toContain("••••••••");
    const shown = await runCommand(["deployment", "describe", "weather", "--show-secret"], {
      calls: { deployments: { get } },
    });
    expect(shown.stdout).toContain("Authorization: Bearer the-clear-key");
    const json = await runCommand(
      ["deployment", "describe", "weather", "--show-secret", "-o", "json"],
      { calls: { deployments: { get } } },
    );
    expect(JSON.parse(json.stdout)).toMatchObject({ authKey: "the-clear-key" });
  });

  test("shows state, freshness, schemas and how to call it", async () => {
    const found = details({
      deployment: deploymentRecord({
        observedAt: Date.now() - 61_000,
        statusReason: "It is fine.",
      }),
      lastOperation: operation,
    });
    const { stdout } = await runCommand(["deployment", "describe", "weather"], {
      calls: { deployments: { get: async () => found } },
    });
    expect(stdout).toMatch(/State +RUNNING \(observed 1 min ago\)/);
    expect(stdout).toMatch(/Reason +It is fine\./);
    expect(stdout).toMatch(/Last operation +provision succeeded .* in 1\.5 s, by ada/);
    expect(stdout).toMatch(/^ {2}city +string +Name of the city$/m);
    expect(stdout).toMatch(/^ {2}flags\.x +boolean +optional$/m);
  });
});

describe("invoke", () => {
  function deployed(metadata: { readonly recorded?: false } = {}) {
    const given: unknown[] = [];
    const invoke = async (_name: string, parameters: unknown) => {
      given.push(parameters);
      return {
        success: true as const,
        outputs: { advice: "Bring a jacket." },
        execution_time: 0.0012,
        metadata: {
          deployment_id: "d",
          deployment_name: "weather",
          snapshot_id: SNAPSHOT_ID,
          snapshot_name: null,
          pipeline_name: "weather",
          run_id: "r",
          run_name: "weather-1",
          parameters_used: {},
          ...metadata,
        },
        error: null,
      };
    };
    return { given, calls: { invoke, deployments: { get: async () => details() } } };
  }

  test("types the parameters by the schema and prints the outputs", async () => {
    const { given, calls } = deployed();
    const argv = [
      "invoke",
      "weather",
      "--city",
      "7",
      "--days",
      "2",
      "--fast",
      "--tags",
      "a",
      "--tags",
      "b",
      "--flags.x",
      "true",
      "--flags.level=1.5",
    ];
    const { code, stdout, stderr } = await runCommand(argv, { calls });
    expect(code).toBe(0);
    expect(given).toEqual([
      { city: "7", days: 2, fast: true, tags: ["a", "b"], flags: { x: true, level: 1.5 } },
    ]);
    expect(JSON.parse(stdout)).toEqual({ advice: "Bring a jacket." });
    expect(stderr).toContain("Run weather-1 took 1.2 ms.");
  });

  test("with --events tells what the steps emit beside the result", async () => {
    const { calls } = deployed();
    const invoke = async (name: string, parameters: unknown, options?: InvokeOptions) => {
      options?.onEvent?.({ step: "ask", event: "token", data: { text: "Hi" } });
      options?.onDropped?.(3);
      return calls.invoke(name, parameters);
    };
    const argv = ["invoke", "weather", "--city", "x"];
    const told = await runCommand([...argv, "--events"], { calls: { ...calls, invoke } });
    expect(told.stderr).toMatch(/^ask token \{"text":"Hi"\}$/m);
    expect(told.stderr).toContain("left out 3 events");
    expect(JSON.parse(told.stdout)).toEqual({ advice: "Bring a jacket." });
    const programs = [...argv, "--events", "-o", "json"];
    const lines = await runCommand(programs, { calls: { ...calls, invoke } });
    expect(
      lines.stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line)),
    ).toEqual([
      { step: "ask", event: "token", data: { text: "Hi" } },
      { dropped: 3 },
      expect.objectContaining({ success: true }),
    ]);
    expect((await runCommand(argv, { calls: { ...calls, invoke } })).stderr).not.toContain("token");
  });

  test("says when the run is not recorded", async () => {
    const argv = ["invoke", "weather", "--city", "x"];
    const lost = await runCommand(argv, deployed({ recorded: false }));
    expect(lost.stderr).toContain("The run is not recorded");
    expect((await runCommand(argv, deployed())).stderr).not.toContain("not recorded");
  });

  test("with --output json prints the whole answer", async () => {
    const { stdout } = await runCommand(
      ["deployment", "invoke", "weather", "--city", "x", "-o", "json"],
      deployed(),
    );
    expect(JSON.parse(stdout)).toMatchObject({
      success: true,
      metadata: { run_name: "weather-1" },
    });
  });

  test("takes parameters from JSON, a file, standard input and --param, in growing precedence", async () => {
    const folder = await mkdtemp(join(tmpdir(), "millrace-cli-"));
    try {
      await writeFile(join(folder, "request.json"), '{"city": "Lisbon", "days": 9}');
      const { given, calls } = deployed();
      const run = (argv: string[], stdin = "") =>
        runCommand(["invoke", "weather", ...argv], { calls, stdin, directory: folder });
      await run(["--parameters", "@request.json", "--param", "days=5"]);
      await run(["--parameters", "-", "--days", "4"], '{"city": "Porto"}');
      await run(["--parameters", '{"city": "Faro"}']);
      expect(given).toEqual([
        { city: "Lisbon", days: 5 },
        { city: "Porto", days: 4 },
        { city: "Faro" },
      ]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("says where --parameters stops being JSON", async () => {
    const argv = ["invoke", "weather", "--parameters"];
    const bad = await runCommand([...argv, "{bad"], deployed());
    expect(bad.stderr).toContain(
      'What --parameters says is no JSON: "b" is not expected at line 1, column 2.\n',
    );
    const list = await runCommand([...argv, "[1]"], deployed());
    expect(list.stderr).toContain("What --parameters says is no JSON object.\n");
  });

  test("a parameter named like an option goes after -- or by --param", async () => {
    const { given, calls } = deployed();
    const schema = { ...inputSchema, properties: { timeout: { type: "integer" } }, required: [] };
    const get = async () =>
      details({
        manifest: { ...manifest, pipeline: { ...manifest.pipeline, inputSchema: schema } },
      });
    const all = { calls: { ...calls, deployments: { get } } };
    await runCommand(["invoke", "weather", "--", "--timeout", "5"], all);
    await runCommand(["invoke", "weather", "--param", "timeout=6"], all);
    expect(given).toEqual([{ timeout: 5 }, { timeout: 6 }]);
  });

  test("every fault is named with its path", async () => {
    const { code, stderr } = await runCommand(
      ["invoke", "weather", "--days", "many", "--tag", "a"],
      deployed(),
    );
    expect(code).toBe(2);
    expect(stderr).toContain("error PARAMETERS_INVALID");
    expect(stderr).toContain('days: expected integer 1.., got "many"');
    expect(stderr).toContain('tag: unknown parameter; did you mean "tags"?');
    expect(stderr).not.toContain("?.");
    expect(stderr).toContain("city: is required (string)");
  });
});

describe("logs", () => {
  test("of what is ABSENT there is none, which is said beside the output", async () => {
    async function* nothing() {}
    const get = async () => details({ deployment: deploymentRecord({ status: "ABSENT" }) });
    const { code, stdout, stderr } = await runCommand(["deployment", "logs", "weather"], {
      calls: { deployments: { logs: nothing, get } },
    });
    expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
    expect(stderr).toMatch(/is ABSENT.*npx millrace deployment provision weather/);
  });

  async function* lines() {
    yield {
      time: null,
      replica: "w1",
      stream: "stdout" as const,
      text: '{"level":"info","time":0,"msg":"run completed","run":"r1"}',
    };
    yield { time: new Date(1000), replica: null, stream: "stderr" as const, text: "plain text" };
    const error = {
      type: "Error",
      message: "no",
      stack: "Error: no\n    at run (pipeline.ts:1:2)",
    };
    const text = JSON.stringify({
      level: "error",
      time: 2000,
      msg: "The run failed.",
      step: "a",
      error,
    });
    yield { time: null, replica: null, stream: "stderr" as const, text };
  }

  test("makes structured lines readable and leaves others as they are", async () => {
    const { stdout } = await runCommand(["deployment", "logs", "weather"], {
      calls: { deployments: { logs: lines } },
    });
    expect(stdout).toBe(
      [
        "1970-01-01T00:00:00.000Z w1 info  run completed run=r1",
        "1970-01-01T00:00:01.000Z plain text",
        "1970-01-01T00:00:02.000Z error The run failed. step=a",
        "  Error: no",
        "      at run (pipeline.ts:1:2)",
        "",
      ].join("\n"),
    );
  });

  test("with --output json prints one object per line", async () => {
    const { stdout } = await runCommand(["deployment", "logs", "weather", "-o", "json"], {
      calls: { deployments: { logs: lines } },
    });
    expect(
      stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line).text),
    ).toHaveLength(3);
  });

  test("Ctrl-C ends following without an error", async () => {
    let interrupt = () => {};
    async function* follow(_name: string, query: { signal?: AbortSignal } = {}) {
      yield { time: null, replica: null, stream: "stdout" as const, text: "first" };
      queueMicrotask(interrupt);
      await new Promise((_, reject) =>
        query.signal?.addEventListener("abort", () => reject(query.signal?.reason)),
      );
    }
    const finished = await runCommand(["deployment", "logs", "weather", "-f"], {
      calls: { deployments: { logs: follow } },
      onStart: (press) => {
        interrupt = press;
      },
    });
    expect(finished).toMatchObject({ code: 0, stdout: "first\n", exits: [] });
  });
});

describe("interruption", () => {
  test("the first Ctrl-C aborts the call, the second one leaves at once", async () => {
    let press = () => {};
    const wait = async (_name: string, { signal }: { signal?: AbortSignal } = {}) => {
      queueMicrotask(press);
      await new Promise((done) => signal?.addEventListener("abort", done));
      press();
      throw signal?.reason;
    };
    const finished = await runCommand(["deployment", "wait", "weather"], {
      calls: { deployments: { wait } },
      onStart: (interrupt) => {
        press = interrupt;
      },
    });
    expect(finished.code).toBe(130);
    expect(finished.exits).toEqual([130]);
    expect(finished.stderr).toContain("error INTERRUPTED");
  });
});

describe("several deployments", () => {
  const records = ["a", "b", "c"].map((name) => deploymentRecord({ id: `id-${name}`, name }));
  const get = async (name: string) => {
    const deployment = records.find((record) => record.name === name);
    if (deployment === undefined) throw fault("not_found", "DEPLOYMENT_NOT_FOUND");
    return details({ deployment });
  };
  const list = async ({ cursor }: { cursor?: string } = {}) => {
    const index = Number(cursor ?? 0);
    const items = records
      .slice(index, index + 1)
      .map((record) => ({ ...record, pipelineName: null, snapshotName: null }));
    return { items, cursor: index + 1 < records.length ? String(index + 1) : null };
  };

  test("each failure is told and the others are done", async () => {
    const done: string[] = [];
    const deprovision = async (id: string) => {
      if (id === "id-b") throw fault("platform");
      done.push(id);
      return deploymentRecord({ status: "ABSENT" });
    };
    const { code, stdout, stderr } = await runCommand(
      ["deployment", "deprovision", "--all", "--yes"],
      { calls: { deployments: { list, deprovision } } },
    );
    expect(done).toEqual(["id-a", "id-c"]);
    expect(code).toBe(ERROR_CLASSES.platform.exitCode);
    expect(stdout).toBe("a  ABSENT\nc  ABSENT\n");
    expect(stderr).toContain("failed b: error SOME_CODE: It went wrong.\nDo that.\n");
  });

  test("a name that is not there does not keep the others from being deleted", async () => {
    const remove = async () => ({ leftBehind: [] });
    const argv = ["deployment", "delete", "a", "nope", "-y", "-o", "json"];
    const { code, stdout } = await runCommand(argv, {
      calls: { deployments: { get, delete: remove } },
    });
    expect(code).toBe(3);
    expect(JSON.parse(stdout).items).toEqual([
      {
        deployment: "nope",
        ok: false,
        error: expect.objectContaining({ code: "DEPLOYMENT_NOT_FOUND" }),
      },
      { deployment: "a", ok: true, value: { leftBehind: [] } },
    ]);
  });

  test("progress says of which of several it is", async () => {
    const remove = async (_id: string, { onProgress }: CallOptions = {}) => {
      onProgress?.({ at: 0, deployment: null, message: "Removing it" });
      return { leftBehind: [] };
    };
    const calls = { deployments: { get, delete: remove } };
    const both = await runCommand(["deployment", "delete", "a", "b", "-y"], { calls });
    expect(both.stderr).toMatch(/ a: Removing it\n.* b: Removing it\n/);
    const one = await runCommand(["deployment", "delete", "a", "-y"], { calls });
    expect(one.stderr).toMatch(/ms {2}Removing it\n/);
  });

  test("the targets are shown and the answer no touches nothing", async () => {
    const { code, stderr } = await runCommand(["deployment", "delete", "a", "b"], {
      calls: { deployments: { get } },
      answers: ["n"],
    });
    expect(code).toBe(130);
    expect(stderr).toMatch(/^a +RUNNING +default +ada$/m);
    expect(stderr).toContain("Delete these 2 deployments? [y/N]");
    expect(stderr).toContain("error DECLINED");
  });

  const leftBehind = [
    {
      deploymentId: "id-a",
      kind: "process",
      name: "millrace-a",
      state: "present" as const,
      platformId: "42",
      updatedAt: 0,
    },
  ];

  test("a forced delete prints what it leaves behind", async () => {
    const calls = { deployments: { get, delete: async () => ({ leftBehind }) } };
    const { stdout } = await runCommand(["deployment", "delete", "a", "--force", "-y"], { calls });
    expect(stdout).toMatch(
      /a {2}deleted; left behind:\n {2}KIND .*\n {2}process +millrace-a +present +42/,
    );
  });

  test("an interruption tells what was done until then, and what was not", async () => {
    let press = () => {};
    const deleted: string[] = [];
    const run = (...words: string[]) =>
      runCommand(["deployment", "delete", "a", "b", "c", "--force", "-y", ...words], {
        calls: {
          deployments: {
            get,
            delete: async (id: string) => {
              deleted.push(id);
              if (id === "id-a") return { leftBehind };
              press();
              throw new DOMException("cut off", "AbortError");
            },
          },
        },
        onStart: (interrupt) => {
          press = interrupt;
        },
      });
    const people = await run();
    expect(deleted).toEqual(["id-a", "id-b"]);
    expect(people.code).toBe(130);
    expect(people.stdout).toMatch(/a {2}deleted; left behind:\n.*\n {2}process +millrace-a /);
    expect(people.stderr).toContain("failed b, c: error INTERRUPTED");
    const programs = await run("-o", "json");
    expect(programs.code).toBe(130);
    expect(JSON.parse(programs.stdout).items).toEqual([
      { deployment: "a", ok: true, value: { leftBehind } },
      ...["b", "c"].map((deployment) => ({
        deployment,
        ok: false,
        error: expect.objectContaining({ code: "INTERRUPTED" }),
      })),
    ]);
  });

  test("an interrupted refresh does not go on to the orphans", async () => {
    let press = () => {};
    const refresh = async () => {
      press();
      return deploymentRecord();
    };
    const { code, stdout } = await runCommand(["deployment", "refresh", "a"], {
      calls: { deployments: { get, refresh } },
      onStart: (interrupt) => {
        press = interrupt;
      },
    });
    expect(code).toBe(130);
    expect(stdout).toBe("a  RUNNING\n");
  });
});

const failedRun: RunRecord = {
  id: "r1",
  name: "weather-1",
  projectId: "p",
  pipelineName: "weather",
  snapshotId: SNAPSHOT_ID,
  deploymentId: null,
  status: "failed",
  startedAt: 0,
  durationMs: 12,
  inputs: {},
  outputs: null,
  steps: [],
  error: { class: "pipeline", code: "STEP_FAILED", message: "fetch failed.", retryable: false },
};

describe("run list", () => {
  test("names the deployment of each run; of one that was deleted only the id is left", async () => {
    const { inputs: _inputs, outputs: _outputs, steps: _steps, ...batch } = failedRun;
    const items = [
      { ...batch, deploymentId: "id-of-it", deploymentName: "trip" },
      { ...batch, deploymentId: "id-of-one", deploymentName: null },
      { ...batch, deploymentName: null },
    ];
    const list = async () => ({ items, cursor: null });
    const { stdout } = await runCommand(["run", "list"], { calls: { runs: { list } } });
    const [head, ...rows] = stdout.split("\n");
    expect(head).toMatch(/PIPELINE {2}DEPLOYMENT {2}STATUS/);
    expect(rows[0]).toMatch(/weather {3}trip +failed/);
    expect(rows[1]).toMatch(/weather {3}id-of-one +failed/);
    expect(rows[2]).toMatch(/weather {13,}failed/);
  });
});

describe("run delete", () => {
  function recorded() {
    const deleted: unknown[] = [];
    const runs = {
      get: async (name: string) => ({ ...failedRun, id: name === "weather-1" ? "r1" : name, name }),
      delete: async (ids: readonly string[]) => void deleted.push(ids),
    };
    return { deleted, calls: { runs } };
  }

  test("shows the runs, and deletes each once after a yes", async () => {
    const { deleted, calls } = recorded();
    const argv = ["run", "delete", "weather-1", "r2", "r1"];
    const refused = await runCommand(argv, { calls, answers: ["n"] });
    expect(refused.stderr).toMatch(/r1 +r1 +weather +failed/);
    expect(refused.stderr).toContain("Delete these 2 runs?");
    expect([refused.code, deleted]).toEqual([130, []]);
    const done = await runCommand([...argv, "-y", "-o", "json"], { calls });
    expect(JSON.parse(done.stdout)).toEqual({ deleted: ["r1", "r2"] });
    expect(deleted).toEqual([["r1", "r2"]]);
  });

  test("names at least one", async () => {
    const { code, stderr } = await runCommand(["run", "delete"]);
    expect([code, stderr]).toEqual([2, expect.stringContaining("ARGUMENT_MISSING")]);
  });
});

describe("run prune", () => {
  function recorded() {
    const given: PruneOptions[] = [];
    const prune = async (options: PruneOptions) => {
      given.push(options);
      if ((await options.confirm?.(7)) === false) throw fault("aborted", "PRUNE_DECLINED");
      return { deleted: 7, running: 1 };
    };
    return { given, calls: { runs: { prune } } };
  }
  const argv = ["run", "prune", "--older-than", "2026-03-01", "-d", "trip", "--snapshot", "v1"];

  test("asks with how many runs it would delete, and says how many were left", async () => {
    const { given, calls } = recorded();
    const done = await runCommand(argv, { calls, answers: ["y"] });
    expect(done.stderr).toContain(
      "Runs of deployment trip of snapshot v1 that began before 2026-03-01T00:00:00.000Z",
    );
    expect(done.stderr).toContain("Delete 7 runs?");
    expect(done.stdout).toBe("7 runs deleted. 1 run recorded as running left.\n");
    const before = Date.UTC(2026, 2, 1);
    expect(given).toMatchObject([{ before, deployment: "trip", snapshot: "v1" }]);
    expect((await runCommand(argv, { calls, answers: ["n"] })).code).toBe(130);
    expect((await runCommand(argv, { calls })).stderr).toContain("CONFIRMATION_NEEDED");
    const json = await runCommand([...argv, "-y", "-o", "json"], { calls });
    expect(JSON.parse(json.stdout)).toEqual({ deleted: 7, running: 1 });
  });

  test("must be told how old", async () => {
    const { code, stderr } = await runCommand(["run", "prune"]);
    expect([code, stderr]).toEqual([2, expect.stringContaining("OPTION_MISSING")]);
  });
});

describe("run show", () => {
  const show = async (get: () => Promise<DeploymentDetails>) => {
    const calls = {
      runs: { get: async () => ({ ...failedRun, deploymentId: "id-of-it" }) },
      deployments: { get },
    };
    return (await runCommand(["run", "show", "r1"], { calls })).stdout;
  };

  test("names the deployment; of one that was deleted only the id is left", async () => {
    expect(await show(async () => details())).toMatch(/Deployment +weather\n/);
    const gone = async () => {
      throw fault("not_found", "DEPLOYMENT_NOT_FOUND");
    };
    expect(await show(gone)).toMatch(/Deployment +id-of-it\n/);
  });
});

describe("run", () => {
  test("types parameters by the snapshot that it makes, and the pipeline's failure is the exit code", async () => {
    const given: unknown[] = [];
    const calls = {
      snapshots: {
        create: async () => ({ ...snapshotRecord, nameBefore: null }),
        get: async () => ({ snapshot: snapshotRecord, manifest }),
      },
      run: async (source: unknown, parameters: unknown) => {
        given.push(source, parameters);
        return failedRun;
      },
    };
    const { code, stdout } = await runCommand(
      ["run", "./pipeline.ts", "--city", "Lisbon", "--days", "2"],
      { calls },
    );
    expect(given).toEqual([{ snapshot: SNAPSHOT_ID }, { city: "Lisbon", days: 2 }]);
    expect(code).toBe(ERROR_CLASSES.pipeline.exitCode);
    expect(stdout).toContain("STEP_FAILED: fetch failed.");
  });

  test("says that a run is lost to the records", async () => {
    const calls = {
      snapshots: {
        create: async () => ({ ...snapshotRecord, nameBefore: null }),
        get: async () => ({ snapshot: snapshotRecord, manifest }),
      },
      run: async (_source: unknown, _parameters: unknown, options?: RunOptions) => {
        options?.onNotRecorded?.();
        return failedRun;
      },
    };
    const { stderr } = await runCommand(["run", "./pipeline.ts", "--city", "Lisbon"], { calls });
    expect(stderr).toContain("The run is not recorded");
  });
});

describe("secret set", () => {
  test("takes the value from standard input without the last line break", async () => {
    const kept: string[] = [];
    const set = async (name: string, value: Secret) => {
      kept.push(name, value.reveal());
    };
    const list = async () => [{ name: "TOKEN", hiddenBy: "/p/.env" }];
    const calls = { secrets: { set, list } };
    const { stderr } = await runCommand(["secret", "set", "TOKEN"], { calls, stdin: "s3cret\n" });
    expect(stderr).toBe("TOKEN is in /p/.env too, and that value goes before this one.\n");
    await runCommand(["secret", "set", "TOKEN"], { calls, answers: ["typed"] });
    expect(kept).toEqual(["TOKEN", "s3cret", "TOKEN", "typed"]);
  });

  test("refuses an empty value and never takes one as an argument", async () => {
    expect((await runCommand(["secret", "set", "TOKEN"])).stderr).toContain("error SECRET_EMPTY");
    const { stderr } = await runCommand(["secret", "set", "TOKEN", "the-value"]);
    expect(stderr).toContain("error SECRET_IN_ARGUMENT");
    expect(stderr).not.toContain("the-value");
  });
});

describe("secret delete", () => {
  const list = async () => [{ name: "TOKEN", hiddenBy: null }];

  test("asks about a secret that there is", async () => {
    const calls = { secrets: { list, delete: async () => {} } };
    const { stderr } = await runCommand(["secret", "delete", "TOKEN"], { calls, answers: ["n"] });
    expect(stderr).toMatch(/Delete the secret TOKEN\?.*error DECLINED/s);
  });

  test("says without a question that there is none", async () => {
    const remove = async () => {
      throw fault("not_found", "SECRET_NOT_FOUND");
    };
    const { code, stderr } = await runCommand(["secret", "delete", "nope"], {
      calls: { secrets: { list, delete: remove } },
    });
    expect(code).toBe(3);
    expect(stderr).toMatch(/^error SECRET_NOT_FOUND/);
  });
});

test.each([
  ["v1", "\nIt was called v1 before.\n"],
  [null, `${SNAPSHOT_ID}\n\nUse it`],
])("snapshot create says which name the same content had: %s", async (nameBefore, text) => {
  const create = async () => ({ ...snapshotRecord, name: "v2", nameBefore });
  const argv = ["snapshot", "create", "p.ts", "--name", "v2"];
  const { stdout } = await runCommand(argv, { calls: { snapshots: { create } } });
  expect(stdout).toContain(text);
});

describe("stack delete", () => {
  const stack = { name: "second", deployer: "here", managedBy: "store" } as const;
  const built = { ...stack, name: "default", managedBy: "built in" } as const;

  test.each([
    [true, [{ ...built, active: true }], "second  deleted; the active stack is default now\n"],
    [true, [{ ...built, active: false }], "second  deleted; no stack is active now\n"],
    [false, [{ ...built, active: true }], "second  deleted\n"],
  ])("says which stack takes its place where it was active: %s", async (active, left, text) => {
    const stacks = {
      get: async () => ({ ...stack, active }),
      delete: async () => {},
      list: async () => left,
    };
    const argv = ["stack", "delete", "second", "--yes"];
    expect((await runCommand(argv, { calls: { stacks } })).stdout).toBe(text);
  });
});

test("config show names what does not exist", async () => {
  const calls = {
    config: {
      show: async () => [{ name: "stack", value: "prod", origin: "stack set" }],
      problems: async () => ['The active stack is "prod", which does not exist.'],
    },
  };
  const { stdout } = await runCommand(["config", "show"], { calls });
  expect(stdout).toMatch(/^stack +prod +stack set$/m);
  expect(stdout).toContain('Problems\n  The active stack is "prod", which does not exist.');
  const json = await runCommand(["config", "show", "-o", "json"], { calls });
  expect(JSON.parse(json.stdout).problems).toHaveLength(1);
});

describe("init", () => {
  let folder = "";
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "millrace-init-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  test("writes a first project and leaves what exists", async () => {
    await writeFile(join(folder, "package.json"), "{}");
    const { code, stdout } = await runCommand(["init"], { directory: folder });
    expect(code).toBe(0);
    expect(await readFile(join(folder, "package.json"), "utf8")).toBe("{}");
    expect(await readFile(join(folder, "pipeline.ts"), "utf8")).toContain("definePipeline");
    expect(stdout).toContain("kept   package.json (it exists)");
    expect(stdout).toContain("npm pkg set type=module\n");
    expect(stdout).toContain("npm install millrace zod");
    expect(stdout).toContain("npm install --save-dev typescript @types/node");
  });

  test.each([
    [{ type: "module", dependencies: { millrace: "1", zod: "4" } }, []],
    [{ dependencies: { zod: "4" } }, ["npm pkg set type=module", "npm install millrace"]],
  ])("says only what a package.json lacks: %j", async (existing, lacking) => {
    const devDependencies = { typescript: "7", "@types/node": "24" };
    await writeFile(join(folder, "package.json"), JSON.stringify({ ...existing, devDependencies }));
    const { stdout } = await runCommand(["init"], { directory: folder });
    expect(stdout.match(/npm .*/g) ?? []).toEqual(lacking);
  });

  test("says so when the folder is a file", async () => {
    await writeFile(join(folder, "taken"), "");
    const { code, stderr } = await runCommand(["init", "taken"], { directory: folder });
    expect(code).toBe(2);
    expect(stderr).toContain("error FOLDER_UNUSABLE");
  });
});

describe("run import", () => {
  const done = { lines: 9, runs: 3, recorded: 1, skipped: 5, badLines: 0, bad: [] };

  test("reads a file of the working directory, and says what it took", async () => {
    const sources: unknown[] = [];
    const { code, stdout } = await runCommand(["run", "import", "service.log", "--adopt"], {
      directory: "/work/logs",
      calls: {
        runs: {
          import: async (source, options) => {
            sources.push(source, options?.adopt);
            return done;
          },
        },
      },
    });
    expect(code).toBe(0);
    expect(sources).toEqual(["/work/logs/service.log", true]);
    expect(stdout).toBe("1 run recorded, 2 runs recorded before, 5 other lines skipped.\n");
  });

  test("reads standard input, names bad lines and fails for them", async () => {
    const bad = [{ line: 4, reason: "it is no whole JSON: it may have been cut" }];
    const read: string[] = [];
    const setting = {
      stdin: "one\ntwo\n",
      calls: {
        runs: {
          import: async (source: string | AsyncIterable<Uint8Array>) => {
            if (typeof source === "string") throw new Error("no stream");
            for await (const chunk of source) read.push(Buffer.from(chunk).toString());
            return { ...done, badLines: 102, bad };
          },
        },
      },
    };
    const { code, stdout } = await runCommand(["run", "import", "-"], setting);
    expect(code).toBe(ERROR_CLASSES.usage.exitCode);
    expect(read).toEqual(["one\ntwo\n"]);
    expect(stdout).toContain("Line 4 was not taken: it is no whole JSON: it may have been cut\n");
    expect(stdout).toContain("… and 101 more lines.");
    const json = await runCommand(["run", "import", "-", "--output", "json"], setting);
    expect(JSON.parse(json.stdout)).toMatchObject({ recorded: 1, bad });
  });
});
