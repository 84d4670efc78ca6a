#!/usr/bin/env node
// Every Node that knows ES modules can parse this file, and nothing is imported before the version is known.
const needed = [22, 18];
const [major, minor] = process.versions.node.split(".").map(Number);

if (major < needed[0] || (major === needed[0] && minor < needed[1])) {
  process.stderr.write(
    "error NODE_TOO_OLD: Millrace needs Node " +
      needed.join(".") +
      " or newer; this is Node " +
      process.versions.node +
      ".\n" +
      "Install a newer Node from https://nodejs.org, or add one to the project: npm install --save-dev node@24\n",
  );
  process.exit(2);
}

const { readFileSync } = process.getBuiltinModule("node:fs");
const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));

if (process.argv.length === 3 && (process.argv[2] === "--version" || process.argv[2] === "-V")) {
  process.stdout.write(`${version}\n`);
} else {
  // Keeps compiled code between calls: a quarter of the start-up time. In the user's own folder, since whoever can write
  // into the cache can run code.
  const { join } = process.getBuiltinModule("node:path");
  try {
    const caches =
      process.env.XDG_CACHE_HOME || join(process.getBuiltinModule("node:os").homedir(), ".cache");
    process.getBuiltinModule("node:module").enableCompileCache(join(caches, "millrace"));
  } catch {
    // A container's user may have no folder of its own, and then has no cache.
  }
  let isDone = false;
  // The configuration and plugins are loaded into this process: one that waits for ever, or that ends the process, must not
  // look like success. 13 is Node's code for a top-level await that nothing resolves.
  process.on("exit", (code) => {
    if (isDone || (code !== 0 && code !== 13)) return;
    process.exitCode = 2;
    process.stderr.write(
      "error NEVER_LOADED: The command ended before it was done: a module that it loads never finishes loading, or ends the process.\n" +
        "Look in millrace.config.ts and in the plugins that it names for an await that nothing resolves, and for process.exit.\n",
    );
  });
  import("@millrace/cli")
    .then(async ({ finish, main, processTerminal }) => {
      const terminal = processTerminal();
      const code = await main(process.argv.slice(2), { version, terminal });
      isDone = true;
      process.exit(await finish(terminal, code));
    })
    .catch((error) => {
      const shown = process.argv.includes("--debug") ? error.stack : error.message;
      process.stderr.write(
        `error INTERNAL: ${shown}\nReinstall millrace; where that does not help, please report this with the output of --debug.\n`,
      );
      process.exit(1);
    });
}
