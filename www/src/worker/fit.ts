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
  const trainer = wasm.WasmTrainer.create(model, at, train, validation, settings);
  try {
    return trainer.finish(model, await run(trainer, signal, progress));
  } finally {
    trainer.free();
  }
}

async function run(trainer: WasmTrainer, signal: AbortSignal, progress: (p: Progress) => void): Promise<History['stoppedBy']> {
  let meter: Meter | undefined;
  for (;;) {
    await nextTask();
    if (signal.aborted) break;
    const status = trainer.run(SLICE_MS);
    meter ??= new Meter('train', status.iterations, progress);
    meter.report(status.iteration, measured(status), status.epochEnded || status.finished);
    if (status.finished) return status.stoppedBy ?? 'epochs';
  }
  if (isDisposed(signal)) throw signal.reason;
  return 'aborted';
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
