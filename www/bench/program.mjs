// ONNX networks as the flat programs that the opponents without an ONNX reader run: NHWC, batch norm folded and activations fused as
// TensorFlow's converter leaves them, or everything apart where it is to be trained.
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

const attributesOf = (node) => Object.fromEntries(node.attribute.map((a) => (
  [a.name, a.ints?.length ? a.ints.map(Number) : a.f !== undefined && a.type === 1 ? a.f : Number(a.i)])));

/**
 * @param graph what readOnnx gave: one image input, one output
 * @param {{ fold: boolean }} options fold: fold batch norms and fuse activations
 * @returns {{ program: object, weights: Float32Array }}
 */
export function toProgram(graph, { fold }) {
  const stored = new Map(graph.initializer.map((t) => [t.name, { shape: t.dims.map(Number), data: floats(t) }]));
  const readers = new Map();
  for (const node of graph.node) for (const name of node.input) readers.set(name, [...(readers.get(name) ?? []), node]);
  const outputs = new Set(graph.output.map((o) => o.name));
  const inputs = graph.input.filter((i) => !stored.has(i.name));
  if (inputs.length !== 1 || outputs.size !== 1) throw new Error('a program has one input and one output');
  const dims = inputs[0].type.tensorType.shape.dim.map((d) => Number(d.dimValue ?? 0));
  const [, channels, rows, columns] = dims;
  const isImage = dims.length === 4;

  const steps = [];
  const parts = [];
  const tensors = {};
  let length = 0;
  const keep = (name, shape, data) => {
    if (!tensors[name]) {
      tensors[name] = { offset: length, shape };
      parts.push(data);
      length += data.length;
    }
    return name;
  };
  /** Shapes [h, w, c] or [n] of values, without the batch. */
  const shapes = new Map([[inputs[0].name, isImage ? [rows, columns, channels] : dims.slice(1)]]);
  /** Values that another name stands for. */
  const alias = new Map();
  const value = (name) => alias.get(name) ?? name;
  /** Dense inputs that were flattened from [h, w, c]: ONNX flattens [c, h, w]. */
  const flattened = new Map();
  const done = new Set();

  const single = (name) => (outputs.has(name) || (readers.get(name) ?? []).length !== 1 ? undefined : readers.get(name)[0]);
  const activation = (node) => {
    if (node?.opType === 'Relu') return 'relu';
    if (node?.opType !== 'Clip') return undefined;
    const [low, high] = [stored.get(node.input[1])?.data[0], stored.get(node.input[2])?.data[0]];
    if (low === 0 && high === 6) return 'relu6';
    if (low === 0 && high === undefined) return 'relu';
    throw new Error(`${node.name}: clip to ${low}..${high}`);
  };
  /** The activation behind `y`, taken into the step that makes it. */
  const fused = (y) => {
    const node = fold ? single(y) : undefined;
    const act = activation(node);
    if (!act) return { y, act: 'none' };
    done.add(node);
    return { y: node.output[0], act };
  };

  for (const node of graph.node) {
    if (done.has(node)) continue;
    const a = attributesOf(node);
    const [x, second, third] = node.input;
    let y = node.output[0];
    switch (node.opType) {
      case 'Conv': {
        const w = stored.get(second);
        const [m, perGroup, kh, kw] = w.shape;
        const group = a.group ?? 1;
        const depthwise = group > 1 && group === m && perGroup === 1;
        if (group > 1 && !depthwise) throw new Error(`${node.name}: ${group} groups`);
        let scale = new Float32Array(m).fill(1);
        let bias = third ? Float32Array.from(stored.get(third).data) : undefined;
        const norm = single(y);
        if (fold && norm?.opType === 'BatchNormalization') {
          const [gamma, beta, mean, variance] = norm.input.slice(1).map((name) => stored.get(name).data);
          const epsilon = attributesOf(norm).epsilon ?? 1e-5;
          scale = gamma.map((g, i) => g / Math.sqrt(variance[i] + epsilon));
          const before = bias;
          bias = beta.map((b, i) => b + ((before?.[i] ?? 0) - mean[i]) * scale[i]);
          done.add(norm);
          y = norm.output[0];
        }
        const [inC, outC] = depthwise ? [m, 1] : [perGroup, m];
        const hwio = new Float32Array(w.data.length);
        for (let o = 0; o < m; o++) {
          for (let i = 0; i < perGroup; i++) {
            for (let p = 0; p < kh * kw; p++) {
              const at = depthwise ? p * m + o : (p * perGroup + i) * m + o;
              hwio[at] = w.data[(o * perGroup + i) * kh * kw + p] * scale[o];
            }
          }
        }
        const [top, left, bottom, right] = a.pads ?? [0, 0, 0, 0];
        const stride = a.strides ?? [1, 1];
        const [h, wd] = shapes.get(value(x));
        const after = fused(y);
        const out = [Math.floor((h + top + bottom - kh) / stride[0]) + 1, Math.floor((wd + left + right - kw) / stride[1]) + 1, m];
        shapes.set(after.y, out);
        steps.push({
          op: depthwise ? 'depthwise' : 'conv', x: value(x), ...after, w: keep(second, [kh, kw, inC, outC], hwio),
          b: bias && keep(third ?? `${second}/bias`, [m], bias), stride, pad: [top, left, bottom, right],
        });
        break;
      }
      case 'BatchNormalization': {
        const [gamma, beta, mean, variance] = node.input.slice(1).map((name) => keep(name, stored.get(name).shape, stored.get(name).data));
        shapes.set(y, shapes.get(value(x)));
        steps.push({ op: 'batchNorm', x: value(x), y, gamma, beta, mean, variance, epsilon: a.epsilon ?? 1e-5 });
        break;
      }
      case 'Relu': case 'Clip':
        shapes.set(y, shapes.get(value(x)));
        steps.push({ op: 'activation', x: value(x), y, act: activation(node) });
        break;
      case 'Add': {
        const after = fused(y);
        shapes.set(after.y, shapes.get(value(x)));
        steps.push({ op: 'add', x: value(x), other: value(second), ...after });
        break;
      }
      case 'Concat': {
        const xs = node.input.map(value);
        const [h, w] = shapes.get(xs[0]);
        shapes.set(y, [h, w, xs.reduce((sum, name) => sum + shapes.get(name)[2], 0)]);
        steps.push({ op: 'concat', xs, y });
        break;
      }
      case 'MaxPool': {
        const [top, left, bottom, right] = a.pads ?? [0, 0, 0, 0];
        const [h, w, c] = shapes.get(value(x));
        const [kernel, stride] = [a.kernel_shape, a.strides ?? [1, 1]];
        const round = a.ceil_mode ? Math.ceil : Math.floor;
        const size = [round((h + top + bottom - kernel[0]) / stride[0]) + 1, round((w + left + right - kernel[1]) / stride[1]) + 1];
        const pad = [
          top, left, Math.max(bottom, (size[0] - 1) * stride[0] + kernel[0] - h - top), Math.max(right, (size[1] - 1) * stride[1] + kernel[1] - w - left),
        ];
        shapes.set(y, [...size, c]);
        steps.push({ op: 'maxPool', x: value(x), y, kernel, stride, pad });
        break;
      }
      case 'GlobalAveragePool':
        shapes.set(y, [1, 1, shapes.get(value(x))[2]]);
        steps.push({ op: 'globalAvgPool', x: value(x), y });
        break;
      case 'Dropout': case 'Identity':
        alias.set(y, value(x));
        break;
      case 'Flatten': case 'Reshape': {
        // Every reshape of these networks flattens.
        const shape = shapes.get(value(x));
        const count = shape.reduce((product, n) => product * n, 1);
        steps.push({ op: 'flatten', x: value(x), y });
        shapes.set(y, [count]);
        if (shape.length === 3 && shape[0] * shape[1] > 1) flattened.set(y, shape);
        break;
      }
      case 'Gemm': case 'MatMul': {
        const w = stored.get(second);
        const [k, n] = a.transB ? [w.shape[1], w.shape[0]] : w.shape;
        const image = flattened.get(value(x));
        const data = new Float32Array(w.data.length);
        for (let row = 0; row < k; row++) {
          // Row of the pixel-major order that NHWC flattens to.
          const pixels = image ? image[0] * image[1] : 1;
          const to = image ? (row % pixels) * image[2] + Math.floor(row / pixels) : row;
          for (let column = 0; column < n; column++) data[to * n + column] = w.data[a.transB ? column * k + row : row * n + column];
        }
        const after = fused(y);
        shapes.set(after.y, [n]);
        steps.push({ op: 'dense', x: value(x), ...after, w: keep(second, [k, n], data), b: third && keep(third, [n], stored.get(third).data) });
        break;
      }
      case 'Softmax':
        // Left to the loss, or not asked for: logits are what the opponents are compared by.
        alias.set(y, value(x));
        break;
      default:
        throw new Error(`${node.name}: no step for ${node.opType}`);
    }
  }
  const weights = new Float32Array(length);
  parts.reduce((at, part) => (weights.set(part, at), at + part.length), 0);
  const output = value(graph.output[0].name);
  return { program: { input: inputs[0].name, inputShape: shapes.get(inputs[0].name), output, outputShape: shapes.get(output), steps, tensors }, weights };
}
