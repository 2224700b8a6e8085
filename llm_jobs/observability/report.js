"use strict";
// Narrows, searches, sorts and opens the rows of the page. Reads text; writes no markup.
(() => {
  const main = document.getElementById("rows");
  const rows = Array.from(main.children);
  const nav = document.querySelector("nav");
  const chips = Array.from(nav.querySelectorAll("input[type=checkbox]"));
  const search = nav.querySelector("input[type=search]");
  const order = nav.querySelector("select");
  const opener = nav.querySelector("button");
  const told = nav.querySelector("output");
  const texts = new Map();

  const text = (row) => {
    if (!texts.has(row)) texts.set(row, row.textContent.toLowerCase());
    return texts.get(row);
  };

  const narrow = () => {
    const groups = new Set(chips.filter((chip) => chip.checked).map((chip) => chip.value));
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      row.hidden = !(groups.has(row.dataset.group) && words.every((word) => text(row).includes(word)));
      if (!row.hidden) shown += 1;
    }
    told.textContent = shown === 1 ? "1 row" : shown.toLocaleString("en") + " rows";
  };

  const sort = () => {
    const sorted = Array.from(rows);
    const by = order.value;
    if (by === "row") sorted.sort((one, other) => one.dataset.row - other.dataset.row);
    else if (by !== "as listed") sorted.sort((one, other) => other.dataset[by] - one.dataset[by]);
    main.replaceChildren(...sorted);
  };

  const toggle = () => {
    const open = opener.textContent === "open all";
    for (const row of rows) if (!row.hidden) row.open = open;
    opener.textContent = open ? "close all" : "open all";
  };

  let waiting = 0;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(narrow, 120);
  });
  for (const chip of chips) chip.addEventListener("change", narrow);
  order.addEventListener("change", sort);
  opener.addEventListener("click", toggle);
  nav.hidden = false;
  narrow();
})();
