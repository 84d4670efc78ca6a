import {
  type Fault,
  type Passed,
  startFaultProxy,
} from "../../packages/image/src/fault-proxy.fixture.ts";

/** What a registry does wrong: it asks for a login, has no time, breaks, or hangs up in the middle of a layer. */
export type RegistryFault = "unauthorized" | "throttled" | "broken" | "cut";

/** What came through since the start, or since `forget`. */
export interface RegistryTraffic {
  readonly requests: readonly Passed[];
  /** Questions whether a blob or a manifest is there. */
  readonly heads: number;
  /** Blobs that were sent to their end. */
  readonly uploads: number;
  /** Blobs that the registry took over from another repository. */
  readonly mounts: number;
  /** Of blobs, also of those that were cut. */
  readonly bytes: number;
}

/** A door to a registry that counts, and does wrong what it is told to. */
export interface RegistryFaults {
  /** `127.0.0.1:PORT` */
  readonly host: string;
  /** The next requests go wrong, so many times; `cut` waits for layers on their way up or down. */
  fail(fault: RegistryFault, times: number): void;
  traffic(): RegistryTraffic;
  /** Counts from zero, and does nothing wrong any more. */
  forget(): void;
  stop(): Promise<void>;
}

/** Seconds that are asked for with 429. */
const RETRY_AFTER = 1;
/** Where an upload is cut whose length nobody knows. */
const CUT_BYTES = 1000;
/** Where a download is cut: even a layer with next to nothing in it is longer. */
const CUT_DOWNLOAD_BYTES = 64;

function isUpload({ method, path }: Passed): boolean {
  return ["PATCH", "PUT"].includes(method) && path.includes("/blobs/uploads/");
}

function isDownload({ method, path }: Passed): boolean {
  return method === "GET" && path.includes("/blobs/sha256:");
}

const FAULTS: Readonly<Record<RegistryFault, (request: Passed) => Fault | undefined>> = {
  unauthorized: () => ({ status: 401, headers: { "www-authenticate": 'Basic realm="test"' } }),
  throttled: () => ({ status: 429, headers: { "retry-after": String(RETRY_AFTER) } }),
  broken: () => ({ status: 500 }),
  cut: (request) => {
    if (isDownload(request)) return { cutAnswerAfter: CUT_DOWNLOAD_BYTES };
    if (!isUpload(request)) return undefined;
    const length = Number(request.headers["content-length"] ?? 2 * CUT_BYTES);
    // What finishes an upload may have nothing in it.
    return length < 2 ? undefined : { cutRequestAfter: Math.floor(length / 2) };
  },
};

/** @param registry `HOST:PORT` of a registry without TLS */
export async function startRegistryFaults(registry: string): Promise<RegistryFaults> {
  const proxy = await startFaultProxy(registry);
  let fault: RegistryFault = "broken";
  let left = 0;
  proxy.fault = (request) => {
    const made = left === 0 ? undefined : FAULTS[fault](request);
    if (made !== undefined) left--;
    return made;
  };
  return {
    host: proxy.host,
    fail(next, times) {
      fault = next;
      left = times;
    },
    traffic: () => trafficOf(proxy.passed),
    forget() {
      left = 0;
      proxy.passed.length = 0;
    },
    stop: () => proxy.stop(),
  };
}

function trafficOf(requests: readonly Passed[]): RegistryTraffic {
  const created = requests.filter(
    ({ status, path }) => status === 201 && path.includes("/blobs/uploads/"),
  );
  return {
    requests: [...requests],
    heads: requests.filter(({ method }) => method === "HEAD").length,
    uploads: created.filter(({ method }) => method === "PUT").length,
    mounts: created.filter(({ method }) => method === "POST").length,
    bytes: requests.filter(isUpload).reduce((sum, { bytes }) => sum + bytes, 0),
  };
}
