"""The page of a report: its look on a screen by day and by night, on a phone and on paper, and its few moving parts.

A pointer over a mark shows its words, as arrow keys do in a figure; a figure is enlarged by a click or its button; a
filter leaves the rows that hold all of its words and fulfil its conditions, also those behind # in the address; the
name of a column sorts by it. The page may load nothing and run nothing but its own script, whatever its words are.
"""

import html
from base64 import b64encode
from hashlib import sha256
from string import Template


def page(title: str, body: str, comment: str) -> str:
    """The whole page. `body` and `comment` are HTML, `title` is words."""
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{_digest()}'"
    return _PAGE.substitute(
        title=html.escape(title), body=body, comment=comment, policy=policy, style=STYLE, script=RUN
    )


def _digest() -> str:
    return b64encode(sha256(RUN.encode()).digest()).decode()


_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="$policy">
<title>$title</title>
<style>$style</style></head>
<body>
<h1>$title</h1>
$body
<div id="tip" role="status"></div>
$comment
<script>$script</script>
</body></html>
""")

STYLE = """
:root { color-scheme: light; --ink: #1a1a1a; --faint: #636363; --line: #d9d9d9; --paper: #fff }
@media screen and (prefers-color-scheme: dark) {
  :root { color-scheme: dark; --ink: #e3e3e3; --faint: #a6a6a6; --line: #4a4a4a; --paper: #17191c }
  .figures .wide { background: #fff; padding: .5rem; border-radius: .3rem }
}
* { box-sizing: border-box }
body { font: 16px/1.5 Georgia, "Times New Roman", serif; color: var(--ink); background: var(--paper);
  margin: 0 auto; padding: 1rem; max-width: 75rem }
body:has(.several) { max-width: none }
h1, h2, h3 { font-weight: normal; line-height: 1.2; overflow-wrap: anywhere }
h2 { border-bottom: 1px solid var(--line) }
a { color: inherit }
.several { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 32rem), 1fr)); gap: 0 2.5rem }
.several section { display: grid; grid-row: span 5; grid-template-rows: subgrid; margin-top: 1.5rem }
section > *, section { min-width: 0 }
.question { font-size: 1.2rem; font-style: italic }
.small, figcaption, .facts { font-size: .85rem; color: var(--faint) }
.facts { display: grid; grid-template-columns: minmax(5rem, max-content) 1fr; gap: .1rem 1rem }
.facts dt { color: var(--ink); overflow-wrap: anywhere }
.facts dd { margin: 0; overflow-wrap: anywhere }
.bar { display: flex; height: .8rem; margin: .5rem 0; background: var(--line); print-color-adjust: exact }
.done { background: #21918c }
.diverged { background: #fde725 }
.failed { background: #d62728 }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 30rem), 1fr)); gap: 1.5rem }
.figures .whole { grid-column: 1 / -1 }
figure { margin: 0; break-inside: avoid; min-width: 0 }
.figures figcaption { margin-top: .4rem }
section .tsd-table figcaption { opacity: 1 }
.picture { position: relative; cursor: zoom-in }
.whole .picture { min-width: 68rem; cursor: zoom-out }
.picture img { display: block; width: 100%; height: auto }
.picture i { position: absolute }
.picture i:hover, .picture i.told { outline: 2px solid #fff; box-shadow: 0 0 0 3px #1a1a1a }
#tip { position: fixed; visibility: hidden; pointer-events: none; background: var(--ink); color: var(--paper);
  outline: 1px solid var(--paper); padding: .2rem .5rem; border-radius: .2rem; font-size: .85rem; max-width: 20rem;
  z-index: 9 }
.wide { overflow-x: auto }
table { border-collapse: collapse; border-top: 2px solid; border-bottom: 2px solid;
  font-variant-numeric: tabular-nums; font-size: .9rem }
th, td { padding: .15rem .7rem; text-align: right; white-space: nowrap }
th { font-weight: normal }
th[data-name] { border-bottom: 1px solid }
.text { text-align: left }
td.text { white-space: normal; overflow-wrap: break-word; max-width: 30rem }
code { overflow-wrap: anywhere }
button { font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer }
figcaption button { text-decoration: underline }
th[aria-sort=ascending] button::after { content: " ↑" }
th[aria-sort=descending] button::after { content: " ↓" }
input { font: inherit; padding: .2rem .5rem; width: min(100%, 30rem); margin: .5rem 0 }
pre { font-size: .8rem; overflow-x: auto }
@media (max-width: 40rem) { .broad { min-width: 38rem } }
@media print {
  input, output, #tip, figcaption button { display: none }
  th button { display: contents }
  body { max-width: none; padding: 0; font-size: 11pt }
  .several, .several section { display: block }
  section + section { break-before: page }
  h2, h3 { break-after: avoid }
  .figures { grid-template-columns: 1fr 1fr }
  .picture, .whole .picture { min-width: 0 }
  .wide, pre, section .tsd-table div { overflow: visible }
  pre { white-space: pre-wrap }
  table { font-size: 7.5pt }
  th, td, section .tsd-table th, section .tsd-table td { padding: .1rem .3rem; white-space: normal }
  tr { break-inside: avoid }
}
"""

RUN = r"""
const tip = document.getElementById("tip");
const tell = (words, x, y) => {
  tip.style.visibility = words ? "visible" : "hidden";
  tip.textContent = words || "";
  tip.style.left = Math.max(4, Math.min(x + 12, innerWidth - tip.offsetWidth - 4)) + "px";
  tip.style.top = Math.max(4, Math.min(y + 16, innerHeight - tip.offsetHeight - 4)) + "px";
};
for (const kind of ["pointerover", "pointermove"])
  document.addEventListener(kind, e => tell(e.target.dataset && e.target.dataset.tip, e.clientX, e.clientY));
document.addEventListener("keydown", e => e.key === "Escape" && tell(""));

for (const figure of document.querySelectorAll(".figures figure")) {
  const picture = figure.querySelector(".picture"), button = figure.querySelector("button");
  const marks = [...picture.querySelectorAll("i")];
  let at = -1;
  const turn = () => {
    const whole = figure.classList.toggle("whole");
    button.textContent = whole ? "Shrink" : "Enlarge";
    button.setAttribute("aria-expanded", whole);
  };
  button.addEventListener("click", turn);
  picture.addEventListener("click", e => e.pointerType !== "touch" && turn());
  const show = step => {
    if (marks[at]) marks[at].classList.remove("told");
    at = step ? (at + step + marks.length) % marks.length : -1;
    if (at < 0) return tell("");
    marks[at].classList.add("told");
    marks[at].scrollIntoView({ block: "nearest", inline: "nearest" });
    const box = marks[at].getBoundingClientRect();
    tell(marks[at].dataset.tip, box.right, box.bottom);
  };
  picture.addEventListener("blur", () => show(0));
  picture.addEventListener("keydown", e => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
    if (step && marks.length) e.preventDefault(), show(step);
  });
}

const fold = words => words.toLowerCase().replaceAll("_", " ");
const worth = cell => {
  const number = Number(cell.dataset.value ?? NaN);
  return isNaN(number) ? (cell.dataset.value === undefined ? fold(cell.textContent) : null) : number;
};
const holds = {
  "=": (a, b) => a === b, "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b };
const condition = (word, names) => {
  const [, name, how, given] = /^([^<>=]+)(<=|>=|=|<|>)(.+)$/.exec(word) || [];
  const at = names.indexOf(fold(name || ""));
  if (at < 0) return row => [...row.cells].some(cell => fold(cell.textContent).includes(fold(word)));
  const limit = isNaN(Number(given)) ? fold(given) : Number(given);
  return row => {
    const value = worth(row.cells[at]);
    return value !== null && holds[how](value, typeof value === "number" ? limit : fold(given));
  };
};
const sift = input => {
  const table = document.getElementById(input.dataset.table);
  const names = [...table.querySelectorAll("th")].map(th => fold(th.dataset.name));
  const wanted = input.value.split(/\s+/).filter(Boolean).map(word => condition(word, names));
  let shown = 0;
  for (const row of table.tBodies[0].rows) {
    row.hidden = !wanted.every(fits => fits(row));
    shown += !row.hidden;
  }
  input.nextElementSibling.textContent = shown + (shown === 1 ? " row" : " rows");
};
const asked = () => {
  const words = location.hash.slice(1);
  try { return document.getElementById(words) ? "" : decodeURIComponent(words); } catch { return words; }
};
for (const input of document.querySelectorAll("input")) {
  input.value = asked();
  input.addEventListener("input", () => sift(input));
  sift(input);
}

for (const button of document.querySelectorAll("th button")) button.addEventListener("click", () => {
  const th = button.parentNode, body = th.closest("table").tBodies[0], at = th.cellIndex;
  const sign = th.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  const order = (a, b) => a === null ? (b === null ? 0 : 1) : b === null ? -1 : a < b ? -sign : a > b ? sign : 0;
  body.append(...[...body.rows].sort((a, b) => order(worth(a.cells[at]), worth(b.cells[at]))));
  for (const other of th.parentNode.cells) other.removeAttribute("aria-sort");
  th.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
});
"""
