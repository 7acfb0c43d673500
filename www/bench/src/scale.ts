// Cost as work grows: photos to features through the package.
import { createEngine, type Sample } from 'regraft';
import type { Row } from './report.js';

const [SIDE, BLOBS] = [256, 64];

/** Photos of coloured blots, small files. */
async function drawn(seed: number): Promise<Blob> {
  const canvas = new OffscreenCanvas(SIDE, SIDE);
  const context = canvas.getContext('2d');
  if (!context) throw new Error('no canvas');
  for (let i = 0; i < 24; i++) {
    context.fillStyle = `hsl(${(seed * 67 + i * 41) % 360} 70% ${30 + (i * 17) % 50}%)`;
    context.beginPath();
    context.arc((seed * 31 + i * 53) % SIDE, (seed * 17 + i * 29) % SIDE, 20 + (i * 13) % 60, 0, 2 * Math.PI);
    context.fill();
  }
  return canvas.convertToBlob({ type: 'image/jpeg', quality: 0.8 });
}

export interface Scale { title: string; unit: string; timings: readonly never[]; scale: { count: number; seconds: Record<string, number>; wasmBytes: number; peakBytes: number; jsBytes: number } }

export async function scaleRow(count: number): Promise<Row & Scale> {
  const blobs = await Promise.all(Array.from({ length: BLOBS }, (_, at) => drawn(at)));
  const engine = await createEngine();
  const model = await engine.load('./nets/head/model.regraft', { cache: false });
  const labels = model.labels ?? [];
  // Each its own file, as a user's are.
  const samples = function* (): Generator<Sample> {
    for (let at = 0; at < count; at++) {
      const blob = blobs[at % BLOBS]!;
      yield { image: blob.slice(0, blob.size, blob.type), label: labels[at % labels.length] ?? '', id: `photo ${at}` };
    }
  };
  const timed = async <T>(work: Promise<T>): Promise<[T, number]> => {
    const begin = performance.now();
    return [await work, (performance.now() - begin) / 1000];
  };
  let wasmBytes = 0;
  const watch = setInterval(() => void engine.memory().then((memory) => (wasmBytes = Math.max(wasmBytes, memory.wasmBytes))), 500);
  const [data, read] = await timed(engine.dataset(samples()));
  const helper = model.transferLearningHelper();
  const [features, featurized] = await timed(helper.featurize(data));
  const [, fitted] = await timed(helper.fitFeaturized(features, { epochs: 1, batchSize: 32 }));
  clearInterval(watch);
  const memory = await engine.memory();
  const { measureUserAgentSpecificMemory: measure } = performance as { measureUserAgentSpecificMemory?(): Promise<{ bytes: number }> };
  const jsBytes = measure ? (await measure.call(performance)).bytes : NaN;
  await engine.dispose();
  return {
    title: `${count} photos: read, featurized, one epoch`, unit: 'image', timings: [],
    scale: { count, seconds: { read, featurized, fitted }, wasmBytes: Math.max(wasmBytes, memory.wasmBytes), peakBytes: memory.peakBytes, jsBytes },
    notes: [[
      `read ${read.toFixed(2)} s, featurized ${featurized.toFixed(2)} s (${(1000 * featurized / count).toFixed(2)} ms an image), one epoch ${fitted.toFixed(2)} s`,
      `wasm ${(Math.max(wasmBytes, memory.wasmBytes) / 1e6).toFixed(1)} MB, page and workers ${(jsBytes / 1e6).toFixed(1)} MB`,
    ].join('; ')],
  };
}
