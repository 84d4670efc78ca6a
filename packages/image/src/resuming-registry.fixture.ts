import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { sha256 } from "./digest.ts";

export interface ResumingRegistry {
  readonly host: string;
  readonly blobs: ReadonlyMap<string, Buffer>;
  /** Method and first byte of each request that brought bytes. */
  readonly brought: string[];
  /** How many uploads are cut, each when so many bytes have come. */
  cuts: { times: number; after: number };
  stop(): Promise<void>;
}

/**
 * The part of a registry that takes uploads, as the distribution specification has it: what came of a request that was
 * cut is kept. docker-registry 2 does not do that, and newer registries do.
 */
export async function startResumingRegistry(): Promise<ResumingRegistry> {
  const blobs = new Map<string, Buffer>();
  const uploads = new Map<string, Buffer>();
  const rangeOf = (bytes: Buffer) => `0-${Math.max(0, bytes.length - 1)}`;

  async function receive(request: IncomingMessage, id: string): Promise<boolean> {
    const start = uploads.get(id)?.length ?? 0;
    const expected = /^(\d+)-/.exec(request.headers["content-range"] ?? "")?.[1];
    if (expected !== undefined && Number(expected) !== start) return false;
    if (request.headers["content-length"] !== "0")
      registry.brought.push(`${request.method} ${start}`);
    for await (const chunk of request) {
      const bytes = Buffer.concat([uploads.get(id) ?? Buffer.alloc(0), chunk as Buffer]);
      uploads.set(id, bytes);
      if (registry.cuts.times > 0 && bytes.length - start >= registry.cuts.after) {
        registry.cuts.times--;
        request.socket.destroy();
      }
    }
    return true;
  }

  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "", "http://x");
    const [, kind = "", id = ""] =
      /^\/v2\/x\/(blobs\/uploads|blobs|manifests)\/(.*)$/.exec(url.pathname) ?? [];
    const answer = (status: number, headers: Record<string, string> = {}) =>
      response.writeHead(status, headers).end();
    const location = (upload: string) => ({ location: `/v2/x/blobs/uploads/${upload}` });

    async function serve(): Promise<unknown> {
      const { method } = request;
      if (url.pathname === "/v2/") return answer(200);
      if (kind !== "blobs/uploads" && method === "HEAD")
        return answer(kind === "blobs" && blobs.has(id) ? 200 : 404);
      if (kind === "manifests") {
        const bytes: Buffer[] = await request.toArray();
        return answer(201, { "docker-content-digest": sha256(Buffer.concat(bytes)) });
      }
      if (method === "POST") {
        const upload = String(uploads.size);
        uploads.set(upload, Buffer.alloc(0));
        return answer(202, location(upload));
      }
      const before = uploads.get(id);
      if (before === undefined) return answer(404);
      if (method === "GET") return answer(204, { ...location(id), range: rangeOf(before) });
      if (!(await receive(request, id))) return answer(416, { range: rangeOf(before) });
      const bytes = uploads.get(id) ?? before;
      if (method === "PATCH") return answer(202, { ...location(id), range: rangeOf(bytes) });
      const digest = url.searchParams.get("digest") ?? "";
      if (sha256(bytes) !== digest) return answer(400);
      blobs.set(digest, bytes);
      return answer(201);
    }
    serve().catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const registry: ResumingRegistry = {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    blobs,
    brought: [],
    cuts: { times: 0, after: 0 },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return registry;
}
