import { computed, effect, signal } from '@preact/signals-core';
import type { Prediction } from 'regraft';
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

export function mountTry(trainer: Trainer): void {
  const panel = panelOf('try');
  const view = new TryView(trainer);
  const waiting = h('p', { class: 'muted' }, 'After training: show it a photo it has never seen.');
  panel.append(waiting, view.element);
  const ready = computed(() => trainer.result.value !== undefined);
  effect(() => {
    waiting.hidden = ready.value;
    view.element.hidden = !ready.value;
  });
}

class TryView {
  readonly element: HTMLElement;
  readonly #image = h('img', { class: 'try-image', alt: '' });
  readonly #answers = h('div', { class: 'answers' });
  readonly #camera = new Camera();
  readonly #live = signal(false);
  #file: File | undefined;

  constructor(private readonly trainer: Trainer) {
    const take = (files: readonly { file: File }[]): void => {
      const [first] = files;
      if (first) void this.#show(first.file);
    };
    const live = h('button', { type: 'button', class: 'button', onclick: () => void this.#toggleLive() }, 'Use the webcam');
    const zone = h('div', { class: 'drop-zone small' }, h('p', {}, 'Drop or paste a photo here, or'),
      h('div', { class: 'row' }, pickerButton({ label: 'Choose a photo', describe: 'Choose a photo to try', accept: 'image/*', take }), live));
    const picture = h('div', { class: 'try-picture' }, this.#image, this.#camera.video);
    this.element = h('div', { class: 'try' }, zone, h('div', { class: 'try-result' }, picture, this.#answers));
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
      if (this.trainer.result.value && this.#file) void this.#show(this.#file); // the newer model's opinion
    });
  }

  async #show(file: File): Promise<void> {
    this.#stopLive();
    this.#file = file;
    URL.revokeObjectURL(this.#image.src);
    this.#image.src = URL.createObjectURL(file);
    this.#image.alt = file.name;
    this.#image.hidden = false;
    const best = await this.#predict(file);
    if (best) announce(`${best.label}, ${percent(best.probability)}.`);
    if (best === undefined) this.#image.hidden = true;
  }

  async #predict(file: File): Promise<Prediction | undefined> {
    const model = this.trainer.result.value?.model;
    if (!model) return undefined;
    try {
      const predictions = await model.predict(file, { topK: Math.min(TOP_K, model.labels?.length ?? TOP_K) });
      this.#answers.replaceChildren(...bars(predictions));
      return predictions[0];
    } catch (error) {
      if (!isAbort(error)) this.#answers.replaceChildren(problemView(problemOf(error)));
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
      await this.#predict(await this.#camera.capture('webcam.jpg'));
      await new Promise((resolve) => setTimeout(resolve, LIVE_PAUSE_MILLISECONDS));
    }
  }

  #stopLive(): void {
    this.#live.value = false;
    this.#camera.stop();
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
