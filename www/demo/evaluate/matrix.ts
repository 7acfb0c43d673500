import type { Evaluation } from 'regraft';
import { h } from '../ui/dom';
import { count } from '../ui/format';

/** More columns than this stand too close for labels side by side. */
const MANY = 7;

/** Rows are what a photo shows, columns what the network said. Colour is share of the row; the number is always there. */
export function confusionMatrix({ labels, confusionMatrix: matrix }: Evaluation): HTMLElement {
  const columns = labels.map((label) => h('th', { scope: 'col', title: label }, h('span', {}, label)));
  const rows = matrix.map((row, actual) => {
    const total = row.reduce((a, b) => a + b, 0);
    const label = labels[actual] ?? '';
    return h('tr', {}, h('th', { scope: 'row', title: label }, h('span', {}, label)), ...row.map((n, predicted) => matrixCell(n, total, actual === predicted, `${count(n, 'photo')} of ${label} taken for ${labels[predicted] ?? ''}`)));
  });
  const table = h('table', { class: labels.length > MANY ? 'confusion many' : 'confusion', 'aria-label': 'Confusion matrix' },
    h('thead', {}, h('tr', {}, h('td', {}), ...columns)),
    h('tbody', {}, ...rows));
  return h('div', {}, h('h3', {}, 'What was taken for what'), h('p', { class: 'muted' }, 'Rows: what it is. Columns: what the network said.'),
    h('div', { class: 'scroll', tabIndex: 0, role: 'region', 'aria-label': 'Confusion matrix' }, table));
}

function matrixCell(n: number, total: number, right: boolean, title: string): HTMLElement {
  const cell = h('td', { class: n === 0 ? 'none' : right ? 'right' : 'wrong', title }, String(n));
  cell.style.setProperty('--share', String(n / Math.max(1, total)));
  return cell;
}
