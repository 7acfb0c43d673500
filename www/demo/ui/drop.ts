/** Files from drag-and-drop, folders included. */

export interface FoundFile {
  file: File;
  /** Folders from the dropped or picked one down to the file, without the file's own name. */
  folders: readonly string[];
}

function hasFiles(event: DragEvent): boolean {
  return event.dataTransfer?.types.includes('Files') ?? false;
}

/**
 * `element` takes files that no element inside it takes; while they hover over it, `marked` carries the class `dropping`.
 */
export function acceptDrops(element: HTMLElement, take: (files: FoundFile[]) => void | Promise<void>, marked = element): void {
  let depth = 0; // dragenter of a child comes before dragleave of its parent
  const mark = (change: number): void => {
    depth = Math.max(0, depth + change);
    marked.classList.toggle('dropping', depth > 0);
  };
  element.addEventListener('dragenter', (event) => hasFiles(event) && mark(1));
  element.addEventListener('dragleave', (event) => hasFiles(event) && mark(-1));
  element.addEventListener('dragover', (event) => hasFiles(event) && event.preventDefault());
  element.addEventListener('drop', (event) => {
    if (!hasFiles(event) || !event.dataTransfer) return;
    mark(-depth);
    if (event.defaultPrevented) return;
    event.preventDefault();
    void readDrop(event.dataTransfer).then(take);
  });
}

/** Entries must be taken before the first await: the list empties itself when the event is over. */
async function readDrop(data: DataTransfer): Promise<FoundFile[]> {
  const items = [...data.items].map((item) => ({ entry: item.webkitGetAsEntry(), file: item.getAsFile() }));
  const found: FoundFile[] = [];
  for (const { entry, file } of items) {
    if (entry) await walk(entry, [], found);
    else if (file) found.push({ file, folders: [] }); // an image dragged out of another page
  }
  return found;
}

async function walk(entry: FileSystemEntry, folders: readonly string[], found: FoundFile[]): Promise<void> {
  if (isFile(entry)) {
    found.push({ file: await new Promise<File>((resolve, reject) => entry.file(resolve, reject)), folders });
  } else if (isDirectory(entry)) {
    const reader = entry.createReader();
    const inside = [...folders, entry.name];
    for (;;) {
      const batch = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
      if (batch.length === 0) return;
      for (const child of batch) await walk(child, inside, found);
    }
  }
}

function isFile(entry: FileSystemEntry): entry is FileSystemFileEntry {
  return entry.isFile;
}

function isDirectory(entry: FileSystemEntry): entry is FileSystemDirectoryEntry {
  return entry.isDirectory;
}

export function fromInput(files: FileList): FoundFile[] {
  return [...files].map((file) => ({ file, folders: file.webkitRelativePath.split('/').slice(0, -1) }));
}
