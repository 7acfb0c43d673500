import { effect } from '@preact/signals-core';
import type { DeviceInfo, Engine } from 'regraft';
import type { Library } from './images/library';
import type { BaseModel } from './model/state';
import type { Trainer } from './train/trainer';
import { isolationButton } from './isolation';
import type { Reload } from './reload';
import { byId, h } from './ui/dom';
import { percent } from './ui/format';

interface Step { id: string; title: string; /** What is done so far, or '' while nothing is. */ done(): string }

/** The way through the page at a glance, and the device it runs on. */
export function mountSteps(engine: Promise<Engine>, base: BaseModel, library: Library, trainer: Trainer, reload: Reload): void {
  const steps: readonly Step[] = [
    { id: 'model', title: 'Model', done: () => (base.current.value ? 'ready' : '') },
    { id: 'images', title: 'Photos', done: () => (library.total.value > 0 ? String(library.total.value) : '') },
    { id: 'train', title: 'Train', done: () => (trainer.running.value ? 'running' : trainer.result.value ? 'done' : '') },
    { id: 'evaluate', title: 'Evaluate', done: () => evaluated(trainer) },
    { id: 'try', title: 'Try', done: () => '' },
    { id: 'export', title: 'Export', done: () => '' },
  ];
  byId('steps').append(...steps.map(({ id, title, done }) => {
    const state = h('span', { class: 'step-state' });
    effect(() => {
      state.textContent = done();
    });
    return h('li', {}, h('a', { href: `#${id}` }, title, ' ', state));
  }));

  const device = byId('device');
  engine.then((e) => {
    const button = isolationButton(e.device, reload);
    device.replaceChildren(...deviceText(e.device), ...(button ? [' ', button] : []));
    e.onDeviceChange((info, cause) => device.replaceChildren(...deviceText(info), `, since ${cause}`));
  }).catch(() => (device.textContent = 'The engine could not start.'));
}

function evaluated(trainer: Trainer): string {
  const { value } = trainer.result;
  return value?.evaluation ? percent(value.evaluation.accuracy) : '';
}

function deviceText({ backend, threads, simd, reason, adapter }: DeviceInfo): (Node | string)[] {
  const gpu = adapter ? ` (${adapter.vendor} ${adapter.architecture})` : '';
  const cpu = ` (${threads} ${threads === 1 ? 'core' : 'cores'}, ${simd}${crossOriginIsolated && threads > 1 ? ', shared memory' : ''})`;
  return [h('data', { 'data-fact': 'backend', value: backend, title: reason }, `Runs on ${backend === 'webgpu' ? `WebGPU${gpu}` : `the CPU${cpu}`}`)];
}
