import { runWriterSuite } from "../run-writer.suite.ts";
import { freshUrl } from "./fresh-url.fixture.ts";
import { PostgresRunWriter } from "./run-writer.ts";

runWriterSuite(freshUrl, (url) => new PostgresRunWriter(url, true));
