// The installed Chromium or Chrome, driven by Playwright.
import { execFileSync } from 'node:child_process';
import { chromium } from 'playwright-core';

const NAMES = ['/usr/bin/chromium', 'chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

const FLAGS = [
  '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
];

function works(path) {
  try {
    execFileSync(path, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

export function findChromium() {
  const { CHROMIUM, CHROME_BIN } = process.env;
  const path = [CHROMIUM, CHROME_BIN, ...NAMES].filter(Boolean).find(works);
  if (path) return path;
  throw new Error('No Chromium or Chrome found. Install one (scripts/setup, or apt-get install chromium), or set CHROMIUM to its path.');
}

/** @param {readonly string[]} flags beside those that a machine without screen and network needs */
export function launch(flags = []) {
  return chromium.launch({ executablePath: findChromium(), args: ['--headless=new', ...FLAGS, ...flags] });
}
