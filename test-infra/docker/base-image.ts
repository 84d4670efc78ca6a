import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { createTarPacker, type TarHeader } from "modern-tar";
import { askEngine } from "./engine-api.ts";

/** What a base image made here is called in an engine. */
export const BASE_IMAGE = "millrace-test/node:24-slim";
/** The default base of deployments; an engine that cannot reach a registry may be given it under this name. */
export const DEFAULT_BASE = "node:24-slim";

/** As the official image has it. */
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };
/** Same for all, so that the same content gives the same bytes. */
const TIME = new Date(1000);

/** Of glibc, what resolves names, and what native packages link: no program of the image does. */
const ALSO_LINKED = [
  ...["libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"],
  ...["libdl.so.2", "libm.so.6", "libpthread.so.0", "librt.so.1", "libutil.so.1"],
];
const CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt";

const TEXTS: Readonly<Record<string, string>> = {
  "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n",
  "/etc/group": "root:x:0:\nnode:x:1000:\n",
  "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
};

interface Entry {
  readonly header: TarHeader;
  /** The content; undefined for a folder. */
  readonly open?: () => AsyncIterable<Uint8Array>;
}

/**
 * An image like the official Node image, made of what this machine runs: this Node, the shell, the libraries that they
 * link, and what names and TLS need. One layer; the same files give the same digests.
 */
export interface BaseImage {
  /** Digest of the image's configuration: the image's id in an engine. */
  readonly id: string;
  readonly config: Buffer;
  /** The layer, as an uncompressed tar. */
  layer(): AsyncIterable<Uint8Array>;
  /** Bytes of the layer. */
  readonly layerSize: number;
}

/** @throws Error where this is no Linux with glibc, whose Node a container could run */
export async function makeBaseImage(): Promise<BaseImage> {
  const architecture = ARCHITECTURES[process.arch];
  if (process.platform !== "linux" || architecture === undefined)
    throw new Error(`Node for ${process.platform} ${process.arch} does not run in a container.`);
  const entries = entriesOf(filesOfThisMachine());
  const layer = () => tar(entries);
  const { digest, size } = await measure(layer());
  const config = Buffer.from(
    JSON.stringify({
      architecture,
      os: "linux",
      created: TIME.toISOString(),
      config: { Env: [`PATH=${PATH}`, `NODE_VERSION=${process.versions.node}`], Cmd: ["node"] },
      rootfs: { type: "layers", diff_ids: [digest] },
      history: [{ created: TIME.toISOString(), created_by: "Node of this machine" }],
    }),
  );
  return { id: digestOf(config), config, layer, layerSize: size };
}

/** Puts the base image into an engine, under each of the names. */
export async function importBaseImage(
  socket: string,
  names: readonly string[] = [BASE_IMAGE],
): Promise<void> {
  const loaded = archive(await makeBaseImage(), names);
  const { status, text } = await askEngine(socket, "POST", "/images/load?quiet=1", loaded);
  // A failure after the first byte of the answer stands in it.
  if (status !== 200 || text.includes('"error"'))
    throw new Error(`The engine did not take the base image: ${text.trim()}`);
}

/** Whether an engine has an image. */
export async function hasImage(socket: string, name: string): Promise<boolean> {
  const { status } = await askEngine(socket, "GET", `/images/${encodeURIComponent(name)}/json`);
  return status === 200;
}

/** As `docker save` writes it. */
async function* archive(image: BaseImage, names: readonly string[]): AsyncGenerator<Uint8Array> {
  const config = `${image.id.slice("sha256:".length)}.json`;
  const manifest = [{ Config: config, RepoTags: names, Layers: ["layer.tar"] }];
  const small = (name: string, content: Buffer) => file(name, content.length, () => once(content));
  yield* tar([
    small("manifest.json", Buffer.from(JSON.stringify(manifest))),
    small(config, image.config),
    file("layer.tar", image.layerSize, () => image.layer()),
  ]);
}

/** Path in the image → file of this machine. */
function filesOfThisMachine(): ReadonlyMap<string, string> {
  const programs = new Map([
    ["/usr/local/bin/node", process.execPath],
    ["/bin/sh", "/bin/sh"],
  ]);
  const libraries = new Set([...programs.values()].flatMap(librariesOf));
  const libc = [...libraries].find((path) => path.endsWith("/libc.so.6"));
  if (libc === undefined) throw new Error(`${process.execPath} does not link glibc.`);
  const others = ALSO_LINKED.map((name) => join(dirname(libc), name)).filter(existsSync);
  for (const other of others) {
    libraries.add(other);
    for (const library of librariesOf(other)) libraries.add(library);
  }
  const certificates = [CERTIFICATES].filter(existsSync);
  return new Map([
    ...programs,
    ...[...libraries, ...certificates].map((path): [string, string] => [path, path]),
  ]);
}

/** The libraries that a program or a library links, and the loader. */
function librariesOf(file: string): string[] {
  const said = execFileSync("ldd", [file], { encoding: "utf8" });
  return [...said.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm)].flatMap(([, path]) => path ?? []);
}

function entriesOf(files: ReadonlyMap<string, string>): readonly Entry[] {
  const contents = [
    ...[...files].map(([path, source]) =>
      file(path.slice(1), statSync(source).size, () => createReadStream(source), modeOf(path)),
    ),
    ...Object.entries(TEXTS).map(([path, text]) =>
      file(path.slice(1), text.length, () => once(Buffer.from(text))),
    ),
  ];
  const folders = new Set(contents.flatMap(({ header }) => parentsOf(header.name)));
  return [
    ...[...folders].sort().map((path) => folder(path)),
    folder("root", { mode: 0o700 }),
    folder("tmp", { mode: 0o1777 }),
    folder("home"),
    folder("home/node", { uid: 1000, gid: 1000 }),
    ...contents.sort((a, b) => (a.header.name < b.header.name ? -1 : 1)),
  ];
}

function parentsOf(path: string): string[] {
  const parent = dirname(path);
  return parent === "." ? [] : [...parentsOf(parent), parent];
}

function modeOf(path: string): number {
  return path.startsWith("/etc/") ? 0o644 : 0o755;
}

function file(
  name: string,
  size: number,
  open: () => AsyncIterable<Uint8Array>,
  mode = 0o644,
): Entry {
  return { header: { name, type: "file", size, mode, mtime: TIME, uid: 0, gid: 0 }, open };
}

function folder(name: string, over: Partial<TarHeader> = {}): Entry {
  const header = { type: "directory", size: 0, mode: 0o755, mtime: TIME, uid: 0, gid: 0 } as const;
  return { header: { ...header, ...over, name: `${name}/` } };
}

async function* once(content: Buffer): AsyncGenerator<Uint8Array> {
  yield content;
}

async function* tar(entries: readonly Entry[]): AsyncGenerator<Uint8Array> {
  const { readable, controller } = createTarPacker();
  const write = async () => {
    for (const { header, open } of entries) {
      const writer = controller.add(header).getWriter();
      if (open !== undefined) for await (const chunk of open()) await writer.write(chunk);
      await writer.close();
    }
    controller.finalize();
  };
  const written = write();
  // Whoever reads gets the failure from the stream; this keeps it from being reported twice.
  written.catch((error: unknown) => controller.error(error));
  yield* readable;
  await written;
}

async function measure(bytes: AsyncIterable<Uint8Array>) {
  const hash = createHash("sha256");
  let size = 0;
  for await (const chunk of bytes) {
    hash.update(chunk);
    size += chunk.length;
  }
  return { digest: `sha256:${hash.digest("hex")}`, size };
}

function digestOf(content: Buffer): string {
  return `sha256:${createHash("sha256").update(content).digest("hex")}`;
}
