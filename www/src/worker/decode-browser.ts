import { toBitmap } from '../image.js';
import { RegraftError } from '../errors.js';
import type { Pixels, WireImage } from '../protocol.js';

let canvas: OffscreenCanvas | undefined;

/** Decodes with the browser's own codecs. EXIF orientation is applied. */
export async function decodeInBrowser(image: WireImage): Promise<Pixels> {
  if ('data' in image) return image;
  const bitmap = image instanceof Blob ? await toBitmap(image) : image;
  try {
    const { width, height } = bitmap;
    canvas ??= new OffscreenCanvas(width, height);
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext('2d', { willReadFrequently: true });
    if (!context) throw new RegraftError('internal', 'no 2D canvas in this worker');
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    return { data: new Uint8Array(data.buffer), width, height, channels: 4 };
  } catch (error) {
    if (error instanceof RegraftError) throw error;
    throw new RegraftError('bad-image', `its pixels cannot be read: ${String(error)}`);
  } finally {
    bitmap.close();
  }
}
