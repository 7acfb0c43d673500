import { byId, h } from './dom';

/** Long enough to notice and reach by keyboard; focus or the pointer on it stops the clock. */
const TOAST_MILLISECONDS = 8000;

/** Tells screen readers what changed elsewhere on the page. */
export function announce(text: string): void {
  byId('announcer').textContent = text;
}

/** A note in the corner that takes one step back. The newest replaces the one before. */
export function offerUndo(text: string, undo: () => void): void {
  const toast = h('div', { class: 'toast', role: 'status' }, h('span', {}, text));
  const close = (): void => toast.remove();
  let timer = setTimeout(close, TOAST_MILLISECONDS);
  const hold = (): void => clearTimeout(timer);
  const release = (): void => {
    hold();
    timer = setTimeout(close, TOAST_MILLISECONDS);
  };
  toast.addEventListener('pointerenter', hold);
  toast.addEventListener('pointerleave', release);
  toast.addEventListener('focusin', hold);
  toast.addEventListener('focusout', release);
  toast.append(h('button', {
    type: 'button',
    class: 'button quiet',
    onclick: () => {
      close();
      undo();
    },
  }, 'Undo'));
  byId('toasts').replaceChildren(toast);
}
