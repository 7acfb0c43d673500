/** Stable codes: branch on these, never on messages. */
export type ErrorCode =
  | 'format' | 'unsupported-op' | 'shape' | 'unknown-vertex' | 'conflict' | 'over-budget' | 'no-gpu' | 'device-lost'
  | 'integrity' | 'network' | 'stale-features' | 'bad-image' | 'bad-option' | 'busy' | 'aborted' | 'disposed' | 'storage' | 'internal';

/** The one error type of the package. */
export class RegraftError extends Error {
  override readonly name = 'RegraftError';

  constructor(
    /** What kind of failure it is. */
    readonly code: ErrorCode,
    message: string,
    /** The vertex the error is about, under the name the source model gives it. */
    readonly vertex?: string,
    /** What else is known, by code: the measured digest for 'integrity', the status for 'network'. */
    readonly detail?: unknown,
  ) {
    super(message);
  }
}

/** A RegraftError as it crosses a worker boundary: structured clone drops own properties of errors. */
export interface WireError { code: ErrorCode; message: string; vertex?: string; detail?: unknown }

/** What a worker sends for anything it caught. Errors of the wasm module carry `code` and `vertex`; all others are defects. */
export function toWire(error: unknown): WireError {
  if (!(error instanceof Error)) return { code: 'internal', message: String(error) };
  const { code, vertex, detail } = error as Error & Partial<WireError>;
  return { code: isErrorCode(code) ? code : 'internal', message: error.message, vertex, detail };
}

/** The error the caller sees. */
export function fromWire({ code, message, vertex, detail }: WireError): RegraftError {
  return new RegraftError(code, message, vertex, detail);
}

/** Turns anything thrown into a RegraftError. */
export function toRegraftError(error: unknown): RegraftError {
  return error instanceof RegraftError ? error : fromWire(toWire(error));
}

const CODES: Readonly<Record<ErrorCode, true>> = {
  'format': true, 'unsupported-op': true, 'shape': true, 'unknown-vertex': true, 'conflict': true, 'over-budget': true,
  'no-gpu': true, 'device-lost': true, 'integrity': true, 'network': true, 'stale-features': true, 'bad-image': true,
  'bad-option': true, 'busy': true, 'aborted': true, 'disposed': true, 'storage': true, 'internal': true,
};

function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(CODES, code);
}
