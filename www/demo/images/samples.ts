import type { FoundFile } from '../ui/drop';

/** Sample photos lie beside the page where someone serves them: they are not ours to ship. */
const INDEX_URL = './samples/samples.json';
/** Parallel requests: enough to hide latency, few enough for a small server. */
const LANES = 6;

/** Paths of the photos by class, relative to the index. */
type SampleIndex = Map<string, readonly string[]>;

export async function findSamples(): Promise<SampleIndex | undefined> {
  try {
    const response = await fetch(new URL(INDEX_URL, document.baseURI));
    if (!response.ok) return undefined;
    return parseIndex(await response.json());
  } catch {
    return undefined; // no index, or a host that answers every path with its start page
  }
}

function parseIndex(json: unknown): SampleIndex | undefined {
  if (typeof json !== 'object' || json === null || !('classes' in json)) return undefined;
  const { classes } = json;
  if (typeof classes !== 'object' || classes === null) return undefined;
  const isPath = (path: unknown): path is string => typeof path === 'string';
  return new Map(Object.entries(classes).map(([name, paths]) => [name, Array.isArray(paths) ? paths.filter(isPath) : []]));
}

export async function loadSamples(index: SampleIndex, onProgress: (done: number, total: number) => void): Promise<FoundFile[]> {
  const base = new URL(INDEX_URL, document.baseURI);
  const wanted = [...index].flatMap(([name, paths]) => paths.map((path) => ({ name, path })));
  const found: (FoundFile | undefined)[] = wanted.map(() => undefined);
  let next = 0;
  let done = 0;
  const lane = async (): Promise<void> => {
    for (let at = next++; at < wanted.length; at = next++) {
      const sample = wanted[at];
      if (!sample) return;
      const response = await fetch(new URL(sample.path, base));
      const fileName = sample.path.split('/').at(-1) ?? sample.path;
      if (response.ok) {
        const blob = await response.blob();
        found[at] = { file: new File([blob], fileName, { type: blob.type }), folders: [sample.name] };
      }
      onProgress(++done, wanted.length);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return found.filter((file) => file !== undefined);
}
