import type { VertexSummary } from '../api.js';
import { RegraftError } from '../errors.js';

/** The named vertices and all they depend on. */
export function trunkOf(vertices: readonly VertexSummary[], at: readonly string[]): Set<string> {
  const byName = new Map(vertices.map((vertex) => [vertex.name, vertex]));
  const trunk = new Set<string>();
  const left = [...at];
  for (let name = left.pop(); name !== undefined; name = left.pop()) {
    if (trunk.has(name)) continue;
    const vertex = byName.get(name);
    if (!vertex && at.includes(name)) throw new RegraftError('unknown-vertex', `no vertex is called '${name}'`, name);
    trunk.add(name);
    left.push(...vertex?.inputs ?? []);
  }
  return trunk;
}

/**
 * Where a model is cut: the vertices up to `at` that something behind the cut reads, in the model's order. The engine worker
 * decides the same way; here it answers without waiting.
 */
export function boundaryOf(vertices: readonly VertexSummary[], outputs: readonly string[], at: readonly string[]): string[] {
  const trunk = trunkOf(vertices, at);
  const read = new Set(outputs);
  for (const { name, inputs } of vertices) if (!trunk.has(name)) for (const input of inputs) read.add(input);
  return vertices.filter(({ name }) => trunk.has(name) && read.has(name)).map(({ name }) => name);
}
