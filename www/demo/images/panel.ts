import { computed, effect } from '@preact/signals-core';
import { h, panelOf, reconcile } from '../ui/dom';
import { acceptDrops, type FoundFile } from '../ui/drop';
import { count } from '../ui/format';
import { pickerButton } from '../ui/picker';
import { announce } from '../ui/status';
import { classCard } from './class-card';
import type { Library, PhotoClass } from './library';
import { findSamples, loadSamples } from './samples';
import type { Thumbnails } from './thumbnails';

type Take = (found: readonly FoundFile[]) => Promise<void>;

export function mountImages(library: Library, thumbnails: Thumbnails): void {
  const panel = panelOf('images');
  const list = h('ul', { class: 'class-list', role: 'list' });
  let lastUsed: PhotoClass | undefined;

  const take = async (found: readonly FoundFile[]): Promise<void> => {
    const changed = await library.addFound(found);
    lastUsed = changed.at(-1) ?? lastUsed;
    announce(`Now ${count(library.total.value, 'photo')} in ${count(library.classes.value.length, 'class', 'classes')}.`);
  };
  const zone = dropZone(take);
  const addClass = h('button', { type: 'button', class: 'button', onclick: () => focusName(list, library.addClass()) }, 'Add a class');
  panel.append(zone, list, h('div', { class: 'row class-list-foot' }, addClass, summary(library)), rejectedList(library));

  acceptDrops(document.documentElement, take, zone); // a miss would make the browser open the file in place of the page
  list.addEventListener('focusin', (event) => {
    const id = event.target instanceof Element ? event.target.closest<HTMLElement>('.class-card')?.dataset['key'] : undefined;
    lastUsed = library.classes.value.find((c) => c.id === id) ?? lastUsed;
  });
  document.addEventListener('paste', (event) => {
    if (event.defaultPrevented) return;
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    const target = lastUsed && library.classes.value.includes(lastUsed) ? lastUsed : undefined;
    void library.addFound(files.map((file) => ({ file, folders: [] })), target).then(([changed]) => {
      lastUsed = changed ?? lastUsed;
      announce(changed ? `Pasted ${count(files.length, 'photo')} into ${changed.name.value}.` : 'Nothing to paste.');
    });
  });

  effect(() => {
    const classes = library.classes.value;
    reconcile(list, classes, (c) => c.id, (c) => classCard(c, library, thumbnails));
    zone.classList.toggle('compact', classes.length > 0);
  });
  effect(() => {
    for (const { photos } of library.classes.value) thumbnails.checkLater(photos.value);
  });
}

function focusName(list: HTMLElement, added: PhotoClass): void {
  const input = list.querySelector<HTMLInputElement>(`[data-key="${added.id}"] .class-name`);
  input?.focus();
  input?.select();
}

function dropZone(take: Take): HTMLElement {
  const samples = h('span');
  void offerSamples(samples, take);
  return h('div', { class: 'drop-zone' },
    h('p', { class: 'drop-title' }, 'Drop photos or folders here'),
    h('p', { class: 'muted' }, 'One folder is one class. A folder of folders becomes one class per sub-folder. You can also paste.'),
    h('div', { class: 'row' },
      pickerButton({ label: 'Choose a folder', folder: true, style: 'button primary', take }),
      pickerButton({ label: 'Choose photos', accept: 'image/*', multiple: true, take }),
      samples));
}

async function offerSamples(place: HTMLElement, take: Take): Promise<void> {
  const index = await findSamples();
  if (!index || index.size === 0) return;
  const button = h('button', { type: 'button', class: 'button' }, 'Load sample photos');
  button.addEventListener('click', async () => {
    button.disabled = true;
    await take(await loadSamples(index, (done, total) => (button.textContent = `Loading ${done} of ${total}`)));
    button.remove();
  });
  place.append(button);
}

function summary(library: Library): HTMLElement {
  const text = h('p', { class: 'muted' });
  const words = computed(() => {
    const sizes = library.classes.value.map((c) => c.photos.value.length);
    if (library.total.value === 0) return '';
    const uneven = Math.max(...sizes) > 4 * Math.min(...sizes);
    return `${count(library.total.value, 'photo')} in ${count(sizes.length, 'class', 'classes')}${uneven ? '. The classes are uneven: more photos of the small ones will help.' : ''}`;
  });
  effect(() => {
    text.textContent = words.value;
  });
  return text;
}

function rejectedList(library: Library): HTMLElement {
  const title = h('summary');
  const list = h('ul', { class: 'rejected-list' });
  const details = h('details', { class: 'rejected' }, title, list);
  effect(() => {
    const rejected = library.rejected.value;
    details.hidden = rejected.length === 0;
    title.textContent = `${count(rejected.length, 'file')} left out`;
    list.replaceChildren(...rejected.map(({ name, reason }) => h('li', {}, h('span', { class: 'file-name' }, name), ` ${reason}`)));
  });
  return details;
}
