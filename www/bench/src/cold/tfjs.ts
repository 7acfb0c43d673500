import { forward, tf, useTfjs, weightsOf } from '../tfjs.js';
import { loadNet } from '../program.js';
import { largest, pixelsOf } from './pixels.js';

export async function predict(photo: string): Promise<number> {
  const [net, image] = await Promise.all([loadNet('./nets/mobilenet_v2'), pixelsOf(photo, 'nhwc'), useTfjs('wasm', navigator.hardwareConcurrency)]);
  const y = forward(net, weightsOf(net), tf.tensor(image, [1, 224, 224, 3]));
  return largest(await y.data() as Float32Array);
}
