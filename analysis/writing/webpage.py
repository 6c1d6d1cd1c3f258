"""The page of a report: its look on a screen, on a phone and on paper, and its few moving parts.

A pointer over a mark shows its words; a click on a figure widens it; words in a filter leave the rows that hold them
all, also when they stand behind # in the address; a click on a column's name sorts by it.
"""

from string import Template

PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light; --ink: #1a1a1a; --faint: #6e6e6e; --line: #d9d9d9 }
* { box-sizing: border-box }
body {
  font: 16px/1.5 Georgia, "Times New Roman", serif; color: var(--ink); margin: 0 auto; padding: 1rem;
  max-width: 75rem }
h1, h2, h3 { font-weight: normal; line-height: 1.2 }
h2 { border-bottom: 1px solid var(--line); margin-top: 2.5rem }
.question { font-size: 1.2rem; font-style: italic }
.small, figcaption, .facts { font-size: .85rem; color: var(--faint) }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem }
.facts dt { color: var(--ink) }
.facts dd { margin: 0; overflow-wrap: anywhere }
.figures {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 30rem), 1fr));
  gap: 1.5rem }
.figures .whole { grid-column: 1 / -1 }
figure { margin: 0; break-inside: avoid }
.picture { position: relative; cursor: zoom-in }
.picture img { display: block; width: 100%; height: auto }
.picture i { position: absolute }
.picture i:hover { outline: 2px solid #fff; box-shadow: 0 0 0 3px var(--ink) }
#tip {
  position: fixed; display: none; pointer-events: none; background: var(--ink); color: #fff;
  padding: .2rem .5rem; border-radius: .2rem; font-size: .85rem; max-width: 20rem; z-index: 9 }
.wide { overflow-x: auto }
table {
  border-collapse: collapse; border-top: 2px solid; border-bottom: 2px solid;
  font-variant-numeric: tabular-nums; font-size: .9rem }
th, td { padding: .15rem .7rem; text-align: right; white-space: nowrap }
th { font-weight: normal; border-bottom: 1px solid; cursor: pointer }
td.text { text-align: left }
input { font: inherit; padding: .2rem .5rem; width: min(100%, 24rem); margin: .5rem 0 }
.bar { display: flex; height: .8rem; margin: .5rem 0 }
.bar b { display: block }
.done { background: #21918c }
.diverged { background: #fde725 }
.failed { background: #d62728 }
@media print {
  input, #tip { display: none }
  body { max-width: none; font-size: 11pt }
  section + section { break-before: page }
}
</style></head>
<body>
<h1>$title</h1>
$body
<div id="tip"></div>
$comment
<script>
const tip = document.getElementById("tip");
document.addEventListener("pointerover", e => {
  const words = e.target.dataset && e.target.dataset.tip;
  tip.style.display = words ? "block" : "none";
  if (words) tip.textContent = words;
});
document.addEventListener("pointermove", e => {
  tip.style.left = Math.min(e.clientX + 12, innerWidth - tip.offsetWidth - 4) + "px";
  tip.style.top = Math.min(e.clientY + 16, innerHeight - tip.offsetHeight - 4) + "px";
});
document.querySelectorAll(".picture").forEach(picture => picture.addEventListener("click", () => {
  picture.closest("figure").classList.toggle("whole");
}));
const sift = input => {
  const words = input.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let shown = 0;
  document.querySelectorAll("#" + input.dataset.table + " tbody tr").forEach(row => {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every(word => text.includes(word));
    shown += !row.hidden;
  });
  input.nextElementSibling.textContent = shown + (shown === 1 ? " row" : " rows");
};
document.querySelectorAll("input").forEach(input => {
  input.value = decodeURIComponent(location.hash.slice(1));
  input.addEventListener("input", () => sift(input));
  sift(input);
});
document.querySelectorAll("th").forEach(th => th.addEventListener("click", () => {
  const rows = [...th.closest("table").tBodies[0].rows], at = th.cellIndex, up = th.dataset.up !== "1";
  const key = row => {
    const text = row.cells[at].textContent.replace("−", "-"), number = parseFloat(text);
    return isNaN(number) ? text : number;
  };
  const order = (a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0) * (up ? 1 : -1);
  rows.sort(order).forEach(row => row.parentNode.append(row));
  th.dataset.up = up ? "1" : "0";
}));
</script>
</body></html>
""")
