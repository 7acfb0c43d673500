// What one asks of WebGPU, counted at the browser's own interface.

export interface Calls { dispatches: number; submits: number; bindGroups: number; buffers: number; pipelines: number; bytesWritten: number; bytesRead: number }

const none = (): Calls => ({ dispatches: 0, submits: 0, bindGroups: 0, buffers: 0, pipelines: 0, bytesWritten: 0, bytesRead: 0 });

/** Counts while `work` runs, for each of `units`; undefined where there is no WebGPU. */
export async function countCalls(work: () => void | Promise<void>, units: number): Promise<Calls | undefined> {
  if (typeof GPUDevice === 'undefined') return undefined;
  const calls = none();
  const undo: (() => void)[] = [];
  const watch = <K extends string>(prototype: Record<K, (...args: never[]) => unknown>, name: K, seen: (args: unknown[], self: unknown) => void): void => {
    const original = prototype[name] as (...args: unknown[]) => unknown;
    prototype[name] = function (this: unknown, ...args: unknown[]) {
      seen(args, this);
      return original.apply(this, args);
    } as (...args: never[]) => unknown;
    undo.push(() => { prototype[name] = original; });
  };
  watch(GPUComputePassEncoder.prototype, 'dispatchWorkgroups', () => calls.dispatches++);
  watch(GPUComputePassEncoder.prototype, 'dispatchWorkgroupsIndirect', () => calls.dispatches++);
  watch(GPUQueue.prototype, 'submit', () => calls.submits++);
  watch(GPUQueue.prototype, 'writeBuffer', ([, , data, from, size]) => { calls.bytesWritten += written(data as ArrayBuffer | ArrayBufferView, from as number | undefined, size as number | undefined); });
  watch(GPUDevice.prototype, 'createBindGroup', () => calls.bindGroups++);
  watch(GPUDevice.prototype, 'createComputePipeline', () => calls.pipelines++);
  watch(GPUDevice.prototype, 'createComputePipelineAsync', () => calls.pipelines++);
  watch(GPUDevice.prototype, 'createBuffer', ([descriptor]) => {
    calls.buffers++;
    const { mappedAtCreation, size } = descriptor as GPUBufferDescriptor;
    if (mappedAtCreation) calls.bytesWritten += size;
  });
  watch(GPUBuffer.prototype, 'mapAsync', ([mode, from, size], self) => {
    if (mode === GPUMapMode.READ) calls.bytesRead += (size as number | undefined) ?? (self as GPUBuffer).size - ((from as number | undefined) ?? 0);
  });
  try {
    await work();
  } finally {
    undo.forEach((restore) => restore());
  }
  const names = Object.keys(calls) as (keyof Calls)[];
  return Object.fromEntries(names.map((name) => [name, calls[name] / units])) as unknown as Calls;
}

/** `size` counts elements of a typed array, bytes of a buffer. */
function written(data: ArrayBuffer | ArrayBufferView, from = 0, size?: number): number {
  const element = 'BYTES_PER_ELEMENT' in data ? data.BYTES_PER_ELEMENT as number : 1;
  return size === undefined ? data.byteLength - from * element : size * element;
}
