// What the browser's decoder gives, against sharp: the same pixels that Python's imaging libraries would see. Needs www/dist.
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { after, before, test } from 'node:test';
import sharp from 'sharp';
import { launch } from './browser.mjs';
import { serve } from './server.mjs';

/** Two correct JPEG decoders may differ by their inverse transforms and chroma filters. */
const JPEG_DIFFERENCE = 4;
/** A canvas holds colours multiplied by their opacity, in 8 bits. */
const ALPHA_DIFFERENCE = 1;

let server;
let browser;
let page;

before(async () => {
  server = await serve({ site: fileURLToPath(new URL('../dist', import.meta.url)) });
  browser = await launch();
  page = await browser.newPage();
  await page.goto(`${server.url}index.js`);
});

after(async () => {
  await browser?.close();
  await server?.close();
});

/** Decodes in the browser, as the workers do. */
async function decode(bytes) {
  return page.evaluate(async ({ module, encoded }) => {
    const { decodeInBrowser } = await import(module);
    try {
      const { data, ...rest } = await decodeInBrowser(new Blob([Uint8Array.from(encoded)]));
      return { data: [...data], ...rest };
    } catch (error) {
      return { code: error.code };
    }
  }, { module: `${server.url}worker/decode-browser.js`, encoded: [...bytes] });
}

/** A picture without symmetry: colours run along both sides. */
function picture(width, height, channels = 3) {
  const data = Buffer.alloc(width * height * channels);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      [255 * x / width, 255 * y / height, 60, 40 + 200 * x / width].slice(0, channels).forEach((value, c) => { data[(y * width + x) * channels + c] = value; });
    }
  }
  return { data, image: sharp(data, { raw: { width, height, channels } }) };
}

const colours = (rgba) => rgba.filter((_, at) => at % 4 < 3);
const largestDifference = (a, b) => Math.max(...a.map((value, at) => Math.abs(value - b[at])));

test('opaque pixels arrive as they are', async () => {
  const { data, image } = picture(31, 17);
  const decoded = await decode(await image.png().toBuffer());
  assert.deepEqual([decoded.width, decoded.height, decoded.channels], [31, 17, 4]);
  assert.deepEqual(colours(decoded.data), [...data]);
});

test('a colour profile does not change them', async () => {
  const { data, image } = picture(31, 17);
  const tagged = await image.png().keepIccProfile().withIccProfile('p3', { attach: true }).toBuffer();
  const { data: stored } = await sharp(tagged, { ignoreIcc: true }).raw().toBuffer({ resolveWithObject: true });
  assert.notDeepEqual([...stored], [...data], 'the file holds other numbers than sRGB would');
  assert.deepEqual(colours((await decode(tagged)).data), [...stored]);
});

test('opacity is kept, and colours on white come out right', async () => {
  const { data, image } = picture(40, 10, 4);
  const decoded = await decode(await image.png().toBuffer());
  const onWhite = (rgba) => rgba.map((value, at) => 255 + (value - 255) * rgba[at - at % 4 + 3] / 255);
  assert.deepEqual(decoded.data.filter((_, at) => at % 4 === 3), [...data].filter((_, at) => at % 4 === 3));
  assert.ok(largestDifference(colours(onWhite(decoded.data)), colours(onWhite([...data]))) <= ALPHA_DIFFERENCE);
});

test('EXIF orientation is applied', async () => {
  for (const orientation of [1, 3, 6, 8]) {
    const jpeg = await picture(48, 32).image.jpeg({ quality: 100, chromaSubsampling: '4:4:4' }).withMetadata({ orientation }).toBuffer();
    const { data, info } = await sharp(jpeg).rotate().raw().toBuffer({ resolveWithObject: true });
    const decoded = await decode(jpeg);
    assert.deepEqual([decoded.width, decoded.height], [info.width, info.height], `orientation ${orientation}`);
    assert.ok(largestDifference(colours(decoded.data), data) <= JPEG_DIFFERENCE, `orientation ${orientation}`);
  }
});

test('what is no image is named so', async () => {
  const png = await picture(31, 17).image.png().toBuffer();
  for (const bytes of [[], [1, 2, 3], png.subarray(0, 20)]) assert.equal((await decode(bytes)).code, 'bad-image');
});
