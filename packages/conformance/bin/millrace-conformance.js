#!/usr/bin/env node
import { main } from "../dist/cli.js";

// A check that was given up may still hold a connection open.
process.exit(await main(process.argv.slice(2)));
