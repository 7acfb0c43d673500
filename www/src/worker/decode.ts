import { RegraftError } from '../errors.js';
import type { Pixels, WireImage } from '../protocol.js';

/** Decodes an image as the platform can. Rejects with 'bad-image'. */
export type Decode = (image: WireImage) => Promise<Pixels>;

/** The same pixels, if there are any. */
export function usable(pixels: Pixels): Pixels {
  const { data, width, height, channels } = pixels;
  if (data.length === 0 || data.length !== width * height * channels) throw new RegraftError('bad-image', 'it has no pixels');
  return pixels;
}
