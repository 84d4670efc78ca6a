import { openStore } from "./index.ts";
import { freshUrl } from "./postgres/fresh-url.fixture.ts";
import { storeSuite } from "./store.suite.ts";

storeSuite("PostgreSQL store", async (options) => openStore({ ...options, url: await freshUrl() }));
