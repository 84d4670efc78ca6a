#!/usr/bin/env node
// Every Node that knows ES modules can parse this file, and nothing is imported before the version is known.
const needed = [22, 18];
const [major, minor] = process.versions.node.split(".").map(Number);

if (major < needed[0] || (major === needed[0] && minor < needed[1])) {
  process.stderr.write(
    "error NODE_TOO_OLD: The conformance suite needs Node " +
      needed.join(".") +
      " or newer; this is Node " +
      process.versions.node +
      ".\nInstall a newer Node, or add one to the project: npm install --save-dev node@24\n",
  );
  process.exit(2);
}

const { main } = await import("../dist/cli.js");

// A check that was given up may still hold a connection open.
process.exit(await main(process.argv.slice(2)));
