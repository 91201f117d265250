// What a page shows, as a file: figures as CSV, a chart as PNG.

/** A cell that a spreadsheet takes for text and never for a formula. */
export function cell(value: string | number | undefined): string {
  if (value === undefined) return "";
  if (typeof value === "number") return String(value);
  // A sheet runs what begins with one of these, even behind white space; an apostrophe makes it text.
  // A plain number with a sign is none.
  if (/^[+-]?\d[\d.,]*%?$/.test(value)) return value.includes(",") ? `"${value}"` : value;
  const text = /^[\s\0]*[=+\-@\t\r＝＋－＠]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export type Rows = (string | number | undefined)[][];

/** Lines as RFC 4180 has them, with the mark by which spreadsheets read UTF-8. */
export const csv = (rows: Rows): string => `\uFEFF${rows.map((row) => row.map(cell).join(",")).join("\r\n")}\r\n`;

function save(name: string, content: Blob): void {
  const url = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  // The browser has taken it by the next turn.
  setTimeout(() => URL.revokeObjectURL(url));
}

const day = () => new Date().toISOString().slice(0, 10);
const fileName = (title: string, kind: string) => `zhili-${title.replaceAll(/[^\p{L}\p{N}.]+/gu, "-")}-${day()}.${kind}`;

export const saveCsv = (title: string, rows: Rows): void => save(fileName(title, "csv"), new Blob([csv(rows)], { type: "text/csv;charset=utf-8" }));

/** The rows of the tables in a part of a page, as they are read. */
export function rowsOf(element: Element): Rows {
  const rows: Rows = [];
  for (const row of element.querySelectorAll("tr")) {
    rows.push(
      [...row.querySelectorAll("th, td")].map((one) => {
        const words = (one as HTMLElement).innerText.replaceAll(/\s+/g, " ").trim();
        // What a bar shows it says to those who do not see it.
        return words || (one.querySelector("[aria-label]")?.getAttribute("aria-label") ?? "");
      }),
    );
  }
  return rows;
}

const colors = ["color", "fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity", "fill-opacity", "font-size", "font-family", "font-weight"];

/** A drawing with the styles that it has here, which it would not have in a file. */
function standalone(svg: SVGSVGElement): string {
  const copy = svg.cloneNode(true) as SVGSVGElement;
  const from = [svg, ...svg.querySelectorAll("*")];
  const to = [copy, ...copy.querySelectorAll("*")];
  from.forEach((one, n) => {
    const style = getComputedStyle(one);
    for (const name of colors) (to[n] as SVGElement).style.setProperty(name, style.getPropertyValue(name));
  });
  const { width, height } = svg.getBoundingClientRect();
  copy.setAttribute("width", String(width));
  copy.setAttribute("height", String(height));
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  return new XMLSerializer().serializeToString(copy);
}

/** The chart in a part of a page on the page's ground, under its title. */
export async function savePng(title: string, element: Element): Promise<void> {
  const drawn = element.querySelector("canvas");
  const svg = element.querySelector("svg");
  const scale = devicePixelRatio;
  let picture: HTMLCanvasElement | HTMLImageElement;
  let [width, height] = [0, 0];
  if (drawn) {
    picture = drawn;
    [width, height] = [drawn.width, drawn.height];
  } else if (svg) {
    const box = svg.getBoundingClientRect();
    [width, height] = [box.width * scale, box.height * scale];
    picture = new Image(width, height);
    picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(standalone(svg))}`;
    await picture.decode();
  } else return;
  const head = 36 * scale;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height + head];
  const context = canvas.getContext("2d");
  if (!context) return;
  const style = getComputedStyle(document.documentElement);
  context.fillStyle = style.getPropertyValue("--panel").trim();
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = style.getPropertyValue("--ink").trim();
  context.font = `600 ${15 * scale}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  context.fillText(title, 12 * scale, head / 2);
  context.drawImage(picture, 0, head, width, height);
  const content = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/png"));
  if (content) save(fileName(title, "png"), content);
}
