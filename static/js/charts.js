// Draws each figure.chart from the table that stands in it: the first column names the points, each other a series.
// Without JavaScript the table alone tells all of it.
"use strict";

(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const number = (cell) => {
    const value = Number.parseFloat(cell.textContent);
    return Number.isNaN(value) ? null : value;
  };

  function seriesOf(table) {
    const heads = [...table.tHead.rows[0].cells];
    const rows = [...table.tBodies[0].rows];
    const drawn = heads.map((head, column) => ({ head, column })).slice(1).filter(({ head }) => head.dataset.plot !== "none");
    return {
      labels: rows.map((row) => row.cells[0].textContent.trim()),
      series: drawn.map(({ head, column }) => ({
        label: head.textContent.trim(),
        tone: head.dataset.tone ?? "accent",
        data: rows.map((row) => number(row.cells[column])),
      })),
      beside: heads.map((head, column) => ({ head, column })).filter(({ head }) => head.dataset.plot === "none")
        .map(({ head, column }) => ({ label: head.textContent.trim(), data: rows.map((row) => number(row.cells[column])) })),
    };
  }

  function datasets(kind, series) {
    return series.map(({ label, tone, data }, i) => {
      const drawn = colour(tone);
      // Of a calibration the second series is where the first should be.
      const line = kind === "line" || (kind === "calibration" && i > 0);
      return {
        label, data, type: line ? "line" : "bar", borderColor: drawn, backgroundColor: drawn,
        borderWidth: line ? 2 : 0, borderDash: kind === "calibration" && line ? [5, 4] : [],
        pointRadius: line && data.length > 1 && kind === "line" ? 0 : line ? (kind === "line" ? 3 : 0) : 0,
        pointHitRadius: 8, spanGaps: true, maxBarThickness: 46, order: line ? 0 : 1,
      };
    });
  }

  function draw(figure) {
    const { chart: kind, x, y, max } = figure.dataset;
    const { labels, series, beside } = seriesOf(figure.querySelector("table"));
    const canvas = figure.querySelector("canvas");
    Chart.getChart(canvas)?.destroy();
    const stacked = kind === "stacked";
    const scale = (text) => ({
      stacked, title: { display: true, text, color: colour("quiet") }, ticks: { color: colour("quiet"), precision: 0 },
      grid: { color: colour("line") }, border: { color: colour("line-strong") },
    });
    new Chart(canvas, {
      data: { labels, datasets: datasets(kind, series) },
      options: {
        animation: false, responsive: true, maintainAspectRatio: false, interaction: { mode: "index", intersect: false },
        scales: {
          x: { ...scale(x), grid: { display: false }, ticks: { color: colour("quiet"), maxRotation: 0, autoSkipPadding: 16 } },
          y: { ...scale(y), beginAtZero: true, max: max ? Number(max) : undefined },
        },
        plugins: {
          legend: { display: series.length > 1, position: "bottom", labels: { color: colour("ink"), boxWidth: 12, boxHeight: 12 } },
          tooltip: { callbacks: { afterBody: (items) => beside.map(({ label, data }) => `${label}: ${data[items[0].dataIndex] ?? 0}`) } },
        },
      },
    });
  }

  const drawAll = () => { for (const figure of document.querySelectorAll("figure.chart")) draw(figure); };
  // One that was pushed over the socket stands there with an empty canvas.
  const drawFresh = () => {
    for (const figure of document.querySelectorAll("figure.chart")) if (!Chart.getChart(figure.querySelector("canvas"))) draw(figure);
  };
  drawAll();
  document.addEventListener("htmx:wsAfterMessage", drawFresh);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
})();
