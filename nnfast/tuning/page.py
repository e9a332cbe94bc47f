"""The HTML page that a report fills in: layout, light and dark colours, and the script that sorts
its table.
"""

from string import Template

PAGE = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1d2433; --soft: #5b6475; --line: #d9dde5; --mark:
#fff3df;
  --raised: #f5f6f9; --accent: #b4540a; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171d; --ink: #e4e7ee; --soft: #a0a8b8; --line:
#343a46;
  --mark: #3a2c14; --raised: #1d2129; --accent: #f4a350; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem clamp(1rem, 4vw, 2.5rem) 3rem; max-width: 84rem; background:
var(--paper);
  color: var(--ink); font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: clamp(1.3rem, 1rem + 1.6vw, 1.9rem); line-height: 1.25; margin: 0 0 1rem; overflow-wrap:
anywhere; } h2 { font-size: 1.2rem; margin: 2.2rem 0 0.3rem; } p { margin: 0.3rem 0 0.7rem; color:
var(--soft); max-width: 46rem; overflow-wrap: anywhere; } dl { display: flex; flex-wrap: wrap; gap: 0.6rem;
margin: 0 0 1.2rem; } dl div { background: var(--raised); border: 1px solid var(--line); border-radius: 8px;
padding: 0.45rem 0.9rem; } dt { font-size: 0.8rem; color: var(--soft); } dd { margin: 0; font-weight: 600;
font-variant-numeric: tabular-nums; } dl div:first-child dd { color: var(--accent); font-size: 1.15rem; }
code, pre { font-family: ui-monospace, "Cascadia Code", Menlo, "DejaVu Sans Mono", monospace; font-size:
0.875rem; } .code { position: relative; max-width: 46rem; } pre { margin: 0; padding: 0.8rem 5rem 0.8rem 1rem;
overflow-x: auto; background: var(--raised);
  border: 1px solid var(--line); border-radius: 8px; }
button { font: inherit; color: inherit; cursor: pointer; }
#copy { position: absolute; top: 0.5rem; right: 0.5rem; font-size: 0.8rem; padding: 0.15rem 0.6rem;
  background: var(--paper); border: 1px solid var(--line); border-radius: 6px; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
svg { display: block; width: 100%; height: auto; max-width: calc(1.25 * var(--width)); }
.wide { overflow-x: auto; }
.wide svg { min-width: min(calc(0.82 * var(--width)), 60rem); }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(19rem, 100%), 1fr)); gap: 0.6rem;
} .large { grid-template-columns: repeat(auto-fill, minmax(min(24rem, 100%), 1fr)); } .scroll { overflow:
auto; max-height: 80vh; border: 1px solid var(--line); border-radius: 8px; } table { border-collapse:
collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; min-width: 100%; } th { position: sticky;
top: 0; background: var(--raised); padding: 0; text-align: left; } th button { display: flex; gap: 0.35rem;
align-items: baseline; width: 100%; padding: 0.4rem 0.7rem; font-weight: 600;
  border: 0; background: none; white-space: nowrap; }
th button::after { content: "↕"; opacity: 0.35; font-weight: 400; }
th[aria-sort="ascending"] button::after { content: "↑"; opacity: 1; }
th[aria-sort="descending"] button::after { content: "↓"; opacity: 1; }
td { padding: 0.22rem 0.7rem; border-top: 1px solid var(--line); white-space: nowrap; }
td[data-n] { text-align: right; }
th.number button { justify-content: flex-end; }
tr.best td { background: var(--mark); font-weight: 600; }
tr.rest td { color: var(--soft); }
footer { margin-top: 2rem; font-size: 0.8rem; color: var(--soft); }
@media print { .scroll { max-height: none; } #copy { display: none; } }
</style>
</head>
<body>
<main>
<h1>$title</h1>
<dl>
$facts
</dl>
<section>
<h2>Best parameters</h2>
$best
</section>
$figures
<section>
<h2>Trials</h2>
<p>All $count of them; a click on a column's head sorts by it, and another one the other way round.</p>
<div class="scroll" role="region" aria-label="Trials" tabindex="0">
$table
</div>
</section>
</main>
<footer>nnfast $version</footer>
<script>
"use strict";
(() => {
  const table = document.getElementById("trials"), body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];

  // Numbers come before words; what is missing or NaN comes last, whichever way.
  function key(row, i) {
    const cell = row.cells[i];
    if (!("n" in cell.dataset)) return cell.textContent;
    const number = cell.dataset.n;
    if (number === "") return null;
    return number === "inf" ? Infinity : number === "-inf" ? -Infinity : Number(number);
  }
  function compare(a, b) {
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return typeof a === "number" ? (a < b ? -1 : a > b ? 1 : 0) : a.localeCompare(b, "en", {numeric: true});
  }
  function sort(i) {
    const now = heads[i].getAttribute("aria-sort");
    const way = now === "ascending" || (now === null && heads[i].dataset.first === "descending") ? -1 : 1;
    heads.forEach(head => head.removeAttribute("aria-sort"));
    heads[i].setAttribute("aria-sort", way === 1 ? "ascending" : "descending");
    const rows = [...body.rows].map(row => [key(row, i), row]);
    rows.sort(([a], [b]) => a === null || b === null ? (a === null) - (b === null) : way * compare(a, b));
    body.append(...rows.map(([, row]) => row));
  }
  heads.forEach((head, i) => {
    head.firstElementChild.addEventListener("click", () => sort(i));
    if (body.rows.length && "n" in body.rows[0].cells[i].dataset) head.classList.add("number");
  });

  const copy = document.getElementById("copy"), code = document.getElementById("params");
  copy?.addEventListener("click", async () => {
    getSelection().selectAllChildren(code);
    let done = false;
    try { await navigator.clipboard.writeText(code.textContent); done = true; }
    catch { done = document.execCommand("copy"); }
    copy.textContent = done ? "Copied" : "Selected";
    setTimeout(() => { copy.textContent = "Copy"; }, 2000);
  });
})();
</script>
</body>
</html>
""")
