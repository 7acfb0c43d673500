import { effect } from '@preact/signals-core';
import { h, oncePerFrame, reconcile } from '../ui/dom';
import { count } from '../ui/format';
import { offerUndo } from '../ui/status';
import type { Library, Photo, PhotoClass } from './library';
import type { Thumbnails } from './thumbnails';

/** Pixels, tile and gap; the style sheet has the same numbers. */
const TILE = 64;
const GAP = 6;
/** From this many columns on one row gives a good idea of a class. */
const ONE_ROW_COLUMNS = 9;
/** More tiles than this at a time would make a page nobody scrolls through and a list nobody tabs over. */
const PAGE = 120;

/**
 * Previews of one class: a row or two, more on request. One tab stop; arrow keys move, Delete removes.
 */
export function photoGrid(owner: PhotoClass, library: Library, thumbnails: Thumbnails): HTMLElement {
  const grid = h('ul', { class: 'photo-grid', role: 'list' });
  const more = h('button', { type: 'button', class: 'button quiet more' });
  const empty = h('p', { class: 'muted' }, 'No photos yet: drop some here, or use the buttons above.');
  let extra = 0; // tiles asked for beyond the first rows

  const shown = (): number => {
    const columns = Math.max(1, Math.floor((grid.clientWidth + GAP) / (TILE + GAP)));
    return columns * (columns < ONE_ROW_COLUMNS ? 2 : 1) + extra;
  };
  const render = oncePerFrame(() => {
    const photos = owner.photos.value;
    const limit = shown();
    const visible = photos.length <= limit ? photos : photos.slice(0, limit);
    reconcile(grid, visible, (photo) => photo.id, (photo) => tile(photo, thumbnails));
    if (!grid.querySelector('button[tabindex="0"]')) grid.querySelector('button')?.setAttribute('tabindex', '0');
    const hidden = photos.length - visible.length;
    more.hidden = hidden === 0 && extra === 0;
    more.textContent = hidden > 0 ? `Show ${hidden <= PAGE ? `all ${photos.length}` : `${PAGE} more of ${photos.length}`}` : 'Show fewer';
  });

  more.addEventListener('click', () => {
    extra = owner.photos.value.length > shown() ? extra + PAGE : 0;
    render();
  });
  grid.addEventListener('click', (event) => {
    const id = tileIn(event.target)?.dataset['key'];
    if (id !== undefined && event.target instanceof Element && event.target.closest('button')) remove(id);
  });
  grid.addEventListener('keydown', (event) => {
    const current = tileIn(event.target);
    if (!current) return;
    if (event.key === 'Delete' || event.key === 'Backspace') remove(current.dataset['key'] ?? '');
    else if (!move(grid, current, event.key)) return;
    event.preventDefault();
  });

  function remove(id: string): void {
    const photo = owner.photos.value.find((p) => p.id === id);
    const current = grid.querySelector(`[data-key="${id}"]`);
    if (!photo || !current) return;
    const neighbour = current.nextElementSibling ?? current.previousElementSibling;
    if (neighbour) focusTile(grid, neighbour);
    const restore = library.remove(owner, photo);
    offerUndo(`Removed ${photo.name} from ${owner.name.value}.`, restore);
  }

  new ResizeObserver(render).observe(grid);
  effect(() => {
    grid.ariaLabel = `${count(owner.photos.value.length, 'photo')} of ${owner.name.value}`;
    empty.hidden = owner.photos.value.length > 0;
    render();
  });
  return h('div', {}, empty, grid, more);
}

function tile(photo: Photo, thumbnails: Thumbnails): HTMLElement {
  const image = h('img', { alt: '', width: TILE, height: TILE, decoding: 'async' });
  const remove = h('button', { type: 'button', tabIndex: -1, 'aria-label': `Remove ${photo.name}`, title: `Remove ${photo.name}` }, '×');
  const item = h('li', { class: 'tile' }, image, remove);
  void thumbnails.visible(photo).then((outcome) => {
    if ('url' in outcome) image.src = outcome.url;
  });
  return item;
}

function tileIn(target: EventTarget | null): HTMLElement | undefined {
  return (target instanceof Element && target.closest<HTMLElement>('.tile')) || undefined;
}

function move(grid: HTMLElement, from: HTMLElement, key: string): boolean {
  const tiles = [...grid.children];
  const columns = getComputedStyle(grid).gridTemplateColumns.split(' ').length;
  const steps: Partial<Record<string, number>> = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -tiles.length, End: tiles.length };
  const step = steps[key];
  if (step === undefined) return false;
  const at = tiles.indexOf(from) + step;
  const target = tiles[Math.min(tiles.length - 1, Math.max(0, at))];
  if (target) focusTile(grid, target);
  return true;
}

function focusTile(grid: HTMLElement, target: Element): void {
  for (const button of grid.querySelectorAll('button[tabindex="0"]')) button.setAttribute('tabindex', '-1');
  const button = target.querySelector('button');
  button?.setAttribute('tabindex', '0');
  button?.focus();
}
