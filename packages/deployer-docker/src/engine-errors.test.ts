import { MillraceError } from "@millrace/core";
import { describe, expect, it } from "vitest";
import { engineError, isMissing } from "./engine-errors.ts";

/** As docker-modem makes it of an answer. */
function answer(statusCode: number, message: string): Error {
  return Object.assign(new Error(`(HTTP code ${statusCode}) unexpected - ${message} `), {
    statusCode,
    reason: "unexpected",
    json: { message },
  });
}

function systemError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

function read(thrown: unknown): MillraceError {
  const error = engineError(thrown, "start the container x");
  if (!(error instanceof MillraceError)) throw new TypeError("no error of ours");
  return error;
}

describe("what keeps the engine from answering", () => {
  it.each([
    ["ENOENT", "connect ENOENT /var/run/docker.sock", "DOCKER_UNREACHABLE", true],
    ["ECONNREFUSED", "connect ECONNREFUSED 127.0.0.1:2375", "DOCKER_UNREACHABLE", true],
    ["ECONNRESET", "socket hang up", "DOCKER_UNREACHABLE", true],
    ["ENOTFOUND", "getaddrinfo ENOTFOUND engine", "DOCKER_UNREACHABLE", true],
    ["ETIMEDOUT", "connect ETIMEDOUT 10.0.0.1:2376", "DOCKER_UNREACHABLE", true],
    ["EACCES", "connect EACCES /var/run/docker.sock", "DOCKER_DENIED", false],
    ["SSH_FAILED", "Permission denied (publickey).", "DOCKER_SSH_FAILED", false],
    ["DEPTH_ZERO_SELF_SIGNED_CERT", "self-signed certificate", "DOCKER_TLS_FAILED", false],
    ["ERR_TLS_CERT_ALTNAME_INVALID", "Hostname does not match", "DOCKER_TLS_FAILED", false],
    ["EPROTO", "wrong version number", "DOCKER_TLS_FAILED", false],
  ])("%s", (code, message, wanted, retryable) => {
    const thrown = systemError(code, message);
    const error = read(thrown);
    expect(error).toMatchObject({ class: "unreachable", code: wanted, retryable });
    expect(error.message).toBe(
      `The Docker engine cannot be reached: ${message.replace(/\.$/, "")}.`,
    );
    expect(error.action).not.toBe("");
    expect(error.cause).toBe(thrown);
  });
});

describe("what the engine answers", () => {
  it.each([
    [400, "Client sent an HTTP request to an HTTPS server.", "unreachable", "DOCKER_TLS_FAILED"],
    [403, "authorization denied by plugin", "unreachable", "DOCKER_DENIED"],
    [429, "too many requests", "unreachable", "DOCKER_BUSY"],
    [503, "Service Unavailable", "unreachable", "DOCKER_BUSY"],
    [
      500,
      "driver failed programming external connectivity on endpoint x: Bind for 127.0.0.1:9000 failed: port is already allocated",
      "conflict",
      "PORT_IN_USE",
    ],
    [
      500,
      "driver failed programming external connectivity on endpoint x: Error starting userland proxy: listen tcp4 127.0.0.1:22: bind: address already in use",
      "conflict",
      "PORT_IN_USE",
    ],
    [
      500,
      "Error starting userland proxy: listen tcp4 10.9.9.9:80: bind: cannot assign requested address",
      "usage",
      "BIND_NOT_AVAILABLE",
    ],
    [500, "transport is closing: unavailable", "unreachable", "DOCKER_BUSY"],
    [500, "mkdir /var/lib/docker/x: no space left on device", "platform", "DISK_FULL"],
    [404, "No such image: millrace:abc", "platform", "IMAGE_MISSING"],
    [404, "manifest for r/x:1 not found: manifest unknown", "platform", "IMAGE_MISSING"],
    [404, "network lan not found", "usage", "NETWORK_MISSING"],
    [
      404,
      "pull access denied for r/x, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
      "platform",
      "REGISTRY_DENIED",
    ],
    [
      500,
      'Get "https://r/v2/": x509: certificate signed by unknown authority',
      "platform",
      "REGISTRY_UNTRUSTED",
    ],
    [
      500,
      'Get "https://r.invalid/v2/": dial tcp: lookup r.invalid: no such host',
      "platform",
      "REGISTRY_UNKNOWN",
    ],
    [
      500,
      'Get "https://r/v2/": dial tcp 10.0.0.1:443: connect: connection refused',
      "unreachable",
      "REGISTRY_UNREACHABLE",
    ],
    [500, "toomanyrequests: You have reached your pull rate limit", "unreachable", "REGISTRY_BUSY"],
    [
      500,
      'error parsing HTTP 429 response body: unexpected end of JSON input: ""',
      "unreachable",
      "REGISTRY_BUSY",
    ],
    [
      500,
      "received unexpected HTTP status: 500 Internal Server Error",
      "unreachable",
      "REGISTRY_FAILED",
    ],
    [500, 'Get "http://r/v2/": EOF', "unreachable", "REGISTRY_UNREACHABLE"],
    // As engines with containerd's image store say it.
    [404, 'failed to resolve reference "r/a:1": r/a:1: not found', "platform", "IMAGE_MISSING"],
    [
      500,
      "unexpected status from HEAD request to http://r/v2/a/manifests/1: 500 Internal Server Error",
      "unreachable",
      "REGISTRY_FAILED",
    ],
    [
      500,
      "unexpected status from HEAD request to http://r/v2/a/manifests/1: 429 Too Many Requests",
      "unreachable",
      "REGISTRY_BUSY",
    ],
    [
      500,
      "unexpected status from HEAD request to http://r/v2/a/manifests/1: 401 Unauthorized",
      "platform",
      "REGISTRY_DENIED",
    ],
    [
      400,
      'failed to create shim task: exec: "node": executable file not found in $PATH: unknown',
      "platform",
      "IMAGE_WITHOUT_NODE",
    ],
    [
      404,
      "no matching manifest for linux/arm64/v8 in the manifest list entries",
      "platform",
      "IMAGE_OTHER_PLATFORM",
    ],
    [
      500,
      "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network",
      "platform",
      "NETWORKS_EXHAUSTED",
    ],
    [409, 'Conflict. The container name "/x" is already in use', "conflict", "DOCKER_CONFLICT"],
    [
      500,
      'could not select device driver "" with capabilities: [[gpu]]',
      "platform",
      "GPU_UNAVAILABLE",
    ],
    [400, "Minimum memory limit allowed is 6MB", "usage", "DOCKER_REFUSED"],
    [400, "dockerfile parse error line 1: unknown instruction: FRM", "usage", "DOCKERFILE_INVALID"],
    [
      400,
      "COPY failed: file not found in build context or excluded by .dockerignore: stat x: file does not exist",
      "platform",
      "BUILD_FAILED",
    ],
    [500, "COPY failed: write /x: no space left on device", "platform", "DISK_FULL"],
    [
      400,
      "the --mount option requires BuildKit. Refer to the documentation to enable it",
      "usage",
      "DOCKERFILE_INVALID",
    ],
    [500, "something else", "platform", "DOCKER_FAILED"],
  ])("%i %s", (status, message, category, code) => {
    const error = read(answer(status, message));
    expect(error).toMatchObject({ class: category, code });
    expect(error.message).toBe(
      `The Docker engine cannot start the container x: ${message.replace(/\.$/, "")}.`,
    );
  });

  it("is told without dockerode's own words also where it came as a stream", () => {
    const thrown = Object.assign(new Error("(HTTP code 500) server error - it broke "), {
      statusCode: 500,
      json: null,
    });
    expect(read(thrown).message).toBe("The Docker engine cannot start the container x: it broke.");
  });
});

describe("what is not the engine's", () => {
  it.each([
    new TypeError("a fault of the program"),
    Object.assign(new Error("The operation was aborted"), { code: "ABORT_ERR" }),
    new MillraceError({ class: "usage", code: "X", message: "mine" }),
    "a text",
  ])("stays as it is: %s", (thrown) => {
    expect(engineError(thrown, "do it")).toBe(thrown);
  });
});

describe("what is missing", () => {
  it.each([
    [404, "No such container: x", true],
    [409, "can not get logs from container which is dead or marked for removal", true],
    [409, "removal of container x is already in progress", false],
    [500, "No such container: x", false],
  ])("is told by status %i and the words %s: %s", (status, message, missing) => {
    expect(isMissing(answer(status, message))).toBe(missing);
  });
});
