import { effect } from '@preact/signals-core';
import { h, oncePerFrame } from '../ui/dom';
import { percent, small } from '../ui/format';
import { Chart } from './chart';
import type { CurvePoint } from './curve';
import type { Trainer } from './trainer';

/** The live curve: loss and accuracy, a legend that does not rely on colour, and the same numbers as a table. */
export function curveView(trainer: Trainer): HTMLElement {
  const loss = new Chart({ title: 'Loss', format: small, tick: (v) => String(Number(v.toFixed(2))) });
  const accuracy = new Chart({ title: 'Accuracy', format: percent, tick: percent, top: 1 });
  const legend = h('p', { class: 'legend' }, h('span', { class: 'key train' }, 'training'), h('span', { class: 'key validation' }, 'validation'));
  const table = h('details', { class: 'curve-table' }, h('summary', {}, 'The curve as numbers'));
  const element = h('div', { class: 'curve' }, h('div', { class: 'charts' }, loss.element, accuracy.element), legend, table);

  const draw = oncePerFrame(() => {
    const points = trainer.curve.value;
    const epochs = points.map((p) => p.epoch);
    loss.set(epochs, points.map((p) => p.loss), points.map((p) => p.valLoss));
    accuracy.set(epochs, points.map((p) => p.accuracy), points.map((p) => p.valAccuracy));
    if (table.open) showNumbers(table, points);
  });
  table.addEventListener('toggle', draw);
  effect(() => {
    element.hidden = trainer.curve.value.length === 0;
    draw();
  });
  return element;
}

function showNumbers(table: HTMLElement, points: readonly CurvePoint[]): void {
  const cell = (value: number | undefined, format: (v: number) => string): HTMLElement => h('td', {}, value === undefined ? '–' : format(value));
  const head = ['Epoch', 'Loss', 'Accuracy', 'Validation loss', 'Validation accuracy'].map((text) => h('th', { scope: 'col' }, text));
  const rows = points.map((p) => h('tr', {}, h('th', { scope: 'row' }, String(p.epoch)),
    cell(p.loss, small), cell(p.accuracy, percent), cell(p.valLoss, small), cell(p.valAccuracy, percent)));
  table.querySelector('.scroll')?.remove();
  table.append(h('div', { class: 'scroll', tabIndex: 0, role: 'region', 'aria-label': 'Numbers of every epoch' },
    h('table', {}, h('thead', {}, h('tr', {}, ...head)), h('tbody', {}, ...rows))));
}
