import { createEngine } from 'regraft';

export async function predict(photo: string): Promise<number> {
  // All at once, as a page that is in a hurry does.
  const [image, model] = await Promise.all([
    fetch(photo).then((response) => response.blob()),
    createEngine().then((engine) => engine.load('./nets/mobilenet_v2/model.onnx', { cache: false })),
  ]);
  const [best] = await model.predict(image, { topK: 1 });
  return best?.index ?? -1;
}
