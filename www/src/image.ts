import type { ImageInput } from './api.js';
import { RegraftError } from './errors.js';
import type { Pixels, WireImage } from './protocol.js';

/** An image as it goes to the workers. What belongs to the caller is copied, what was made here may be moved. */
export async function toWireImage(image: ImageInput): Promise<{ image: WireImage; transfer: Transferable[] }> {
  if (image instanceof Blob) return { image, transfer: [] };
  if (image instanceof Uint8Array) return { image: new Blob([image as Uint8Array<ArrayBuffer>]), transfer: [] };
  if (typeof image === 'object' && image !== null && 'data' in image) {
    const pixels = copyPixels(image);
    return { image: pixels, transfer: [pixels.data.buffer] };
  }
  if (typeof image !== 'object' || image === null || typeof createImageBitmap === 'undefined') {
    throw new RegraftError('bad-image', `an image is a File or Blob, encoded bytes, pixels { data, width, height } or, in browsers, what can be drawn; not ${described(image)}`);
  }
  const bitmap = await toBitmap(image);
  return { image: bitmap, transfer: [bitmap] };
}

function described(value: unknown): string {
  return typeof value === 'object' && value !== null ? value.constructor?.name ?? 'an object' : JSON.stringify(value) ?? String(value);
}

function copyPixels(image: { data: Uint8Array | Uint8ClampedArray; width: number; height: number; channels?: number }): Pixels {
  const { data, width, height } = image;
  const channels = image.channels ?? data.length / (width * height);
  if (!ArrayBuffer.isView(data) || data.BYTES_PER_ELEMENT !== 1) throw new RegraftError('bad-image', 'its pixels are no array of bytes');
  const valid = Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0
    && [1, 3, 4].includes(channels) && data.length === width * height * channels;
  if (!valid) {
    throw new RegraftError('bad-image', `${data.length} bytes are not ${width}×${height} pixels of ${image.channels ?? '1, 3 or 4'} bytes each`);
  }
  return { data: Uint8Array.from(data), width, height, channels };
}

/** Pixels as stored: no colour management and no premultiplied alpha, as in Python's imaging libraries. */
const AS_STORED: ImageBitmapOptions = { imageOrientation: 'from-image', colorSpaceConversion: 'none', premultiplyAlpha: 'none' };

/** Anything a browser can draw, as an owned bitmap. */
export async function toBitmap(source: ImageBitmapSource): Promise<ImageBitmap> {
  try {
    return await createImageBitmap(source, AS_STORED);
  } catch (error) {
    throw new RegraftError('bad-image', `the browser cannot decode it: ${error instanceof Error ? error.message : String(error)}`);
  }
}
