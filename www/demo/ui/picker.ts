import { fromInput, type FoundFile } from './drop';
import { h } from './dom';

interface PickerOptions {
  label: string;
  /** For screen readers, where the visible label says too little on its own. */
  describe?: string;
  accept?: string;
  multiple?: boolean;
  folder?: boolean;
  style?: string;
  take(files: FoundFile[]): void | Promise<void>;
}

/** A button that opens the file dialogue; the input itself stays out of the tab order. */
export function pickerButton({ label, describe, accept = '', multiple = false, folder = false, style = 'button', take }: PickerOptions): HTMLElement {
  const input = h('input', {
    type: 'file', accept, multiple: multiple || folder, webkitdirectory: folder, hidden: true, tabIndex: -1, 'aria-label': describe ?? label,
    onchange: () => {
      const files = input.files ? fromInput(input.files) : [];
      input.value = ''; // the same file can be picked again
      if (files.length > 0) void take(files);
    },
  });
  const button = h('button', { type: 'button', class: style, 'aria-label': describe, onclick: () => input.click() }, label);
  return h('span', { class: 'picker' }, button, input);
}
