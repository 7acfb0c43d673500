import { effect } from '@preact/signals-core';
import type { ZooName } from 'regraft';
import { byId, h, panelOf } from '../ui/dom';
import { acceptDrops } from '../ui/drop';
import { bytes, millions, percent } from '../ui/format';
import { pickerButton } from '../ui/picker';
import { problemView } from '../ui/problem';
import { ProgressBar } from '../ui/progress';
import { announce } from '../ui/status';
import type { BaseModel, LoadedModel, Loading } from './state';

/** File types whose bytes may hold weights alone. Only decides whether to ask; the engine looks at the bytes. */
const MAY_BE_WEIGHTS_ONLY = /\.(pth|pt|bin|safetensors)$/i;

const ARCHITECTURES = {
  efficientnet_lite0: 'EfficientNet-Lite0', efficientnet_lite1: 'EfficientNet-Lite1', efficientnet_lite2: 'EfficientNet-Lite2',
  efficientnet_lite3: 'EfficientNet-Lite3', efficientnet_lite4: 'EfficientNet-Lite4', mobilenet_v2: 'MobileNetV2',
  squeezenet1_1: 'SqueezeNet 1.1', resnet18: 'ResNet-18', vgg16: 'VGG-16',
} as const satisfies Record<ZooName, string>;

const PHASES = { download: 'Downloading', parse: 'Reading', compile: 'Preparing' } as const;

export function mountModel(base: BaseModel): void {
  const panel = panelOf('model');
  const facts = h('div', { class: 'model-facts' });
  const progress = new ProgressBar('Loading the model');
  const failure = h('div');
  panel.append(facts, progress.element, failure, ownModel(base));

  effect(() => {
    const loaded = base.current.value;
    facts.replaceChildren(...(loaded ? describe(loaded) : []));
    if (loaded) announce(`${loaded.name} is ready.`);
  });
  effect(() => {
    const loading = base.loading.value;
    progress.element.hidden = loading.status !== 'loading';
    if (loading.status === 'loading') progress.set(...progressOf(loading));
    failure.replaceChildren(...(loading.status === 'failed' ? [failureView(base, loading)] : []));
  });
}

function progressOf(loading: Extract<Loading, { status: 'loading' }>): [number | undefined, string] {
  const { name, phase, loaded, total } = loading;
  if (phase !== 'download' || loaded === 0) return [undefined, `${PHASES[phase]} ${name}`];
  if (total === undefined) return [undefined, `${name}, ${bytes(loaded)} so far`];
  return [loaded / total, `${name}, ${percent(loaded / total)} of ${bytes(total)}`];
}

function describe({ name, model, own }: LoadedModel): HTMLElement[] {
  const { width, height } = model.preprocessing.size;
  const origin = own ? '' : ', pretrained on ImageNet';
  const layers = h('details', { class: 'layers' }, h('summary', {}, 'All layers'));
  layers.addEventListener('toggle', () => layers.append(h('pre', { tabIndex: 0, 'aria-label': 'Layers of the network' }, model.summary())), { once: true });
  return [
    h('p', { class: 'lead' }, h('strong', {}, name), origin),
    h('p', { class: 'muted' }, `${millions(model.parameters.total)} parameters, looks at ${width} × ${height} pixels, ${model.vertices.length} layers`),
    layers,
  ];
}

function ownModel(base: BaseModel): HTMLElement {
  const take = (files: readonly { file: File }[]): void => void base.loadFiles(files.map(({ file }) => file));
  const zone = h('div', { class: 'drop-zone small' },
    h('p', {}, 'Drop an ONNX, PyTorch ', h('code', {}, '.pth'), ' or regraft file here, or'),
    pickerButton({ label: 'Choose a model file', multiple: true, take }));
  acceptDrops(byId('model'), take, zone);
  return h('details', { class: 'own-model' }, h('summary', {}, 'Use another model'), zone);
}

function failureView(base: BaseModel, failed: Extract<Loading, { status: 'failed' }>): HTMLElement {
  const { problem, name, files } = failed;
  const view = problemView({ ...problem, title: `${name}: ${lowerFirst(problem.title)}` });
  if (files.some((file) => MAY_BE_WEIGHTS_ONLY.test(file.name))) view.append(architectureChoice(base, files));
  else if (files.length === 0) view.append(h('button', { type: 'button', class: 'button', onclick: () => void base.loadBundled() }, 'Try again'));
  return view;
}

function architectureChoice(base: BaseModel, files: readonly File[]): HTMLElement {
  const select = h('select', {}, ...Object.entries(ARCHITECTURES).map(([value, text]) => h('option', { value }, text)));
  const load = (): void => {
    const chosen = (Object.keys(ARCHITECTURES) as (keyof typeof ARCHITECTURES)[])[select.selectedIndex];
    if (chosen) void base.loadFiles(files, chosen);
  };
  return h('div', { class: 'row' },
    h('label', { class: 'field' }, 'If it holds weights alone, they are for', select),
    h('button', { type: 'button', class: 'button', onclick: load }, 'Load as this network'));
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
