// The page's style sheet: light and dark, wide and narrow.
#include "worker/operator/assets.hpp"

namespace billing::worker::operators {

const std::string_view kStyle = R"css(:root {
  color-scheme: light dark;
  --ground: #f6f7f9; --paper: #ffffff; --ink: #1b2129; --quiet: #566170; --line: #d9dee5;
  --accent: #1d57b0; --accent-ink: #ffffff; --soft: #eaf0fa;
  --good: #11683c; --good-soft: #e0f3e8; --bad: #a81e1e; --bad-soft: #fce7e7; --doubt: #7a4b00; --doubt-soft: #fdf0d5;
  --bar: #3f7ad6; --bar-good: #4a9d74; --bar-bad: #d04545;
  --wide: 88rem; --mono: ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #12161c; --paper: #1a2029; --ink: #e6eaf0; --quiet: #a3aebc; --line: #323b48;
    --accent: #8db6f5; --accent-ink: #0e1620; --soft: #223046;
    --good: #7fd6a4; --good-soft: #16301f; --bad: #ff9d9d; --bad-soft: #3d1b1e; --doubt: #f2c572; --doubt-soft: #37290f;
    --bar: #5b90e6; --bar-good: #4fa97d; --bar-bad: #e36a6a;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
  font-variant-numeric: tabular-nums;
}
a { color: var(--accent); text-decoration-thickness: 1px; text-underline-offset: 2px; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; border-radius: 3px; }
main:focus { outline: none; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.skip { position: absolute; left: -999em; background: var(--paper); padding: .6em 1em; z-index: 2; }
.skip:focus { left: 0; top: 0; }

header {
  display: flex; flex-wrap: wrap; align-items: center; gap: .25rem 1.25rem; padding: .6rem max(1.5rem, calc((100% - var(--wide)) / 2 + 1.5rem));
  background: var(--paper); border-bottom: 1px solid var(--line);
}
header .name { margin: 0; font-weight: 650; letter-spacing: -.01em; }
.mode {
  margin-left: .6em; padding: .1em .6em; border-radius: 1em; font-size: .78rem; font-weight: 600;
  background: var(--doubt-soft); color: var(--doubt);
}
.mode.live { background: var(--good-soft); color: var(--good); }
header nav ul { display: flex; flex-wrap: wrap; gap: .15rem; margin: 0; padding: 0; list-style: none; }
header nav a { display: block; padding: .4em .75em; border-radius: 6px; color: var(--ink); text-decoration: none; }
header nav a:hover { background: var(--soft); }
header nav a[aria-current] { background: var(--soft); color: var(--accent); font-weight: 600; }
.sign-out { margin-left: auto; }
main, footer { max-width: var(--wide); margin: 0 auto; padding: 0 1.5rem; }
main { padding-bottom: 2rem; }
footer { border-top: 1px solid var(--line); color: var(--quiet); font-size: .85rem; padding-bottom: 1rem; }

h1 { font-size: 1.65rem; line-height: 1.25; letter-spacing: -.02em; margin: 1.6rem 0 .8rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; letter-spacing: -.01em; margin: 2rem 0 .7rem; }
h3 { font-size: 1rem; margin: 0 0 .2rem; }
p { margin: .4rem 0; max-width: 46rem; }
code, pre { font-family: var(--mono); font-size: .88em; }
code { overflow-wrap: anywhere; }
.quiet, .hint { color: var(--quiet); font-size: .88rem; }
.lead { color: var(--quiet); margin-bottom: 1rem; }

.badge {
  display: inline-block; padding: .05em .6em; border-radius: 1em; font-size: .82rem; font-weight: 600; white-space: nowrap;
  background: var(--soft); color: var(--accent);
}
.good { background: var(--good-soft); color: var(--good); }
.bad { background: var(--bad-soft); color: var(--bad); }
.doubtful { background: var(--doubt-soft); color: var(--doubt); }

.notice, .failure, .empty, .card {
  max-width: none; margin: .8rem 0; padding: .8rem 1.1rem; border: 1px solid var(--line); border-radius: 8px;
  background: var(--paper);
}
.notice { border-left: 4px solid var(--accent); }
.failure { border-left: 4px solid var(--bad); overflow-wrap: anywhere; }
.empty { border-style: dashed; }
.empty .what, .failure .what { font-weight: 600; }
.why { margin: 0; padding-left: 1.2rem; overflow-wrap: anywhere; }
.why li { margin: .25rem 0; }

.cards { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 9rem), 1fr)); }
.cards .card { margin: 0; }
.card .label { color: var(--quiet); font-size: .85rem; margin: 0; }
.card .figure { font-size: 1.5rem; line-height: 1.3; font-weight: 620; letter-spacing: -.02em; margin: .1rem 0; }
.card .note { color: var(--quiet); font-size: .85rem; margin: 0; }

.charts { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, max(26rem, 50% - .4rem)), 1fr)); }
figure { margin: 0; padding: 1rem 1.1rem; border: 1px solid var(--line); border-radius: 8px; background: var(--paper); min-width: 0; }
figcaption p { color: var(--quiet); font-size: .88rem; margin: 0 0 .5rem; }
svg { display: block; width: 100%; max-width: 40rem; height: auto; }
svg text { font-size: 12px; fill: var(--quiet); }
.grid { stroke: var(--line); stroke-width: 1; }
.axis { stroke: var(--quiet); stroke-width: 1; }
rect.revenue { fill: var(--bar); }
rect.well { fill: var(--bar-good); }
rect.badly { fill: var(--bar-bad); }
.legend span { margin-right: 1rem; white-space: nowrap; }
.legend i { display: inline-block; width: .75em; height: .75em; border-radius: 2px; margin-right: .4em; }
i.revenue { background: var(--bar); }
i.well { background: var(--bar-good); }
i.badly { background: var(--bar-bad); }
details { margin-top: .5rem; }
summary { cursor: pointer; color: var(--accent); font-size: .88rem; width: fit-content; }

.scroll { position: relative; overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; background: var(--paper); margin: .6rem 0; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; padding: .6rem .8rem .3rem; color: var(--quiet); font-size: .85rem; }
th, td { padding: .42rem .8rem; text-align: left; vertical-align: top; border-top: 1px solid var(--line); }
thead th { border-top: 0; font-size: .82rem; color: var(--quiet); font-weight: 600; white-space: nowrap; }
tbody th { font-weight: 500; white-space: nowrap; }
tbody th p { white-space: normal; min-width: 14rem; }
table code { font-size: .84em; }
td.number, th.number { text-align: right; white-space: nowrap; }
td.time, td code, th code { white-space: nowrap; }
td.wide { min-width: 17rem; overflow-wrap: anywhere; }
td.wide code { white-space: normal; }
tbody tr:hover { background: color-mix(in srgb, var(--soft) 45%, transparent); }

.facts { display: grid; gap: .1rem 2rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); margin: .6rem 0; }
.facts div { display: flex; gap: .8rem; padding: .3rem 0; border-bottom: 1px solid var(--line); }
.facts dt { color: var(--quiet); flex: 0 0 8.5rem; }
.facts dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
pre {
  margin: .6rem 0; padding: 1rem; max-height: 40rem; overflow: auto; border: 1px solid var(--line); border-radius: 8px;
  background: var(--paper); line-height: 1.45;
}

form.filter, form.search { display: flex; flex-wrap: wrap; gap: .7rem 1rem; align-items: flex-end; margin: .6rem 0 1rem; }
form.change, form.sign-in { display: grid; gap: .9rem; max-width: 32rem; padding: 1.1rem; border: 1px solid var(--line); border-radius: 8px; background: var(--paper); }
form.change button, form.sign-in button { justify-self: start; }
.field { min-width: 0; }
.filter .field { flex: 1 1 10.5rem; max-width: 16rem; }
.search .field { flex: 1 1 18rem; max-width: 30rem; }
.search .hint { order: 9; }
label, legend { display: block; font-size: .88rem; font-weight: 600; margin-bottom: .25rem; }
fieldset { border: 1px solid var(--line); border-radius: 6px; margin: 0; padding: .6rem .9rem; min-width: 0; }
fieldset label { display: flex; gap: .5rem; font-weight: 400; overflow-wrap: anywhere; }
.hint { margin: .25rem 0 0; }
input:not([type=radio]), select {
  width: 100%; font: inherit; padding: .4rem .6rem; border: 1px solid var(--quiet); border-radius: 6px;
  background: var(--paper); color: var(--ink); min-height: 2.3rem;
}
button {
  font: inherit; font-weight: 600; padding: .4rem 1rem; min-height: 2.3rem; border: 1px solid var(--accent);
  border-radius: 6px; background: var(--accent); color: var(--accent-ink); cursor: pointer;
}
button:hover { filter: brightness(1.08); }
button.plain { background: transparent; color: var(--accent); border-color: transparent; }
button.plain:hover { background: var(--soft); }
.pager { display: flex; gap: 1.2rem; margin: .8rem 0; }

@media (max-width: 40rem) {
  header, main, footer { padding-left: 1rem; padding-right: 1rem; }
  header nav { order: 3; flex-basis: 100%; margin: 0 -.5rem; }
  header nav ul { gap: 0; justify-content: space-between; }
  header nav a { padding: .5em .45em; font-size: .9rem; }
  h1 { font-size: 1.4rem; margin-top: 1.1rem; }
  .filter .field { flex-basis: 8rem; max-width: none; }
  .filter .field:has([type=datetime-local]), .search .field { flex-basis: 100%; max-width: none; }
  .facts dt { flex-basis: 7rem; }
  th, td, caption { padding-left: .6rem; padding-right: .6rem; }
  tbody th p { min-width: 12.5rem; }
}
@media (prefers-reduced-motion: no-preference) { a, button { transition: background-color .12s; } }
@media print { header, .filter, .change, .pager, details { display: none; } body { background: #fff; } }
)css";

}  // namespace billing::worker::operators
