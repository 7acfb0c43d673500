/** Elements without a framework: typed properties, ARIA and data attributes, children. */

type Attributes = { [name: `aria-${string}` | `data-${string}`]: string | undefined };
type Properties<E> = { [P in keyof E]?: E[P] | undefined } & { class?: string } & Attributes;
export type Child = Node | string | undefined | false;

export function h<T extends keyof HTMLElementTagNameMap>(
  tag: T,
  properties: Properties<HTMLElementTagNameMap[T]> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[T] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined) continue;
    if (name === 'class' || name.includes('-')) element.setAttribute(name === 'class' ? 'class' : name, String(value));
    else Object.assign(element, { [name]: value });
  }
  element.append(...children.filter((child): child is Node | string => child !== undefined && child !== false));
  return element;
}

/** An element of index.html; its absence is a defect of the page itself. */
export function byId(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no #${id}`);
  return element;
}

export function panelOf(id: string): HTMLElement {
  const panel = byId(id).querySelector<HTMLElement>('.panel');
  if (!panel) throw new Error(`#${id} has no .panel`);
  return panel;
}

/** Makes `parent` hold one element a key, in this order, keeping those that stay (and with them focus and scroll). */
export function reconcile<T>(parent: HTMLElement, items: readonly T[], keyOf: (item: T) => string, create: (item: T) => HTMLElement): void {
  const present = new Map<string, HTMLElement>();
  for (const child of parent.children) {
    if (child instanceof HTMLElement && child.dataset['key'] !== undefined) present.set(child.dataset['key'], child);
  }
  const wanted = new Set(items.map(keyOf));
  for (const [key, element] of present) if (!wanted.has(key)) element.remove();
  let cursor: Element | null = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const element = present.get(key) ?? create(item);
    if (element === cursor) {
      cursor = cursor.nextElementSibling; // moving it would take the focus from it
      continue;
    }
    element.dataset['key'] = key;
    parent.insertBefore(element, cursor);
  }
}

let nextId = 0;
export function uniqueId(stem: string): string {
  nextId += 1;
  return `${stem}-${nextId}`;
}

/** Lets input, painting and other tasks run before the caller goes on. */
function yieldToPage(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

/** Gives the page room whenever the caller has worked for this long. */
export function pauseEvery(milliseconds: number): () => Promise<void> {
  let last = performance.now();
  return async () => {
    if (performance.now() - last < milliseconds) return;
    await yieldToPage();
    last = performance.now();
  };
}

/** `work` runs at most once a frame, with whatever is current then. */
export function oncePerFrame(work: () => void): () => void {
  let scheduled = false;
  return () => {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => {
      scheduled = false;
      work();
    });
  };
}
