import type { ImageArtefact, ReadContext, RegistryCredentials } from "@millrace/core";
import type { AuthConfigObject } from "dockerode";
import type { Engine } from "./engine.ts";
import { findImage } from "./engine-destination.ts";
import { readProgress } from "./engine-progress.ts";

/** The name that marks a password as an identity token. */
const TOKEN_USER = "<token>";

/** Lets the engine get an image from its registry. One that it has is not asked for again: its reference holds its digest. */
export async function pullImage(
  engine: Engine,
  { reference, credentials }: Pick<ImageArtefact, "reference" | "credentials">,
  { progress }: Pick<ReadContext, "progress">,
): Promise<void> {
  if ((await findImage(engine, reference)) !== null) return;
  const what = `pull the image ${reference}`;
  progress("Letting the engine pull the image");
  await engine.ask(what, async (options) => {
    const login = credentials === null ? {} : { authconfig: authOf(reference, credentials) };
    await readProgress(await engine.docker.pull(reference, { ...options, ...login }), what);
  });
}

function authOf(
  reference: string,
  { username, password }: RegistryCredentials,
): Partial<AuthConfigObject> & { readonly serveraddress: string } {
  const serveraddress = reference.split("/", 1)[0] ?? "";
  return username === TOKEN_USER
    ? { identitytoken: password.reveal(), serveraddress }
    : { username, password: password.reveal(), serveraddress };
}
