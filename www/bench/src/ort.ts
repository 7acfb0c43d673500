// ONNX Runtime Web.
import type * as Ort from 'onnxruntime-web';

export type OrtSession = Ort.InferenceSession;

/** Where the server has the files of the package. */
const FILES = './ort/';

/** `threads`: fixed by the first session of a page. */
export async function loadOrt(provider: 'wasm' | 'webgpu', threads: number): Promise<typeof Ort> {
  const file = provider === 'wasm' ? 'ort.wasm.min.mjs' : 'ort.webgpu.min.mjs';
  const ort = await import(/* @vite-ignore */ new URL(FILES + file, document.baseURI).href) as typeof Ort;
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = new URL(FILES, document.baseURI).href;
  return ort;
}

export function openSession(ort: typeof Ort, model: Uint8Array, provider: 'wasm' | 'webgpu'): Promise<OrtSession> {
  return ort.InferenceSession.create(model, { executionProviders: [provider], graphOptimizationLevel: 'all' });
}

export async function runSession(ort: typeof Ort, session: OrtSession, x: Float32Array, shape: readonly number[]): Promise<Float32Array> {
  const [input, output] = [session.inputNames[0] ?? '', session.outputNames[0] ?? ''];
  const results = await session.run({ [input]: new ort.Tensor('float32', x, shape) });
  return results[output]?.data as Float32Array;
}
