import { strict as assert } from "node:assert";
import {
  ARCHITECTURES,
  type ImageTarget,
  imageSettingsSchema,
  type JsonValue,
  type MillraceError,
} from "@millrace/core";
import { z } from "zod";
import { type Bench, NotTestable } from "../bench.ts";
import { check } from "../check.ts";
import type { RegistryFault } from "../harness.ts";
import { keysOf, type Subject, type Variation } from "../subject.ts";
import {
  expectHidden,
  expectOnly,
  picture,
  richest,
  settled,
  typedRejection,
  whateverComes,
} from "./expectations.ts";

const NAME = "weather";

const runsImages = ({ artefact }: Bench["capabilities"]): boolean => artefact === "image";

async function targetOf(subject: Subject, variation: Variation = {}): Promise<ImageTarget> {
  const { deployer } = subject;
  assert.ok(deployer.imageTarget !== undefined, "the deployer of images has no imageTarget");
  return deployer.imageTarget(subject.request("v1", variation), subject.context());
}

/** What is the same whenever it is asked for. Logins may be good for a short time only. */
function placeOf({ image, platform, destination }: ImageTarget): JsonValue {
  const { kind, repository } = destination;
  return JSON.parse(JSON.stringify({ image, platform, kind, repository }));
}

/** The reference that a request names its image by. */
function imageOf(subject: Subject, ...of: Parameters<Subject["request"]>): string {
  const { artefact } = subject.request(...of);
  assert.ok(artefact.kind === "image", "the request names no image");
  return artefact.reference;
}

/** What a reference ends with: a digest, or a tag that is made from one. */
function digestOf(reference: string): string {
  return reference.slice(reference.lastIndexOf(":") + 1);
}

/** A deployment that serves `v1` and whose update to `v2` fails for lack of its image: nothing is half made. */
async function failedUpdate(
  bench: Bench,
  takeImage: (subject: Subject) => Promise<void>,
): Promise<{ readonly subject: Subject; readonly error: MillraceError }> {
  const subject = await bench.subject();
  const old = subject.request("v1");
  const { url } = await subject.bringUp(old);
  const keys = keysOf(await bench.list());
  await takeImage(subject);
  const error = await typedRejection("provision of an image that cannot be had", () =>
    subject.provision(subject.request("v2")),
  );
  assert.equal(await bench.servedRevision(url), old.revision, "the old revision does not answer");
  const { serving } = await subject.inspect();
  assert.equal(serving?.revision, old.revision, "another revision is said to serve");
  await expectOnly(bench, keys);
  return { subject, error };
}

async function failedPull(bench: Bench, how: RegistryFault): Promise<MillraceError> {
  const { subject, error } = await failedUpdate(bench, () => bench.fault("failRegistry")(how));
  await bench.platform.restore();
  const { url } = await subject.bringUp(subject.request("v2"));
  assert.equal((await bench.invoke(url)).version, 2);
  return error;
}

function expectTransient(error: MillraceError): void {
  assert.equal(error.class, "unreachable", `it failed with ${error.code} of class ${error.class}`);
  assert.ok(error.retryable, `it failed with ${error.code}, which is not retryable`);
}

export const imageChecks = [
  check(
    "IMG-01",
    "image-target-changes-nothing",
    "imageTarget changes nothing",
    async (bench) => {
      const subject = await bench.subject();
      const before = await picture(bench);
      await targetOf(subject);
      assert.equal(await picture(bench), before, "imageTarget changed the platform");
      await subject.bringUp(subject.request("v1"));
      const running = await picture(bench);
      await targetOf(subject);
      assert.equal(await picture(bench), running, "imageTarget changed what runs");
    },
    { requires: runsImages },
  ),
  check(
    "IMG-02",
    "image-target-same",
    "imageTarget says the same whenever it is asked",
    async (bench) => {
      const subject = await bench.subject();
      const first = placeOf(await targetOf(subject));
      assert.deepEqual(placeOf(await targetOf(subject)), first, "the second answer differs");
      const stranger = await bench.subject({ name: "Renamed" });
      assert.deepEqual(
        placeOf(await targetOf(stranger)),
        first,
        "the answer for another deployment differs",
      );
      await subject.bringUp(subject.request("v1"));
      assert.deepEqual(placeOf(await targetOf(subject)), first, "the answer differs once it runs");
    },
    { requires: runsImages },
  ),
  check(
    "IMG-02",
    "image-reference-whole",
    "the repository has neither tag nor digest, and images are named by their digest in it",
    async (bench) => {
      const subject = await bench.subject();
      const { destination } = await targetOf(subject);
      const { kind, repository } = destination;
      assert.doesNotMatch(repository, /@|:[^/]*$/, `the repository ${repository} has a tag`);
      const form = kind === "registry" ? /^@sha256:[0-9a-f]{64}$/ : /^:[0-9a-f]{32,64}$/;
      for (const fixture of ["v1", "v2"] as const) {
        const reference = imageOf(subject, fixture);
        assert.ok(reference.startsWith(repository), `${reference} is not in ${repository}`);
        assert.match(reference.slice(repository.length), form);
      }
      assert.notEqual(imageOf(subject, "v1"), imageOf(subject, "v2"), "two images have one name");
    },
    { requires: runsImages },
  ),
  check(
    "IMG-06",
    "image-target-obeys",
    "imageTarget obeys the setting image",
    async (bench) => {
      const subject = await bench.subject();
      const own = z.looseObject({}).safeParse(bench.platform.settings["image"]).data ?? {};
      for (const architecture of ARCHITECTURES) {
        const image = { ...own, base: `conformance/base:${architecture}`, architecture };
        const target = await targetOf(subject, { settings: { image } });
        assert.equal(target.platform.architecture, architecture, "another architecture is named");
        assert.deepEqual(target.image, imageSettingsSchema.parse(image), "the settings differ");
      }
    },
    { requires: runsImages },
  ),
  check(
    "IMG-03",
    "image-delivered-once",
    "an image that is there is not delivered again",
    async (bench) => {
      const { platform } = bench;
      if (platform.deliveries === undefined)
        throw new NotTestable("the harness cannot tell what is delivered");
      const operator = await bench.operator();
      await operator.deploy({ snapshot: "v1" }, { name: NAME });
      const delivered = await platform.deliveries();
      await operator.deployments.deprovision(NAME);
      const { deployment } = await operator.deployments.provision(NAME);
      assert.equal((await bench.invoke(deployment.url)).version, 1);
      assert.equal(await platform.deliveries(), delivered, "the image was delivered again");
    },
    { requires: runsImages },
  ),
  check(
    "IMG-04",
    "image-delivered-anew",
    "an image that vanished is delivered anew",
    async (bench) => {
      const removeImage = bench.fault("removeImage");
      const subject = await bench.subject();
      const operator = await bench.operator();
      await operator.deploy({ snapshot: "v1" }, { name: NAME });
      await operator.deployments.deprovision(NAME);
      await removeImage(imageOf(subject, "v1"));
      const { deployment } = await operator.deployments.provision(NAME);
      assert.equal((await bench.invoke(deployment.url)).version, 1);
    },
    { needs: ["removeImage"], requires: runsImages },
  ),
  check(
    "IMG-05",
    "image-missing",
    "provision names the image that is missing, and runs nothing in its place",
    async (bench) => {
      const removeImage = bench.fault("removeImage");
      const { subject, error } = await failedUpdate(bench, (one) =>
        removeImage(imageOf(one, "v2")),
      );
      assert.equal(error.class, "platform", `it failed with ${error.code} of class ${error.class}`);
      const missing = digestOf(imageOf(subject, "v2"));
      assert.ok(error.message.includes(missing), `it does not say which: ${error.message}`);
    },
    { needs: ["removeImage"], requires: runsImages },
  ),
  check(
    "REG-01",
    "registry-login-hidden",
    "the login for a registry is never said or shown",
    async (bench) => {
      const { platform } = bench;
      const subject = await bench.subject();
      const { artefact } = subject.request("v1");
      if (artefact.kind === "bundle" || artefact.credentials === null)
        throw new NotTestable("the harness's images need no login to be pulled");
      const { username, password } = artefact.credentials;
      const secrets = [password.reveal(), `${username}:${password.reveal()}`];
      subject.said.push(JSON.stringify(placeOf(await targetOf(subject))));
      await subject.plan(subject.request(...richest(bench)));
      await subject.bringUp(subject.request(...richest(bench)));
      expectHidden(secrets, (await platform.visible?.()) ?? "", "what the platform shows");
      const { failRegistry } = platform.faults;
      if (failRegistry !== undefined) {
        await failRegistry("unauthorized");
        await whateverComes(() => subject.provision(subject.request("v2")));
        await platform.restore();
      }
      await subject.logs();
      await subject.bringDown();
      expectHidden(secrets, subject.said.join("\n"), "what the deployer says");
      expectHidden(secrets, imageOf(subject, "v1"), "the reference");
    },
    { requires: runsImages },
  ),
  check(
    "REG-02",
    "registry-denies",
    "a login that is not accepted is final",
    async (bench) => {
      const error = await failedPull(bench, "unauthorized");
      assert.ok(!error.retryable, `it failed with ${error.code}, which is retryable`);
    },
    { needs: ["failRegistry"], requires: runsImages },
  ),
  check(
    "REG-03",
    "registry-throttles",
    "a registry that asks to wait can be waited for",
    async (bench) => expectTransient(await failedPull(bench, "throttled")),
    { needs: ["failRegistry"], requires: runsImages },
  ),
  check(
    "REG-03",
    "registry-breaks",
    "a registry that breaks can be tried again",
    async (bench) => expectTransient(await failedPull(bench, "broken")),
    { needs: ["failRegistry"], requires: runsImages },
  ),
  check(
    "REG-03",
    "registry-hangs-up",
    "a layer that was cut off is pulled again",
    async (bench) => {
      const failRegistry = bench.fault("failRegistry");
      const subject = await bench.subject();
      await subject.bringUp(subject.request("v1"));
      const keys = keysOf(await bench.list());
      await failRegistry("cut");
      const wanted = subject.request("v2");
      // The platform may try again by itself.
      for (const error of await settled([subject.provision(wanted)]))
        expectTransient(await typedRejection("provision", () => Promise.reject(error)));
      const { url } = await subject.bringUp(wanted);
      assert.equal((await bench.invoke(url)).version, 2);
      await expectOnly(bench, keys);
    },
    { needs: ["failRegistry"], requires: runsImages },
  ),
];
