import { computed, effect, signal, type ReadonlySignal } from '@preact/signals-core';
import type { Model, Prediction } from 'regraft';
import type { BaseModel } from '../model/state';
import type { Trainer } from '../train/trainer';
import { Camera, cameraProblem } from '../ui/camera';
import { h, panelOf } from '../ui/dom';
import { acceptDrops } from '../ui/drop';
import { percent } from '../ui/format';
import { pickerButton } from '../ui/picker';
import { isAbort, problemOf, problemView } from '../ui/problem';
import { announce } from '../ui/status';

const TOP_K = 5;
/** Below this the best class is little more than a guess. */
const UNSURE = 0.5;
/** Pause between live frames, so that the rest of the machine breathes. */
const LIVE_PAUSE_MILLISECONDS = 120;

/** The network that is asked: of the one that was trained and a loaded one that knows its classes, the newer. */
interface Asked { model: Model; /** Of a file; absent where it was trained here. */ name: string | undefined }

export function mountTry(base: BaseModel, trainer: Trainer): void {
  const panel = panelOf('try');
  const asked = computed((): Asked | undefined => {
    const [loaded, result] = [base.current.value, trainer.result.value];
    if (loaded?.own && loaded.model.labels && loaded.model !== result?.base) return { model: loaded.model, name: loaded.name };
    return result && { model: result.model, name: undefined };
  });
  const view = new TryView(asked);
  const waiting = h('p', { class: 'muted' }, 'After training: show it a photo it has never seen. A model file that knows its classes can be tried at once.');
  panel.append(waiting, view.element);
  effect(() => {
    waiting.hidden = asked.value !== undefined;
    view.element.hidden = asked.value === undefined;
  });
}

class TryView {
  readonly element: HTMLElement;
  readonly #image = h('img', { class: 'try-image', alt: '' });
  readonly #answers = h('div', { class: 'answers' });
  readonly #camera = new Camera();
  readonly #live = signal(false);
  /** What the answers are about, unless it is the camera's picture of now. */
  #file: File | undefined;
  #frame: File | undefined;
  /** Answers to anything but the latest question come too late. */
  #questions = 0;

  constructor(private readonly asked: ReadonlySignal<Asked | undefined>) {
    const take = (files: readonly { file: File }[]): void => {
      const [first] = files;
      if (first) void this.#show(first.file);
    };
    const live = h('button', { type: 'button', class: 'button', onclick: () => void this.#toggleLive() }, 'Use the webcam');
    const zone = h('div', { class: 'drop-zone small' }, h('p', {}, 'Drop or paste a photo here, or'),
      h('div', { class: 'row' }, pickerButton({ label: 'Choose a photo', describe: 'Choose a photo to try', accept: 'image/*', take }), live));
    const picture = h('div', { class: 'try-picture' }, this.#image, this.#camera.video);
    const whose = h('p', { class: 'muted' });
    this.element = h('div', { class: 'try' }, zone, whose, h('div', { class: 'try-result' }, picture, this.#answers));
    acceptDrops(this.element, take);
    document.addEventListener('paste', (event) => {
      const file = event.clipboardData?.files[0];
      if (!file || !(event.target instanceof Node) || !this.element.contains(event.target)) return;
      event.preventDefault();
      void this.#show(file);
    }, { capture: true });
    effect(() => {
      live.textContent = this.#live.value ? 'Stop the webcam' : 'Use the webcam';
      this.#camera.video.hidden = !this.#live.value;
      this.#image.hidden = this.#live.value || this.#image.src === '';
    });
    effect(() => {
      const { value } = this.asked;
      whose.hidden = value?.name === undefined;
      whose.textContent = `Answers are those of ${value?.name ?? 'the network trained here'}.`;
      if (value && this.#file) void this.#show(this.#file); // the newer model's opinion
    });
  }

  async #show(file: File): Promise<void> {
    this.#stopLive();
    this.#file = file;
    this.#picture(file);
    const best = await this.#predict(file);
    if (best) announce(`${best.label}, ${percent(best.probability)}.`);
  }

  #picture(file: File): void {
    URL.revokeObjectURL(this.#image.src);
    this.#image.src = URL.createObjectURL(file);
    this.#image.alt = file.name;
    this.#image.hidden = this.#live.value;
  }

  async #predict(file: File): Promise<Prediction | undefined> {
    const model = this.asked.value?.model;
    if (!model) return undefined;
    const question = ++this.#questions;
    const late = (): boolean => question !== this.#questions || model !== this.asked.value?.model;
    try {
      const predictions = await model.predict(file, { topK: Math.min(TOP_K, model.labels?.length ?? TOP_K) });
      if (late()) return undefined;
      this.#answers.replaceChildren(...bars(predictions));
      return predictions[0];
    } catch (error) {
      if (isAbort(error) || late()) return undefined;
      this.#answers.replaceChildren(problemView(problemOf(error)));
      this.#image.removeAttribute('src');
      this.#image.hidden = true;
      return undefined;
    }
  }

  async #toggleLive(): Promise<void> {
    if (this.#live.value) return this.#stopLive();
    try {
      this.#live.value = true;
      await this.#camera.start();
    } catch (error) {
      this.#stopLive();
      this.#answers.replaceChildren(h('p', { role: 'alert' }, cameraProblem(error)));
      return;
    }
    this.#file = undefined;
    while (this.#live.value) {
      const frame = await this.#camera.capture('webcam.jpg');
      if (await this.#predict(frame)) this.#frame = frame;
      await new Promise((resolve) => setTimeout(resolve, LIVE_PAUSE_MILLISECONDS));
    }
  }

  /** The last picture stays beside its answers. */
  #stopLive(): void {
    if (!this.#live.value) return;
    this.#live.value = false;
    this.#camera.stop();
    if (this.#frame) this.#picture(this.#frame);
    this.#file = this.#frame;
    this.#frame = undefined;
    this.#questions += 1;
  }
}

function bars(predictions: readonly Prediction[]): HTMLElement[] {
  const items = predictions.map(({ label, probability }) => {
    const meter = h('meter', { min: 0, max: 1, value: probability, 'aria-label': label });
    return h('li', {}, h('span', { class: 'answer-label' }, label), h('span', { class: 'answer-share' }, percent(probability)), meter);
  });
  const [best] = predictions;
  const unsure = best && best.probability < UNSURE && h('p', { class: 'muted' }, 'Not sure: this looks like none of the classes in particular.');
  return [h('ol', { class: 'answer-list', role: 'list' }, ...items), ...(unsure ? [unsure] : [])];
}
