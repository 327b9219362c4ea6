'use strict';

/**
 * A chart as SVG: small panels side by side, each with lines on two logarithmic scales, and one legend for all. On a
 * white ground of its own, so that it reads the same on a light page and on a dark one.
 */

const PANELS_PER_LINE = 3;
const PANEL = { width: 330, height: 250, left: 62, right: 18, top: 34, bottom: 36 };
const LEGEND_ENTRY_WIDTH = 330;
const LEGEND_LINE_HEIGHT = 20;
const MARGIN = 16;
const TITLE_HEIGHT = 46;

/**
 * @typedef {object} Series
 * @property {string} label
 * @property {string} colour
 * @property {boolean} [dashed]
 * @property {boolean} [strong]
 *
 * @typedef {object} Panel
 * @property {string} title
 * @property {(value: number) => string} format of the vertical scale
 * @property {Record<string, [x: number, y: number][]>} lines points by key of the series
 *
 * @typedef {object} Chart
 * @property {string} title
 * @property {string} note
 * @property {Record<string, Series>} series
 * @property {Panel[]} panels
 */

/** @param {string} text may have Markdown's marks of code */
function escaped(text) {
  return text
    .replaceAll('`', '')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

/**
 * `1.00 ms` as a scale says it.
 * @param {string} text
 */
function tick(text) {
  return text.replace(/\.0+(?!\d)/, '');
}

/** @param {number} number */
function rounded(number) {
  return Number(number.toFixed(1));
}

/**
 * Powers of ten around the values.
 * @param {number[]} values above 0
 */
function decadesAround(values) {
  const first = Math.floor(Math.log10(Math.min(...values)));
  const last = Math.max(first + 1, Math.ceil(Math.log10(Math.max(...values))));
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

/**
 * @param {Panel} panel
 * @param {Record<string, Series>} series
 */
function drawPanel({ title, format, lines }, series) {
  const drawn = Object.keys(series)
    .filter((key) => lines[key]?.length > 0)
    // What matters most lies on top.
    .sort((left, right) => Number(series[left].strong ?? false) - Number(series[right].strong ?? false));
  const points = drawn.flatMap((key) => lines[key]);
  const { width, height, left, right, top, bottom } = PANEL;
  const parts = [
    `<text x="${left}" y="18" class="panel">${escaped(title)}</text>`,
    `<rect x="${left}" y="${top}" width="${width - left - right}" height="${height - top - bottom}" class="frame"/>`,
  ];
  if (points.length === 0) {
    return [...parts, `<text x="${left + 10}" y="${top + 24}" class="scale">nothing measured</text>`].join('\n');
  }
  const sizes = [...new Set(points.map(([x]) => x))].sort((one, other) => one - other);
  const decades = decadesAround(points.map(([, y]) => y));
  const margin = 14;
  const span = Math.log10(sizes.at(-1) / sizes[0]) || 1;
  const placeX = (x) => left + margin + ((width - left - right - 2 * margin) * Math.log10(x / sizes[0])) / span;
  const placeY = (y) =>
    height - bottom - ((height - top - bottom) * (Math.log10(y) - decades[0])) / (decades.at(-1) - decades[0]);
  for (const decade of decades) {
    const y = rounded(placeY(10 ** decade));
    parts.push(
      `<line x1="${left}" x2="${width - right}" y1="${y}" y2="${y}" class="grid"/>`,
      `<text x="${left - 6}" y="${y + 4}" class="scale end">${escaped(tick(format(10 ** decade)))}</text>`,
    );
  }
  for (const size of sizes) {
    const x = rounded(placeX(size));
    parts.push(
      `<line x1="${x}" x2="${x}" y1="${top}" y2="${height - bottom}" class="grid"/>`,
      `<text x="${x}" y="${height - bottom + 16}" class="scale middle">${size.toLocaleString('en')}</text>`,
    );
  }
  for (const key of drawn) {
    const { colour, dashed, strong } = series[key];
    const places = lines[key].map(([x, y]) => [rounded(placeX(x)), rounded(placeY(y))]);
    parts.push(
      `<polyline points="${places.map((place) => place.join(',')).join(' ')}" fill="none" stroke="${colour}" ` +
        `stroke-width="${strong ? 3 : 1.6}"${dashed ? ' stroke-dasharray="5 4"' : ''} stroke-linejoin="round"/>`,
      ...places.map(([x, y]) => `<circle cx="${x}" cy="${y}" r="${strong ? 4 : 2.6}" fill="${colour}"/>`),
    );
  }
  return parts.join('\n');
}

/**
 * @param {Series[]} series
 * @param {number} perLine
 */
function drawLegend(series, perLine) {
  return series
    .map(({ label, colour, dashed, strong }, index) => {
      const x = (index % perLine) * LEGEND_ENTRY_WIDTH;
      const y = Math.floor(index / perLine) * LEGEND_LINE_HEIGHT + 12;
      const line =
        `<line x1="${x}" x2="${x + 26}" y1="${y - 4}" y2="${y - 4}" stroke="${colour}" ` +
        `stroke-width="${strong ? 3 : 1.6}"${dashed ? ' stroke-dasharray="5 4"' : ''}/>`;
      return `${line}<text x="${x + 34}" y="${y}" class="${strong ? 'legend strong' : 'legend'}">${escaped(label)}</text>`;
    })
    .join('\n');
}

/**
 * @param {Chart} chart
 * @returns {string} the text of an SVG file
 */
function drawChart({ title, note, series, panels }) {
  const shown = Object.keys(series).filter((key) => panels.some(({ lines }) => lines[key]?.length > 0));
  const columns = Math.min(PANELS_PER_LINE, panels.length);
  const width = 2 * MARGIN + columns * PANEL.width;
  const legendTop = MARGIN + TITLE_HEIGHT;
  const legendHeight = Math.ceil(shown.length / columns) * LEGEND_LINE_HEIGHT + 14;
  const height = legendTop + legendHeight + Math.ceil(panels.length / columns) * PANEL.height + MARGIN;
  const drawnPanels = panels.map((panel, index) => {
    const x = MARGIN + (index % columns) * PANEL.width;
    const y = legendTop + legendHeight + Math.floor(index / columns) * PANEL.height;
    return `<g transform="translate(${x} ${y})">\n${drawPanel(panel, series)}\n</g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<title>${escaped(title)}</title>
<style>
text { font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #222; }
.title { font-size: 17px; font-weight: 600; }
.note, .scale { font-size: 11px; fill: #555; }
.panel { font-size: 13px; font-weight: 600; }
.legend { font-size: 12px; }
.strong { font-weight: 600; }
.end { text-anchor: end; }
.middle { text-anchor: middle; }
.frame { fill: none; stroke: #bbb; }
.grid { stroke: #e6e6e6; }
</style>
<rect width="${width}" height="${height}" fill="#fff"/>
<text x="${MARGIN}" y="${MARGIN + 14}" class="title">${escaped(title)}</text>
<text x="${MARGIN}" y="${MARGIN + 33}" class="note">${escaped(note)}</text>
<g transform="translate(${MARGIN} ${legendTop})">
${drawLegend(
  shown.map((key) => series[key]),
  columns,
)}
</g>
${drawnPanels.join('\n')}
</svg>
`;
}

module.exports = { drawChart };
