import {
  type DeployerContext,
  type DeploymentRequest,
  type DeploymentTarget,
  isMillraceError,
  type LogLine,
  type LogQuery,
  MillraceError,
  type Observation,
  type Plan,
  type ReadContext,
} from "@millrace/core";
import { FakeDeployer, type Names } from "../fake/deployer.ts";
import { FAKE_CAPABILITIES } from "../fake/plugin.ts";
import type { Spec } from "../fake/records.ts";
import type { FakeSettings } from "../fake/settings.ts";
import { wrong } from "./wrong-deployer.ts";

type Request = DeploymentRequest<FakeSettings>;

function clear({ secrets }: Request): Record<string, string> {
  return Object.fromEntries(
    Object.entries(secrets).map(([name, secret]) => [name, secret.reveal()]),
  );
}

class NotDelivered extends FakeDeployer {
  protected override specOf(request: Request, names: Names): Spec {
    return { ...super.specOf(request, names), secrets: null };
  }
}

class InPlan extends FakeDeployer {
  override async plan(request: Request, context: ReadContext): Promise<Plan> {
    const plan = await super.plan(request, context);
    const values = clear(request);
    const changes = plan.changes.map((change) => ({
      ...change,
      fields: change.fields.map((field) => ({
        ...field,
        after: values[field.field.slice(8)] ?? field.after ?? null,
      })),
    }));
    return { ...plan, changes };
  }
}

class InMetadata extends FakeDeployer {
  override async provision(request: Request, context: DeployerContext): Promise<Observation> {
    const seen = await super.provision(request, context);
    return { ...seen, metadata: { ...seen.metadata, environment: clear(request) } };
  }
}

class InProgress extends FakeDeployer {
  override provision(request: Request, context: DeployerContext): Promise<Observation> {
    context.progress(`Setting ${JSON.stringify(clear(request))}`);
    return super.provision(request, context);
  }
}

class InLogs extends FakeDeployer {
  #request: Request | null = null;

  override provision(request: Request, context: DeployerContext): Promise<Observation> {
    this.#request = request;
    return super.provision(request, context);
  }

  override async *logs(
    target: DeploymentTarget,
    query: LogQuery,
    context: ReadContext,
  ): AsyncGenerator<LogLine> {
    if (this.#request !== null)
      yield {
        time: null,
        replica: null,
        stream: "stdout",
        text: `started with ${JSON.stringify(clear(this.#request))}`,
      };
    yield* super.logs(target, query, context);
  }
}

/** Puts back what the service has hidden. */
class Unmasking extends FakeDeployer {
  #value = "";

  override provision(request: Request, context: DeployerContext): Promise<Observation> {
    this.#value = Object.values(clear(request)).join("");
    return super.provision(request, context);
  }

  protected unmask(text: string): string {
    return text.replaceAll("[secret]", this.#value);
  }
}

class UnmaskedLogs extends Unmasking {
  override async *logs(
    target: DeploymentTarget,
    query: LogQuery,
    context: ReadContext,
  ): AsyncGenerator<LogLine> {
    for await (const line of super.logs(target, query, context))
      yield { ...line, text: this.unmask(line.text) };
  }
}

class UnmaskedFailure extends Unmasking {
  override async inspect(target: DeploymentTarget, context: ReadContext): Promise<Observation> {
    const seen = await super.inspect(target, context);
    const error = seen.rollout?.error;
    if (seen.rollout === null || !isMillraceError(error)) return seen;
    const details = JSON.parse(this.unmask(JSON.stringify(error.details)));
    const unmasked = new MillraceError({ ...error, message: error.message, details });
    return { ...seen, rollout: { ...seen.rollout, error: unmasked } };
  }
}

class InErrors extends FakeDeployer {
  override async provision(request: Request, context: DeployerContext): Promise<Observation> {
    try {
      return await super.provision(request, context);
    } catch (error) {
      if (!isMillraceError(error)) throw error;
      const { class: errorClass, code, message, action, retryable } = error;
      const details = { request: clear(request) };
      throw new MillraceError({
        class: errorClass,
        code,
        message,
        action,
        retryable,
        details,
        cause: error,
      });
    }
  }
}

class InEnvironment extends FakeDeployer {
  protected override specOf(request: Request, names: Names): Spec {
    const spec = super.specOf(request, names);
    return { ...spec, environment: { ...spec.environment, ...clear(request) } };
  }
}

class Encoded extends FakeDeployer {
  protected override specOf(request: Request, names: Names): Spec {
    const spec = super.specOf(request, names);
    const encoded = Buffer.from(Object.values(clear(request)).join("")).toString("base64");
    return { ...spec, environment: { ...spec.environment, SECRETS: encoded } };
  }
}

class UnseenChange extends FakeDeployer {
  override async plan(request: Request, context: ReadContext): Promise<Plan> {
    const plan = await super.plan(request, context);
    const changes = plan.changes.map((change) => ({
      ...change,
      fields: change.fields.filter(({ field }) => !field.startsWith("secrets.")),
    }));
    return { ...plan, changes };
  }
}

export const wrongSecrets = [
  wrong("SEC-01", "secret-not-delivered", /another value/, NotDelivered),
  wrong("SEC-02", "secret-in-plan", /what the deployer says/, InPlan),
  wrong("SEC-02", "secret-in-metadata", /what the deployer says/, InMetadata),
  wrong("SEC-02", "secret-in-progress", /what the deployer says/, InProgress),
  wrong("SEC-02", "secret-in-logs", /what the deployer says/, InLogs),
  wrong("SEC-02", "printed-secret-in-logs", /stands in the log/, UnmaskedLogs),
  wrong("SEC-02", "printed-secret-in-failure", /stands in the error/, UnmaskedFailure),
  wrong("SEC-02", "secret-in-errors", /an error/, InErrors),
  wrong("SEC-03", "secret-in-environment", /what the platform shows/, InEnvironment),
  wrong("SEC-03", "secret-encoded", /what the platform shows/, Encoded),
  wrong("SEC-04", "secret-change-unseen", /does not name/, UnseenChange),
  wrong("SEC-05", "secret-undeclared", /should have failed/, FakeDeployer, {
    capabilities: { ...FAKE_CAPABILITIES, secrets: false },
  }),
];
