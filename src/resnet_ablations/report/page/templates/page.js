"use strict";

const byId = (id) => document.getElementById(id);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

/* Light and dark: as the system has it, until the reader says otherwise. */
{
  const root = document.documentElement;
  const button = byId("theme");
  const kept = { read: () => { try { return localStorage.getItem("theme"); } catch { return null; } },
                 write: (theme) => { try { localStorage.setItem("theme", theme); } catch { /* not kept, then */ } } };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const show = () => button.setAttribute("aria-pressed", String(isDark()));
  const theme = kept.read();
  if (theme === "dark" || theme === "light") root.dataset.theme = theme;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    kept.write(root.dataset.theme);
    show();
  });
  system.addEventListener("change", show);
  button.hidden = false;
  show();
}

/* Filters. A run is shown as long as one of the sweeps is that it stands in. */
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
  const [sweeps, verdicts, runs, claims] = [".sweep", ".verdict", ".run", ".claim"].map((name) => all(name));
  for (const element of [...sweeps, ...verdicts, ...all(".contents [data-scale]")]) element.hidden = !fits(element);
  for (const claim of claims) claim.hidden = all(".verdict", claim).every((verdict) => verdict.hidden);
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

/* Whatever an address names is shown, opened and focused. */
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
/* The same address once more changes no hash. */
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#']");
  if (link && link.hash === location.hash) reveal();
});
reveal();

/* Values under the pointer and by arrow keys. */
const SVG = "http://www.w3.org/2000/svg";
const tip = byId("tip");
function showTip(lines, x, y) {
  tip.replaceChildren(...lines.map((line, index) => {
    const element = document.createElement(index ? "span" : "b");
    element.textContent = line;
    return element;
  }));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const beside = x + 14 + width < document.documentElement.clientWidth - 8 ? x + 14 : Math.max(8, x - 14 - width);
  tip.style.left = `${scrollX + Math.max(8, Math.min(beside, document.documentElement.clientWidth - width - 8))}px`;
  tip.style.top = `${scrollY + (y - height - 14 > 0 ? y - height - 14 : y + 14)}px`;
}
for (const plot of all("[data-plot]")) {
  const { box: [left, top, right, bottom], x: [from, to], at: unit, curves } = JSON.parse(plot.dataset.plot);
  const { width: across } = plot.viewBox.baseVal;
  const share = (value, low, high, log) =>
    (log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low));
  for (const curve of curves) {
    const [low, high, log] = curve.y;
    curve.points = curve.at.map((at, index) => ({
      at, value: curve.values[index], curve, index,
      x: left + (right - left) * share(at, from, to),
      y: bottom + (top - bottom) * share(curve.values[index], low, high, log),
    })).filter(({ x, y }) => x <= right + 1 && y >= top - 1 && y <= bottom + 1);
  }
  const drawn = curves.filter((curve) => curve.points.length);
  if (!drawn.length) continue;

  const spot = document.createElementNS(SVG, "circle");
  spot.setAttribute("class", "spot");
  spot.setAttribute("r", "6");
  spot.setAttribute("visibility", "hidden");
  plot.append(spot);
  let current = null;

  const nearest = (points, distance) => points.reduce((best, point) => (distance(point) < distance(best) ? point : best));
  const said = ({ at, curve, value }) => {
    /* The other quantities of the same run, where it has them nearest. */
    const others = drawn.filter((other) => other !== curve && other.run === curve.run && other.label === curve.label)
      .map((other) => nearest(other.points, (point) => Math.abs(point.at - at)));
    const values = [{ at, curve, value }, ...others].map((point) =>
      `${point.curve.shows} ${point.value}${point.curve.unit}${point.at === at ? "" : ` (at ${point.at.toLocaleString("en")})`}`);
    const name = curve.run && curve.run !== curve.label ? [curve.label, curve.run] : [curve.label];
    return [...name, `${unit} ${at.toLocaleString("en")}`, ...values];
  };
  const show = (point, aloud = false) => {
    current = point;
    spot.setAttribute("cx", point.x);
    spot.setAttribute("cy", point.y);
    spot.setAttribute("visibility", "visible");
    const lines = said(point);
    const place = plot.getBoundingClientRect();
    const scale = place.width / across;
    showTip(lines, place.left + point.x * scale, place.top + point.y * scale);
    if (aloud) byId("said").textContent = lines.join(", ");
  };
  const hide = () => {
    if (!current) return;
    current = null;
    tip.hidden = true;
    spot.setAttribute("visibility", "hidden");
  };

  const follow = (event) => {
    const place = plot.getBoundingClientRect();
    const [x, y] = [event.clientX - place.left, event.clientY - place.top].map((pixels) => pixels * across / place.width);
    const point = nearest(drawn.flatMap((curve) => curve.points), (candidate) => Math.hypot(candidate.x - x, candidate.y - y));
    if (Math.hypot(point.x - x, point.y - y) < 40) show(point);
    else hide();
    plot.style.cursor = current && current.curve.to ? "pointer" : "";
  };
  plot.addEventListener("pointermove", follow);
  plot.addEventListener("pointerdown", follow);
  plot.addEventListener("blur", hide);
  /* A finger is lifted and leaves; what it has found stays to be read until the next touch. */
  plot.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") hide(); });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  document.addEventListener("pointerdown", (event) => { if (!plot.contains(event.target)) hide(); });
  plot.addEventListener("click", (event) => {
    if (event.pointerType !== "touch" && current && current.curve.to) location.hash = current.curve.to;
  });

  plot.setAttribute("role", "application");
  plot.setAttribute("aria-roledescription", "chart");
  plot.setAttribute("tabindex", "0");
  plot.setAttribute("aria-describedby", `${plot.getAttribute("aria-describedby")} keys`);
  plot.addEventListener("keydown", (event) => {
    const along = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const over = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (event.key === "Enter" && current && current.curve.to) location.hash = current.curve.to;
    else if (along || over) {
      if (!current) show(drawn[0].points.at(-1), true);
      else if (along) {
        const { points } = current.curve;
        show(points[Math.max(0, Math.min(points.length - 1, points.indexOf(current) + along))], true);
      } else {
        const { points } = drawn[(drawn.indexOf(current.curve) + over + drawn.length) % drawn.length];
        const { at } = current;
        show(nearest(points, (point) => Math.abs(point.at - at)), true);
      }
    } else return;
    event.preventDefault();
  });
}

/* Dots are links that say what they stand for; the Tab key stops once at all of a picture's. */
for (const plot of all("[data-dots]")) {
  const dots = all("a", plot);
  if (!dots.length) continue;
  const stop = (dot) => dots.forEach((other) => other.setAttribute("tabindex", other === dot ? "0" : "-1"));
  stop(dots[0]);
  plot.setAttribute("aria-describedby", "dot-keys");
  const show = (event) => {
    const dot = event.target.closest("a");
    if (!dot) return;
    const { left, top, width, height } = dot.lastElementChild.getBoundingClientRect();
    showTip(dot.getAttribute("aria-label").split("; "), left + width / 2, top + height / 2);
  };
  const hide = () => { tip.hidden = true; };
  for (const name of ["pointerover", "focusin"]) plot.addEventListener(name, show);
  for (const name of ["pointerout", "focusout"]) plot.addEventListener(name, hide);
  plot.addEventListener("focusin", (event) => stop(event.target.closest("a")));
  plot.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (event.key === "Escape") hide();
    if (!by) return;
    dots[Math.max(0, Math.min(dots.length - 1, dots.indexOf(event.target.closest("a")) + by))].focus();
    event.preventDefault();
  });
}
