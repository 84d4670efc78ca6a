/** The style of the page at `/docs`. */
export const STYLE = `
:root { color-scheme: light dark; --page: light-dark(#fff, #101418); --panel: light-dark(#f6f8f9, #181d23);
  --line: light-dark(#dbe1e6, #2e363e); --text: light-dark(#1a2127, #e6eaee); --dim: light-dark(#586571, #9aa6b1);
  --accent: light-dark(#0b6e63, #52cabb); --on-accent: light-dark(#fff, #06231f); --bad: light-dark(#b3261e, #ff8f86);
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { margin: 0 auto; max-width: 72rem; padding: 2.5rem 1.5rem 4rem; background: var(--page); color: var(--text);
  font: 16px/1.55 system-ui, sans-serif; overflow-wrap: anywhere; }
header { border-bottom: 1px solid var(--line); padding-bottom: 1.25rem; }
h1 { margin: 0; font-size: 1.9rem; line-height: 1.2; letter-spacing: -.01em; }
h2 { margin: 2.5rem 0 .75rem; font-size: 1.2rem; } h3 { margin: 0 0 .5rem; font-size: .95rem; color: var(--dim); }
p { margin: .35rem 0; } a { color: var(--accent); } .dim { color: var(--dim); } .bad { color: var(--bad); } .ok { color: var(--accent); }
#summary { font-size: 1.05rem; max-width: 45rem; }
.facts { display: flex; flex-wrap: wrap; gap: .35rem 1.25rem; margin: .75rem 0 0; padding: 0; list-style: none; font-size: .9rem; color: var(--dim); }
code, pre, textarea { font: 13.5px/1.55 var(--mono); }
pre, textarea, input, select { width: 100%; margin: 0; padding: .55rem .75rem; border: 1px solid var(--line); border-radius: .5rem;
  background: var(--panel); color: inherit; }
input, select { font: inherit; min-height: 2.6rem; } textarea { resize: vertical; } input:user-invalid, .wrong { border-color: var(--bad); }
pre { white-space: pre-wrap; overflow-wrap: anywhere; max-height: 32rem; overflow-y: auto; }
.panes { display: grid; gap: 1.5rem 2rem; } .panes > * { min-width: 0; }
@media (min-width: 52rem) { .panes { grid-template-columns: 1fr 1fr; } }
label { display: block; margin: 0 0 .25rem; font-weight: 600; } label code { font-size: 14px; }
.field { margin-bottom: .9rem; } .hint { margin: .25rem 0 0; font-size: .875rem; color: var(--dim); }
.hint.bad { color: var(--bad); }
button { padding: .55rem 1.4rem; border: 1px solid transparent; border-radius: .5rem; background: var(--accent); color: var(--on-accent);
  font: 600 1rem system-ui, sans-serif; cursor: pointer; } button:hover { filter: brightness(1.08); }
button.quiet { padding: .15rem .6rem; border-color: var(--line); background: none; color: var(--dim); font-size: .8rem; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.bar { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem 1rem; } .bar.apart { justify-content: space-between; margin: 1rem 0 .35rem; }
.bar h3 { margin: 0; }
details { border-bottom: 1px solid var(--line); } details > :not(summary) { margin-bottom: .9rem; }
summary { padding: .55rem 0; cursor: pointer; } summary code { margin-right: .45rem; } #form details, #result details { border: 0; }
ul.fields { margin: 0; padding: 0; list-style: none; } ul.fields ul.fields { margin: .5rem 0 0 .15rem; padding-left: 1rem; border-left: 2px solid var(--line); }
ul.fields > li { padding: .55rem 0; border-bottom: 1px solid var(--line); } ul.fields > li:last-child { border-bottom: 0; }
ul.fields .type { margin: 0 .45rem; color: var(--accent); } ul.fields .dim { font-size: .9rem; } ul.fields .name { font-weight: 600; }
.method { display: inline-block; min-width: 2.8rem; color: var(--accent); font: 600 13px var(--mono); }
dl { display: grid; grid-template-columns: 3rem 1fr; gap: .25rem .5rem; margin: 0; } dd { margin: 0; color: var(--dim); font-size: .925rem; }
`;
