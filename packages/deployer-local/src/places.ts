import { createHash } from "node:crypto";
import { lstatSync, mkdirSync, realpathSync } from "node:fs";
import { userInfo } from "node:os";
import { join, resolve } from "node:path";
import { resourceName } from "@millrace/core";

/** Where the files of one deployment are. All follow from the state directory and the deployment's id alone. */
export interface Places {
  readonly deploymentId: string;
  /** Name of the resources that the journal and the inventory show. */
  readonly name: string;
  /** Holds everything that outlives the supervisor. */
  readonly folder: string;
  readonly stateFile: string;
  /** Beside the folder: names the supervisor's process. */
  readonly presence: string;
  readonly logs: string;
  readonly socket: string;
  /** Shared by all deployments of the state directory and never deleted. */
  readonly lock: string;
}

/** Bytes of a Unix socket's path: 108 on Linux, 104 on macOS, with the closing zero. */
const MAX_SOCKET_PATH = 103;
const PLAIN_ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

export function placesOf(stateDirectory: string, deploymentId: string): Places {
  const root = join(resolve(stateDirectory), "deployments");
  const name = resourceName({ id: deploymentId, name: "" }, { maxLength: 63 });
  const folder = join(root, PLAIN_ID.test(deploymentId) ? deploymentId : name);
  return {
    deploymentId,
    name,
    folder,
    stateFile: join(folder, "state.json"),
    presence: `${folder}.process`,
    logs: join(folder, "logs"),
    socket: socketPath(folder),
    lock: join(root, "lock"),
  };
}

function socketPath(folder: string): string {
  const beside = join(folder, "control.sock");
  if (Buffer.byteLength(beside) <= MAX_SOCKET_PATH) return beside;
  const digest = createHash("sha256").update(folder).digest("hex").slice(0, 32);
  return join(ownFolderIn("/tmp"), `${digest}.sock`);
}

/** A folder of this user in one that all users share. The same for every process, whatever TMPDIR says. */
export function ownFolderIn(shared: string): string {
  return join(shared, `millrace-${userInfo().uid}`);
}

/**
 * Makes a folder that nobody else can enter, and its parents.
 * @throws Error when something else has that name: another user may have put it there to read what we write.
 */
export function makePrivateFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const found = lstatSync(path);
  if (!found.isDirectory() || found.uid !== userInfo().uid || (found.mode & 0o077) !== 0) {
    throw new Error(
      `${realpathSync(path)} must be a folder that belongs to user ${userInfo().username} with mode 0700`,
    );
  }
}
