import { signal } from '@preact/signals-core';
import type { Engine, LoadOptions, Model, ModelSource, ZooName } from 'regraft';
import { isAbort, problemOf, type Problem } from '../ui/problem';

/** Beside the page, so that any static host and any sub-path works. */
const BUNDLED_URL = './models/efficientnet_lite0.regraft.safetensors';
const BUNDLED_NAME = 'EfficientNet-Lite0';

/** A model that the user brought. */
export interface OwnModel { files: readonly File[]; architecture: ZooName | undefined }

export interface LoadedModel {
  name: string;
  model: Model;
  /** Absent where it is the one beside the page. */
  own: OwnModel | undefined;
}

type Phase = 'download' | 'parse' | 'compile';

export type Loading =
  | { status: 'idle' }
  | { status: 'loading'; name: string; phase: Phase; loaded: number; total: number | undefined }
  /** `files` are kept where naming the architecture may rescue them: weights without a graph. */
  | { status: 'failed'; name: string; problem: Problem; files: readonly File[] };

/** The network that everything starts from. A failed load leaves the one before in place. */
export class BaseModel {
  readonly current = signal<LoadedModel | undefined>(undefined);
  readonly loading = signal<Loading>({ status: 'idle' });
  #abort = new AbortController();

  constructor(private readonly engine: Promise<Engine>) {}

  loadBundled(): Promise<void> {
    return this.#load(BUNDLED_NAME, new URL(BUNDLED_URL, document.baseURI), {}, undefined);
  }

  loadFiles(files: readonly File[], architecture?: ZooName): Promise<void> {
    const [first] = files;
    if (!first) return Promise.resolve();
    const source: ModelSource = files.length === 1 ? first : { files: Object.fromEntries(files.map((file) => [file.name, file])) };
    const options: LoadOptions = architecture === undefined ? {} : { architecture };
    return this.#load(files.length === 1 ? first.name : `${first.name} and ${files.length - 1} more`, source, options, { files, architecture });
  }

  async #load(name: string, source: ModelSource, options: LoadOptions, own: OwnModel | undefined): Promise<void> {
    this.#abort.abort();
    const abort = (this.#abort = new AbortController());
    this.loading.value = { status: 'loading', name, phase: 'download', loaded: 0, total: undefined };
    try {
      const engine = await this.engine;
      const model = await engine.load(source, {
        ...options,
        signal: abort.signal,
        onProgress: (p) => {
          if (!abort.signal.aborted) this.loading.value = { status: 'loading', name, phase: p.phase, loaded: p.loaded, total: p.total };
        },
      });
      const before = this.current.value;
      this.current.value = { name, model, own };
      this.loading.value = { status: 'idle' };
      await before?.model.dispose();
    } catch (error) {
      if (abort.signal.aborted || isAbort(error)) return;
      this.loading.value = { status: 'failed', name, problem: problemOf(error), files: own?.files ?? [] };
    }
  }
}
