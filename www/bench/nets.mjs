// The networks of the bench, written once: ONNX for those who read it, programs for those who do not, regraft files for training.
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readOnnx, toProgram, withoutSoftmax } from './program.mjs';

/** Networks by name; weights in the folder `assets`, or drawn. */
const NETWORKS = {
  mobilenet_v2: 'mobilenet_v2.pth', mobilenet_v2_features: 'mobilenet_v2.pth', efficientnet_lite0: 'efficientnet_lite0.pth', squeezenet1_1: 'squeezenet1_1.pkl', resnet18: undefined, vgg16: undefined,
};
const LABELS = ['birds', 'flowers', 'fruit', 'mammals', 'vegetables'];
const SEED = 7;

async function write(folder, files) {
  await mkdir(folder, { recursive: true });
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
}

async function programFiles(onnx, options) {
  const { program, weights } = toProgram(readOnnx(onnx), options);
  return { 'program.json': JSON.stringify(program), 'weights.bin': new Uint8Array(weights.buffer) };
}

const onlyFile = ({ files }) => Object.values(files)[0];

/** The same network up to what its last layer reads. */
function features(model) {
  const [output] = model.outputs;
  const [feature] = model.vertices.find(({ name }) => name === output.name).inputs;
  return model.transferLearning().removeVertexAndConnections(output.name).setOutputs(feature).build();
}

async function training(folder, model) {
  const tail = model.transferLearningHelper();
  const onnx = onlyFile(await tail.unfrozenGraph().export('onnx'));
  await write(folder, { 'model.regraft': onlyFile(await model.export('regraft')), ...await programFiles(onnx, { fold: false }) });
}

/** First vertex of the second-last inverted-residual block of MobileNetV2. */
const SECOND_LAST_BLOCK = 'block16/expand/conv';

const TRAINING = {
  head: (model) => model.classifier({ labels: LABELS, hidden: [100], seed: SEED }),
  blocks: async (model) => (await model.classifier({ labels: LABELS, seed: SEED })).transferLearning().unfreeze(SECOND_LAST_BLOCK).build(),
};

/**
 * Writes what is missing into `to`.
 * @param {{ assets: string, to: string, createEngine: Function, log(text: string): void }} options
 */
export async function writeNetworks({ assets, to, createEngine, log }) {
  const sources = await Promise.all(['nets.mjs', 'program.mjs'].map((name) => readFile(new URL(name, import.meta.url))));
  const stamp = createHash('sha256').update(Buffer.concat(sources)).digest('hex');
  const made = await readFile(join(to, 'stamp'), 'utf8').catch(() => '');
  if (made !== stamp) await rm(to, { recursive: true, force: true });
  const missing = [...Object.keys(NETWORKS), ...Object.keys(TRAINING)].filter((name) => !existsSync(join(to, name, 'program.json')));
  await write(to, { stamp });
  if (missing.length === 0) return;
  const load = async (engine, name) => {
    const file = NETWORKS[name];
    return engine.load({ zoo: name.replace('_features', ''), weights: file ? new Uint8Array(await readFile(join(assets, file))) : 'none' });
  };
  for (const name of missing) {
    log(`writing ${name}`);
    const engine = await createEngine({ threads: 1 });
    try {
      if (name in TRAINING) {
        await training(join(to, name), await TRAINING[name](await load(engine, 'mobilenet_v2')));
      } else {
        const model = await load(engine, name);
        const whole = name.endsWith('_features') ? await features(model) : model;
        const onnx = withoutSoftmax(onlyFile(await whole.export('onnx')));
        await write(join(to, name), { 'model.onnx': onnx, ...await programFiles(onnx, { fold: true }) });
      }
    } finally {
      await engine.dispose();
    }
  }
}
