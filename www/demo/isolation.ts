import type { DeviceInfo } from 'regraft';
import { h } from './ui/dom';

/** Adds the headers of cross-origin isolation to what the host sends: the package coi-serviceworker, beside the page. */
const WORKER = './coi-serviceworker.min.js';

/**
 * Lets the visitor choose whether cores share memory, which pages may that are cross-origin isolated. Hosts that send the headers need
 * no button, and without a service worker (an insecure page, a private window) there is none to offer.
 */
export function isolationButton({ simd, threads }: DeviceInfo): HTMLButtonElement | undefined {
  const workers: ServiceWorkerContainer | undefined = navigator.serviceWorker;
  if (!workers || simd !== 'relaxed-simd' || threads === 1) return undefined;
  if (!crossOriginIsolated) {
    return h('button', { type: 'button', class: 'button quiet', title: 'Reloads the page. The cores then share one copy of the network, and train together.', onclick: () => void share(workers) },
      'Share memory between cores');
  }
  return workers.controller ? h('button', { type: 'button', class: 'button quiet', title: 'Reloads the page.', onclick: () => void stopSharing(workers) }, 'Give each core its own memory') : undefined;
}

async function share(workers: ServiceWorkerContainer): Promise<void> {
  await workers.register(WORKER);
  await workers.ready;
  location.reload();
}

async function stopSharing(workers: ServiceWorkerContainer): Promise<void> {
  const registration = await workers.getRegistration();
  await registration?.unregister();
  location.reload();
}
