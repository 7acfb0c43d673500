/// <reference lib="webworker" />
/** Decodes one photo and answers with a small JPEG: the page itself never decodes a full-size image. */

export interface ThumbnailRequest { id: string; file: Blob; side: number }
export type ThumbnailReply = { id: string; thumbnail: Blob } | { id: string; reason: string };

const JPEG_QUALITY = 0.82;

async function shrink(file: Blob, side: number): Promise<Blob> {
  const image = await createImageBitmap(file);
  try {
    const canvas = new OffscreenCanvas(side, side);
    const context = canvas.getContext('2d');
    if (!context) throw new Error('no 2d context');
    context.fillStyle = 'white'; // transparent parts show as the network sees them
    context.fillRect(0, 0, side, side);
    context.imageSmoothingQuality = 'high';
    const scale = side / Math.min(image.width, image.height);
    const width = image.width * scale;
    const height = image.height * scale;
    context.drawImage(image, (side - width) / 2, (side - height) / 2, width, height);
    return await canvas.convertToBlob({ type: 'image/jpeg', quality: JPEG_QUALITY });
  } finally {
    image.close();
  }
}

self.onmessage = async ({ data }: MessageEvent<ThumbnailRequest>) => {
  let reply: ThumbnailReply;
  try {
    reply = { id: data.id, thumbnail: await shrink(data.file, data.side) };
  } catch (error) {
    const unreadable = error instanceof DOMException && error.name === 'NotReadableError';
    reply = { id: data.id, reason: unreadable ? 'the file can no longer be read' : 'the browser cannot decode it' };
  }
  self.postMessage(reply);
};
