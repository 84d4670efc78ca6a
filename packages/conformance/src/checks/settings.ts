import { strict as assert } from "node:assert";
import { CONTRACT_VERSION, type JsonObject, parse } from "@millrace/core";
import { NotTestable } from "../bench.ts";
import { check } from "../check.ts";
import { loadFlavor } from "../harness.ts";
import { picture, typedRejection } from "./expectations.ts";
import { openObjects, schemaOf, undescribed } from "./settings-schema.ts";

function misspelled(name: string): string {
  return `${name}${name.at(-1)}`;
}

export const settingsChecks = [
  check(
    "FLAV-01",
    "flavor-described",
    "the plugin and the flavor name themselves",
    async ({ harness }) => {
      const { plugin, flavor } = await loadFlavor(harness);
      assert.equal(plugin.contract, CONTRACT_VERSION, "the plugin was made for another contract");
      assert.match(flavor.name, /^[a-z][a-z0-9-]*$/, "the flavor's name");
      assert.ok(flavor.description.trim().length > 0, "the flavor has no description");
    },
  ),
  check(
    "SET-01",
    "unknown-setting-suggested",
    "a misspelled setting is refused with the right one",
    async ({ flavor, platform }) => {
      const names = Object.keys(schemaOf(flavor.settings).properties ?? {});
      for (const name of names) {
        const wrong = misspelled(name);
        const error = await typedRejection(`the unknown setting ${wrong}`, async () =>
          parse(
            flavor.settings,
            { ...platform.settings, [wrong]: 1 },
            { what: "The settings", code: "SETTINGS_INVALID" },
          ),
        );
        const issue = error.issues.find(({ path }) => path.at(-1) === wrong);
        assert.ok(
          issue?.message.includes(name),
          `the refusal of ${wrong} does not suggest ${name}: ${error.message}`,
        );
      }
    },
  ),
  check(
    "SET-01",
    "unknown-setting-nested",
    "no object of the settings lets unknown keys through",
    async ({ flavor }) => {
      assert.deepEqual(openObjects(flavor.settings), [], "these objects accept unknown keys");
    },
  ),
  check(
    "SET-01",
    "unknown-setting-before-calls",
    "a deploy with an unknown setting calls nothing",
    async (bench) => {
      const operator = await bench.operator();
      const before = await picture(bench);
      const error = await typedRejection("a deploy with an unknown setting", () =>
        operator.deploy({ snapshot: "v1" }, { settings: { conformanceUnknown: true } }),
      );
      assert.equal(error.class, "usage");
      assert.equal(await picture(bench), before, "the platform was changed all the same");
    },
  ),
  check(
    "SET-02",
    "settings-described",
    "every setting has a description, and the harness's are enough",
    async ({ flavor, platform }) => {
      assert.deepEqual(undescribed(flavor.settings), [], "these settings have no description");
      const result = flavor.settings.safeParse(platform.settings);
      assert.ok(result.success, `the harness's settings are not enough: ${result.error?.message}`);
    },
  ),
  check(
    "SET-03",
    "limits-before-calls",
    "what breaks a limit is refused before the first call",
    async (bench) => {
      const refused = bench.harness.refusedSettings ?? [];
      if (refused.length === 0) throw new NotTestable("the harness names no refusedSettings");
      const operator = await bench.operator();
      const before = await picture(bench);
      for (const { settings, names } of refused) {
        const error = await typedRejection(`a deploy with ${JSON.stringify(settings)}`, () =>
          operator.deploy({ snapshot: "v1" }, { settings: settings satisfies JsonObject }),
        );
        assert.equal(error.class, "usage", `it failed with ${error.code}: ${error.message}`);
        assert.ok(
          error.message.includes(names),
          `the refusal does not name ${names}: ${error.message}`,
        );
        assert.equal(await picture(bench), before, "the platform was called all the same");
      }
    },
  ),
];
