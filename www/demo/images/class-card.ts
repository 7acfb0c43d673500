import { effect } from '@preact/signals-core';
import { h } from '../ui/dom';
import { acceptDrops, type FoundFile } from '../ui/drop';
import { count } from '../ui/format';
import { pickerButton } from '../ui/picker';
import { offerUndo } from '../ui/status';
import type { Library, PhotoClass } from './library';
import { photoGrid } from './photo-grid';
import { recorder } from './recorder';
import type { Thumbnails } from './thumbnails';

export function classCard(owner: PhotoClass, library: Library, thumbnails: Thumbnails): HTMLElement {
  const name = h('input', {
    class: 'class-name', value: owner.name.value, 'aria-label': 'Name of the class', spellcheck: false, autocomplete: 'off' as const,
    oninput: () => {
      owner.name.value = name.value;
    },
    onkeydown: (event) => {
      if (event.key === 'Enter') name.blur();
    },
  });
  const total = h('span', { class: 'muted tally' });
  const camera = h('button', { type: 'button', class: 'button quiet', onclick: openCamera }, 'Webcam');
  const remove = h('button', { type: 'button', class: 'button quiet', onclick: removeClass }, 'Remove');
  const add = pickerButton({
    label: 'Add photos', accept: 'image/*', multiple: true, style: 'button quiet',
    take: addHere,
  });
  const head = h('div', { class: 'class-head' }, name, total, h('div', { class: 'class-actions' }, add, camera, remove));
  const card = h('li', { class: 'class-card' }, head, photoGrid(owner, library, thumbnails));

  function addHere(files: readonly FoundFile[]): void {
    void library.addFound(files.map(({ file }) => ({ file, folders: [] })), owner);
  }
  function openCamera(): void {
    camera.disabled = true;
    head.after(recorder(owner, library, () => {
      camera.disabled = false;
      camera.focus();
    }));
  }
  function removeClass(): void {
    const text = `Removed ${owner.name.value} with ${count(owner.photos.value.length, 'photo')}.`;
    offerUndo(text, library.removeClass(owner));
  }

  acceptDrops(card, addHere);
  effect(() => {
    total.textContent = count(owner.photos.value.length, 'photo');
  });
  effect(() => {
    const called = owner.name.value.trim() || 'the unnamed class';
    if (name.value !== owner.name.value) name.value = owner.name.value;
    remove.ariaLabel = `Remove ${called}`;
    camera.ariaLabel = `Webcam for ${called}`;
    for (const control of add.children) control.ariaLabel = `Add photos to ${called}`;
  });
  return card;
}
