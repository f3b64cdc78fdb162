"use strict";

const byId = (id) => document.getElementById(id);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

/* Light and dark: the system’s setting, until the reader chooses one. */
{
  const root = document.documentElement;
  const button = byId("theme");
  const kept = { read: () => { try { return localStorage.getItem("theme"); } catch { return null; } },
                 write: (theme) => { try { localStorage.setItem("theme", theme); } catch { /* not kept, then */ } } };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const show = () => button.setAttribute("aria-pressed", String(isDark()));
  root.dataset.theme = kept.read() || "";
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    kept.write(root.dataset.theme);
    show();
  });
  system.addEventListener("change", show);
  button.hidden = false;
  show();
}

/* Filters. A run is shown while a table that it is in is shown; a table with a verdict opens its claims. */
const filters = byId("filters");
function filter() {
  const { experiment, scale, outcome } = Object.fromEntries(new FormData(filters));
  const fits = ({ dataset }) =>
    (!experiment || dataset.experiment === experiment) && (!scale || dataset.scale === scale)
    && (!outcome || !dataset.outcome || dataset.outcome === outcome);
  const counted = (elements, one, many) => {
    const shown = elements.filter((element) => !element.hidden).length;
    return elements.length ? [`${shown} of ${elements.length} ${elements.length === 1 ? one : many}`] : [];
  };
  const [sweeps, verdicts, runs] = [".sweep", ".verdict", ".run"].map((name) => all(name));
  for (const element of [...sweeps, ...verdicts, ...all(".contents [data-scale]")]) element.hidden = !fits(element);
  for (const claims of all(".claims")) claims.open = Boolean(outcome) && all(".verdict", claims).some((verdict) => !verdict.hidden);
  const visible = new Set(sweeps.filter((sweep) => !sweep.hidden).map((sweep) => sweep.id));
  for (const run of runs) run.hidden = !run.dataset.sweeps.split(" ").some((sweep) => visible.has(sweep));
  byId("nothing").hidden = visible.size > 0;
  byId("runs").hidden = visible.size === 0;
  byId("shown").textContent = [
    ...counted(sweeps, "table", "tables"), ...counted(verdicts, "verdict", "verdicts"), ...counted(runs, "run", "runs"),
  ].join(", ");
}
filters.addEventListener("change", filter);
filters.addEventListener("reset", () => setTimeout(filter));
filters.addEventListener("submit", (event) => event.preventDefault());
filters.hidden = false;
filter();

/* Show, open and focus the element that the address names. */
function reveal() {
  let name = location.hash.slice(1);
  try { name = decodeURIComponent(name); } catch { /* as it stands */ }
  const target = name && byId(name);
  if (!target) return;
  if (target.closest("[hidden]")) {
    filters.reset();
    filter();
  }
  for (let details = target.closest("details"); details; details = details.parentElement.closest("details")) details.open = true;
  const run = target.closest(".run");
  (run || target).scrollIntoView();
  const focused = run ? run.querySelector("summary") : target;
  if (run || target.hasAttribute("tabindex")) focused.focus({ preventScroll: true });
}
addEventListener("hashchange", reveal);
/* A click on a link to the current hash fires no hashchange event, so it is handled here. */
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#']");
  if (link && link.hash === location.hash) reveal();
});
reveal();

/* A reader of a printed page cannot open a fold: open claims and notes before printing, and fold them again after it. */
addEventListener("beforeprint", () => {
  for (const fold of all(":is(.claims, .notes):not([open])")) { fold.open = true; fold.dataset.printed = ""; }
});
addEventListener("afterprint", () => { for (const fold of all("[data-printed]")) { fold.open = false; delete fold.dataset.printed; } });
