import { createEngine } from 'regraft';

export async function predict(photo: string): Promise<number> {
  // All at once, as a page that is in a hurry does.
  const [engine, bytes, image] = await Promise.all([
    createEngine(),
    fetch('./nets/mobilenet_v2/model.onnx').then((response) => response.blob()),
    fetch(photo).then((response) => response.blob()),
  ]);
  const model = await engine.load(bytes);
  const [best] = await model.predict(image, { topK: 1 });
  return best?.index ?? -1;
}
