import { RegraftError } from '../errors.js';
import type { Pixels, WireImage } from '../protocol.js';

/** Decodes with `sharp`, loaded when the first encoded image comes. EXIF orientation is applied, colour profiles are not. */
export async function decodeInNode(image: WireImage): Promise<Pixels> {
  if ('data' in image) return image;
  if (!(image instanceof Blob)) throw new RegraftError('bad-image', 'bitmaps exist in browsers alone');
  const { default: sharp } = await import('sharp').catch(() => {
    throw new RegraftError('bad-option', "encoded images need the package 'sharp' (npm install sharp); pixels as { data, width, height, channels } do not");
  });
  try {
    const encoded = Buffer.from(await image.arrayBuffer());
    const { data, info } = await sharp(encoded, { ignoreIcc: true }).rotate().toColourspace('srgb').raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    return { data: new Uint8Array(data), width: info.width, height: info.height, channels: info.channels };
  } catch (error) {
    throw new RegraftError('bad-image', `sharp cannot decode it: ${error instanceof Error ? error.message : String(error)}`);
  }
}
