// Photos to features on all cores: from encoded files, and from pixels of the network's size.
import { createEngine, type Engine, type Model, type Sample } from 'regraft';
import { interleave, largestDifference, type Budget, type Contestant } from './measure.js';
import { loadOrt, openSession, runSession } from './ort.js';
import { SIDE, normalize, scaled, type Layout } from './pixels.js';
import { loadNet } from './program.js';
import { say, type Row } from './report.js';
import { forward, tf, useTfjs, weightsOf } from './tfjs.js';
import { versions } from './versions.js';

/** Images a run of the opponents takes. */
const BATCH = 8;

export async function photos(count: number): Promise<Blob[]> {
  const { classes } = await (await fetch('./samples/samples.json')).json() as { classes: Record<string, string[]> };
  const paths = Object.values(classes).flat();
  const files = await Promise.all(paths.map(async (path) => (await fetch(`./samples/${path}`)).blob()));
  return Array.from({ length: count }, (_, at) => files[at % files.length]!);
}

/** A batch of images as floats to features. */
type Run = (x: Float32Array) => Float32Array | Promise<Float32Array>;
interface Opponent { name: string; version: string; threads: number; layout: Layout; run: Run }

async function allPixels(images: readonly ImageData[], { layout, run }: Opponent): Promise<Float32Array[]> {
  const features: Float32Array[] = [];
  const x = new Float32Array(BATCH * 3 * SIDE * SIDE);
  for (let at = 0; at < images.length; at += BATCH) {
    images.slice(at, at + BATCH).forEach((image, i) => normalize(image, x, i, layout));
    features.push(Float32Array.from(await run(x)));
  }
  return features;
}

/** The next batch is decoded while one runs. */
async function allPhotos(files: readonly Blob[], { layout, run }: Opponent): Promise<void> {
  const x = new Float32Array(BATCH * 3 * SIDE * SIDE);
  const decode = (at: number): Promise<ImageData[]> => Promise.all(files.slice(at, at + BATCH).map(scaled));
  let next = decode(0);
  for (let at = 0; at < files.length; at += BATCH) {
    const images = await next;
    next = decode(at + BATCH);
    images.forEach((image, i) => normalize(image, x, i, layout));
    await run(x);
  }
}

async function features(model: Model, engine: Engine, samples: readonly Sample[]): Promise<Float32Array> {
  const data = await engine.dataset(samples);
  const made = await model.transferLearningHelper().featurize(data);
  const tensors = await made.toTensors();
  await made.dispose();
  return Object.values(tensors)[0]?.data as Float32Array;
}

/** The same bytes as another Blob: what is known of this one, by an earlier turn, is not known of it. */
const anew = (file: Blob): Blob => file.slice(0, file.size, file.type);

export async function photosRow(count: number, threads: number, budget: Budget): Promise<Row[]> {
  const folder = './nets/mobilenet_v2_features';
  const [net, onnx] = await Promise.all([loadNet(folder), fetch(`${folder}/model.onnx`).then((r) => r.arrayBuffer())]);
  const files = await photos(count);
  const pixels = await Promise.all(files.map(scaled));
  const engine = await createEngine({ threads });
  // The middle of the image at its own size: nothing is left to resize.
  const model = await engine.load('./nets/head/model.regraft', { preprocessing: { cropFraction: 1 }, cache: false });
  const label = (at: number): string => model.labels?.[at % model.labels.length] ?? '';
  const samples = (images: readonly Sample['image'][]): Sample[] => images.map((image, at) => ({ image, label: label(at) }));

  const absent: { name: string; reason: string }[] = [];
  const opponents: Opponent[] = [];
  const join = async (name: string, open: () => Promise<Omit<Opponent, 'name'>>): Promise<void> => {
    say(`photos: ${name}`);
    try {
      opponents.push({ name, ...await open() });
    } catch (error) {
      absent.push({ name, reason: String(error) });
    }
  };
  await join('onnxruntime-web wasm, batch 8', async () => {
    const ort = await loadOrt('wasm', threads);
    const session = await openSession(ort, new Uint8Array(onnx), 'wasm');
    return { version: versions.ort, threads, layout: 'nchw', run: (x) => runSession(ort, session, x, [BATCH, 3, SIDE, SIDE]) };
  });
  await join('tfjs wasm simd+threads, batch 8', async () => {
    await useTfjs('wasm', threads);
    const weights = weightsOf(net);
    return {
      version: versions.tfjs, threads, layout: 'nhwc',
      run: (data) => {
        const x = tf.tensor(data, [BATCH, SIDE, SIDE, 3]);
        const y = forward(net, weights, x);
        const values = y.dataSync() as Float32Array;
        tf.dispose([x, y]);
        return values;
      },
    };
  });

  const few = pixels.slice(0, BATCH);
  const ours = await features(model, engine, samples(few));
  const differences = await Promise.all(opponents.map(async (opponent) => largestDifference((await allPixels(few, opponent))[0]!, ours)));
  const row = async (title: string, run: () => Promise<unknown>, other: (opponent: Opponent) => Promise<unknown>, compared: boolean): Promise<Row> => {
    say(title);
    const us: Contestant = {
      name: `regraft ${engine.device.simd}, trunk pool`, version: versions.regraft, threads, units: count, turn: async () => void await run(),
      ...compared && { difference: 0 },
    };
    const all = opponents.map((opponent, i): Contestant => ({
      name: opponent.name, version: opponent.version, threads: opponent.threads, units: count, turn: async () => void await other(opponent),
      ...compared && { difference: differences[i]! },
    }));
    return { title, unit: 'image', timings: await interleave([us, ...all], budget), absent };
  };
  const rows = [
    await row(`features of ${count} images, pixels of 224 × 224 at hand, all cores`, () => features(model, engine, samples(pixels)), (it) => allPixels(pixels, it), true),
    await row(`features of ${count} photos, decoding and resizing included, all cores`, () => features(model, engine, samples(files.map(anew))), (it) => allPhotos(files, it), false),
    await decoding(count, files, engine, budget),
  ];
  await engine.dispose();
  return rows;
}

/** Decoding alone, as both sides do it. */
async function decoding(count: number, files: readonly Blob[], engine: Engine, budget: Budget): Promise<Row> {
  const title = `decoding ${count} photos alone`;
  say(title);
  const contestants: Contestant[] = [
    {
      name: 'regraft dataset() (full size)', version: versions.regraft, threads: engine.device.threads, units: count,
      turn: async () => void await engine.dataset(files.map((file, at) => ({ image: anew(file), label: String(at % 2) }))),
    },
    {
      name: 'createImageBitmap to 224 × 224', version: '', threads: 0, units: count,
      turn: async () => {
        for (let at = 0; at < files.length; at += BATCH) await Promise.all(files.slice(at, at + BATCH).map(scaled));
      },
    },
  ];
  return { title, unit: 'image', timings: await interleave(contestants, budget) };
}
