import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { chromium, openPage, type Page } from "./browser.fixture.ts";
import { hostile, weather } from "./fixture-pipelines.ts";
import { makeFixture, startService, type TestService } from "./fixtures.ts";

const module = new URL("../dist/fixture-pipelines.js", import.meta.url).href;
const KEY = "a-key-of-some-length";

describe.skipIf(chromium === undefined)("the page at /docs, in Chromium", () => {
  let page: Page;
  let services: Readonly<Record<"open" | "hostile" | "locked", TestService>>;
  beforeAll(async () => {
    const start = async (...fixture: Parameters<typeof makeFixture>) =>
      startService(await makeFixture(...fixture));
    services = {
      open: await start(weather, module, "weather"),
      hostile: await start(hostile, module, "hostile"),
      locked: await start(weather, module, "weather", { authKey: KEY }),
    };
    page = await openPage(chromium ?? "");
  });
  afterAll(async () => {
    await page?.close();
    await Promise.all(Object.values(services ?? {}).map((service) => service.stop()));
  });
  afterEach(() => expect(page.complaints).toEqual([]));

  const text = (id: string) => page.evaluate(`document.getElementById("${id}")?.textContent`);
  const open = async (url: string, title: string) => {
    await page.open(`${url}/docs`);
    await vi.waitFor(async () => expect(await text("title")).toBe(title), 5000);
    await vi.waitFor(async () =>
      expect(await page.evaluate(`document.getElementById("main").hidden`)).toBe(false),
    );
  };
  /** Types into a control, found by its label. */
  const type = (label: string, value: string) =>
    page.evaluate(`{
      const labels = [...document.querySelectorAll("label")];
      const control = labels.find((one) => one.textContent.startsWith(${JSON.stringify(label)})).control;
      control.value = ${JSON.stringify(value)};
      control.dispatchEvent(new Event("input"));
    }`);
  const run = async (status: string) => {
    await page.evaluate(`document.getElementById("send").click()`);
    await vi.waitFor(async () => expect(await text("status")).toContain(status), 5000);
  };

  it("runs the pipeline with what the form says, and shows outputs, run and command", async () => {
    await open(services.open.url, "fixture");
    await type("city", "Rome's");
    await run("200 OK");
    expect(JSON.parse(String(await text("answer")))).toEqual({
      report: { city: "Rome's", celsius: 6 },
      advice: "shirt",
    });
    expect(await text("run")).toMatch(/^[0-9a-f-]{36}$/);
    expect(await text("command")).toContain(`-d '{"parameters":{"city":"Rome'\\''s"}}'`);
  });

  it("shows what is wrong beside the field", async () => {
    await open(services.open.url, "fixture");
    await page.evaluate(`document.getElementById("form").noValidate = true`);
    await type("days", "9");
    await run("422");
    expect(await text("hint-1")).toMatch(/7/);
    expect(await page.evaluate(`document.getElementById("hint-1").classList.contains("bad")`)).toBe(
      true,
    );
  });

  it("takes what is written as JSON into the fields", async () => {
    await open(services.open.url, "fixture");
    await page.evaluate(`{
      const body = document.getElementById("body");
      body.value = '{"parameters":{"city":"Oslo","days":3}}';
      body.dispatchEvent(new Event("input"));
    }`);
    expect(
      await page.evaluate(`["field-0", "field-1"].map((id) => document.getElementById(id).value)`),
    ).toEqual(["Oslo", "3"]);
  });

  it("is usable with the key that opened it, and with one that is typed in", async () => {
    const { url } = services.locked;
    await open(url.replace("//", `//anyone:${KEY}@`), "fixture");
    await run("200 OK");
    await type("Key", "another-key-of-some-length");
    await run("401");
    await type("Key", KEY);
    await run("200 OK");
  });

  it("shows names, descriptions, values and answers as text, whatever is in them", async () => {
    await open(services.hostile.url, "fixture");
    await run("200 OK");
    expect(await text("summary")).toContain("<img src=x");
    expect(await text("answer")).toContain("<script>");
    expect(await page.evaluate(`document.querySelectorAll("img, b, main script").length`)).toBe(0);
    expect(await page.evaluate(`window.broken === undefined`)).toBe(true);
  });
});
