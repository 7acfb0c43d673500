// ONNX networks as the flat programs that the opponents without an ONNX reader run: NHWC, batch norm folded and activations fused as
// TensorFlow's converter leaves them, or everything apart where it is to be trained. `src/program.ts` has the types.
import onnxProto from 'onnx-proto';

const { onnx } = onnxProto;

/** @param {Uint8Array} bytes */
export function readOnnx(bytes) {
  return onnx.ModelProto.decode(bytes).graph;
}

/**
 * The network up to its logits: differences of probabilities would be flattered by their size.
 * @param {Uint8Array} bytes
 */
export function withoutSoftmax(bytes) {
  const model = onnx.ModelProto.decode(bytes);
  const { node, output } = model.graph;
  const last = node.at(-1);
  if (last.opType !== 'Softmax' || last.output[0] !== output[0].name) return bytes;
  node.pop();
  output[0].name = last.input[0];
  return onnx.ModelProto.encode(model).finish();
}

function floats(tensor) {
  if (tensor.floatData?.length) return Float32Array.from(tensor.floatData);
  const bytes = tensor.rawData;
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

const FLOAT = 1;
const attributesOf = (node) => Object.fromEntries(node.attribute.map((a) => (
  [a.name, a.ints?.length ? a.ints.map(Number) : a.type === FLOAT ? a.f : Number(a.i)])));
const product = (shape) => shape.reduce((all, size) => all * size, 1);

/**
 * @param graph what readOnnx gave: one input, one output
 * @param {{ fold: boolean }} options fold: fold batch norms and fuse activations
 * @returns {{ program: object, weights: Float32Array }}
 */
export function toProgram(graph, options) {
  const writer = new Writer(graph, options);
  for (const node of graph.node) writer.write(node);
  return writer.finish();
}

class Writer {
  steps = [];
  tensors = {};
  parts = [];
  length = 0;
  /** Names that stand for other values. */
  alias = new Map();
  /** Shapes [h, w, c] of dense inputs that were flattened: ONNX flattens [c, h, w]. */
  flattened = new Map();
  /** Nodes that became part of a step before them. */
  done = new Set();

  constructor(graph, { fold }) {
    this.fold = fold;
    this.stored = new Map(graph.initializer.map((t) => [t.name, { shape: t.dims.map(Number), data: floats(t) }]));
    this.readers = new Map();
    for (const node of graph.node) for (const name of node.input) this.readers.set(name, [...(this.readers.get(name) ?? []), node]);
    const inputs = graph.input.filter(({ name }) => !this.stored.has(name));
    if (inputs.length !== 1 || graph.output.length !== 1) throw new Error('a program has one input and one output');
    [this.input, this.output] = [inputs[0].name, graph.output[0].name];
    const [, ...dims] = inputs[0].type.tensorType.shape.dim.map((d) => Number(d.dimValue ?? 0));
    const [channels, rows, columns] = dims;
    /** Shapes [h, w, c] or [n] of values, without the batch. */
    this.shapes = new Map([[this.input, dims.length === 3 ? [rows, columns, channels] : dims]]);
  }

  write(node) {
    if (this.done.has(node)) return;
    const write = this[node.opType];
    if (!write) throw new Error(`${node.name}: no step for ${node.opType}`);
    write.call(this, node, attributesOf(node));
  }

  finish() {
    const weights = new Float32Array(this.length);
    let at = 0;
    for (const part of this.parts) {
      weights.set(part, at);
      at += part.length;
    }
    const output = this.value(this.output);
    const { input, steps, tensors, shapes } = this;
    return { program: { input, inputShape: shapes.get(input), output, outputShape: shapes.get(output), steps, tensors }, weights };
  }

  value(name) {
    return this.alias.get(name) ?? name;
  }

  shape(name) {
    return this.shapes.get(this.value(name));
  }

  /** Adds a step that makes a value of the shape. */
  add(step, shape) {
    this.steps.push(step);
    this.shapes.set(step.y, shape);
  }

  keep(name, shape, data) {
    if (!this.tensors[name]) {
      this.tensors[name] = { offset: this.length, shape };
      this.parts.push(data);
      this.length += data.length;
    }
    return name;
  }

  /** The only reader of a value. */
  single(name) {
    const all = this.readers.get(name) ?? [];
    return name === this.output || all.length !== 1 ? undefined : all[0];
  }

  activation(node) {
    if (node?.opType === 'Relu') return 'relu';
    if (node?.opType !== 'Clip') return undefined;
    const [low, high] = [1, 2].map((at) => this.stored.get(node.input[at])?.data[0]);
    if (low === 0 && (high === 6 || high === undefined)) return high === 6 ? 'relu6' : 'relu';
    throw new Error(`${node.name}: clip to ${low}..${high}`);
  }

  /** The activation behind `y`, taken into the step that makes it. */
  fused(y) {
    const node = this.fold ? this.single(y) : undefined;
    const act = this.activation(node);
    if (!act) return { y, act: 'none' };
    this.done.add(node);
    return { y: node.output[0], act };
  }

  /** Scale and shift of a batch norm behind `y`, taken into the convolution that makes it. */
  norm(y, m, bias) {
    const node = this.fold ? this.single(y) : undefined;
    if (node?.opType !== 'BatchNormalization') return { y, scale: new Float32Array(m).fill(1), bias };
    this.done.add(node);
    const [gamma, beta, mean, variance] = node.input.slice(1).map((name) => this.stored.get(name).data);
    const epsilon = attributesOf(node).epsilon ?? 1e-5;
    const scale = gamma.map((g, i) => g / Math.sqrt(variance[i] + epsilon));
    return { y: node.output[0], scale, bias: beta.map((b, i) => b + ((bias?.[i] ?? 0) - mean[i]) * scale[i]) };
  }

  Conv(node, { group = 1, pads = [0, 0, 0, 0], strides: stride = [1, 1] }) {
    const [x, filter, biasName] = node.input;
    const w = this.stored.get(filter);
    const [m, perGroup, kh, kw] = w.shape;
    const depthwise = group > 1 && group === m && perGroup === 1;
    if (group > 1 && !depthwise) throw new Error(`${node.name}: ${group} groups`);
    const { y, scale, bias } = this.norm(node.output[0], m, biasName && this.stored.get(biasName).data);
    // OIHW to HWIO.
    const [taps, hwio] = [kh * kw, new Float32Array(w.data.length)];
    for (let o = 0; o < m; o++) {
      for (let i = 0; i < perGroup; i++) {
        for (let p = 0; p < taps; p++) hwio[(p * perGroup + i) * m + o] = w.data[(o * perGroup + i) * taps + p] * scale[o];
      }
    }
    const [top, left, bottom, right] = pads;
    const [h, width] = this.shape(x);
    this.add({
      op: depthwise ? 'depthwise' : 'conv', x: this.value(x), ...this.fused(y), w: this.keep(filter, [kh, kw, ...depthwise ? [m, 1] : [perGroup, m]], hwio),
      b: bias && this.keep(biasName ?? `${filter}/bias`, [m], bias), stride, pad: [top, left, bottom, right],
    }, [Math.floor((h + top + bottom - kh) / stride[0]) + 1, Math.floor((width + left + right - kw) / stride[1]) + 1, m]);
  }

  BatchNormalization(node, { epsilon = 1e-5 }) {
    const [x, ...names] = node.input;
    const [gamma, beta, mean, variance] = names.map((name) => this.keep(name, this.stored.get(name).shape, this.stored.get(name).data));
    this.add({ op: 'batchNorm', x: this.value(x), y: node.output[0], gamma, beta, mean, variance, epsilon }, this.shape(x));
  }

  Relu(node) {
    const [x] = node.input;
    this.add({ op: 'activation', x: this.value(x), y: node.output[0], act: this.activation(node) }, this.shape(x));
  }

  Clip(node) {
    this.Relu(node);
  }

  Add(node) {
    const [x, other] = node.input;
    this.add({ op: 'add', x: this.value(x), other: this.value(other), ...this.fused(node.output[0]) }, this.shape(x));
  }

  Concat(node) {
    const xs = node.input.map((name) => this.value(name));
    const [h, w] = this.shapes.get(xs[0]);
    this.add({ op: 'concat', xs, y: node.output[0] }, [h, w, xs.reduce((sum, name) => sum + this.shapes.get(name)[2], 0)]);
  }

  MaxPool(node, { pads = [0, 0, 0, 0], kernel_shape: kernel, strides: stride = [1, 1], ceil_mode: ceil }) {
    const [x] = node.input;
    const [top, left, bottom, right] = pads;
    const [h, w, c] = this.shape(x);
    const round = ceil ? Math.ceil : Math.floor;
    const size = [round((h + top + bottom - kernel[0]) / stride[0]) + 1, round((w + left + right - kernel[1]) / stride[1]) + 1];
    // Rounding up is padding at the end.
    const reach = size.map((count, axis) => (count - 1) * stride[axis] + kernel[axis]);
    const pad = [top, left, Math.max(bottom, reach[0] - h - top), Math.max(right, reach[1] - w - left)];
    this.add({ op: 'maxPool', x: this.value(x), y: node.output[0], kernel, stride, pad }, [...size, c]);
  }

  GlobalAveragePool(node) {
    const [x] = node.input;
    this.add({ op: 'globalAvgPool', x: this.value(x), y: node.output[0] }, [1, 1, this.shape(x)[2]]);
  }

  /** Left to the loss, or without effect on what is compared. */
  Softmax(node) {
    this.alias.set(node.output[0], this.value(node.input[0]));
  }

  Dropout(node) {
    this.Softmax(node);
  }

  Flatten(node) {
    const [x] = node.input;
    const [y, shape] = [node.output[0], this.shape(x)];
    this.add({ op: 'flatten', x: this.value(x), y }, [product(shape)]);
    if (shape.length === 3 && shape[0] * shape[1] > 1) this.flattened.set(y, shape);
  }

  /** Every reshape of these networks flattens. */
  Reshape(node) {
    this.Flatten(node);
  }

  Gemm(node, { transB }) {
    const [x, matrix, bias] = node.input;
    const w = this.stored.get(matrix);
    const [k, n] = transB ? w.shape.toReversed() : w.shape;
    const [h = 1, width = 1, c = k] = this.flattened.get(this.value(x)) ?? [];
    const [pixels, data] = [h * width, new Float32Array(w.data.length)];
    for (let row = 0; row < k; row++) {
      const to = (row % pixels) * c + Math.floor(row / pixels);
      for (let column = 0; column < n; column++) data[to * n + column] = w.data[transB ? column * k + row : row * n + column];
    }
    this.add({
      op: 'dense', x: this.value(x), ...this.fused(node.output[0]), w: this.keep(matrix, [k, n], data),
      b: bias && this.keep(bias, [n], this.stored.get(bias).data),
    }, [n]);
  }

  MatMul(node, attributes) {
    this.Gemm(node, attributes);
  }
}
