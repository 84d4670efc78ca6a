import { buffer } from "node:stream/consumers";
import { type EngineImage, MillraceError, messageOf, parse } from "@millrace/core";
import { z } from "zod";
import {
  type LogPage,
  logPageSchema,
  problemSchema,
  type SecretView,
  type ServiceView,
  type Spec,
  type Strategy,
  secretViewSchema,
  serviceViewSchema,
  type Tags,
} from "./records.ts";
import type { RegistryLogin } from "./registry.ts";

const valuesSchema = z.record(z.string(), z.string()).readonly();
const acceptedSchema = z.strictObject({});
const loginSchema = z.strictObject({ username: z.string(), password: z.string() });
const imageSchema = z.strictObject({
  os: z.string(),
  architecture: z.string(),
  diffIds: z.array(z.string()),
  config: z.record(z.string(), z.json()),
  content: z.null(),
});

/** The calls to the platform's interface. What does not exist is null, or `false` for a removal. */
export class FakeClient {
  readonly #endpoint: string;

  constructor(endpoint: string) {
    this.#endpoint = endpoint;
  }

  readService(name: string, signal: AbortSignal): Promise<ServiceView | null> {
    return orNull(this.#call(serviceViewSchema, "GET", `services/${name}`, undefined, signal));
  }

  listServices(signal: AbortSignal): Promise<readonly ServiceView[]> {
    return this.#call(z.array(serviceViewSchema), "GET", "services", undefined, signal);
  }

  listSecrets(signal: AbortSignal): Promise<readonly SecretView[]> {
    return this.#call(z.array(secretViewSchema), "GET", "secrets", undefined, signal);
  }

  createService(
    body: {
      readonly name: string;
      readonly tags: Tags;
      readonly spec: Spec;
      readonly login: RegistryLogin | null;
    },
    signal: AbortSignal,
  ): Promise<ServiceView> {
    return this.#call(serviceViewSchema, "POST", "services", body, signal);
  }

  updateService(
    name: string,
    body: {
      readonly tags: Tags;
      readonly spec: Spec;
      readonly login: RegistryLogin | null;
      readonly strategy: Strategy;
    },
    signal: AbortSignal,
  ): Promise<ServiceView> {
    return this.#call(serviceViewSchema, "PATCH", `services/${name}`, body, signal);
  }

  async deleteService(name: string, signal: AbortSignal): Promise<boolean> {
    return (
      (await orNull(
        this.#call(acceptedSchema, "DELETE", `services/${name}`, undefined, signal),
      )) !== null
    );
  }

  readSecret(name: string, signal: AbortSignal): Promise<SecretView | null> {
    return orNull(this.#call(secretViewSchema, "GET", `secrets/${name}`, undefined, signal));
  }

  /** The values themselves, to compare them. Null when there is no such set. */
  readSecretValues(
    name: string,
    signal: AbortSignal,
  ): Promise<Readonly<Record<string, string>> | null> {
    return orNull(this.#call(valuesSchema, "GET", `secrets/${name}/values`, undefined, signal));
  }

  putSecret(
    name: string,
    body: { readonly tags: Tags; readonly values: Readonly<Record<string, string>> },
    signal: AbortSignal,
  ): Promise<SecretView> {
    return this.#call(secretViewSchema, "PUT", `secrets/${name}`, body, signal);
  }

  async deleteSecret(name: string, signal: AbortSignal): Promise<boolean> {
    return (
      (await orNull(this.#call(acceptedSchema, "DELETE", `secrets/${name}`, undefined, signal))) !==
      null
    );
  }

  readImage(reference: string, signal: AbortSignal): Promise<EngineImage | null> {
    return orNull(this.#call(imageSchema, "GET", imagePath(reference), undefined, signal));
  }

  async putImage(
    reference: string,
    archive: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void> {
    const bytes = await buffer(archive);
    await this.#call(acceptedSchema, "PUT", imagePath(reference), bytes, signal);
  }

  readRegistryLogin(signal: AbortSignal): Promise<RegistryLogin> {
    return this.#call(loginSchema, "GET", "registry-login", undefined, signal);
  }

  /** One page of lines after a sequence number. */
  readLogs(name: string, after: number, signal: AbortSignal): Promise<LogPage | null> {
    return orNull(
      this.#call(logPageSchema, "GET", `services/${name}/logs?after=${after}`, undefined, signal),
    );
  }

  async #call<T>(
    schema: z.ZodType<T>,
    method: string,
    path: string,
    body: unknown,
    signal: AbortSignal,
  ): Promise<T> {
    let response: Response;
    let answer: unknown;
    try {
      response = await fetch(`${this.#endpoint}/${path}`, {
        method,
        signal,
        ...(body === undefined
          ? {}
          : { body: body instanceof Uint8Array ? body : JSON.stringify(body) }),
      });
      answer = await response.json();
    } catch (cause) {
      if (signal.aborted) throw signal.reason;
      throw unreachable(this.#endpoint, cause);
    }
    if (!response.ok) throw refusal(response, answer);
    return parse(schema, answer, {
      what: `The platform's answer to ${method} ${path}`,
      code: "FAKE_INCOMPATIBLE",
      class: "platform",
    });
  }
}

function imagePath(reference: string): string {
  return `images?${new URLSearchParams({ reference })}`;
}

async function orNull<T>(call: Promise<T>): Promise<T | null> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof MillraceError && error.code === "FAKE_NOT_FOUND") return null;
    throw error;
  }
}

function unreachable(endpoint: string, cause: unknown): MillraceError {
  return new MillraceError({
    class: "unreachable",
    code: "FAKE_UNREACHABLE",
    message: `The platform at ${endpoint} cannot be reached: ${messageOf(cause)}.`,
    action: "See whether it runs and whether the setting `endpoint` is right, then try again.",
    retryable: true,
    cause,
  });
}

function refusal(response: Response, answer: unknown): MillraceError {
  const { code, message } = problemSchema
    .catch({ code: "Unknown", message: "no reason" })
    .parse(answer);
  const cause = new Error(`${response.status} ${code}: ${message}`);
  const common = { message: `The platform refused: ${message}`, details: { code }, cause };
  switch (response.status) {
    case 401:
      return new MillraceError({
        ...common,
        class: "unreachable",
        code: "FAKE_CREDENTIALS_EXPIRED",
        action: "Log in again, then run the same command.",
      });
    case 404:
      return new MillraceError({
        ...common,
        class: "not_found",
        code: "FAKE_NOT_FOUND",
        action: "Provision the deployment.",
      });
    case 409:
      return new MillraceError({
        ...common,
        class: "conflict",
        code: "FAKE_CONFLICT",
        action: "Run the same command again.",
        retryable: true,
      });
    case 429:
      return new MillraceError({
        ...common,
        class: "unreachable",
        code: "FAKE_THROTTLED",
        action: "Wait and try again.",
        retryable: true,
        retryAfterMs: Number(response.headers.get("Retry-After") ?? 1) * 1000,
      });
    case 503:
      return new MillraceError({
        ...common,
        class: "unreachable",
        code: "FAKE_REGISTRY_UNAVAILABLE",
        action: "Wait and try again.",
        retryable: true,
      });
    default:
      return new MillraceError({
        ...common,
        class: "platform",
        code: "FAKE_REFUSED",
        action: "Change what the platform names, or ask its operators.",
      });
  }
}
