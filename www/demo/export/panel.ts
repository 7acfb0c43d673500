import { effect } from '@preact/signals-core';
import type { ExportFormat, ExportResult } from 'regraft';
import type { Trainer, TrainResult } from '../train/trainer';
import { h, panelOf } from '../ui/dom';
import { bytes, count, small } from '../ui/format';
import { problemOf, problemView } from '../ui/problem';
import { announce } from '../ui/status';
import { pythonSnippet } from './snippet';

interface Offer { format: ExportFormat; title: string; text: string }

const OFFERS: readonly Offer[] = [
  { format: 'onnx', title: 'ONNX', text: 'For Python, mobile, C++ and most other tools.' },
  { format: 'regraft', title: 'regraft', text: 'To train on from here later: weights, graph, labels and preprocessing in one safetensors file.' },
];

export function mountExport(trainer: Trainer): void {
  const panel = panelOf('export');
  effect(() => {
    const result = trainer.result.value;
    if (!result) return panel.replaceChildren(h('p', { class: 'muted' }, 'After training: the whole network as a file, read back and checked before you get it.'));
    panel.replaceChildren(h('ul', { class: 'offers', role: 'list' }, ...OFFERS.map((offer) => offerView(offer, result))));
  });
}

function offerView({ format, title, text }: Offer, result: TrainResult): HTMLElement {
  const outcome = h('div', { class: 'outcome' });
  const button = h('button', { type: 'button', class: 'button', 'aria-label': `Download as ${title}` }, 'Download');
  button.addEventListener('click', async () => {
    button.disabled = true;
    button.textContent = 'Writing…';
    try {
      const exported = await result.model.export(format);
      const names = download(exported.files);
      outcome.replaceChildren(...outcomeView(exported, result, format, names));
      announce(`${title} file downloaded and checked.`);
    } catch (error) {
      outcome.replaceChildren(problemView(problemOf(error)));
    } finally {
      button.disabled = false;
      button.textContent = 'Download';
    }
  });
  return h('li', { class: 'offer', 'data-format': format }, h('div', {}, h('h3', {}, title), h('p', { class: 'muted' }, text)), button, outcome);
}

/** Saves every file of the export and returns their names. */
function download(files: ExportResult['files']): string[] {
  return Object.entries(files).map(([name, data]) => {
    const url = URL.createObjectURL(new Blob([data as Uint8Array<ArrayBuffer>]));
    h('a', { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000); // the browser reads it while it saves
    return name;
  });
}

function outcomeView({ files, verified }: ExportResult, { model }: TrainResult, format: ExportFormat, names: readonly string[]): HTMLElement[] {
  const size = Object.values(files).reduce((sum, file) => sum + file.byteLength, 0);
  const line = h('p', {}, h('span', { class: 'tick', 'aria-hidden': 'true' }, '✓ '), `${names.join(', ')}, `, h('data', { 'data-fact': 'bytes', value: String(size) }, bytes(size)),
    `. Read back and run on ${count(verified.samples, 'random input')}: largest difference `,
    h('data', { 'data-fact': 'difference', value: String(verified.maxAbsDiff) }, small(verified.maxAbsDiff)), '.');
  const [name] = names;
  return format === 'onnx' && name !== undefined ? [line, snippetView(pythonSnippet(model, name))] : [line];
}

function snippetView(code: string): HTMLElement {
  const copy = h('button', { type: 'button', class: 'button quiet' }, 'Copy');
  copy.addEventListener('click', () => void navigator.clipboard.writeText(code).then(() => {
    copy.textContent = 'Copied';
    announce('Copied.');
  }));
  return h('details', { class: 'snippet', open: true }, h('summary', {}, 'Use it in Python'),
    h('pre', { tabIndex: 0, 'aria-label': 'Python script' }, h('code', {}, code)), copy);
}
