import { pauseEvery } from '../ui/dom';
import type { FoundFile } from '../ui/drop';
import type { Rejected } from './library';

/** Folders that name a split of the data and not a class. */
const SPLIT_NAMES = new Set(['train', 'training', 'val', 'valid', 'validation', 'test', 'testing']);

/** What browsers decode; anything else in a folder (notes, thumbnails databases) is listed and left out. */
const IMAGE_NAME = /\.(jpe?g|jfif|png|webp|gif|bmp|avif|heic|heif|ico)$/i;

/** Work between two pauses, well under what a person notices. */
const SLICE_MILLISECONDS = 12;

/**
 * One class a folder: the sub-folders of a dropped folder, or the folder itself where it has none.
 * Files without a folder are under ''.
 */
export async function byClass(found: readonly FoundFile[]): Promise<{ groups: Map<string, File[]>; skipped: Rejected[] }> {
  const groups = new Map<string, File[]>();
  const skipped: Rejected[] = [];
  const pause = pauseEvery(SLICE_MILLISECONDS); // a browser may look at the disk for each file's size
  for (const { file, folders } of [...found].sort(byPath)) {
    await pause();
    if (file.name.startsWith('.')) continue;
    const reason = unfit(file);
    if (reason !== undefined) {
      skipped.push({ name: [...folders, file.name].join('/'), reason });
      continue;
    }
    const name = className(folders);
    const group = groups.get(name);
    if (group) group.push(file);
    else groups.set(name, [file]);
  }
  return { groups, skipped };
}

/** File systems list in any order; people expect 2 before 10. */
const collator = new Intl.Collator('en', { numeric: true });

function byPath(a: FoundFile, b: FoundFile): number {
  return collator.compare([...a.folders, a.file.name].join('/'), [...b.folders, b.file.name].join('/'));
}

function className(folders: readonly string[]): string {
  const meaningful = folders.filter((name) => !SPLIT_NAMES.has(name.toLowerCase()));
  return meaningful[1] ?? meaningful[0] ?? '';
}

function unfit(file: File): string | undefined {
  if (file.size === 0) return 'the file is empty';
  if (!file.type.startsWith('image/') && !IMAGE_NAME.test(file.name)) return 'not an image';
  return undefined;
}
