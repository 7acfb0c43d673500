import { batch, computed, signal } from '@preact/signals-core';
import type { Dataset, Engine, Evaluation, FeatureSet, History, Model, Progress, Sample, TransferLearningHelper } from 'regraft';
import type { Library, Photo } from '../images/library';
import type { BaseModel } from '../model/state';
import { isAbort, problemOf, type Problem } from '../ui/problem';
import { extend, final, type CurvePoint } from './curve';
import { updaterOf, type Settings } from './settings';

export type Stage = 'idle' | 'read' | 'featurize' | 'train' | 'evaluate';

export interface TrainResult {
  model: Model;
  /** What it was learned on top of. */
  base: Model;
  history: History;
  /** Absent where no photo was kept aside. */
  evaluation: Evaluation | undefined;
  trainCount: number;
  photos: ReadonlyMap<string, Photo>;
  /** Of the library trained on, to notice later changes. */
  fingerprint: string;
  /** `images` that the frozen network had not seen before. */
  featurize: { images: number; seconds: number };
  trainSeconds: number;
}

/** One run at a time: read photos, run the frozen network over them, train the head, test it. */
export class Trainer {
  readonly stage = signal<Stage>('idle');
  readonly progress = signal<Progress | undefined>(undefined);
  readonly curve = signal<readonly CurvePoint[]>([]);
  readonly result = signal<TrainResult | undefined>(undefined);
  readonly problem = signal<Problem | undefined>(undefined);
  readonly stopping = signal(false);
  readonly running = computed(() => this.stage.value !== 'idle');
  /** The result was learned from another model, other photos or classes than there are now. */
  readonly stale = computed(() => {
    const { value } = this.result;
    return value !== undefined && (value.fingerprint !== this.library.fingerprint.value || value.base !== this.base.current.value?.model);
  });
  #abort = new AbortController();
  /** Held, so that the engine keeps what the frozen network made of the photos: only new ones are looked at again. */
  #data: Dataset | undefined;

  constructor(private readonly engine: Promise<Engine>, private readonly base: BaseModel, private readonly library: Library) {}

  stop(): void {
    this.stopping.value = true;
    this.#abort.abort();
  }

  async start(settings: Settings): Promise<void> {
    const base = this.base.current.value;
    if (this.running.value || !base) return;
    this.#abort = new AbortController();
    batch(() => {
      this.#enter('read');
      this.stopping.value = false;
      this.problem.value = undefined;
      this.curve.value = [];
    });
    try {
      const result = await this.#run(base.model, settings, this.#abort.signal);
      const before = this.result.value;
      this.result.value = result;
      await before?.model.dispose();
    } catch (error) {
      if (!isAbort(error)) this.problem.value = problemOf(error);
    } finally {
      batch(() => {
        this.#enter('idle');
        this.stopping.value = false;
      });
    }
  }

  async #run(base: Model, settings: Settings, abort: AbortSignal): Promise<TrainResult> {
    const fingerprint = this.library.fingerprint.value;
    const photos = new Map(this.library.classes.value.flatMap((c) => c.photos.value.map((photo) => [photo.id, photo] as const)));
    const labels = this.library.classes.value.map((c) => c.name.value.trim()).toSorted();
    const hidden = settings.hidden > 0 ? [settings.hidden] : [];
    const model = await base.classifier({ labels, hidden, seed: settings.seed });
    try {
      const helper = model.transferLearningHelper();
      const { features, featurize } = await this.#features(helper, abort);
      const { train, test } = split(features, settings);
      this.#enter('train');
      const began = performance.now();
      const history = await helper.fitFeaturized(train, {
        epochs: settings.epochs, batchSize: settings.batchSize, seed: settings.seed, updater: updaterOf(settings), signal: abort,
        ...(settings.validationShare > 0 && { validation: settings.validationShare }),
        onProgress: (p) => batch(() => {
          this.progress.value = p;
          this.curve.value = extend(this.curve.value, p);
        }),
      });
      const trainSeconds = (performance.now() - began) / 1000;
      if (history.epochs.length > 0) this.curve.value = final(history);
      this.#enter('evaluate');
      const evaluation = test && (await model.evaluate(test));
      for (const set of [features, train, test]) await set?.dispose();
      return { model, base, history, evaluation, trainCount: train.count, photos, fingerprint, trainSeconds, featurize };
    } catch (error) {
      await model.dispose();
      throw error;
    }
  }

  async #features(helper: TransferLearningHelper, abort: AbortSignal): Promise<{ features: FeatureSet; featurize: TrainResult['featurize'] }> {
    const engine = await this.engine;
    const samples = this.library.classes.value.flatMap(({ name, photos }) => photos.value.map(({ id, file, group }): Sample => ({
      id, image: file, label: name.value.trim(), ...(group !== undefined && { group }),
    })));
    this.#data = await engine.dataset(samples, { signal: abort, onProgress: (p) => (this.progress.value = p) });
    for (const { id, reason } of this.#data.rejected) this.library.reject(id, reason);
    this.#enter('featurize');
    const began = performance.now();
    let images = 0;
    const features = await helper.featurize(this.#data, {
      signal: abort,
      onProgress: (p) => {
        images = p.total;
        this.progress.value = p;
      },
    });
    return { features, featurize: { images, seconds: (performance.now() - began) / 1000 } };
  }

  #enter(stage: Stage): void {
    batch(() => {
      this.stage.value = stage;
      this.progress.value = undefined;
    });
  }
}

function split(features: FeatureSet, { testShare, seed }: Settings): { train: FeatureSet; test: FeatureSet | undefined } {
  if (testShare === 0) return { train: features, test: undefined };
  const [train, test] = features.split(1 - testShare, { seed, stratified: true });
  return { train, test: test.count > 0 ? test : undefined };
}
