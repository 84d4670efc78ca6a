import { freshUrl } from "../postgres/fresh-url.fixture.ts";
import { importSuite } from "./import.suite.ts";

importSuite(freshUrl);
