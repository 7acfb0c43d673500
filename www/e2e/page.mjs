// Steps a person takes on the demo page, for the test and for scripts/demo.
import { copyFile, mkdir, mkdtemp, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Everything a user would see as broken in the console: errors, refused resources, policy violations. */
export function watchConsole(page) {
  const messages = [];
  page.on('console', (message) => {
    // The page asks whether sample photos lie beside it; «no» is an answer.
    if (message.type() === 'error' && !message.location().url.endsWith('/samples/samples.json')) messages.push(message.text());
  });
  page.on('pageerror', (error) => messages.push(String(error)));
  return messages;
}

export async function openPage(page, url, { timeout = 60_000 } = {}) {
  await page.goto(url);
  await page.locator('#model .lead').waitFor({ timeout });
}

/** A folder of class folders with `perClass` photos of each class, and the photos left over. */
export async function classFolders(photos, perClass) {
  const root = join(await mkdtemp(join(tmpdir(), 'regraft-photos-')), 'photos');
  const rest = [];
  for (const label of (await readdir(photos)).sort()) {
    await mkdir(join(root, label), { recursive: true });
    const files = (await readdir(join(photos, label))).sort();
    for (const file of files.slice(0, perClass)) await copyFile(join(photos, label, file), join(root, label, file));
    rest.push(...files.slice(perClass).map((file) => ({ label, file: join(photos, label, file) })));
  }
  return { root, rest };
}

export const photosInput = (page) => page.locator('#images input[webkitdirectory]');

/** Presses Train and waits for the result. */
export async function train(page, { timeout = 300_000 } = {}) {
  await page.getByRole('button', { name: /^Train/ }).click();
  await page.getByRole('button', { name: 'Stop' }).waitFor();
  await finished(page, { timeout });
}

/** Waits until the page is idle again; a problem it shows is thrown. */
export async function finished(page, { timeout = 300_000 } = {}) {
  await page.getByRole('button', { name: /^Train/ }).waitFor({ timeout });
  const problem = page.locator('#train .problem');
  if (await problem.count()) throw new Error(`the page says: ${await problem.innerText()}`);
}

/** A number the page states, marked `data-fact`. */
export async function fact(scope, name) {
  const value = Number(await scope.locator(`[data-fact="${name}"]`).getAttribute('value'));
  if (!Number.isFinite(value)) throw new Error(`the page states no number for ${name}`);
  return value;
}

export async function setOption(page, label, value) {
  await page.locator('#train .options').evaluate((details) => { details.open = true; });
  await page.getByLabel(label).fill(String(value));
}

/** Presses Download for a format; returns the download and what the page says of it. */
export async function download(page, format, { timeout = 60_000 } = {}) {
  const offer = page.locator(`.offer[data-format="${format}"]`);
  const arriving = page.waitForEvent('download', { timeout });
  await offer.getByRole('button', { name: /^Download/ }).click();
  const file = await arriving;
  await offer.locator('[data-fact="difference"]').waitFor();
  return { file, bytes: await fact(offer, 'bytes'), difference: await fact(offer, 'difference') };
}
