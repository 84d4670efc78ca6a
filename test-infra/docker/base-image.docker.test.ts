import { createHash } from "node:crypto";
import { buffer } from "node:stream/consumers";
import Docker from "dockerode";
import { afterEach, expect, it } from "vitest";
import { BASE_IMAGE, importBaseImage, makeBaseImage } from "./base-image.ts";
import { findEngine } from "./engine.ts";

const socket = (await findEngine()) ?? "none";
const docker = new Docker({ socketPath: socket });
const made: { remove(options: object): Promise<unknown> }[] = [];

afterEach(async () => {
  for (const thing of made.splice(0).reverse()) await thing.remove({ force: true });
});

async function start(code: string, options: Docker.ContainerCreateOptions = {}) {
  const container = await docker.createContainer({
    Image: BASE_IMAGE,
    Cmd: ["node", "-e", code],
    ...options,
  });
  made.push(container);
  await container.start();
  return container;
}

/** What the code prints. */
async function output(code: string, options: Docker.ContainerCreateOptions = {}): Promise<string> {
  const container = await start(code, { Tty: true, ...options });
  await container.wait();
  return (await container.logs({ stdout: true, stderr: true })).toString().trim();
}

it("runs Node of this machine", async () => {
  expect(await output("console.log(process.version, os.userInfo().username)")).toBe(
    `${process.version} root`,
  );
});

it("runs as another user, with a read-only root and a folder for temporary files", async () => {
  const code = `const { writeFileSync } = fs;
    const attempt = (file) => { try { writeFileSync(file, ""); return "written"; } catch (e) { return e.code; } };
    console.log(os.userInfo().username, attempt("/tmp/a"), attempt("/home/node/a"))`;
  expect(await output(code, { User: "1000" })).toBe("node written written");
  const HostConfig = { ReadonlyRootfs: true, Tmpfs: { "/tmp": "" } };
  expect(await output(code, { User: "1000", HostConfig })).toBe("node written EROFS");
});

it("has what native packages link", async () => {
  const libraries = ["libc.so.6", "libdl.so.2", "libm.so.6", "libpthread.so.0", "librt.so.1"];
  const code = `for (const name of ${JSON.stringify([...libraries, "libstdc++.so.6"])})
    try { process.dlopen({ exports: {} }, name); } catch ({ message }) { console.log(message); }`;
  // They are found, and are no addons.
  expect(await output(code)).not.toContain("cannot open shared object file");
});

it("runs a shell", async () => {
  expect(await output("", { Cmd: ["sh", "-c", "echo $((6 * 7))"] })).toBe("42");
});

it("resolves names on a network, and speaks HTTP there", async () => {
  const network = await docker.createNetwork({ Name: `millrace-test-${process.pid}` });
  made.push(network);
  const HostConfig = { NetworkMode: network.id };
  const NetworkingConfig = { EndpointsConfig: { [network.id]: { Aliases: ["server"] } } };
  await start(`http.createServer((_, answer) => answer.end("served")).listen(80)`, {
    HostConfig,
    NetworkingConfig,
  });
  const ask = `const ask = (left) => fetch("http://server").then((answer) => answer.text()).then(console.log, (error) =>
    left === 0 ? console.log(error.cause) : setTimeout(ask, 100, left - 1)); ask(50)`;
  expect(await output(ask, { HostConfig })).toBe("served");
});

it("answers on a published port", async () => {
  const container = await start(
    `http.createServer((_, answer) => answer.end("served")).listen(80)`,
    {
      ExposedPorts: { "80/tcp": {} },
      HostConfig: { PortBindings: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "" }] } },
    },
  );
  const { NetworkSettings } = await container.inspect();
  const port = NetworkSettings.Ports["80/tcp"]?.[0]?.HostPort;
  const ask = async (left: number): Promise<string> =>
    fetch(`http://127.0.0.1:${port}`).then(
      (answer) => answer.text(),
      (error: unknown) => {
        if (left === 0) throw error;
        return ask(left - 1);
      },
    );
  expect(await ask(1000)).toBe("served");
});

it("is the same, byte for byte, each time", async () => {
  const [one, other] = [await makeBaseImage(), await makeBaseImage()];
  expect(one.id).toBe(other.id);
  const digest = createHash("sha256")
    .update(await buffer(one.layer()))
    .digest("hex");
  expect(one.config.toString()).toContain(`"diff_ids":["sha256:${digest}"]`);
  await importBaseImage(socket, ["millrace-test/again:1"]);
  made.push(docker.getImage("millrace-test/again:1"));
  const { RootFS } = await docker.getImage("millrace-test/again:1").inspect();
  expect(RootFS.Layers).toEqual([`sha256:${digest}`]);
});
