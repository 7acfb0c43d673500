import { batch, computed, signal, type Signal } from '@preact/signals-core';
import type { FoundFile } from '../ui/drop';
import { byClass } from './intake';

export interface Photo {
  readonly id: string;
  readonly file: Blob;
  readonly name: string;
  /** Photos of one group are near copies, such as frames of one webcam take, and must not be both learned and tested. */
  readonly group: string | undefined;
}

export interface PhotoClass {
  readonly id: string;
  readonly name: Signal<string>;
  readonly photos: Signal<readonly Photo[]>;
}

export interface Rejected {
  name: string;
  reason: string;
}

/** The user's photos by class. Only file handles are kept: the browser leaves the bytes on disk. */
export class Library {
  readonly classes = signal<readonly PhotoClass[]>([]);
  readonly rejected = signal<readonly Rejected[]>([]);
  readonly total = computed(() => this.classes.value.reduce((sum, { photos }) => sum + photos.value.length, 0));
  /** Changes whenever what would be trained on changes. */
  readonly fingerprint = computed(() =>
    JSON.stringify(this.classes.value.map(({ name, photos }) => [name.value.trim(), photos.value.map(({ id }) => id)])));
  #nextId = 1;

  /** Finds the class of this name, or makes it. */
  classNamed(name: string): PhotoClass {
    return this.classes.value.find((c) => c.name.value.trim() === name) ?? this.addClass(name);
  }

  addClass(name = this.#freeName()): PhotoClass {
    const added: PhotoClass = { id: this.#id('class'), name: signal(name), photos: signal([]) };
    this.classes.value = [...this.classes.value, added];
    return added;
  }

  /** Returns what undoes it. */
  removeClass(removed: PhotoClass): () => void {
    const before = this.classes.value;
    this.classes.value = before.filter((c) => c !== removed);
    return () => {
      const at = Math.min(before.indexOf(removed), this.classes.value.length);
      this.classes.value = this.classes.value.toSpliced(at, 0, removed);
    };
  }

  add(target: PhotoClass, files: readonly File[], group?: string): void {
    target.photos.value = [...target.photos.value, ...this.named(files.map((file) => ({ file, name: file.name, group })))];
  }

  /** Photos that this library does not have yet. */
  named(photos: readonly Omit<Photo, 'id'>[]): Photo[] {
    return photos.map((photo) => ({ id: this.#id('photo'), ...photo }));
  }

  /** Sorts files into classes by their folders; loose ones go to `fallback`, or a new class. Returns the classes that got some. */
  async addFound(found: readonly FoundFile[], fallback?: PhotoClass): Promise<PhotoClass[]> {
    const { groups, skipped } = await byClass(found);
    return batch(() => {
      const changed = [...groups].map(([name, files]) => {
        const target = name === '' ? (fallback ?? this.addClass()) : this.classNamed(name);
        const known = new Set(target.photos.value.map(({ file }) => file instanceof File && identity(file)));
        for (const file of files) if (known.has(identity(file))) skipped.push({ name: file.name, reason: `already in ${target.name.value}` });
        this.add(target, files.filter((file) => !known.has(identity(file))));
        return target;
      });
      if (skipped.length > 0) this.rejected.value = [...this.rejected.value, ...skipped];
      return changed;
    });
  }

  /** Returns what undoes it. */
  remove(owner: PhotoClass, photo: Photo): () => void {
    const at = owner.photos.value.indexOf(photo);
    owner.photos.value = owner.photos.value.filter((p) => p !== photo);
    return () => {
      owner.photos.value = owner.photos.value.toSpliced(at, 0, photo);
    };
  }

  /** Takes out a photo that cannot be decoded and lists it with the reason. */
  reject(id: string, reason: string): void {
    const owner = this.classes.value.find(({ photos }) => photos.value.some((p) => p.id === id));
    const photo = owner?.photos.value.find((p) => p.id === id);
    if (!owner || !photo) return;
    batch(() => {
      this.remove(owner, photo);
      this.rejected.value = [...this.rejected.value, { name: `${owner.name.value}/${photo.name}`, reason }];
    });
  }

  #freeName(): string {
    const taken = new Set(this.classes.value.map((c) => c.name.value));
    for (let n = 1; ; n += 1) if (!taken.has(`Class ${n}`)) return `Class ${n}`;
  }

  #id(stem: string): string {
    return `${stem}-${this.#nextId++}`;
  }
}

/** Tells a file that was added before: learned from and tested on, it would make the test easier than it should be. */
function identity({ name, size, lastModified }: File): string {
  return [size, lastModified, name].join('/');
}
