// What a page without our package does to make a photo the input of MobileNetV2: the browser decodes and scales.

export const SIDE = 224;
export type Layout = 'nchw' | 'nhwc';

const [MEAN, STD] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];

export async function scaled(photo: Blob): Promise<ImageData> {
  const bitmap = await createImageBitmap(photo, { resizeWidth: SIDE, resizeHeight: SIDE, resizeQuality: 'medium' });
  const canvas = new OffscreenCanvas(SIDE, SIDE);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (!context) throw new Error('no canvas');
  context.fillStyle = 'white';
  context.fillRect(0, 0, SIDE, SIDE);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, SIDE, SIDE);
}

/** Writes image `at` of a batch. */
export function normalize({ data }: ImageData, into: Float32Array, at: number, layout: Layout): void {
  const pixels = SIDE * SIDE;
  for (let c = 0; c < 3; c++) {
    const [scale, shift] = [1 / (255 * STD[c]!), MEAN[c]! / STD[c]!];
    for (let p = 0; p < pixels; p++) into[at * 3 * pixels + (layout === 'nchw' ? c * pixels + p : p * 3 + c)] = data[p * 4 + c]! * scale - shift;
  }
}
