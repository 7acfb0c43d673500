import { RegraftError } from '../errors.js';

/** Weakest first. */
const ALGORITHMS = ['sha256', 'sha384', 'sha512'] as const;
type Algorithm = (typeof ALGORITHMS)[number];
const DIGESTS: Record<Algorithm, string> = { sha256: 'SHA-256', sha384: 'SHA-384', sha512: 'SHA-512' };

/**
 * Checks bytes against a subresource-integrity string (https://www.w3.org/TR/SRI/#parse-metadata): of several digests
 * those of the strongest algorithm count, and one of them has to fit.
 */
export async function verifyIntegrity(bytes: Uint8Array<ArrayBuffer>, integrity: string, what: string): Promise<void> {
  const { algorithm, accepted } = parse(integrity);
  if (globalThis.crypto?.subtle === undefined) {
    throw new RegraftError('integrity', `${what} cannot be checked: digests need a secure context (https or localhost)`);
  }
  const digest = new Uint8Array(await crypto.subtle.digest(DIGESTS[algorithm], bytes));
  const measured = btoa(String.fromCharCode(...digest));
  if (!accepted.includes(measured)) {
    throw new RegraftError('integrity', `${what} is not the file expected: its digest is ${algorithm}-${measured}`, undefined, { digest: `${algorithm}-${measured}` });
  }
}

/** SHA-256 in hexadecimal digits by the platform's own code; undefined where it makes none: outside of secure contexts, and of shared memory. */
export function sha256(bytes: Uint8Array): Promise<string> | undefined {
  if (!(bytes.buffer instanceof ArrayBuffer)) return undefined;
  return globalThis.crypto?.subtle?.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>).then((digest) => (
    Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')));
}

function parse(integrity: string): { algorithm: Algorithm; accepted: string[] } {
  const given = integrity.trim().split(/\s+/).map((it) => /^(sha256|sha384|sha512)-([A-Za-z0-9+/]+={0,2})(\?.*)?$/.exec(it));
  const algorithm = ALGORITHMS.findLast((it) => given.some((match) => match?.[1] === it));
  if (algorithm === undefined) throw new RegraftError('bad-option', `option 'integrity': like 'sha256-…' in base64, not '${integrity}'`);
  return { algorithm, accepted: given.filter((match) => match?.[1] === algorithm).map((match) => match?.[2] ?? '') };
}
