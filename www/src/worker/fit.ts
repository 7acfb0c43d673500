import type { History, Progress } from '../api.js';
import { RegraftError } from '../errors.js';
import type { FitSettings } from '../protocol.js';
import type { TrainStatus, WasmFeatures, WasmModule, WasmTrainer } from '../wasm-module.js';
import type { Caller, Trunk } from './featurize.js';
import { Meter } from '../meter.js';
import { nextTask } from './yield.js';

/** The worker answers other messages at least this often, give or take one training step. */
const SLICE_MS = 30;

/** What is trained on. */
export interface TrainingData { train: WasmFeatures; validation: WasmFeatures | undefined }

/** Trains the unfrozen part in slices. An abort ends it with what there is; only a disposed model rejects. */
export async function fit(
  wasm: WasmModule, { model, at }: Trunk, { train, validation }: TrainingData, settings: FitSettings, { signal, progress }: Caller,
): Promise<Omit<History, 'seconds'>> {
  const trainer = wasm.WasmTrainer.create(model, at, train, validation?.share(), settings);
  try {
    const seconds: number[] = [];
    const stoppedBy = await run(trainer, signal, progress, seconds);
    const { epochs, ...history } = trainer.finish(model, stoppedBy);
    return { ...history, epochs: epochs.map((epoch, at) => ({ ...epoch, seconds: seconds[at] ?? 0 })) };
  } finally {
    trainer.free();
  }
}

/** Adds the seconds of each epoch that was completed to `seconds`. */
async function run(
  trainer: WasmTrainer, signal: AbortSignal, progress: (p: Progress) => void, seconds: number[],
): Promise<History['stoppedBy']> {
  const meter = new Meter('train', progress);
  let epochStart = performance.now();
  for (;;) {
    await nextTask();
    if (isDisposed(signal)) throw signal.reason;
    if (signal.aborted) return 'aborted';
    const status = trainer.run(SLICE_MS);
    meter.report(status.iteration, status.iterations, measured(status), status.epochEnded || status.finished);
    if (status.epochEnded) {
      seconds.push((performance.now() - epochStart) / 1000);
      epochStart = performance.now();
    }
    if (status.finished) return status.stoppedBy ?? 'epochs';
  }
}

function measured({ epoch, iteration, loss, accuracy, learningRate, valLoss, valAccuracy }: TrainStatus): Partial<Progress> {
  const validation = valLoss === undefined ? {} : { valLoss, valAccuracy };
  return { epoch, iteration, loss, accuracy, learningRate, ...validation };
}

/** What a fit gives that was stopped before its first iteration. */
export function nothingTrained(): Omit<History, 'seconds'> {
  return { epochs: [], iterations: [], stoppedBy: 'aborted', bestEpoch: 0 };
}

/** Whether the model went away, rather than the caller's interest. */
export function isDisposed({ reason }: AbortSignal): boolean {
  return reason instanceof RegraftError && reason.code === 'disposed';
}
