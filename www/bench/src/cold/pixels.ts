import { SIDE, normalize, scaled, type Layout } from '../pixels.js';

export async function pixelsOf(photo: string, layout: Layout): Promise<Float32Array> {
  const x = new Float32Array(3 * SIDE * SIDE);
  normalize(await scaled(await (await fetch(photo)).blob()), x, 0, layout);
  return x;
}

export const largest = (values: Float32Array): number => values.indexOf(Math.max(...values));
