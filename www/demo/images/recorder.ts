import { Camera, cameraProblem } from '../ui/camera';
import { h } from '../ui/dom';
import type { Library, PhotoClass } from './library';

const FRAMES_PER_SECOND = 6;
/** Frames this close together are near copies: they stay on one side of the train/test split. */
const GROUP_MILLISECONDS = 2000;

let closeOpen: (() => void) | undefined; // one camera view at a time

/** A camera view under a class: hold the button (or space) to record, release to stop. */
export function recorder(owner: PhotoClass, library: Library, onClose: () => void): HTMLElement {
  closeOpen?.();
  const camera = new Camera();
  const hint = h('p', { class: 'muted', role: 'status' }, 'Opening the camera…');
  const record = h('button', { type: 'button', class: 'button primary', disabled: true }, 'Hold to record');
  const once = h('button', { type: 'button', class: 'button', disabled: true, onclick: () => void take() }, 'Take one');
  const element = h('div', { class: 'recorder' }, camera.video,
    h('div', { class: 'recorder-controls' }, h('div', { class: 'row' }, record, once, h('button', { type: 'button', class: 'button quiet', onclick: close }, 'Close camera')), hint));
  let timer: ReturnType<typeof setInterval> | undefined;
  let taken = 0;

  async function take(): Promise<void> {
    if (!camera.open) return;
    const now = Date.now();
    library.add(owner, [await camera.capture(`webcam ${taken + 1}.jpg`)], `${owner.id}-${Math.floor(now / GROUP_MILLISECONDS)}`);
    taken += 1;
    hint.textContent = `${taken} taken`;
  }
  function start(): void {
    if (timer !== undefined || !camera.open) return;
    record.classList.add('recording');
    void take();
    timer = setInterval(() => void take(), 1000 / FRAMES_PER_SECOND);
  }
  function stop(): void {
    clearInterval(timer);
    timer = undefined;
    record.classList.remove('recording');
  }
  function close(): void {
    stop();
    camera.stop();
    element.remove();
    closeOpen = undefined;
    onClose();
  }
  closeOpen = close;

  record.addEventListener('pointerdown', start);
  for (const end of ['pointerup', 'pointercancel', 'pointerleave', 'blur']) record.addEventListener(end, stop);
  record.addEventListener('keydown', (event) => {
    if (event.key === ' ' || event.key === 'Enter') {
      event.preventDefault();
      start();
    }
  });
  record.addEventListener('keyup', stop);
  record.addEventListener('contextmenu', (event) => event.preventDefault()); // a long press on touch screens

  camera.start().then(() => {
    if (!element.isConnected) return camera.stop();
    record.disabled = once.disabled = false;
    hint.textContent = 'Turn the object while you record: different sides make a better class.';
    record.focus();
  }).catch((error: unknown) => {
    hint.textContent = cameraProblem(error);
  });
  return element;
}
