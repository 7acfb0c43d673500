import { batch } from '@preact/signals-core';
import { del, get, set } from 'idb-keyval';
import type { Library, Photo, Rejected } from './images/library';
import type { BaseModel, OwnModel } from './model/state';
import type { Trainer } from './train/trainer';

type KeptPhoto = Omit<Photo, 'id'>;

/** What is on disk between the two pages of a reload. */
interface Kept {
  classes: readonly { name: string; photos: readonly KeptPhoto[] }[];
  rejected: readonly Rejected[];
  model: OwnModel | undefined;
}

const KEY = 'regraft-reload';

/** Reloads that the page itself asks for, across which photos and the user's own model stay. */
export class Reload {
  #kept = false;

  constructor(private readonly library: Library, private readonly base: BaseModel, private readonly trainer: Trainer) {
    window.addEventListener('beforeunload', (event) => {
      if (library.total.value > 0 && !this.#kept) event.preventDefault(); // photos and results live in this page alone
    });
  }

  /** Whether nothing that is learned gets lost, or the user agrees to it. */
  agreed(): boolean {
    const learned = this.trainer.running.value || this.trainer.result.value !== undefined;
    return !learned || confirm('The page reloads. Your photos stay, but what the network has learned is forgotten: download it first if you need it. Reload now?');
  }

  /** Where the browser gives no room for the photos, it asks before they go. */
  async begin(): Promise<void> {
    const { classes, rejected } = this.library;
    const photo = ({ file, name, group }: Photo): KeptPhoto => ({ file, name, group });
    const kept: Kept = {
      classes: classes.value.map(({ name, photos }) => ({ name: name.value, photos: photos.value.map(photo) })),
      rejected: rejected.value,
      model: this.base.current.value?.own,
    };
    this.#kept = await set(KEY, kept).then(() => true, () => false);
    location.reload();
  }

  /** Takes back what was kept; gives the model to start from, if it is not the page's own. */
  async end(): Promise<OwnModel | undefined> {
    const kept = await get<Kept>(KEY).catch(() => undefined);
    if (!kept) return undefined;
    await del(KEY).catch(() => undefined);
    batch(() => {
      for (const { name, photos } of kept.classes) this.library.addClass(name).photos.value = this.library.named(photos);
      this.library.rejected.value = kept.rejected;
    });
    return kept.model;
  }
}
