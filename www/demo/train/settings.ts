import { h } from '../ui/dom';
import type { Updater } from 'regraft';

export interface Settings {
  epochs: number;
  batchSize: number;
  learningRate: number;
  updater: 'adam' | 'nesterovs' | 'sgd';
  /** Units of a hidden layer before the classes; 0 leaves it out. */
  hidden: number;
  /** Share of all photos kept aside until the end, for an honest accuracy. */
  testShare: number;
  /** Share of the training photos watched while training, never learned from. */
  validationShare: number;
  seed: number;
}

export const DEFAULTS: Settings = {
  epochs: 40, batchSize: 16, learningRate: 0.005, updater: 'adam', hidden: 0, testShare: 0.2, validationShare: 0.1, seed: 1,
};

export function updaterOf({ updater, learningRate }: Settings): Updater {
  return { type: updater, learningRate };
}

interface NumberField { key: Exclude<keyof Settings, 'updater'>; label: string; hint: string; min: number; max: number; step: number | 'any'; percent?: boolean }

const NUMBERS: readonly NumberField[] = [
  { key: 'epochs', label: 'Epochs', hint: 'times through all photos', min: 1, max: 1000, step: 1 },
  { key: 'learningRate', label: 'Learning rate', hint: 'size of each step', min: 0.000001, max: 10, step: 'any' },
  { key: 'batchSize', label: 'Batch size', hint: 'photos per step', min: 1, max: 512, step: 1 },
  { key: 'hidden', label: 'Hidden layer', hint: 'units, 0 for none', min: 0, max: 1024, step: 1 },
  { key: 'testShare', label: 'Test share', hint: '% kept for Evaluate', min: 0, max: 80, step: 1, percent: true },
  { key: 'validationShare', label: 'Validation share', hint: '% of the rest, for the curve', min: 0, max: 50, step: 1, percent: true },
  { key: 'seed', label: 'Seed', hint: 'same seed, same result', min: 0, max: 4294967295, step: 1 },
];

const UPDATERS = { adam: 'Adam', nesterovs: 'Nesterov momentum', sgd: 'Plain SGD' } as const satisfies Record<Settings['updater'], string>;

/** The form's fields, and what they say now; undefined while one of them is out of range. */
export function settingsForm(onDefaults: () => void): { element: HTMLFormElement; read(): Settings | undefined } {
  const inputs = NUMBERS.map((field) => {
    const value = String(field.percent ? DEFAULTS[field.key] * 100 : DEFAULTS[field.key]);
    const { min, max, step } = field;
    return { field, input: h('input', { type: 'number', inputMode: 'decimal', required: true, value, defaultValue: value, min: String(min), max: String(max), step: String(step) }) };
  });
  const updater = h('select', {}, ...Object.entries(UPDATERS).map(([value, text]) => h('option', { value }, text)));
  const fields = inputs.map(({ field, input }) => h('label', { class: 'field' }, field.label, input, h('small', {}, field.hint)));
  fields.splice(2, 0, h('label', { class: 'field' }, 'Updater', updater, h('small', {}, 'how steps are taken')));
  const reset = h('button', { type: 'reset', class: 'button quiet', onclick: onDefaults }, 'Back to defaults');
  const element = h('form', { class: 'settings', onsubmit: (event) => event.preventDefault() }, ...fields, reset);

  const read = (): Settings | undefined => {
    if (!element.reportValidity()) return undefined;
    const settings = { ...DEFAULTS };
    for (const { field, input } of inputs) settings[field.key] = field.percent ? input.valueAsNumber / 100 : input.valueAsNumber;
    const chosen = (Object.keys(UPDATERS) as Settings['updater'][])[updater.selectedIndex];
    return chosen ? { ...settings, updater: chosen } : undefined;
  };
  return { element, read };
}
