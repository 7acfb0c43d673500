import { loadOrt, openSession, runSession } from '../ort.js';
import { largest, pixelsOf } from './pixels.js';

export async function predict(photo: string): Promise<number> {
  const [ort, model, image] = await Promise.all([
    loadOrt('wasm', navigator.hardwareConcurrency),
    fetch('./nets/mobilenet_v2/model.onnx').then((response) => response.arrayBuffer()),
    pixelsOf(photo, 'nchw'),
  ]);
  const session = await openSession(ort, new Uint8Array(model), 'wasm');
  return largest(await runSession(ort, session, image, [1, 3, 224, 224]));
}
