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
  baseName: string;
  history: History;
  /** Absent where no photo was kept aside. */
  evaluation: Evaluation | undefined;
  trainCount: number;
  photos: ReadonlyMap<string, Photo>;
  /** Of the library trained on, to notice later changes. */
  fingerprint: string;
  featurize: { images: number; seconds: number; cached: boolean };
  trainSeconds: number;
}

/** Features outlive a run, so that changing a knob trains again in the blink of an eye. */
interface Cached { key: string; base: Model; train: FeatureSet; test: FeatureSet | undefined; seconds: number }

/** One run at a time: read photos, run the frozen network over them, train the head, test it. */
export class Trainer {
  readonly stage = signal<Stage>('idle');
  readonly progress = signal<Progress | undefined>(undefined);
  readonly curve = signal<readonly CurvePoint[]>([]);
  readonly result = signal<TrainResult | undefined>(undefined);
  readonly problem = signal<Problem | undefined>(undefined);
  readonly stopping = signal(false);
  readonly running = computed(() => this.stage.value !== 'idle');
  /** The result was learned from other photos or classes than there are now. */
  readonly stale = computed(() => {
    const { value } = this.result;
    return value !== undefined && value.fingerprint !== this.library.fingerprint.value;
  });
  #abort = new AbortController();
  #cached: Cached | undefined;

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
      const result = await this.#run(base, settings, this.#abort.signal);
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

  async #run(base: { name: string; model: Model }, settings: Settings, abort: AbortSignal): Promise<TrainResult> {
    const fingerprint = this.library.fingerprint.value;
    const photos = new Map(this.library.classes.value.flatMap((c) => c.photos.value.map((photo) => [photo.id, photo] as const)));
    const labels = this.library.classes.value.map((c) => c.name.value.trim()).toSorted();
    const hidden = settings.hidden > 0 ? [settings.hidden] : [];
    const model = await base.model.classifier({ labels, hidden, seed: settings.seed });
    try {
      const helper = model.transferLearningHelper();
      const { cached, fresh } = await this.#features(base.model, helper, settings, abort);
      this.#enter('train');
      const began = performance.now();
      const history = await helper.fitFeaturized(cached.train, {
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
      const evaluation = cached.test && (await model.evaluate(cached.test));
      const images = cached.train.count + (cached.test?.count ?? 0);
      return {
        model, baseName: base.name, history, evaluation, trainCount: cached.train.count, photos, fingerprint, trainSeconds,
        featurize: { images, seconds: cached.seconds, cached: !fresh },
      };
    } catch (error) {
      await model.dispose();
      throw error;
    }
  }

  async #features(base: Model, helper: TransferLearningHelper, settings: Settings, abort: AbortSignal): Promise<{ cached: Cached; fresh: boolean }> {
    const key = JSON.stringify([this.library.fingerprint.value, settings.testShare, settings.seed]);
    if (this.#cached?.key === key && this.#cached.base === base) return { cached: this.#cached, fresh: false };
    await this.#cached?.train.dispose();
    await this.#cached?.test?.dispose();
    this.#cached = undefined;

    const { train, test } = await this.#split(settings, abort);
    this.#enter('featurize');
    const total = train.count + (test?.count ?? 0);
    const began = performance.now();
    const run = (data: Dataset, offset: number): Promise<FeatureSet> => helper.featurize(data, {
      signal: abort,
      onProgress: (p) => {
        const done = offset + p.done;
        const perSecond = done / ((performance.now() - began) / 1000);
        this.progress.value = { ...p, done, total, perSecond, secondsLeft: (total - done) / perSecond };
      },
    });
    const features = { train: await run(train, 0), test: test && (await run(test, train.count)) };
    this.#cached = { key, base, ...features, seconds: (performance.now() - began) / 1000 };
    return { cached: this.#cached, fresh: true };
  }

  async #split({ testShare, seed }: Settings, abort: AbortSignal): Promise<{ train: Dataset; test: Dataset | undefined }> {
    const engine = await this.engine;
    const samples = this.library.classes.value.flatMap(({ name, photos }) => photos.value.map(({ id, file, group }): Sample => ({
      id, image: file, label: name.value.trim(), ...(group !== undefined && { group }),
    })));
    const data = await engine.dataset(samples, { signal: abort, onProgress: (p) => (this.progress.value = p) });
    for (const { id, reason } of data.rejected) this.library.reject(id, reason);
    if (testShare === 0) return { train: data, test: undefined };
    const { train, test } = data.split(1 - testShare, { seed, stratified: true });
    return { train, test: test.count > 0 ? test : undefined };
  }

  #enter(stage: Stage): void {
    batch(() => {
      this.stage.value = stage;
      this.progress.value = undefined;
    });
  }
}
