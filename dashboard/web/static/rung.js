// The one script: live pieces, relative times, copy buttons, the filter as one types, keys.
"use strict";
(() => {
  const PACE = { fast: 700, brisk: 2000, slow: 10000 };
  const SLOWEST = 60000;

  // --- live pieces: fetch what a page's own fragment address gives, and swap in only what differs ---

  const live = { timer: 0, failures: 0, busy: null, since: Date.now(), crowd: 0, gone: false };
  const piece = () => document.querySelector("[data-live]");

  function schedule(delay) {
    clearTimeout(live.timer);
    const element = piece();
    const pace = PACE[element?.dataset.pace]; // none where nothing changes any more
    if (!pace || (document.hidden && pace === PACE.slow)) return;
    const wait = delay ?? Math.min((document.hidden ? PACE.slow : Math.max(pace, live.crowd)) * 2 ** live.failures, SLOWEST);
    live.timer = setTimeout(refresh, wait);
  }

  async function refresh() {
    const element = piece();
    if (!element || live.gone) return;
    live.busy?.abort();
    const busy = (live.busy = new AbortController());
    const stop = setTimeout(() => busy.abort("slow"), 20000);
    try {
      const address = new URL(element.dataset.live, location.href);
      address.searchParams.set("seen", element.dataset.version);
      const answer = await fetch(address, { signal: busy.signal, headers: { Accept: "text/html" }, redirect: "error" });
      if (answer.status === 401) {
        live.gone = true; // a second time would cut the first one short
        return location.reload();
      }
      live.crowd = Number(answer.headers.get("Rung-Pace")) || 0; // the more people watch, the longer each waits
      if (!answer.ok) throw new Error(String(answer.status));
      if (answer.status !== 204) swap(element, await answer.text());
      else tellLooked(element, answer.headers.get("Rung-Looked"));
      if (live.failures) element.querySelector("[data-stale]")?.setAttribute("hidden", "");
      live.failures = 0;
      live.since = Date.now();
    } catch (problem) {
      if (live.busy !== busy) return; // a newer question is on its way
      live.failures += 1;
      sayStale(element);
    } finally {
      clearTimeout(stop);
      if (live.busy === busy) schedule();
    }
  }

  function sayStale(element) {
    const note = element.querySelector("[data-stale]");
    if (!note || live.failures < 2) return;
    note.textContent = `no answer from Rung for ${span((Date.now() - live.since) / 1000)}`;
    note.hidden = false;
  }

  // Nothing has changed, and that is news too: "looked just now".
  function tellLooked(element, moment) {
    const time = element.querySelector("[data-looked] time");
    if (!time || !moment) return;
    time.dateTime = moment;
    time.title = `${moment.replace("T", " ").slice(0, 19)} UTC`;
    tellTimes(element);
  }

  function swap(element, html) {
    const fresh = new DOMParser().parseFromString(html, "text/html").body.firstElementChild;
    if (!fresh) return;
    const another = element.dataset.held && fresh.dataset.held !== element.dataset.held;
    element.querySelector("[data-newer]")?.toggleAttribute("hidden", !another);
    if (another) { // never another plan under the reader's eyes
      element.dataset.version = fresh.dataset.version;
      return;
    }
    keepingPlace(element, () => morph(element, fresh));
    document.title = element.dataset.title;
    const icon = document.querySelector('link[rel="icon"]');
    if (icon.getAttribute("href") !== element.dataset.icon) icon.href = element.dataset.icon;
    tidy(element);
  }

  // Whatever row stands at the top of what one reads keeps its place while rows come and go above it.
  function keepingPlace(element, change) {
    const pane = element.querySelector("[data-scroll]");
    const scroller = pane && pane.scrollHeight > pane.clientHeight ? pane : document.scrollingElement;
    const top = scroller === pane ? pane.getBoundingClientRect().top : 0;
    const anchor = scroller.scrollTop > 0
      ? [...element.querySelectorAll("[data-key]")].find((row) => row.getBoundingClientRect().bottom > top + 120)
      : null;
    const before = anchor?.getBoundingClientRect().top;
    change();
    if (anchor?.isConnected) scroller.scrollTop += anchor.getBoundingClientRect().top - before;
  }

  const keyOf = (node) => node.nodeType === 1 && (node.dataset.key || node.id || null);
  const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

  // Make `old` look like `fresh`, touching nothing that is the same: focus, selection and scroll stay.
  function morph(old, fresh) {
    if (old.nodeType !== 1) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    if (old.isEqualNode(fresh)) return;
    const mine = kept(old);
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && !mine.includes(name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value && !mine.includes(name)) old.setAttribute(name, value);
    }
    morphChildren(old, fresh);
  }

  // What the script or the reader has set is not the server's to take back.
  const KEPT = [["a, [data-grid] *", "tabindex"], ["[data-copy], [data-stale], [data-newer]", "hidden"], ["details", "open"]];
  const kept = (node) => KEPT.filter(([which]) => node.matches(which)).map(([, name]) => name);

  function morphChildren(old, fresh) {
    const keyed = new Map();
    for (const child of old.childNodes) if (keyOf(child)) keyed.set(keyOf(child), child);
    let here = old.firstChild;
    for (const wanted of [...fresh.childNodes]) {
      const known = keyOf(wanted) ? keyed.get(keyOf(wanted)) : null;
      if (known && alike(known, wanted)) {
        if (known === here) here = here.nextSibling;
        else old.insertBefore(known, here);
        morph(known, wanted);
      } else if (here && !keyOf(wanted) && alike(here, wanted)) {
        const next = here.nextSibling;
        morph(here, wanted);
        here = next;
      } else {
        old.insertBefore(wanted, here);
      }
    }
    while (here) {
      const next = here.nextSibling;
      here.remove();
      here = next;
    }
  }

  // --- times: "4 min ago" goes on counting, the absolute time in the reader's own zone is in reach ---

  function span(seconds) {
    if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s`;
    for (const [unit, name] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
      if (seconds >= unit) return `${Math.floor(seconds / unit)} ${name}`;
    }
  }

  function ago(moment) {
    const seconds = (Date.now() - moment) / 1000;
    return seconds < 5 ? "just now" : seconds < 14 * 86400 ? `${span(seconds)} ago` : null;
  }

  function tellTimes(root = document) {
    for (const element of root.querySelectorAll("time[data-ago]")) {
      const moment = new Date(element.dateTime);
      const there = moment.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
      if (!element.title.startsWith(there)) element.title = `${there}\n${element.title.split("\n").pop()}`;
      const text = ago(moment);
      if (text && element.textContent !== text) element.textContent = text;
    }
    for (const element of root.querySelectorAll("[data-since]")) {
      element.textContent = span((Date.now() - new Date(element.dataset.since)) / 1000);
    }
  }

  // --- copy buttons ---

  async function copy(button) {
    const said = button.querySelector("[data-said]");
    try {
      const from = button.dataset.copyFrom;
      await navigator.clipboard.writeText(from ? document.querySelector(from).textContent : button.dataset.copy);
      said.textContent = "Copied";
    } catch {
      said.textContent = "Not allowed here";
    }
    setTimeout(() => { said.textContent = "Copy"; }, 1600);
  }

  // --- the filter of the ladder, while one types; the address follows ---

  let typing = 0;
  function filter(form, wait) {
    clearTimeout(typing);
    typing = setTimeout(() => {
      const chosen = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
      const query = chosen.size ? `?${chosen}` : "";
      history.replaceState(null, "", `${location.pathname}${query}`);
      const element = piece();
      element.dataset.live = `${element.dataset.live.split("?")[0]}${query}`;
      element.dataset.version = "";
      refresh();
    }, wait);
  }

  // --- arrow keys in the ladder: one stop for Tab, then up, down, left, right ---

  const links = (row) => [...row.querySelectorAll("a")];

  function move(grid, event) {
    const row = event.target.closest("tbody tr, thead tr");
    const column = row ? links(row).indexOf(event.target.closest("a")) : -1;
    if (column < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const rows = [...grid.querySelectorAll("tr")].filter((one) => links(one).length);
    const at = rows.indexOf(row);
    const shift = row.parentElement.nodeName === "THEAD" ? 1 : 0; // heads have no link in the corner
    const goal = {
      ArrowDown: () => [at + 1, column + shift],
      ArrowUp: () => [at - 1, column + shift],
      ArrowLeft: () => [at, column + shift - 1],
      ArrowRight: () => [at, column + shift + 1],
      Home: () => [at, 0],
      End: () => [at, Infinity],
    }[event.key]?.();
    if (!goal || !rows[goal[0]]) return;
    const target = links(rows[goal[0]]);
    const back = rows[goal[0]].parentElement.nodeName === "THEAD" ? 1 : 0;
    const next = target[Math.min(goal[1] - back, target.length - 1)];
    if (!next) return;
    event.preventDefault();
    focusOnly(grid, next);
    next.focus();
  }

  function focusOnly(grid, link) {
    grid.querySelector('a[tabindex="0"]')?.setAttribute("tabindex", "-1");
    link.setAttribute("tabindex", "0");
  }

  function tidyGrid(grid) {
    const cells = grid.querySelectorAll("tbody a");
    for (const link of cells) if (!link.hasAttribute("tabindex")) link.setAttribute("tabindex", "-1");
    if (cells.length && !grid.querySelector('tbody a[tabindex="0"]')) cells[0].setAttribute("tabindex", "0");
  }

  // --- the list of keys; single ones can be turned off, for those who speak to their computer ---

  const SINGLE = "rung-single-keys";
  const keys = document.querySelector("dialog#keys");
  const remembers = (() => { try { return localStorage; } catch { return null; } })(); // storage may be shut
  const singleKeys = () => remembers?.getItem(SINGLE) !== "off";

  function showKeys() {
    if (!keys || keys.open) return;
    keys.querySelector("[data-single-keys]").checked = singleKeys();
    keys.showModal();
  }

  function pressed(event) {
    const writing = event.target.matches?.("input, textarea, select");
    if (writing || event.ctrlKey || event.metaKey || event.altKey || keys?.open || !singleKeys()) return;
    const search = event.key === "/" && document.querySelector('[data-filter] input[type="search"]');
    if (search) search.select();
    else if (event.key === "?" && keys) showKeys();
    else return;
    event.preventDefault();
  }

  // --- all together ---

  function tidy(root) {
    for (const button of root.querySelectorAll("[data-copy][hidden]")) button.hidden = false;
    for (const grid of root.querySelectorAll("[data-grid]")) tidyGrid(grid);
    tellTimes(root);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
    if (event.target.closest("[data-keys]")) showKeys();
  });
  document.addEventListener("input", (event) => {
    const form = event.target.closest("form[data-filter]");
    if (form) filter(form, event.target.type === "checkbox" ? 0 : 150);
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method === "dialog") return;
    if (form.matches("[data-filter]")) {
      event.preventDefault();
      filter(form, 0);
    } else if (form.dataset.sent) {
      event.preventDefault(); // the second of two clicks
    } else {
      form.dataset.sent = "1";
    }
  });
  document.addEventListener("keydown", (event) => {
    const grid = event.target.closest?.("[data-grid]");
    if (grid) move(grid, event);
    pressed(event);
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-single-keys]")) remembers?.setItem(SINGLE, event.target.checked ? "on" : "off");
  });
  document.addEventListener("focusin", (event) => {
    const grid = event.target.closest("[data-grid]");
    if (grid && event.target.closest("tbody a")) focusOnly(grid, event.target);
  });
  document.addEventListener("visibilitychange", () => schedule(0));
  addEventListener("pageshow", (event) => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
    if (event.persisted) schedule(0);
  });
  setInterval(() => { if (!document.hidden) tellTimes(); }, 1000);

  for (const zone of document.querySelectorAll("input[data-zone]")) zone.value = Intl.DateTimeFormat().resolvedOptions().timeZone;
  for (const button of document.querySelectorAll("[data-keys]")) button.hidden = false;
  tidy(document);
  schedule(piece()?.dataset.pace === "fast" ? 300 : 0);
})();
