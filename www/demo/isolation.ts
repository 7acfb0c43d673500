import type { DeviceInfo } from 'regraft';
import type { Reload } from './reload';
import { h } from './ui/dom';

/** Adds the headers of cross-origin isolation to what the host sends: the package coi-serviceworker, beside the page. */
const WORKER = './coi-serviceworker.min.js';

/**
 * Lets the visitor choose whether cores share memory, which pages may that are cross-origin isolated. Hosts that send the headers need
 * no button, and without a service worker (an insecure page, a private window) there is none to offer.
 */
export function isolationButton({ simd, threads }: DeviceInfo, reload: Reload): HTMLButtonElement | undefined {
  const workers: ServiceWorkerContainer | undefined = navigator.serviceWorker;
  if (!workers || simd !== 'relaxed-simd' || threads === 1) return undefined;
  if (!crossOriginIsolated) {
    return h('button', { type: 'button', class: 'button quiet', title: 'Reloads the page; photos stay. The cores then share one copy of the network, and train together.', onclick: () => void share(workers, reload) },
      'Share memory between cores');
  }
  return workers.controller ? h('button', { type: 'button', class: 'button quiet', title: 'Reloads the page; photos stay.', onclick: () => void stopSharing(workers, reload) }, 'Give each core its own memory') : undefined;
}

async function share(workers: ServiceWorkerContainer, reload: Reload): Promise<void> {
  if (!reload.agreed()) return;
  await workers.register(WORKER);
  await workers.ready;
  await reload.begin();
}

async function stopSharing(workers: ServiceWorkerContainer, reload: Reload): Promise<void> {
  if (!reload.agreed()) return;
  const registration = await workers.getRegistration();
  await registration?.unregister();
  await reload.begin();
}
