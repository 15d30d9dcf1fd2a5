// The peer: `@puppeteer/replay` on a recording. For each line on the standard input it replays once, launch included,
// and prints the milliseconds. Node itself and the libraries are loaded before: only the run is timed.
import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [, , folder, recording, chromium] = process.argv;
const require = createRequire(`${folder}/package.json`);
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const puppeteer = (await load("puppeteer")).default;
const { createRunner, parse, PuppeteerRunnerExtension } = await load("@puppeteer/replay");
const flow = parse(JSON.parse(readFileSync(recording, "utf8")));

for await (const _ of createInterface({ input: process.stdin })) {
  const began = performance.now();
  const browser = await puppeteer.launch({ executablePath: chromium, headless: "shell", args: ["--no-sandbox"] });
  const page = await browser.newPage();
  await (await createRunner(flow, new PuppeteerRunnerExtension(browser, page))).run();
  console.log(performance.now() - began);
  await browser.close();
}
