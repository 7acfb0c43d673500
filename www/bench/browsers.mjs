// Browsers that open one page after the other.
import { execFileSync } from 'node:child_process';
import { findChromium, launch } from '../e2e/browser.mjs';

/** What Firefox needs of its own: WebGPU on a software adapter, and no network of its own. */
const FIREFOX_SETTINGS = {
  'dom.webgpu.enabled': true, 'gfx.webgpu.ignore-blocklist': true, 'network.captive-portal-service.enabled': false, 'network.connectivity-service.enabled': false,
  'app.update.enabled': false, 'datareporting.policy.dataSubmissionEnabled': false, 'browser.safebrowsing.downloads.enabled': false,
};

/**
 * @typedef {{ version: string, open(url: string): Promise<void>, close(): Promise<void> }} Browser
 * @param {{ flags?: readonly string[], onLine?(text: string): void }} options
 * @returns {Promise<Browser>}
 */
export async function chromium({ flags = [], onLine = () => undefined } = {}) {
  const browser = await launch(['--js-flags=--max-old-space-size=8192', ...flags]);
  const context = await browser.newContext();
  let page;
  return {
    version: execFileSync(findChromium(), ['--version'], { encoding: 'utf8' }).trim(),
    async open(url) {
      await page?.close();
      page = await context.newPage();
      page.on('console', (message) => { if (message.type() === 'error' || message.type() === 'warning') onLine(message.text()); });
      page.on('crash', () => onLine('the page crashed'));
      await page.goto(url, { waitUntil: 'commit' });
    },
    close: () => browser.close(),
  };
}

/**
 * Debian's Firefox, which Playwright does not drive.
 * @param {{ geckodriver: string, firefox: string }} options
 * @returns {Promise<Browser>}
 */
export async function firefox({ geckodriver, firefox: binary }) {
  const { Builder } = await import('selenium-webdriver');
  const { Options, ServiceBuilder } = await import('selenium-webdriver/firefox.js');
  const options = new Options().setBinary(binary).addArguments('-headless');
  for (const [name, value] of Object.entries(FIREFOX_SETTINGS)) options.setPreference(name, value);
  const driver = await new Builder().forBrowser('firefox').setFirefoxOptions(options).setFirefoxService(new ServiceBuilder(geckodriver)).build();
  await driver.manage().setTimeouts({ pageLoad: 600_000 });
  const capabilities = await driver.getCapabilities();
  return {
    version: `Firefox ${capabilities.getBrowserVersion()}`,
    open: (url) => driver.get(url),
    close: () => driver.quit(),
  };
}
