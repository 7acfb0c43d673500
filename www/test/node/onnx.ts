// Writes small ONNX networks with random weights (onnx.proto3, IR version 8, opset 17): for tests that need names and shapes alone.

/** Seeded numbers in [0, 1) (Marsaglia's xorshift32). */
export function random(seed: number): () => number {
  let x = seed;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) / 2 ** 32;
  };
}

/** A node: its name is also the name of its result. `weights` are shapes of tensors it reads beside `inputs`. */
export interface Node {
  op: string; name: string; inputs: readonly string[];
  weights?: readonly (readonly number[])[];
  ints?: Readonly<Record<string, number | readonly number[]>>;
}

/** A network with one input `input` of the shape (without the batch), and one output. Weights are uniform, scaled by He's rule. */
export function network(inputShape: readonly number[], outputShape: readonly number[], nodes: readonly Node[], seed: number): Uint8Array {
  const next = random(seed);
  const initializers = nodes.flatMap(({ name, weights = [] }) => weights.map((shape, at) => tensor(`${name}.${at}`, shape, next)));
  const last = nodes.at(-1)?.name ?? 'input';
  const graph = message(
    ...nodes.map((it) => bytes(1, node(it))), text(2, 'graph'), ...initializers.map((it) => bytes(5, it)),
    bytes(11, value('input', inputShape)), bytes(12, value(last, outputShape)),
  );
  const opset = message(text(1, ''), integer(2, 17));
  return message(integer(1, 8), bytes(8, opset), bytes(7, graph));
}

/** A block as in VGG: convolutions 3×3 with ReLU, which carry the name, and a pooling. */
export function block(at: number, input: string, convs: number, from: number, channels: number): Node[] {
  const nodes: Node[] = [];
  let last = input;
  for (let conv = 1; conv <= convs; conv++) {
    const name = `block${at}_conv${conv}`;
    nodes.push({
      op: 'Conv', name: `${name}/conv`, inputs: [last], weights: [[channels, conv === 1 ? from : channels, 3, 3], [channels]],
      ints: { kernel_shape: [3, 3], pads: [1, 1, 1, 1] },
    });
    nodes.push({ op: 'Relu', name, inputs: [`${name}/conv`] });
    last = name;
  }
  nodes.push({ op: 'MaxPool', name: `block${at}_pool`, inputs: [last], ints: { kernel_shape: [2, 2], strides: [2, 2] } });
  return nodes;
}

/** A dense layer, `w` being [k, n]. */
export function gemm(name: string, input: string, k: number, n: number): Node {
  return { op: 'Gemm', name, inputs: [input], weights: [[k, n], [n]] };
}

/** The convolutions of a VGG for images of `side` pixels: `count` blocks of two. */
export function blocks(side: number, seed: number, count: number): Uint8Array {
  const channels = (at: number): number => (at === 0 ? 3 : 3 + at);
  const nodes = Array.from({ length: count }, (_, at) => (
    block(at + 1, at === 0 ? 'input' : `block${at}_pool`, 2, channels(at), channels(at + 1)))).flat();
  return network([3, side, side], [channels(count), side / 2 ** count, side / 2 ** count], nodes, seed);
}

/** A small VGG for images of `side` pixels (a multiple of 2^blocks) and `classes` classes, its vertices called as in Keras. */
export function vgg(side: number, classes: number, seed: number, blocks = 2): Uint8Array {
  const channels = (at: number): number => (at === 0 ? 3 : 4 + 2 * at);
  const convs = Array.from({ length: blocks }, (_, at) => (
    block(at + 1, at === 0 ? 'input' : `block${at}_pool`, 1, channels(at), channels(at + 1)))).flat();
  return network([3, side, side], [classes], [
    ...convs, { op: 'Flatten', name: 'flatten', inputs: [`block${blocks}_pool`] },
    gemm('fc1/dense', 'flatten', channels(blocks) * (side / 2 ** blocks) ** 2, 12), { op: 'Relu', name: 'fc1', inputs: ['fc1/dense'] },
    gemm('fc2/dense', 'fc1', 12, 8), { op: 'Relu', name: 'fc2', inputs: ['fc2/dense'] },
    gemm('predictions/dense', 'fc2', 8, classes), { op: 'Softmax', name: 'predictions', inputs: ['predictions/dense'] },
  ], seed);
}

/** Random pixels. */
export function picture(side: number, seed: number): { data: Uint8Array; width: number; height: number } {
  const next = random(seed);
  return { data: Uint8Array.from({ length: side * side * 3 }, () => 256 * next()), width: side, height: side };
}

function node({ op, name, inputs, weights = [], ints = {} }: Node): Uint8Array {
  const read = [...inputs, ...weights.map((_, at) => `${name}.${at}`)];
  const attributes = Object.entries(ints).map(([key, given]) => bytes(5, typeof given === 'number'
    ? message(text(1, key), integer(3, given), integer(20, 2))
    : message(text(1, key), ...given.map((it) => integer(8, it)), integer(20, 7))));
  return message(...read.map((it) => text(1, it)), text(2, name), text(3, name), text(4, op), ...attributes);
}

function tensor(name: string, shape: readonly number[], next: () => number): Uint8Array {
  const count = shape.reduce((product, size) => product * size, 1);
  // [m, c, kh, kw] of a convolution, [k, n] of a dense layer; biases are 0.
  const fanIn = shape.length === 4 ? count / shape[0]! : shape[0]!;
  const limit = shape.length === 1 ? 0 : Math.sqrt(6 / fanIn);
  const values = Float32Array.from({ length: count }, () => (2 * next() - 1) * limit);
  return message(...shape.map((it) => integer(1, it)), integer(2, 1), text(8, name), bytes(9, new Uint8Array(values.buffer)));
}

function value(name: string, shape: readonly number[]): Uint8Array {
  const dimensions = [text(2, 'N'), ...shape.map((it) => integer(1, it))];
  const type = message(integer(1, 1), bytes(2, message(...dimensions.map((it) => bytes(1, message(it))))));
  return message(text(1, name), bytes(2, message(bytes(1, type))));
}

// Protocol Buffers' wire format: a field is its number and kind, then a varint or a length and bytes.

function message(...fields: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(fields.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const field of fields) {
    joined.set(field, at);
    at += field.length;
  }
  return joined;
}

function varint(number: number): Uint8Array {
  const groups = [];
  let rest = number;
  for (; rest > 127; rest = Math.floor(rest / 128)) groups.push(rest % 128 + 128);
  return Uint8Array.of(...groups, rest);
}

function integer(field: number, number: number): Uint8Array {
  return message(varint(field * 8), varint(number));
}

function bytes(field: number, content: Uint8Array): Uint8Array {
  return message(varint(field * 8 + 2), varint(content.length), content);
}

function text(field: number, content: string): Uint8Array {
  return bytes(field, new TextEncoder().encode(content));
}
