"use strict";

// Charts: each is drawn when it comes near the window, from the specification beside it. Expressions are interpreted, never
// compiled, nothing is fetched, and what comes from data is text.
(() => {
  const LIGHT = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
  const DARK = ["#56b4e9", "#f0883e", "#33c79b", "#e3a1c5", "#f0c04a", "#9ad4f5"];
  const NARROWEST = 170; // width of a panel, from which on it gets a neighbour
  const AXES = 64; // pixels that axes of a panel take, about
  const NARROW = 60, PADDING = 10;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const nothing = { load: () => Promise.reject(new Error("nothing is fetched")), sanitize: () => Promise.reject(new Error("no links")) };

  const colours = () => (dark.matches ? DARK : LIGHT);
  // of a colour that a specification names, the one that is told from dark paper as well
  const SHADES = new Map([...LIGHT.map((colour, number) => [colour, DARK[number]]), ["#000000", "#e8eaee"], ["#888888", "#a2a9b4"]]);
  const shade = (colour) => (dark.matches && SHADES.get(colour.toLowerCase())) || colour;
  const shaded = (key, value) => (key === "range" && Array.isArray(value) ? value.map((each) => (typeof each === "string" ? shade(each) : each)) : value);

  function theme(element) {
    const style = getComputedStyle(element), colour = (name) => style.getPropertyValue(name).trim();
    const ink = colour("--ink") || "#1b1e23", muted = colour("--muted") || "#5b626d", line = colour("--line") || "#d5d9e0";
    const words = { labelColor: muted, titleColor: ink, labelFontSize: 11, titleFontSize: 12, titleFontWeight: "normal", labelLimit: 160, titleLimit: 400 };
    return {
      background: null, font: "system-ui, sans-serif", view: { stroke: null },
      axis: { ...words, gridColor: line, domainColor: muted, tickColor: muted, gridOpacity: 0.6, labelOverlap: true, titlePadding: 6 },
      header: { labelColor: ink, labelFontSize: 12, labelFontWeight: 600, labelPadding: 4 },
      legend: { ...words, disable: true, labelFontSize: 11, orient: "bottom" },
      title: { color: ink, fontSize: 12, fontWeight: 600, anchor: "start" },
      text: { color: ink }, rule: { strokeWidth: 1 }, line: { strokeWidth: 1.6 },
      range: { category: colours() },
      style: { guide: { stroke: muted, strokeDash: [4, 3] }, word: { fill: ink } },
    };
  }

  // Arrays over named dims become rows, one for each combination of coordinates; those without any number are left out.
  function unpack(packed) {
    if (Array.isArray(packed)) return packed;
    const names = Object.keys(packed.dims), sizes = names.map((name) => packed.dims[name].length);
    const count = sizes.reduce((product, size) => product * size, 1), rows = [];
    const values = Object.entries(packed.values).map(([name, [dims, flat]]) => {
      const steps = names.map(() => 0);
      let step = 1;
      for (const dim of [...dims].reverse()) {
        const at = names.indexOf(dim);
        steps[at] = step;
        step *= sizes[at];
      }
      return { name, flat, steps };
    });
    const at = names.map(() => 0);
    for (let number = 0; number < count; number++) {
      let rest = number;
      for (let dim = names.length - 1; dim >= 0; dim--) {
        at[dim] = rest % sizes[dim];
        rest = Math.floor(rest / sizes[dim]);
      }
      const row = {};
      names.forEach((name, dim) => (row[name] = packed.dims[name][at[dim]]));
      let found = false;
      for (const { name, flat, steps } of values) {
        row[name] = flat[steps.reduce((sum, step, dim) => sum + step * at[dim], 0)];
        found ||= row[name] !== null;
      }
      if (found) rows.push(row);
    }
    return rows;
  }

  const unpacked = new Map();
  function rowsOf(id) {
    if (!unpacked.has(id)) unpacked.set(id, unpack(JSON.parse(document.getElementById(id).textContent)));
    return unpacked.get(id);
  }

  // Panels get the width that there is, and fewer neighbours where it is little.
  function fitted(spec, width) {
    const made = structuredClone(spec), panels = made.concat ?? (made.facet ? [made.spec] : [made]);
    const most = made.concat || made.facet ? made.columns ?? 1 : 1;
    const known = made.facet ? made.facet.sort?.length ?? most : panels.length;
    const columns = Math.max(1, Math.min(most, known, Math.floor(width / (NARROWEST + AXES))));
    if (made.concat || made.facet) made.columns = columns;
    const each = Math.max(NARROW, Math.floor(width / columns - AXES));
    for (const panel of panels) {
      panel.width = each;
      if (typeof panel.title === "string") panel.title = { text: panel.title, limit: each };
    }
    return { made, columns, each, rows: Math.ceil(known / columns), high: panels[0].height ?? 200 };
  }

  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("role", "tooltip");
  tip.hidden = true;
  document.body.append(tip);

  function tell(_, event, item, value) {
    tip.hidden = value === null || value === undefined || value === "";
    if (tip.hidden) return;
    tip.replaceChildren();
    const list = document.createElement("dl");
    for (const [key, each] of Object.entries(typeof value === "object" ? value : { "": value })) {
      if (each === null || each === "null" || each === "NaN" || each === "undefined") continue;
      const name = document.createElement("dt"), said = document.createElement("dd");
      name.textContent = key.trim();
      said.textContent = each;
      list.append(name, said);
    }
    tip.append(list);
    const box = tip.getBoundingClientRect(), point = event.touches?.[0] ?? event;
    const left = Math.min(point.clientX + 14, innerWidth - box.width - 8), below = point.clientY + 16;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${below + box.height > innerHeight ? Math.max(8, point.clientY - box.height - 12) : below}px`;
  }
  addEventListener("scroll", () => (tip.hidden = true), { passive: true });
  addEventListener("keydown", (event) => event.key === "Escape" && (tip.hidden = true));

  class Chart {
    constructor(element) {
      this.element = element;
      this.spec = JSON.parse(element.querySelector("script").textContent);
      this.values = new Map(); // what the reader has set
      this.part = (name) => element.querySelector(`.${name}`);
      element.parentElement.classList.add("live");
      element.hidden = false;
      this.reserve();
    }

    reserve() {
      const { rows, high } = fitted(this.spec, this.element.clientWidth || 800);
      this.part("plot").style.setProperty("--expected", `${rows * (high + AXES)}px`);
    }

    draw() {
      const width = this.element.clientWidth;
      if (!width || (this.view && width === this.width)) return;
      if (!this.view) this.legend();
      this.width = width;
      const fit = fitted(this.spec, width);
      this.make(fit.made);
      // how much axes and legends take is known once they are drawn
      for (let round = 0; round < 3; round++) {
        const { x1, x2 } = this.view.scenegraph().root.bounds, over = Math.ceil(x2 - x1) + PADDING - width;
        if (over <= 0 && over > -8) break;
        const next = Math.max(NARROW, fit.each - Math.ceil((over + 2) / fit.columns));
        const same = (name, value) => /width$/i.test(name) && value === fit.each;
        const found = Object.entries(this.view.getState({ signals: () => true, data: () => false }).signals);
        for (const [name] of found.filter(([name, value]) => same(name, value))) this.view.signal(name, next);
        fit.each = next;
        this.view.resize().run();
      }
      this.part("plot").style.setProperty("--expected", "0");
    }

    make(fit) {
      const spec = { ...JSON.parse(JSON.stringify(fit), shaded), config: theme(this.element), autosize: undefined };
      spec.datasets = Object.fromEntries(Object.entries(this.spec.datasets).map(([name, id]) => [name, rowsOf(id)]));
      spec.params = (this.spec.params ?? []).map(({ bind, ...param }) => (this.values.has(param.name) ? { ...param, value: this.values.get(param.name) } : param));
      this.view?.finalize();
      const vega = actlasVega.compile(spec, { logger: quiet }).spec;
      this.view = new actlasVega.View(actlasVega.parse(vega, null, { ast: true }), { expr: actlasVega.expressionInterpreter, loader: nothing, hover: false });
      this.view.logLevel(1).tooltip(tell).initialize(this.part("plot")).hover().run();
      const plot = this.part("plot");
      plot.setAttribute("role", "img");
      plot.removeAttribute("aria-roledescription");
      plot.setAttribute("aria-label", `${this.spec.description}. The numbers are in the tables below.`);
    }

    set(name, value) {
      this.values.set(name, value);
      tip.hidden = true;
      this.view.signal(name, value).run();
    }

    // Controls and legend are the page's own: reached by keyboard, read aloud, wrapped on a phone.
    legend() {
      const controls = this.part("controls"), legend = this.part("legend");
      for (const param of this.spec.params ?? []) if (param.bind) controls.append(this.control(param));
      const series = this.spec.usermeta?.actlas?.series;
      if (!series || series.names.length < 2) return;
      this.buttons = series.names.map((name, number) => {
        const button = document.createElement("button"), swatch = document.createElement("span"), text = document.createElement("span");
        button.type = "button";
        button.setAttribute("aria-pressed", "true");
        button.title = "Show or hide";
        swatch.className = "swatch";
        text.textContent = name;
        button.append(swatch, text);
        button.addEventListener("click", () => {
          const hidden = new Set(this.values.get("hidden") ?? []);
          if (!hidden.delete(name)) hidden.add(name);
          button.setAttribute("aria-pressed", String(!hidden.has(name)));
          this.set("hidden", [...hidden]);
        });
        legend.append(button);
        return { swatch, number, own: series.colours?.[number], dashed: series.dashed?.[number] };
      });
      legend.setAttribute("role", "group");
      legend.setAttribute("aria-label", `Show or hide ${series.title}`);
      this.paint();
    }

    paint() {
      for (const { swatch, number, own, dashed } of this.buttons ?? []) {
        const colour = own ? shade(own) : colours()[number % colours().length];
        swatch.style.background = dashed ? `repeating-linear-gradient(90deg, ${colour} 0 .3rem, transparent .3rem .4rem)` : colour;
      }
    }

    control({ name, bind, value }) {
      const label = document.createElement("label"), text = document.createElement("span");
      text.textContent = bind.name.trim();
      label.append(text);
      if (bind.input === "range") {
        const input = document.createElement("input"), shown = document.createElement("output");
        Object.assign(input, { type: "range", min: bind.min, max: bind.max, step: bind.step, value });
        shown.className = "value";
        const say = () => {
          shown.textContent = input.value;
          input.setAttribute("aria-valuetext", `${bind.name.trim()} ${input.value}`);
        };
        input.addEventListener("input", () => {
          say();
          this.set(name, Number(input.value));
        });
        say();
        label.append(input, shown);
      } else {
        const select = document.createElement("select");
        bind.options.forEach((option, number) => select.add(new Option(bind.labels?.[number] ?? option, number, option === value, option === value)));
        select.addEventListener("change", () => this.set(name, bind.options[Number(select.value)]));
        label.append(select);
      }
      return label;
    }

    recolour() {
      this.paint();
      if (!this.view) return;
      this.width = 0;
      this.draw();
    }
  }

  const quiet = { level: () => quiet, error: (...said) => (console.error(...said), quiet), warn: () => quiet, info: () => quiet, debug: () => quiet };
  const charts = new Map([...document.querySelectorAll(".chart")].map((element) => [element, new Chart(element)]));
  const near = new IntersectionObserver((seen) => {
    for (const { isIntersecting, target } of seen) {
      if (!isIntersecting) continue;
      charts.get(target).seen = true;
      charts.get(target).draw();
    }
  }, { rootMargin: "400px" });
  const resized = new ResizeObserver((seen) => requestAnimationFrame(() => {
    for (const { target } of seen) if (charts.get(target).seen) charts.get(target).draw();
  }));
  for (const [element, chart] of charts) {
    element.chart = chart;
    near.observe(element);
    resized.observe(element);
  }
  dark.addEventListener("change", () => charts.forEach((chart) => chart.recolour()));
  // a chart without a picture beside it is printed itself
  addEventListener("beforeprint", () => charts.forEach((chart) => chart.draw()));
})();
