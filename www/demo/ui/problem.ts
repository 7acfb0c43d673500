import { RegraftError, type ErrorCode } from 'regraft';
import { h } from './dom';

/** What went wrong in words a user can act on; the engine's own message stays visible as the detail. */
export interface Problem {
  title: string;
  advice: string;
  detail: string;
}

const WORDS = {
  format: ['This file is not a model that can be read here', 'Pick an ONNX, PyTorch (.pth) or regraft file. The file itself decides, not its name.'],
  'unsupported-op': ['This network uses operations that are not supported yet', 'Another network, or another export of this one, may work.'],
  shape: ['The shapes in this network do not fit together', 'The file may be damaged, or made for another kind of input.'],
  'unknown-vertex': ['A part of the network was not found', 'The file may not be the network it is said to be.'],
  conflict: ['Two settings contradict each other', 'Change one of them and try again.'],
  'over-budget': ['This needs more memory than there is', 'Use fewer photos at once, a smaller network, or close other tabs.'],
  'no-gpu': ['No usable GPU was found', 'The processor can do the work too: reload the page.'],
  'device-lost': ['The GPU went away while it worked', 'Try again: the work moves to the processor.'],
  integrity: ['The downloaded file is not the one expected', 'Reload the page. If it stays so, the file on the server has changed.'],
  network: ['The file could not be downloaded', 'Check the connection and try again.'],
  'stale-features': ['The network changed in the middle of the work', 'Train again.'],
  'bad-image': ['This image cannot be read', 'Use a JPEG, PNG or WebP file that this browser can show.'],
  'bad-option': ['A setting does not fit', 'Change it and try again.'],
  busy: ['The engine is still at work', 'Wait for it to finish, or stop it, and try again.'],
  aborted: ['Stopped', ''],
  disposed: ['This model was put away already', 'Train again, or reload the page.'],
  storage: ['The browser gave no room to store this', 'Free some space or leave private browsing.'],
  internal: ['Something broke inside the engine', 'Try again. If it stays so, please report it with the message below.'],
} as const satisfies Record<ErrorCode, readonly [string, string]>;

export function problemOf(error: unknown): Problem {
  if (error instanceof RegraftError) {
    const [title, advice] = WORDS[error.code];
    const where = error.vertex === undefined ? '' : ` (at ${error.vertex})`;
    return { title, advice, detail: `${error.code}: ${error.message}${where}` };
  }
  const [title, advice] = WORDS.internal;
  return { title, advice, detail: error instanceof Error ? error.message : String(error) };
}

export function isAbort(error: unknown): boolean {
  return error instanceof RegraftError && error.code === 'aborted';
}

export function problemView(problem: Problem): HTMLElement {
  return h('div', { class: 'problem', role: 'alert' },
    h('p', { class: 'problem-title' }, problem.title),
    problem.advice !== '' && h('p', {}, problem.advice),
    h('p', { class: 'problem-detail' }, problem.detail));
}
