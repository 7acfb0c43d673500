import type { Evaluation } from 'regraft';
import type { Photo } from '../images/library';
import type { Thumbnails } from '../images/thumbnails';
import { h } from '../ui/dom';
import { count, percent } from '../ui/format';

/** The most confident ones teach most: wrong labels are among them. */
const SHOWN = 24;

export function mistakes({ mistakes: all }: Evaluation, photos: ReadonlyMap<string, Photo>, thumbnails: Thumbnails): HTMLElement {
  if (all.length === 0) return h('p', { class: 'muted' }, 'No test photo was taken for something else.');
  const worst = [...all].sort((a, b) => b.probability - a.probability).slice(0, SHOWN);
  const items = worst.map(({ id, label, predicted, probability }) => {
    const photo = photos.get(id);
    const name = photo?.name ?? id;
    const image = h('img', { alt: `Photo ${name}`, width: 96, height: 96, decoding: 'async' });
    if (photo) void thumbnails.visible(photo).then((outcome) => 'url' in outcome && (image.src = outcome.url));
    return h('li', { class: 'mistake', title: name }, image, h('p', {}, h('span', { class: 'muted' }, `${label}, taken for`), h('strong', {}, predicted), h('span', { class: 'muted' }, `${percent(probability)} sure`)));
  });
  const title = all.length > SHOWN ? `The ${SHOWN} most confident of ${count(all.length, 'mistake')}` : count(all.length, 'mistake');
  return h('div', { class: 'mistakes' }, h('h3', {}, title), h('ul', { role: 'list' }, ...items));
}
