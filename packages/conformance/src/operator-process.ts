/**
 * One operator as a process of its own, which can be killed: deploys or deprovisions as the order on standard input
 * says, and kills itself at a write of the journal.
 */
import { json } from "node:stream/consumers";
import { connect } from "@millrace/control";
import { loadFlavor } from "./harness.ts";
import { watchingJournal } from "./journal-watch.ts";
import { orderSchema } from "./operator-order.ts";

const order = orderSchema.parse(await json(process.stdin));
const { flavor } = await loadFlavor(order);
let writes = 0;

async function fatal(write: () => Promise<void>): Promise<void> {
  const last = ++writes === order.killAt;
  if (last && order.moment === "before") process.kill(process.pid, "SIGKILL");
  await write();
  if (last && order.moment === "after") process.kill(process.pid, "SIGKILL");
}

const mortal = watchingJournal(flavor, (journal) => ({
  intend: (key) => fatal(() => journal.intend(key)),
  present: (key, platformId) => fatal(() => journal.present(key, platformId)),
  gone: (key) => fatal(() => journal.gone(key)),
}));

const client = await connect({
  directory: order.directory,
  home: order.home,
  user: "operator",
  flavors: [mortal],
  timing: order.timing,
});
if (order.snapshot === null) await client.deployments.deprovision(order.name);
else await client.deploy({ snapshot: order.snapshot }, { name: order.name });
await client.close();
