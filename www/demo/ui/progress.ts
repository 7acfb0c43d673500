import { h, uniqueId } from './dom';

/** A labelled bar with a line of text under it. `done` undefined shows that something goes on without saying how far. */
export class ProgressBar {
  readonly element: HTMLElement;
  readonly #bar: HTMLProgressElement;
  readonly #detail: HTMLElement;

  constructor(label: string) {
    const id = uniqueId('progress');
    this.#bar = h('progress', { id, max: 1, value: 0 });
    this.#detail = h('span', { class: 'progress-detail' });
    this.element = h('div', { class: 'progress' }, h('label', { htmlFor: id }, label), this.#detail, this.#bar);
  }

  set(share: number | undefined, detail: string): void {
    if (share === undefined) this.#bar.removeAttribute('value');
    else this.#bar.value = share;
    if (this.#detail.textContent !== detail) this.#detail.textContent = detail;
  }
}
