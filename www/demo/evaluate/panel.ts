import { effect } from '@preact/signals-core';
import type { Evaluation } from 'regraft';
import type { Thumbnails } from '../images/thumbnails';
import type { Trainer, TrainResult } from '../train/trainer';
import { h, panelOf } from '../ui/dom';
import { count, percent } from '../ui/format';
import { announce } from '../ui/status';
import { confusionMatrix } from './matrix';
import { mistakes } from './mistakes';

/** Below this many test photos the interval is so wide that it needs saying. */
const FEW = 50;

export function mountEvaluate(trainer: Trainer, thumbnails: Thumbnails): void {
  const panel = panelOf('evaluate');
  effect(() => {
    const result = trainer.result.value;
    panel.replaceChildren(...(result ? view(result, thumbnails) : [h('p', { class: 'muted' }, 'After training: how often it is right on photos it never learned from, and where it goes wrong.')]));
    if (result?.evaluation) announce(`Training finished. ${percent(result.evaluation.accuracy)} of the test photos are right.`);
    else if (result) announce('Training finished.');
  });
}

function view(result: TrainResult, thumbnails: Thumbnails): HTMLElement[] {
  const { evaluation } = result;
  if (!evaluation) return [h('p', {}, 'No photo was kept aside, so there is nothing to test on. Set a test share in the options and train again.')];
  return [verdict(evaluation), confusionMatrix(evaluation), perClass(evaluation), mistakes(evaluation, result.photos, thumbnails)];
}

function verdict({ accuracy, accuracyInterval95: [low, high], count: total, perClass: classes }: Evaluation): HTMLElement {
  const right = Math.round(accuracy * total);
  const biggest = classes.reduce((most, c) => (c.support > most.support ? c : most), { label: '', support: 0 });
  const few = total < FEW ? ' More test photos would narrow this.' : '';
  return h('div', { class: 'verdict' },
    h('p', { class: 'score' }, h('data', { 'data-fact': 'accuracy', value: String(accuracy) }, percent(accuracy)), h('span', {}, ' of ', h('data', { 'data-fact': 'test-count', value: String(total) }, count(total, 'test photo')), ' right')),
    h('p', {}, `${right} of ${total} photos that were kept aside. With that many, the true accuracy lies between `,
      h('data', { 'data-fact': 'accuracy-low', value: String(low) }, percent(low)), ' and ', h('data', { 'data-fact': 'accuracy-high', value: String(high) }, percent(high)),
      ` (95 % interval).${few} Always guessing ${biggest.label} would reach ${percent(biggest.support / Math.max(1, total))}.`));
}

function perClass({ perClass: classes }: Evaluation): HTMLElement {
  const head = ['Class', 'Found', 'Right when said', 'F1', 'Test photos'].map((text) => h('th', { scope: 'col' }, text));
  const rows = classes.map((c) => h('tr', {}, h('th', { scope: 'row', title: c.label }, c.label), h('td', {}, percent(c.recall)), h('td', {}, percent(c.precision)), h('td', {}, c.f1.toFixed(2)), h('td', {}, String(c.support))));
  return h('details', { class: 'per-class' }, h('summary', {}, 'Numbers of each class'),
    h('p', { class: 'muted' }, 'Found: share of a class that is recognised (recall). Right when said: share of these answers that is true (precision).'),
    h('div', { class: 'scroll', tabIndex: 0, role: 'region', 'aria-label': 'Numbers of each class' },
      h('table', {}, h('thead', {}, h('tr', {}, ...head)), h('tbody', {}, ...rows))));
}
