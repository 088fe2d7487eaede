// Sort a table by the column whose head is pressed; again, the other way round. Without this script the page is whole.
const number = text => {
  const found = text.replace(/−/g, "-").replace(/∞/g, "Infinity").replace(/,(?=\d{3})/g, "").match(/^-?(Infinity|[\d.]+(e[+-]?\d+)?)/);
  return found ? Number(found[0]) : NaN;
};
const compare = (a, b) => {
  const [x, y] = [number(a), number(b)];
  if (!isNaN(x) || !isNaN(y)) return isNaN(x) ? 1 : isNaN(y) ? -1 : x - y;
  return a.localeCompare(b, "en", {numeric: true});
};
for (const table of document.querySelectorAll("table.sortable")) {
  table.tHead.rows[0].querySelectorAll("th").forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const falling = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const text = row => row.cells[column].textContent.trim();
      const rows = [...table.tBodies[0].rows].sort((a, b) => compare(text(a), text(b)));
      table.tBodies[0].append(...(falling ? rows.reverse() : rows));
    });
  });
}
