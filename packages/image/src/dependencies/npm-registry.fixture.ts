import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { single } from "../chunks.ts";
import { bytesOf, text } from "../scratch.fixture.ts";
import { writeTar } from "../tar.ts";

/** A package as its author publishes it. */
export interface Published {
  readonly manifest: {
    readonly name: string;
    readonly version: string;
    readonly [field: string]: unknown;
  };
  /** Paths with contents, beside package.json. */
  readonly files: Readonly<Record<string, Uint8Array>>;
}

export interface NpmRegistry {
  readonly url: string;
  /** Paths that were asked for. */
  readonly asked: string[];
  stop(): Promise<void>;
}

async function tarballOf({ manifest, files }: Published): Promise<Uint8Array> {
  const all = { "package.json": text(JSON.stringify(manifest)), ...files };
  const entries = Object.entries(all).map(([path, content]) => ({
    path: `package/${path}`,
    kind: "file" as const,
    executable: false,
    size: content.length,
    open: () => single(content),
  }));
  return gzipSync(await bytesOf(writeTar(entries)));
}

/** A registry with a few packages, as npm's own client asks for them. */
export async function startNpmRegistry(published: readonly Published[]): Promise<NpmRegistry> {
  const tarballs = new Map<string, Uint8Array>();
  for (const one of published)
    tarballs.set(`/${one.manifest.name}/-/${one.manifest.version}.tgz`, await tarballOf(one));
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? "");
    asked.push(path);
    const tarball = tarballs.get(path);
    if (tarball !== undefined) return response.end(tarball);
    const versions = published.filter(({ manifest }) => path === `/${manifest.name}`);
    const newest = versions.at(-1);
    if (newest === undefined) return response.writeHead(404).end("{}");
    const described = versions.map(({ manifest }) => {
      const place = `/${manifest.name}/-/${manifest.version}.tgz`;
      const integrity = createHash("sha512")
        .update(tarballs.get(place) ?? "")
        .digest("base64");
      const dist = { tarball: `${url}${place}`, integrity: `sha512-${integrity}` };
      return [manifest.version, { ...manifest, dist }];
    });
    response.setHeader("content-type", "application/json").end(
      JSON.stringify({
        name: newest.manifest.name,
        "dist-tags": { latest: newest.manifest.version },
        versions: Object.fromEntries(described),
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    asked,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** The first bytes of a Linux binary. */
export function elf(cpu: "x64" | "arm64"): Uint8Array {
  const header = Buffer.alloc(64);
  header.write("\x7fELF", "latin1");
  header.writeUInt16LE(cpu === "x64" ? 0x3e : 0xb7, 18);
  return header;
}
