import type { History, Progress } from '../api.js';
import { RegraftError } from '../errors.js';
import type { FitSettings } from '../protocol.js';
import type { StoppedBy, TrainStatus, WasmDevice, WasmFeatures, WasmModule, WasmTrainer } from '../wasm-module.js';
import type { EngineDevice } from './device.js';
import type { Caller, Trunk } from './featurize.js';
import { Meter } from '../meter.js';
import { infoOf } from './info.js';
import { nextTask } from './yield.js';

/** The worker answers other messages at least this often, give or take one training step. */
const SLICE_MS = 30;

/** Most that timing takes on each backend, after what has to be made for it. */
const PROBE_MS = 150;

/** What is trained on. */
export interface TrainingData { train: WasmFeatures; validation: WasmFeatures | undefined }

/** How. `resumeFrom`: a checkpoint; `onCheckpoint`: gets one after each epoch. */
export interface Run { settings: FitSettings; resumeFrom: Uint8Array | undefined; onCheckpoint: ((bytes: Uint8Array) => void) | undefined }

/**
 * Trains the unfrozen part in slices. An abort ends it with what there is; a disposed model rejects, and so does training whose values
 * stop being numbers: the model then has the parameters of the last completed epoch.
 */
export async function fit(
  wasm: WasmModule, device: EngineDevice, trunk: Trunk, { train, validation }: TrainingData, how: Run, caller: Caller,
): Promise<Omit<History, 'seconds'>> {
  const { model, at } = trunk;
  const create = (on: WasmDevice): WasmTrainer => (
    wasm.WasmTrainer.create(on, model, at, train, validation?.share(), how.settings, how.resumeFrom));
  const key = [model.trunkKey(at), infoOf(model).parameters.trainable, how.settings.batchSize, how.settings.updater?.type].join(' ');
  const chosen = await device.forPhase('training', key, {
    cpu: () => time(create(device.cpu)),
    gpu: async (gpu) => time(create(gpu)),
  });
  const placed = async (on: WasmDevice): Promise<Placed> => ({ trainer: create(on), on });
  const work = await device.run(chosen, placed, placed);
  const { trainer } = work;
  try {
    const seconds: number[] = [];
    const stopped = await run(work, device, how, caller, seconds);
    const { epochs, stoppedBy, divergence, ...history } = trainer.finish(model, stopped);
    // Epochs before a checkpoint took no time here.
    const before = epochs.length - seconds.length;
    const timed = { ...history, epochs: epochs.map((epoch, at) => ({ ...epoch, seconds: seconds[at - before] ?? 0 })) };
    if (stoppedBy !== 'diverged') return { ...timed, stoppedBy };
    const where = divergence ? ` in update ${divergence.iteration + 1} at vertex '${divergence.vertex}'` : '';
    throw new RegraftError('bad-option', `option 'updater': values became infinite or not a number${where}; choose a lower learning rate. `
      + `The model is as it was after ${epochs.length} epochs`, divergence?.vertex, timed);
  } finally {
    trainer.free();
  }
}

/** Adds the seconds of each epoch that was completed to `seconds`. */
async function run(work: Placed, device: EngineDevice, { settings, onCheckpoint }: Run, { signal, progress }: Caller, seconds: number[]): Promise<StoppedBy> {
  const meter = new Meter('train', progress);
  const maxSeconds = settings.earlyStopping?.maxSeconds ?? Infinity;
  const start = performance.now();
  let epochStart = start;
  const { trainer } = work;
  for (;;) {
    await nextTask();
    if (isDisposed(signal)) throw signal.reason;
    if (signal.aborted) {
      await surely(work, device, () => trainer.arrive());
      return 'aborted';
    }
    if (performance.now() - start > 1000 * maxSeconds) trainer.stop();
    const status = await surely(work, device, () => trainer.run(SLICE_MS));
    meter.report(status.iteration, status.iterations, measured(status), status.epochEnded || status.finished);
    if (status.epochEnded) {
      seconds.push((performance.now() - epochStart) / 1000);
      epochStart = performance.now();
      onCheckpoint?.(trainer.checkpoint());
    }
    if (status.finished) {
      await surely(work, device, () => trainer.arrive());
      return status.stoppedBy ?? 'epochs';
    }
  }
}

/** A trainer, and where it is. */
interface Placed { readonly trainer: WasmTrainer; on: WasmDevice }

/** What a trainer gives, wherever it has to go for it: a GPU may be lost. */
async function surely<R>(work: Placed, device: EngineDevice, give: () => Promise<R>): Promise<R> {
  for (;;) {
    try {
      return await give();
    } catch (error) {
      await move(work, device, error);
    }
  }
}

async function move(work: Placed, device: EngineDevice, error: unknown): Promise<void> {
  if (work.on === device.cpu) throw error;
  work.on = await device.after(error, work.on) ?? device.cpu;
  try {
    work.trainer.moveTo(work.on);
  } catch (again) {
    await move(work, device, again);
  }
}

/** Seconds of an update. The first one warms up. */
async function time(trainer: WasmTrainer): Promise<number> {
  try {
    const before = (await trainer.run(0)).iteration;
    await trainer.arrive();
    const start = performance.now();
    const { iteration } = await trainer.run(PROBE_MS);
    await trainer.arrive();
    return (performance.now() - start) / 1000 / Math.max(1, iteration - before);
  } finally {
    trainer.free();
  }
}

function measured({ epoch, iteration, loss, accuracy, learningRate, valLoss, valAccuracy, updateRatios }: TrainStatus): Partial<Progress> {
  const validation = valLoss === undefined ? {} : { valLoss, valAccuracy };
  return { epoch, iteration, loss, accuracy, learningRate, ...validation, ...(updateRatios ? { updateRatios } : {}) };
}

/** What a fit gives that was stopped before its first iteration. */
export function nothingTrained(): Omit<History, 'seconds'> {
  return { epochs: [], iterations: [], stoppedBy: 'aborted', bestEpoch: 0 };
}

/** Whether the model went away, rather than the caller's interest. */
export function isDisposed({ reason }: AbortSignal): boolean {
  return reason instanceof RegraftError && reason.code === 'disposed';
}
