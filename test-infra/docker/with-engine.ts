/**
 * Runs a command with a Docker engine: `node with-engine.ts COMMAND ARGS`. The engine that is there, else one of our own that
 * ends with the command. The command finds it by DOCKER_HOST, and a base image by MILLRACE_TEST_BASE. With `--check` alone it
 * says whether there can be one, and a registry.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { messageOf } from "@millrace/core";
import { BASE_IMAGE, DEFAULT_BASE, hasImage, importBaseImage } from "./base-image.ts";
import { findEngine, provideDockerd, provideEngine, provideRegistry } from "./engine.ts";

const [command, ...args] = process.argv.slice(2);

/** Why there can be no engine; also when what says where it is cannot be read. */
async function engineMissing(): Promise<string | undefined> {
  try {
    return (await findEngine()) === undefined ? provideDockerd() : undefined;
  } catch (error) {
    return messageOf(error);
  }
}

async function check(): Promise<number> {
  const missing = (await engineMissing()) ?? provideRegistry();
  if (missing === undefined) return 0;
  console.log(missing);
  return 1;
}

async function run(program: string): Promise<number> {
  const engine = await provideEngine();
  if ("missing" in engine) {
    console.error(`There is no Docker engine: ${engine.missing}.`);
    return 1;
  }
  const { socket } = engine;
  try {
    // A real node:24-slim of the user stays what it is.
    const wanted = engine.isPrivate ? [BASE_IMAGE, DEFAULT_BASE] : [BASE_IMAGE];
    const missing = [];
    for (const name of wanted) if (!(await hasImage(socket, name))) missing.push(name);
    if (missing.length > 0) await importBaseImage(socket, missing);
    const child = spawn(program, args, {
      stdio: "inherit",
      env: { ...process.env, DOCKER_HOST: `unix://${socket}`, MILLRACE_TEST_BASE: BASE_IMAGE },
    });
    for (const signal of ["SIGINT", "SIGTERM"] as const)
      process.on(signal, () => child.kill(signal));
    const [code] = await once(child, "exit");
    return code ?? 1;
  } finally {
    await engine.stop();
  }
}

process.exitCode =
  command === undefined || command === "--check" ? await check() : await run(command);
