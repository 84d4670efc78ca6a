import { createHash } from "node:crypto";
import { SCRIPT } from "./docs-script.ts";
import { STYLE } from "./docs-style.ts";

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Service</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>
<body>
<header>
<h1 id="title">…</h1>
<p id="summary" class="dim"></p>
<ul class="facts">
<li>Revision <code id="revision"></code></li>
<li><a href="openapi.json">OpenAPI document</a></li>
<li><a href="health">Health</a></li>
<li><a href="metrics">Metrics</a></li>
</ul>
<noscript><p class="bad">This page needs JavaScript. The same is in the OpenAPI document.</p></noscript>
</header>
<main id="main" hidden>
<h2>Try it</h2>
<div class="panes">
<form id="form">
<div id="key-row" class="field" hidden>
<label for="key">Key</label>
<input id="key" type="password" autocomplete="off" aria-describedby="key-hint">
<p class="hint" id="key-hint">Empty: the key that this page was opened with.</p>
</div>
<div id="fields"></div>
<details>
<summary>Body as JSON</summary>
<textarea id="body" rows="9" spellcheck="false" aria-label="Body of POST /invoke"></textarea>
</details>
<div class="bar"><button id="send">Run</button><span id="status" class="dim" role="status"></span></div>
</form>
<div>
<div id="result" hidden>
<h3>Answer</h3>
<p id="detail" class="bad"></p>
<pre id="answer" tabindex="0" aria-label="Answer"></pre>
<p class="hint" id="run-row">Run <code id="run"></code></p>
<details><summary>Whole answer</summary><pre id="whole" tabindex="0"></pre></details>
</div>
<div class="bar apart"><h3>The same as a command</h3><button type="button" class="quiet" id="copy">Copy</button></div>
<pre id="command" tabindex="0" aria-label="Command"></pre>
</div>
</div>
<div class="panes">
<section><h2>Parameters</h2><div id="parameters"></div></section>
<section><h2>Outputs</h2><div id="outputs"></div></section>
</div>
<details><summary>JSON Schemas</summary><pre id="schemas" tabindex="0"></pre></details>
<h2>Routes</h2>
<div id="routes"></div>
</main>
<script>${SCRIPT}</script>
</body>
</html>
`;

/** A page that shows `/openapi.json` and calls `/invoke`. It loads nothing from anywhere else. */
export function docsPage(): string {
  return PAGE;
}

/** Allows the page its own script and style and this service, and nothing else. */
export function docsHeaders(): readonly string[] {
  const policy = [
    "default-src 'none'",
    `script-src '${integrity(SCRIPT)}'`,
    `style-src '${integrity(STYLE)}'`,
    "connect-src 'self'",
    // The empty icon, in place of a request for one that is not there.
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ];
  return ["Content-Security-Policy", policy.join("; "), "Referrer-Policy", "no-referrer"];
}

function integrity(text: string): string {
  return `sha256-${createHash("sha256").update(text).digest("base64")}`;
}
