import { spawnSync } from "node:child_process";
import { expect, it } from "vitest";

const module = new URL("./printed-secrets.ts", import.meta.url).href;
const core = import.meta.resolve("@millrace/core");

/** What a process prints that runs the code after its secrets are hidden. */
function printedBy(code: string) {
  const program = `
    import { Secret } from ${JSON.stringify(core)};
    import { hidePrintedSecrets } from ${JSON.stringify(module)};
    hidePrintedSecrets([new Secret("very-secret-välue")]);
    ${code}`;
  const args = ["--input-type=module", "--eval", program];
  return spawnSync(process.execPath, args, { encoding: "utf8" });
}

it("does not show secrets by console, streams, texts, bytes or other encodings", () => {
  const { stdout, stderr } = printedBy(`
    console.log("key", "very-secret-välue", { key: "very-secret-välue" });
    console.error(new Error("no very-secret-välue"));
    process.stdout.write(Buffer.from("bytes very-secret-välue\\n"));
    process.stdout.write("very-secret-välue\\n", "utf8", () => console.log("written"));
    process.stderr.write(Buffer.from("very-secret-välue").toString("base64"), "base64");
  `);
  expect(stdout + stderr).not.toContain("very-secret");
  expect(stdout).toContain("key [secret] { key: '[secret]' }\nbytes [secret]\n");
  expect(stdout).toContain("written");
  expect(stderr).toMatch(/no \[secret\][\s\S]*\[secret\]$/);
});

it("leaves everything else as it is, byte for byte", () => {
  const { stdout } = printedBy(`
    process.stdout.write(Uint8Array.of(0xff, 0xfe, 0x00, 0x41));
    process.stdout.write("ünïcödé");
    process.stdout.write("6869", "hex");
  `);
  const bytes = Buffer.concat([Buffer.of(0xff, 0xfe, 0x00, 0x41), Buffer.from("ünïcödéhi")]);
  expect(stdout).toBe(bytes.toString());
});
